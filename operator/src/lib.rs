//! Puts smart-mqtt behind TLS on Kubernetes: `MqttTlsListener` resources and Secrets come in, terminator
//! Deployments go out.
//!
//! ```text
//! watch ─▶ gather (World) ─▶ plan (Plan: Objects, Report) ─▶ apply (Objects ─▶ Applied) ─▶ status
//! ```
//!
//! One direction, no back and forth. [`controller`] holds it together, and its `reconcile` is the whole of
//! it in one screen. [`gather`] only reads, [`plan`] is pure and total, [`apply`] and [`status`] only
//! write, and write nothing when nothing differs. [`standalone`] runs the same plan over a folder, with
//! the terminators in its own process.
//!
//! Of several operators one works, the one that holds the Lease ([`leader`]); [`run`] says when.
//!
//! Words: a `Listener` is a valid MqttTlsListener; the `World` is all that was read for one
//! reconciliation; `kube::Client` talks to the API server, and a client is an MQTT device.
//!
//! Rules: a wrong or missing Secret never takes down what serves. The pod template changes only when the
//! pods themselves must. Private keys live in Secrets and in memory, nowhere else. Any call may fail, or
//! work and seem to fail: from every such point the next reconciliation reaches the same end.

pub mod args;
pub mod crd;
pub mod install;
pub mod run;

pub mod leader;

pub mod controller;

pub mod gather;
pub mod plan;

pub mod apply;
pub mod status;

pub mod admin;
pub mod api;
pub mod error;
pub mod kinds;
pub mod metrics;
pub mod screen;
pub mod shutdown;
pub mod text;

#[cfg(feature = "demo")]
pub mod demo;
pub mod standalone;
