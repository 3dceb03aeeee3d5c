//! The terminator, in process and as a program, between third-party clients and brokers. One file for each
//! behaviour.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod admin;
mod admin_load;
mod attack;
mod backend;
mod brokers;
mod certificates;
mod check;
mod client_auth;
mod clients;
mod close;
mod connections;
mod crl_urls;
mod devices;
mod drain;
mod ends;
mod fallback;
mod first_packet;
mod fixture;
mod fleet;
mod garbage;
mod handshake;
mod hosts;
mod identity;
mod journal;
mod large_hello;
mod limits;
mod log;
mod log_flood;
mod memory;
mod policy;
mod probe;
mod program;
mod protocol;
mod recheck;
mod reload;
mod replaced;
mod slow_reader;
mod stepped_clock;
mod tickets;
mod trials;
