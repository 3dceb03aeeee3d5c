// A TLS client that is not Rust's. See main.go.
module smart-mqtt-tls.test/go-client

go 1.25.0
