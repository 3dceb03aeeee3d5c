//! The builders of children, one file a kind. They must not look at what there is.

pub mod config_secret;
pub mod deployment;
pub mod disruption;
mod pod;
pub mod service;
