//! Code that both programs share: hardening, a non-blocking log, an admin port over plain HTTP, process metrics,
//! and errors as text.
//!
//! This crate depends on neither TLS nor Kubernetes.

pub mod error;
pub mod hardening;
pub mod http;
pub mod log;
pub mod process;
pub mod reference;
