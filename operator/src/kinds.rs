//! Every kind of object that the operator knows: its name, its verbs, and what it is to a listener. Watches, reads,
//! writes, metrics and the tests of the rights iterate over the one table.
//!
//! It must not read or write an object.

mod object;
mod table;
mod target;
mod verb;

pub use object::{Object, Parse};
pub use table::{Child, Grant, KINDS, Kind, Row, Watched, Wave, children};
pub use target::Target;
pub use verb::Verb;
