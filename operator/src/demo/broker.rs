//! An embedded MQTT 3.1.1 broker on a free port of the loopback interface, in place of smart-mqtt. It must not be
//! reachable from other machines.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use serde_json::json;

/// Why the broker failed to start.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("invalid broker configuration")]
    Configuration(#[source] serde_json::Error),
    #[error("failed to allocate a port or thread")]
    Io(#[source] std::io::Error),
}

/// Starts the broker on a thread that lives as long as the process.
pub(super) fn start() -> Result<SocketAddr, Error> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::Io)?;
    let address = free.local_addr().map_err(Error::Io)?;
    let configuration = json!({
        "id": 0,
        "router": {
            "max_connections": 1000,
            "max_outgoing_packet_count": 200,
            "max_segment_size": 1_048_576,
            "max_segment_count": 10,
        },
        "v4": {"demo": {
            "name": "demo",
            "listen": address.to_string(),
            "next_connection_delay_ms": 1,
            "connections": {
                "connection_timeout_ms": 15_000,
                "max_payload_size": 1_048_576,
                "max_inflight_count": 100,
            },
        }},
    });
    let configuration: rumqttd::Config =
        serde_json::from_value(configuration).map_err(Error::Configuration)?;
    // The broker binds the port itself.
    drop(free);
    let mut broker = rumqttd::Broker::new(configuration);
    thread::Builder::new()
        .name("broker".to_owned())
        .spawn(move || {
            if let Err(error) = broker.start() {
                tracing::error!(%error, "the embedded broker stopped");
            }
        })
        .map_err(Error::Io)?;
    Ok(address)
}
