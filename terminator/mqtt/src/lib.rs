//! The first packet of an MQTT connection: reads a client's CONNECT (MQTT 3.1, 3.1.1 and 5), sets the names in it, and
//! answers one that is refused.
//!
//! ```text
//! bytes ─▶ header (type, length) ─▶ connect (fields) ─▶ rewrite (names set) ─▶ bytes for the broker
//!                                   └▶ error          ─▶ connack            ─▶ bytes for the client
//! ```
//!
//! This crate is pure: bytes in, decisions out; its manifest has no I/O and no clock. Behind the first
//! packet it must not look but for lengths and types, and it must not decide who a client is: the judge does.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod answer;
pub mod connack;
pub mod connect;
mod cursor;
pub mod error;
mod header;
mod packets;
mod properties;
pub mod rewrite;
mod start;
mod text;
mod version;

pub use answer::{Answer, answer};
pub use connect::{Connect, Progress, Refused, Will, read, version};
pub use error::{Error, Field, Reason};
pub use header::begins_as_connect;
pub use packets::{Packets, Stop};
pub use rewrite::{Names, rewrite};
pub use start::{Start, start};
pub use version::Version;
