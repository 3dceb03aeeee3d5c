//! The trials of renewed certificates of another class, which a share of the devices gets first. It must not choose
//! what is served without one; `certificates` does.

pub mod settings;
