//! Validates what users put into files and Secrets: PEM text, certificate chains with their keys, CA bundles, revocation
//! lists, rules and templates; and judges clients by them. `check`, the operator, `standalone` and the terminator all
//! use this crate.
//!
//! ```text
//! bytes ─▶ text ─▶ pem (blocks by their content) ─▶ certificate (key, then chain: a path) ─▶ findings
//!                                                ─▶ authorities                          ─▶ findings
//! bytes ─▶ revocation (lists, verified) ─▶ client (chain, purpose, revocation, rules: a verdict)
//! leaf  ─▶ identity (names, by a template)
//! ```
//!
//! This crate depends on neither tokio nor Kubernetes. It is pure: callers pass the time in, and it reads no
//! files. It must not expose key material; untrusted text goes through `escape` before it is shown.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod algorithm;
pub mod anchors;
pub mod any_chain;
pub mod authorities;
pub mod certificate;
mod chain;
pub mod class;
pub mod client;
mod date;
mod der;
mod error;
pub mod escape;
pub mod facts;
pub mod finding;
mod flight;
pub mod hosts;
pub mod identity;
mod kind;
mod leaf;
mod name;
mod nothing;
pub mod pem;
pub mod provider;
pub mod refusal;
mod rehearsal;
pub mod revocation;
mod signature;
mod sorted;
mod term;
pub mod text;

pub use date::Date;
pub use facts::name_of;
