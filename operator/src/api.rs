//! Common parts of all calls to the API server, and events. It must not decide which calls are made.

pub mod call;
pub mod child;
pub mod clock;
pub mod events;
pub mod patch;
