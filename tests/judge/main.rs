//! What is judged of chains, keys and CA bundles: what each kind of fault is called, that an upgrade takes nobody
//! down, and that clients see it the same way. What was reported from the field is in tables, a row for each.
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
