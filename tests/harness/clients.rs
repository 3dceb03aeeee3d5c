//! Clients of the terminator and the brokers: third-party programs (mosquitto's, OpenSSL's, Go's), devices on common
//! TLS stacks, and a client in this process that controls every byte. They report what they observe and must not judge
//! it.

pub mod again;
pub mod devices;
pub mod go;
pub mod mosquitto;
pub mod openssl;
pub mod tls;
