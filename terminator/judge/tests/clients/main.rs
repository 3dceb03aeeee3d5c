//! Clients' certificates as a user meets them: the names in them, revocation lists made by OpenSSL, and the verdict, beside
//! rustls' own verifier.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod expiry;
mod lists;
mod names;
mod pki;
mod verdict;
