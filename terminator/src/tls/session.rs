//! One TLS session, using rustls' unbuffered API: decrypts and encrypts.
//!
//! It must not touch sockets: it queues data for the caller to send.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus,
};

use super::tickets;
use crate::backlog::Backlog;
use crate::scratch;

/// Maximum number of records that one key encrypts (RFC 8446, section 5.5), less a margin for one write. TLS
/// 1.3 updates its keys before that; TLS 1.2 cannot, and rustls stops encrypting.
const RECORDS_MAX: u32 = (1 << 24) - 1024;

/// Plaintext of a full record, in bytes (RFC 8446, section 5.1).
const RECORD_MAX: u16 = 16 * 1024;

/// Protocol version; `None` before it is negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    None,
    Tls12,
    Tls13,
}

impl Version {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Tls12, Self::Tls13];

    /// Returns the metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// The server side of a TLS session.
pub(crate) struct Session {
    /// Boxed, since it moves from phase to phase, and the future of each phase would reserve space for it.
    tls: Box<UnbufferedServerConnection>,
    /// Ciphertext of an incomplete record or handshake message. rustls keeps positions in it, so it is passed
    /// in each call, even without new data.
    held: Vec<u8>,
    peer_closed: bool,
    /// Whether a client certificate counts: the configuration verifies it.
    verifies: bool,
    /// Number of records that may still be sent.
    records_left: u32,
    /// Maximum plaintext of a record for the client, in bytes.
    record_max: u16,
    /// Queued ciphertext for the client.
    pub(crate) to_client: Backlog,
}

impl Session {
    /// Begins a session; `verifies` says whether its configuration verifies client certificates.
    pub(crate) fn new(config: Arc<ServerConfig>, verifies: bool) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: Box::new(UnbufferedServerConnection::new(config)?),
            held: Vec::new(),
            peer_closed: false,
            verifies,
            records_left: RECORDS_MAX,
            record_max: RECORD_MAX,
            to_client: Backlog::default(),
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Returns the protocol version.
    pub(crate) fn version(&self) -> Version {
        match self.tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => Version::Tls13,
            Some(rustls::ProtocolVersion::TLSv1_2) => Version::Tls12,
            _ => Version::None,
        }
    }

    /// Reports whether the session was resumed.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Reports whether the client was shown a certificate, of which this is the number of times that one was chosen: a
    /// HelloRetryRequest shows none.
    pub(crate) fn has_shown_certificate(&self, chosen: u8) -> bool {
        match self.tls.handshake_kind() {
            Some(rustls::HandshakeKind::Full) => true,
            Some(rustls::HandshakeKind::FullWithHelloRetryRequest) => chosen > 1,
            Some(rustls::HandshakeKind::Resumed) | None => false,
        }
    }

    /// Returns the certificates that the client sent, its own first, whether or not they were verified.
    pub(crate) fn presented(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.peer_certificates()
    }

    /// Returns the client's certificate (DER), if it was verified.
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        let chain = self.peer_chain()?;
        chain.first().map(|certificate| &**certificate)
    }

    /// Returns the client's certificate and those that it sent with it, if they were verified.
    pub(super) fn peer_chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.peer_certificates().filter(|_| self.verifies)
    }

    /// Reports whether the client has sent close_notify; data after it is ignored (RFC 8446, section 6.1).
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Reports whether the key has reached its limit; only close_notify can still be sent.
    pub(crate) fn is_spent(&self) -> bool {
        self.records_left == 0
    }

    /// Returns the size of the held ciphertext, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Copies the held ciphertext to the front of a buffer, which must be larger, and returns its size. The
    /// caller reads new data after it.
    pub(crate) fn restore(&self, cipher: &mut [u8]) -> usize {
        cipher[..self.held.len()].copy_from_slice(&self.held);
        self.held.len()
    }

    /// Decrypts ciphertext, [restored](Self::restore) and new together, and appends the plaintext to `plain`.
    /// Queues protocol messages, and the alert if this fails, in `to_client`.
    pub(crate) fn receive(
        &mut self,
        cipher: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        tickets::forget();
        let mut start = 0;
        loop {
            let UnbufferedStatus {
                mut discard, state, ..
            } = self.tls.process_tls_records(&mut cipher[start..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.to_client),
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    sent.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    true
                }
                Ok(_) => false,
                Err(error) => {
                    self.queue_alert(&mut cipher[start + discard..]);
                    return Err(error);
                }
            };
            start += discard;
            if !goes_on {
                break;
            }
        }
        self.held.clear();
        let rest = &cipher[start..];
        if rest.is_empty() || self.peer_closed {
            // Ignore data after close_notify.
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Limits the size of data records, in bytes of plaintext. Handshake records are not limited: small clients
    /// cannot reassemble fragmented messages.
    pub(crate) fn limit_records(&mut self, most: u16) {
        self.record_max = most.clamp(1, RECORD_MAX);
    }

    /// Returns the negotiated application protocol (ALPN), if there is one.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// Encrypts at most [`PLAIN_READ`](crate::scratch::PLAIN_READ) bytes into `cipher`, which must be larger;
    /// returns the size of the ciphertext, or `None` if the session cannot encrypt any more.
    pub(crate) fn encrypt(&mut self, plain: &[u8], cipher: &mut [u8]) -> Option<usize> {
        if self.tls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_2) {
            let records =
                u32::try_from(plain.len().div_ceil(self.record_max.into())).unwrap_or(u32::MAX);
            self.records_left = self.records_left.saturating_sub(records);
        }
        match self.tls.process_tls_records(&mut self.held).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let mut size = 0;
                for piece in plain.chunks(self.record_max.into()) {
                    size += traffic.encrypt(piece, &mut cipher[size..]).ok()?;
                }
                Some(size)
            }
            _ => None,
        }
    }

    /// Queues a few bytes for the client, if the session can still encrypt.
    pub(crate) fn queue(&mut self, plain: &[u8]) {
        scratch::with(|scratch| {
            if let Some(size) = self.encrypt(plain, &mut scratch.cipher) {
                self.to_client.push(&scratch.cipher[..size]);
            }
        });
    }

    /// Queues close_notify, if the session can still send it.
    pub(crate) fn queue_close_notify(&mut self) {
        let Ok(ConnectionState::WriteTraffic(mut traffic)) =
            self.tls.process_tls_records(&mut self.held).state
        else {
            return;
        };
        let Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) =
            traffic.queue_close_notify(&mut [])
        else {
            return;
        };
        if traffic
            .queue_close_notify(self.to_client.grow(required_size))
            .is_err()
        {
            self.to_client.shrink(required_size);
        }
    }

    /// Queues the alert of a failed session. Stops before rustls would process `cipher`, the rest of the
    /// ciphertext, which would fail again.
    fn queue_alert(&mut self, cipher: &mut [u8]) {
        while self.tls.wants_write() {
            let state = self.tls.process_tls_records(cipher).state;
            let Ok(ConnectionState::EncodeTlsData(data)) = state else {
                return;
            };
            if !encode(data, &mut self.to_client) {
                return;
            }
        }
    }
}

/// Queues pending data of rustls; returns false if there was none.
fn encode<Data>(mut data: EncodeTlsData<'_, Data>, to_client: &mut Backlog) -> bool {
    let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
        data.encode(&mut [])
    else {
        return false;
    };
    let encoded = data.encode(to_client.grow(required_size));
    if encoded.is_err() {
        to_client.shrink(required_size);
    }
    encoded.is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::SupportedProtocolVersion;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::server::WebPkiClientVerifier;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

    use super::{RECORD_MAX, Session};
    use crate::scratch::{CIPHER_SIZE, PLAIN_READ};
    use mqtt_tls_judge::provider::provider;

    fn configs(
        version: &'static SupportedProtocolVersion,
    ) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let der = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Arc::new(server), Arc::new(client))
    }

    /// Configurations with a client certificate, which the server verifies.
    fn mutual(
        version: &'static SupportedProtocolVersion,
    ) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let (server, client) = configs(version);
        let made = rcgen::generate_simple_self_signed(["device".to_owned()]).unwrap();
        let der = made.cert.der().clone();
        let key = || PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let server = builder
            .with_client_cert_verifier(verifier.unwrap())
            .with_cert_resolver(Arc::clone(&server.cert_resolver));
        let mut client = ClientConfig::clone(&client);
        let signer = provider().key_provider.load_private_key(key()).unwrap();
        let own = CertifiedKey::new(vec![der], signer);
        client.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(own));
        (Arc::new(server), Arc::new(client))
    }

    #[test]
    fn a_certificate_counts_only_if_the_configuration_verifies_it() {
        for version in [&TLS12, &TLS13] {
            for verifies in [true, false] {
                let (session, _) = shaken_as(mutual(version), verifies, &[usize::MAX]);
                assert!(session.tls.peer_certificates().is_some());
                assert_eq!(session.peer_certificate().is_some(), verifies);
            }
        }
    }

    /// Feeds bytes to a session in pieces of these sizes, repeatedly, as reads would.
    fn feed(session: &mut Session, mut bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
        let (mut cipher, mut plain) = (vec![0; CIPHER_SIZE], Vec::new());
        let mut sizes = sizes.iter().cycle();
        while !bytes.is_empty() {
            let held = session.restore(&mut cipher);
            let size = (*sizes.next().unwrap())
                .min(bytes.len())
                .min(cipher.len() - held);
            let (piece, rest) = bytes.split_at(size);
            cipher[held..held + size].copy_from_slice(piece);
            session
                .receive(&mut cipher[..held + size], &mut plain)
                .unwrap();
            bytes = rest;
        }
        plain
    }

    /// Takes the queued data for the client.
    fn taken(session: &mut Session) -> Vec<u8> {
        std::mem::take(&mut session.to_client).waiting().to_vec()
    }

    fn shaken(sizes: &[usize]) -> (Session, ClientConnection) {
        shaken_with(&TLS13, sizes)
    }

    fn shaken_with(
        version: &'static SupportedProtocolVersion,
        sizes: &[usize],
    ) -> (Session, ClientConnection) {
        shaken_as(configs(version), false, sizes)
    }

    fn shaken_as(
        (server, client): (Arc<ServerConfig>, Arc<ClientConfig>),
        verifies: bool,
        sizes: &[usize],
    ) -> (Session, ClientConnection) {
        let mut session = Session::new(server, verifies).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(client, name).unwrap();
        while client.is_handshaking() || session.is_handshaking() {
            let flight = said(&mut client);
            assert!(feed(&mut session, &flight, sizes).is_empty());
            hear(&mut client, &taken(&mut session));
        }
        (session, client)
    }

    fn said(client: &mut ClientConnection) -> Vec<u8> {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        flight
    }

    fn hear(client: &mut ClientConnection, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets().unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_split_of_the_input_gives_the_same_plaintext(
            sizes in proptest::collection::vec(1_usize..20_000, 1..6),
            text in proptest::collection::vec(any::<u8>(), 0..50_000),
        ) {
            let (mut session, mut client) = shaken(&sizes);
            client.writer().write_all(&text).unwrap();
            client.send_close_notify();
            let flight = said(&mut client);
            prop_assert!(!session.peer_closed());
            prop_assert_eq!(feed(&mut session, &flight, &sizes), text);
            prop_assert!(session.peer_closed());
            prop_assert_eq!(session.held(), 0);
        }

        #[test]
        fn data_can_be_sent_while_a_received_record_is_incomplete(
            text in proptest::collection::vec(any::<u8>(), 1..32_000),
            half in 1_usize..20,
        ) {
            let (mut session, mut client) = shaken(&[CIPHER_SIZE]);
            client.writer().write_all(b"half a record").unwrap();
            let flight = said(&mut client);
            prop_assert!(feed(&mut session, &flight[..half], &[half]).is_empty());
            let mut cipher = vec![0; CIPHER_SIZE];
            let size = session.encrypt(&text, &mut cipher).unwrap();
            // Session tickets may come first.
            let tickets = taken(&mut session);
            hear(&mut client, &tickets);
            hear(&mut client, &cipher[..size]);
            let mut read = vec![0; text.len()];
            client.reader().read_exact(&mut read).unwrap();
            prop_assert_eq!(read, text);
            prop_assert_eq!(feed(&mut session, &flight[half..], &[7]), b"half a record");
        }
    }

    #[test]
    fn a_spent_tls_1_2_key_can_still_send_close_notify() {
        for (version, is_spent) in [(&TLS12, true), (&TLS13, false)] {
            let (mut session, mut client) = shaken_with(version, &[CIPHER_SIZE]);
            hear(&mut client, &taken(&mut session));
            session.records_left = 3;
            let (mut cipher, text) = (vec![0; CIPHER_SIZE], vec![7; usize::from(RECORD_MAX) + 1]);
            for _ in 0..2 {
                assert!(!session.is_spent());
                let size = session.encrypt(&text, &mut cipher).unwrap();
                hear(&mut client, &cipher[..size]);
                client
                    .reader()
                    .read_exact(&mut vec![0; text.len()])
                    .unwrap();
            }
            assert_eq!(session.is_spent(), is_spent);
            session.queue_close_notify();
            hear(&mut client, &taken(&mut session));
            assert_eq!(client.reader().read(&mut [0; 1]).unwrap(), 0);
        }
    }

    #[test]
    fn the_smallest_records_fit_into_the_buffer() {
        let (mut session, mut client) = shaken(&[CIPHER_SIZE]);
        hear(&mut client, &taken(&mut session));
        session.limit_records(63);
        let (text, mut cipher) = (vec![7; PLAIN_READ], vec![0; CIPHER_SIZE]);
        let size = session.encrypt(&text, &mut cipher).unwrap();
        let mut read = Vec::new();
        for record in cipher[..size].chunks(63 + 22) {
            hear(&mut client, record);
            let mut piece = vec![0; 63];
            let count = client.reader().read(&mut piece).unwrap();
            read.extend_from_slice(&piece[..count]);
        }
        assert_eq!(read, text);
    }

    #[test]
    fn close_notify_is_sent_once() {
        let (mut session, mut client) = shaken(&[CIPHER_SIZE]);
        hear(&mut client, &taken(&mut session));
        session.queue_close_notify();
        let words = taken(&mut session);
        hear(&mut client, &words);
        assert_eq!(client.reader().read(&mut [0; 1]).unwrap(), 0);
        session.queue_close_notify();
        assert!(taken(&mut session).is_empty());
    }
}
