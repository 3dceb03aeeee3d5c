//! Whether this process runs in an [`enclosure`](crate::node::enclosure), and which one.
//!
//! It must not know how an enclosure is made.

/// Environment variable that is set inside. Its value is the name of the control groups.
pub(crate) const INSIDE: &str = "SMART_MQTT_TLS_ENCLOSURE";
/// Prefix of control groups, followed by the id of the process that created the enclosure, and the enclosure's name.
pub(crate) const GROUP: &str = "smart-mqtt-tls-";

/// Reports whether this process runs in an enclosure.
pub fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Inside: the id, in the machine's namespace, of the process that created this enclosure, and the enclosure's name.
/// Process ids inside start from 1 again.
pub fn made_by() -> Option<(u32, String)> {
    let group = std::env::var(INSIDE).ok()?;
    let (id, name) = group.strip_prefix(GROUP)?.split_once('-')?;
    Some((id.parse().ok()?, name.to_owned()))
}
