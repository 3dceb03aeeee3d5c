//! Every kind of object that the operator handles: its name, its verbs, and its role for a listener; and the children of
//! a listener. Watches, reads, writes, metrics and the RBAC tests iterate over these two tables.
//!
//! It must not read or write an object.

pub mod certificate;
mod child;
pub mod grant;
mod object;
mod table;
mod target;
mod verb;
mod version;

pub use child::{CHILDREN, Child, ChildRow, Wave};
pub use object::{Object, Parse};
pub use table::{Grant, KINDS, Kind, Row, Watched};
pub use target::Target;
pub use verb::Verb;
pub use version::Version;
