//! What every call to the API server has in common, and the events that are written there. It must not decide which
//! calls are made.

pub mod call;
pub mod child;
pub mod events;
pub mod patch;
