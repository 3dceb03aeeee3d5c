//! The operator as a program, against a real API server, with the permissions of `deploy/base` only. One file for
//! each behaviour.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod accepted;
mod account;
mod admission;
mod bad_secret;
mod calls;
mod churn;
mod create;
mod definition;
mod delete;
mod deploy;
mod edited;
mod faults;
mod field;
mod fixture;
mod frozen;
mod grants;
mod hosts;
mod issued;
mod lease;
mod memory;
mod missed;
mod namespaced;
mod outage;
mod policy;
mod ports;
mod program;
mod prove;
mod proxy;
mod quiet;
mod records;
mod restart;
mod rollout;
mod rotate;
mod shared_secret;
mod shrink;
mod stepped_clock;
mod tickets;
mod token;
mod trials;
mod unread;
mod unwritten;
mod verify;
mod versions;
