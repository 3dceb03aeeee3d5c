//! Reads certificates and CA bundles from Secrets and ConfigMaps, judges them, compares them with the previous
//! ones, and chooses what is served. It must not know the configuration's format.

pub mod authorities;
pub mod choose;
mod clients;
pub mod entry;
pub mod lists;
pub mod pem;
pub mod previous;
pub mod secret;
pub mod served;
pub mod serving;
mod text;
