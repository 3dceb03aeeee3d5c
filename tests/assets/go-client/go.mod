// A TLS client in Go. See main.go.
module smart-mqtt-tls.test/go-client

go 1.25.0
