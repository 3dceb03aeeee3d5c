//! What both programs are made of, whatever they do: hardening, a log that cannot stop them, an admin port over
//! plain HTTP, metrics of the process, and errors as text.
//!
//! This crate knows neither TLS nor Kubernetes.

pub mod error;
pub mod hardening;
pub mod http;
pub mod log;
pub mod process;
pub mod reference;
