//! One interface to four kinds of clients: the devices' programs, mosquitto's, Go's, and rustls in this process. It
//! checks only whether the MQTT session succeeded.

use std::io;

use rustls::version::{TLS12, TLS13};
use tests::clients::devices::{Device, Stack};
use tests::clients::go::GoClient;
use tests::clients::mosquitto::Endpoint;
use tests::clients::tls::Connector;
use tests::mqtt::{self, Version};

use crate::fixture::Fixture;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Program(Stack),
    Mosquitto,
    Go,
    Rustls,
}

/// Options of a connection.
#[derive(Clone, Copy, Default)]
pub(super) struct Call {
    /// `1.2` or `1.3`; `None` leaves it to the client.
    pub(super) version: Option<&'static str>,
    /// Size of the message to be echoed; 0 for none. Not for Go's client.
    pub(super) echo: usize,
    /// Two connections, the second with the session of the first. Neither paho-mqtt nor mosquitto's clients resume.
    pub(super) twice: bool,
}

/// Last negotiated parameters.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) version: String,
    pub(super) resumed: bool,
}

impl Client {
    pub(super) fn has_tls_1_3(self) -> bool {
        self != Self::Program(Stack::MbedTls)
    }

    /// Connects; returns the client's error if that fails.
    pub(super) fn connect(self, to: &Fixture, call: Call) -> Result<Session, String> {
        match self {
            Self::Program(stack) => program(stack, to, call),
            Self::Mosquitto => mosquitto(to, call),
            Self::Go => go(to, call),
            Self::Rustls => rustls(to, call).map_err(|error| error.to_string()),
        }
    }
}

fn program(stack: Stack, to: &Fixture, call: Call) -> Result<Session, String> {
    let mut device = Device::new(stack, to.addr(), &to.ca);
    if let Some(version) = call.version {
        device = device.version(version);
    }
    if call.echo > 0 {
        device = device.echo(call.echo);
    }
    if call.twice {
        device = device.twice();
    }
    let seen = device.run();
    let connections = usize::from(call.twice) + 1;
    let pings = if stack == Stack::Paho { 0 } else { connections };
    let echoes = if call.echo > 0 { connections } else { 0 };
    let counts = (seen.connack, seen.pinged, seen.acked, seen.received);
    if seen.error.is_empty() && counts == (0, pings, connections, echoes) {
        Ok(Session {
            version: seen.version,
            resumed: seen.resumed,
        })
    } else {
        Err(format!("{seen:?}"))
    }
}

fn mosquitto(to: &Fixture, call: Call) -> Result<Session, String> {
    let version = call.version.unwrap_or("1.3");
    let at = Endpoint::tls(to.config.port, &to.ca);
    let at = match call.version {
        Some(version) => at.tls_version(&format!("tlsv{version}")),
        None => at,
    };
    let payload = "x".repeat(call.echo.max(4));
    let finished = at.publish("device/mosquitto").qos(1);
    let finished = finished.send_lines(std::slice::from_ref(&payload));
    // They do not print what was negotiated.
    let line = |kind| {
        format!("mqtt_tls_handshakes_total{{outcome=\"ok\",version=\"{version}\",kind=\"{kind}\"}}")
    };
    if finished.status.success() && to.metric(&line("full")) > 0.5 {
        Ok(Session {
            version: version.to_owned(),
            resumed: to.metric(&line("resumed")) > 0.5,
        })
    } else {
        Err(format!("{finished:?}"))
    }
}

fn go(to: &Fixture, call: Call) -> Result<Session, String> {
    let mut client = GoClient::mqtt(to.addr(), &to.ca, "device/go", 1);
    if let Some(version) = call.version {
        client = client.versions(version, version);
    }
    if call.twice {
        client = client.twice();
    }
    let seen = client.run();
    let connections = usize::from(call.twice) + 1;
    if seen.error.is_empty() && (seen.pinged, seen.acked) == (connections, connections) {
        Ok(Session {
            version: seen.version,
            resumed: seen.resumed,
        })
    } else {
        Err(format!("{seen:?}"))
    }
}

fn rustls(to: &Fixture, call: Call) -> io::Result<Session> {
    let connector = match call.version {
        None => Connector::new(&to.ca),
        Some("1.2") => Connector::build(&to.ca, None, &[&TLS12]),
        Some(_) => Connector::build(&to.ca, None, &[&TLS13]),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let mut session = runtime.block_on(rustls_session(to, &connector, call.echo, 1))?;
    if call.twice {
        session = runtime.block_on(rustls_session(to, &connector, call.echo, 2))?;
    }
    Ok(session)
}

async fn rustls_session(
    to: &Fixture,
    connector: &Connector,
    echo: usize,
    round: usize,
) -> io::Result<Session> {
    let topic = format!("device/rustls/{}/{round}", to.config.port);
    let mut client = connector.connect_mqtt(to.addr(), &topic).await?;
    client.ping().await?;
    let wanted = if echo > 0 { 2 } else { 1 };
    if echo > 0 {
        let subscribe = mqtt::subscribe(Version::V311, 1, &topic, 0);
        client.send(&subscribe).await?;
        client.read_packet().await?;
    }
    let payload = vec![7; echo.max(4)];
    let publish = mqtt::publish(Version::V311, &topic, 1, 7, &payload);
    client.send(&publish).await?;
    let mut came = vec![];
    while came.len() < wanted {
        came.push(client.read_packet().await?);
    }
    if !came.iter().any(|packet| packet.head == mqtt::PUBACK) {
        return Err(io::Error::other("no PUBACK"));
    }
    let echoed = |packet: &mqtt::Packet| {
        packet.topic() == Some(topic.as_str()) && packet.body.ends_with(&payload)
    };
    if echo > 0 && !came.iter().any(echoed) {
        return Err(io::Error::other("no message"));
    }
    client.send(&mqtt::DISCONNECT).await?;
    let session = client.session();
    Ok(Session {
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "1.3".to_owned(),
            Some(rustls::ProtocolVersion::TLSv1_2) => "1.2".to_owned(),
            other => format!("{other:?}"),
        },
        resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    })
}
