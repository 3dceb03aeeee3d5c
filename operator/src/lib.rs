//! Puts smart-mqtt behind TLS on Kubernetes: turns `MqttTlsListener` resources and Secrets into terminator
//! Deployments.
//!
//! ```text
//! watch ─▶ gather (World) ─▶ plan (Plan: Objects, Report) ─▶ apply (Objects ─▶ Applied) ─▶ status
//! ```
//!
//! Data flows in one direction only. [`controller`] runs these steps; its `reconcile` shows all of them on
//! one screen. [`gather`] only reads, [`plan`] is pure and total, [`apply`] and [`status`] only write, and
//! write nothing when nothing differs. [`standalone`] runs the same plan over a folder, with the terminators
//! in its own process.
//!
//! Among several operators, only the one that holds the Lease works ([`leader`]); see [`run`].
//!
//! Terms: a `Listener` is a valid MqttTlsListener; the `World` is everything that was read for one
//! reconciliation; `kube::Client` talks to the API server, and a client is an MQTT device.
//!
//! Rules: an invalid or missing Secret never takes down a listener that serves. The pod template changes only
//! when the pods must be replaced. Private keys exist in Secrets and in memory, nowhere else. Any call may
//! fail, or succeed and appear to fail; the next reconciliation reaches the same state from there.

pub mod args;
pub mod crd;
pub mod install;
pub mod run;
pub mod verify;

pub mod leader;

pub mod controller;

pub mod gather;
pub mod plan;
pub mod prove;

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
