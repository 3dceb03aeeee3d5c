//! Every kind of object that the operator handles: its name, its verbs, and its role for a listener. Watches, reads,
//! writes, metrics and the RBAC tests iterate over this one table.
//!
//! It must not read or write an object.

mod object;
mod table;
mod target;
mod verb;
mod version;

pub use object::{Object, Parse};
pub use table::{Child, Grant, KINDS, Kind, Row, Watched, Wave, children};
pub use target::Target;
pub use verb::Verb;
pub use version::Version;
