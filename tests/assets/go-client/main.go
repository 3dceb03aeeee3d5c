// A TLS and MQTT client on Go's crypto/tls, run by the Rust tests: a TLS stack that is independent of the one
// under test. It uses the standard library only, and supports MQTT 3.1.1 as far as publishing needs. It prints its
// observations as one JSON object, with a failure as a field, and must not judge them.
package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// Result is what the tests read; harness/clients/go.rs names the same fields.
type Result struct {
	Error       string `json:"error,omitempty"`
	Version     string `json:"version,omitempty"`
	Cipher      string `json:"cipher,omitempty"`
	Curve       string `json:"curve,omitempty"`
	Alpn        string `json:"alpn,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	ChainLength int    `json:"chain_length"`
	Resumed     bool   `json:"resumed"`
	Connack     int    `json:"connack"`
	Pinged      int    `json:"pinged"`
	Acked       int    `json:"acked"`
	// How the server ended the connection after our close: "close_notify", "fin", or an error's text.
	PeerClose string `json:"peer_close,omitempty"`
}

type options struct {
	addr, ca, name, cert, key, min, max, curves, alpn string
	again                                             bool
	id, topic, close                                  string
	count                                             int
	timeout                                           time.Duration
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.addr, "addr", "", "host:port")
	flags.StringVar(&o.ca, "ca", "", "PEM file with the trusted roots")
	flags.StringVar(&o.name, "name", "localhost", "server name, for SNI and verification")
	flags.StringVar(&o.cert, "cert", "", "client certificate chain")
	flags.StringVar(&o.key, "key", "", "client key")
	flags.StringVar(&o.min, "min", "1.2", "lowest TLS version")
	flags.StringVar(&o.max, "max", "1.3", "highest TLS version")
	flags.StringVar(&o.curves, "curves", "", "key exchanges, comma-separated; Go's own list if empty")
	flags.StringVar(&o.alpn, "alpn", "", "protocols to offer, comma-separated")
	flags.BoolVar(&o.again, "again", false, "connect twice with one session cache; report the second connection")
	flags.StringVar(&o.id, "id", "go", "mqtt: client ID")
	flags.StringVar(&o.topic, "topic", "go", "mqtt: topic")
	flags.IntVar(&o.count, "count", 1, "mqtt: messages to publish at QoS 1")
	flags.StringVar(&o.close, "close", "notify", "mqtt: notify (DISCONNECT, close_notify), fin, or reset")
	flags.DurationVar(&o.timeout, "timeout", 15*time.Second, "limit for the whole run")
	_ = flags.Parse(os.Args[2:])

	var result Result
	var err error
	switch os.Args[1] {
	case "handshake":
		err = handshake(&o, &result)
	case "mqtt":
		err = mqtt(&o, &result)
	default:
		usage()
	}
	if err != nil {
		result.Error = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(result)
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go-client handshake|mqtt -addr HOST:PORT -ca FILE …")
	os.Exit(2)
}

func handshake(o *options, result *Result) error {
	config, err := o.config()
	if err != nil {
		return err
	}
	rounds := 1
	if o.again {
		rounds = 2
	}
	for range rounds {
		conn, raw, err := o.dial(config, result)
		if err != nil {
			return err
		}
		err = verdict(conn, config.ClientSessionCache.(*cache))
		_ = conn.Close()
		_ = raw.Close()
		if refused(err) {
			return err
		}
	}
	return nil
}

// verdict reads until the server has accepted or rejected the handshake: with a session ticket, with an alert, or
// by closing the connection. In TLS 1.3 a rejection of the client's certificate arrives only now. Two seconds of
// silence count as acceptance.
func verdict(conn *tls.Conn, tickets *cache) error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-tickets.put:
	case <-time.After(2 * time.Second):
	}
	return nil
}

// cache signals the arrival of a ticket.
type cache struct {
	tls.ClientSessionCache
	put chan struct{}
}

func (c *cache) Put(key string, state *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, state)
	select {
	case c.put <- struct{}{}:
	default:
	}
}

// refused reports whether an error is an alert, not just the end of a connection.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

func mqtt(o *options, result *Result) error {
	config, err := o.config()
	if err != nil {
		return err
	}
	rounds := 1
	if o.again {
		rounds = 2
	}
	for range rounds {
		if err := o.session(config, result); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) session(config *tls.Config, result *Result) error {
	conn, raw, err := o.dial(config, result)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	reader := bufio.NewReader(conn)
	connect := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60}, text(o.id)...)
	if _, err := conn.Write(packet(0x10, connect)); err != nil {
		return err
	}
	var connack [4]byte
	if _, err := io.ReadFull(reader, connack[:]); err != nil {
		return fmt.Errorf("reading CONNACK: %w", err)
	}
	if result.Connack = int(connack[3]); connack[0] != 0x20 || connack[3] != 0 {
		return fmt.Errorf("not accepted: % x", connack)
	}
	if _, err := conn.Write([]byte{0xC0, 0}); err != nil {
		return err
	}
	var pong [2]byte
	if _, err := io.ReadFull(reader, pong[:]); err != nil || pong != [2]byte{0xD0, 0} {
		return fmt.Errorf("reading PINGRESP: % x, %w", pong, err)
	}
	result.Pinged++
	for id := 1; id <= o.count; id++ {
		body := binary.BigEndian.AppendUint16(text(o.topic), uint16(id))
		if _, err := conn.Write(packet(0x32, append(body, fmt.Sprintf("message %d", id)...))); err != nil {
			return err
		}
		var puback [4]byte
		if _, err := io.ReadFull(reader, puback[:]); err != nil {
			return fmt.Errorf("reading PUBACK %d: %w", id, err)
		}
		if puback[0] != 0x40 || binary.BigEndian.Uint16(puback[2:]) != uint16(id) {
			return fmt.Errorf("not the PUBACK for %d: % x", id, puback)
		}
		result.Acked++
	}
	return o.end(conn, raw, reader, result)
}

func (o *options) end(conn *tls.Conn, raw *socket, reader io.Reader, result *Result) error {
	var err error
	switch o.close {
	case "notify":
		if _, err = conn.Write([]byte{0xE0, 0}); err == nil {
			err = conn.CloseWrite()
		}
	case "fin":
		err = raw.CloseWrite()
	case "reset":
		err = raw.SetLinger(0)
	default:
		err = errors.New("-close must be notify, fin or reset")
	}
	if err != nil || o.close == "reset" {
		return err
	}
	_, err = io.Copy(io.Discard, reader)
	switch {
	case err != nil:
		result.PeerClose = err.Error()
	case raw.ended:
		result.PeerClose = "fin"
	default:
		result.PeerClose = "close_notify"
	}
	return nil
}

// socket records the end of the TCP stream: crypto/tls reports a bare FIN like close_notify.
type socket struct {
	*net.TCPConn
	ended bool
}

func (s *socket) Read(buffer []byte) (int, error) {
	n, err := s.TCPConn.Read(buffer)
	s.ended = s.ended || err == io.EOF
	return n, err
}

func (o *options) dial(config *tls.Config, result *Result) (*tls.Conn, *socket, error) {
	dialed, err := net.DialTimeout("tcp", o.addr, o.timeout)
	if err != nil {
		return nil, nil, err
	}
	raw := &socket{TCPConn: dialed.(*net.TCPConn)}
	_ = raw.SetDeadline(time.Now().Add(o.timeout))
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		_ = raw.Close()
		return nil, nil, err
	}
	state := conn.ConnectionState()
	fingerprint := sha256.Sum256(state.PeerCertificates[0].Raw)
	result.Version = tls.VersionName(state.Version)
	result.Cipher = tls.CipherSuiteName(state.CipherSuite)
	result.Curve = state.CurveID.String()
	result.Alpn = state.NegotiatedProtocol
	result.Fingerprint = hex.EncodeToString(fingerprint[:])
	result.ChainLength = len(state.PeerCertificates)
	result.Resumed = state.DidResume
	return conn, raw, nil
}

var versions = map[string]uint16{
	"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13,
}

var curves = map[string]tls.CurveID{
	"X25519MLKEM768": tls.X25519MLKEM768, "X25519": tls.X25519,
	"P256": tls.CurveP256, "P384": tls.CurveP384, "P521": tls.CurveP521,
}

func (o *options) config() (*tls.Config, error) {
	roots, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		RootCAs:            x509.NewCertPool(),
		ServerName:         o.name,
		MinVersion:         versions[o.min],
		MaxVersion:         versions[o.max],
		ClientSessionCache: &cache{tls.NewLRUClientSessionCache(1), make(chan struct{}, 1)},
	}
	config.RootCAs.AppendCertsFromPEM(roots)
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if o.alpn != "" {
		config.NextProtos = strings.Split(o.alpn, ",")
	}
	for name := range strings.SplitSeq(o.curves, ",") {
		if curve, known := curves[name]; known {
			config.CurvePreferences = append(config.CurvePreferences, curve)
		} else if name != "" {
			return nil, fmt.Errorf("no key exchange is called %q", name)
		}
	}
	return config, nil
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// packet supports bodies below 128 bytes.
func packet(head byte, body []byte) []byte {
	return append([]byte{head, byte(len(body))}, body...)
}
