//! Chart, kustomize, samples, images, alerts, dashboard: rendered by the real tools, checked by linters and by a real
//! API server, and installed there; nothing runs in pods here. One file for each behaviour.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod accepted;
mod agree;
mod chart;
mod elsewhere;
mod images;
mod install;
mod linters;
mod monitoring;
mod render;
mod rights;
mod same;
