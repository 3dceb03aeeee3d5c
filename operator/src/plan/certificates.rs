//! From what Secrets and ConfigMaps hold to the certificates that are served: what is read and judged, what was
//! served before, and what is chosen. It must not know how the configuration looks.

pub mod authorities;
pub mod choose;
pub mod previous;
pub mod secret;
pub mod served;
pub mod serving;
mod text;
