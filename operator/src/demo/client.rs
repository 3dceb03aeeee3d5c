//! The check: an independent MQTT client publishes over TLS and receives its own message. It must not use our TLS
//! server code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_tls_judge::provider::provider;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS, TlsConfiguration,
    Transport,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Time limit of the whole check.
const DEADLINE: Duration = Duration::from_secs(20);

/// Delay after a failed connection; the listener may be starting.
const RETRY: Duration = Duration::from_millis(200);

/// Time limit of the disconnect.
const LEAVE: Duration = Duration::from_secs(1);

const TOPIC: &str = "demo/proof";
const PAYLOAD: &str = "hello through TLS";

/// The message that arrived.
pub(super) struct Proof {
    pub(super) topic: String,
    pub(super) payload: String,
    /// From publishing to receiving.
    pub(super) took: Duration,
}

/// Why no message arrived.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("invalid CA certificate")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    #[error("timed out after {} s waiting for the message; the last attempt failed: {last}", DEADLINE.as_secs())]
    Nothing { last: String },
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
}

/// Subscribes, publishes, and waits for the message.
pub(super) async fn prove(port: u16, ca_pem: &str) -> Result<Proof, Error> {
    let tls = TlsConfiguration::Rustls(Arc::new(tls(ca_pem)?));
    let mut last = "no connection was made".to_owned();
    let attempts = async {
        loop {
            match attempt(port, tls.clone()).await {
                Ok(proof) => return proof,
                Err(error) => last = error,
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    match tokio::time::timeout(DEADLINE, attempts).await {
        Ok(proof) => Ok(proof),
        Err(_) => Err(Error::Nothing { last }),
    }
}

fn tls(ca_pem: &str) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(Error::Certificate)?;
    roots.add(ca).map_err(Error::Tls)?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Makes one connection, until the message arrives or it fails.
async fn attempt(port: u16, tls: TlsConfiguration) -> Result<Proof, String> {
    let mut options = MqttOptions::new("mqtt-tls-demo", ("localhost", port));
    options.set_transport(Transport::Tls(tls));
    let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
    let subscribed = client.subscribe(TOPIC, QoS::AtLeastOnce).await;
    subscribed.map_err(|error| error.to_string())?;
    let mut published = Instant::now();
    loop {
        match events.poll().await.map_err(|error| error.to_string())? {
            Event::Incoming(Packet::SubAck(_)) => {
                published = Instant::now();
                let sent = client.publish(TOPIC, PAYLOAD, PublishOptions::new(QoS::AtLeastOnce));
                sent.await.map_err(|error| error.to_string())?;
            }
            Event::Incoming(Packet::Publish(message)) => {
                let took = published.elapsed();
                leave(&client, &mut events).await;
                return Ok(Proof {
                    topic: String::from_utf8_lossy(&message.topic).into_owned(),
                    payload: String::from_utf8_lossy(&message.payload).into_owned(),
                    took,
                });
            }
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
}

/// Disconnects, and waits until the DISCONNECT packet has been sent.
async fn leave(client: &AsyncClient, events: &mut EventLoop) {
    if client.disconnect().await.is_ok() {
        let sent = async { while events.poll().await.is_ok() {} };
        // The message has arrived, so a failed disconnect does not matter.
        let _ = tokio::time::timeout(LEAVE, sent).await;
    }
}
