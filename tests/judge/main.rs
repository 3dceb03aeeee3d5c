//! Validation of chains, keys and CA bundles: each kind of problem has its reason and message, an upgrade takes no
//! listener down, and clients agree with the findings. Problems reported from the field are rows of tables.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod bundles;
mod chains;
mod check;
mod clients;
mod damaged;
mod keys;
mod material;
mod texts;
mod upgrade;
