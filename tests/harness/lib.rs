//! The harness: real parts (API server, etcd, smart-mqtt, mosquitto), certificates and clients, for the
//! test binaries of this crate. It knows nothing about the operator or the terminator, and it must not: what
//! is under test is started by the tests themselves.
//!
//! Everything listens on loopback only. Whatever is started dies with the test process, however that ends
//! ([`process`]), and what was written goes with it ([`workdir`]).
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::unwrap_in_result,
    reason = "a harness speaks to a test by panicking in it, with a text that says what to do"
)]

pub mod apiserver;
pub mod assets;
pub mod attack;
pub mod broker;
pub mod clients;
pub mod fleet;
pub mod hello;
pub mod images;
pub mod memory;
pub mod mqtt;
pub mod node;
pub mod paho;
pub mod peers;
pub mod pki;
pub mod ports;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod sendqueue;
pub mod wait;
pub mod workdir;
