//! Clients of the terminator and the brokers: programs of others (mosquitto's, OpenSSL's, Go's),
//! devices on the TLS stacks that devices have, and one in this process with a hand on every byte. They report what they saw; judging is for the tests.

pub mod devices;
pub mod go;
pub mod mosquitto;
pub mod openssl;
pub mod tls;
