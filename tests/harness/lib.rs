//! The test harness: real components (API server, etcd, smart-mqtt, mosquitto), certificates and clients, for the test
//! binaries of this crate. It must know nothing about the operator or the terminator: the tests start them.
//!
//! Everything listens on loopback only. Started programs end with the test process, however it ends ([`process`]), and
//! its files are removed ([`workdir`]).
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::unwrap_in_result,
    reason = "the harness fails a test by panicking, with a message that says what to do"
)]

pub mod apiserver;
pub mod assets;
pub mod attack;
pub mod broker;
pub mod cert_manager;
pub mod clients;
pub mod controllers;
pub mod fleet;
pub mod hello;
pub mod images;
mod inside;
pub mod memory;
pub mod mqtt;
pub mod node;
pub mod operator;
pub mod paho;
pub mod peers;
pub mod pki;
pub mod pods;
pub mod ports;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod sendqueue;
pub mod state;
pub mod stepped;
pub mod wait;
pub mod web;
pub mod workdir;
