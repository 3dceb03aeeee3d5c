//! Reads a pod's `/status`. It must not trust it: texts are escaped and bounded, and its size is limited.

mod trials;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use mqtt_tls_config::{ALPN_PROTOCOLS_MAX, TRIALS_MAX};

use crate::crd::HOSTS_MAX;
use crate::plan::proof::answer::{self, Answer, text};
use crate::plan::proof::question::Question;
use crate::plan::trials::seen::Said;
use trials::{Preview, Trial};

/// Maximum size of an answer in bytes. Hundreds of certificates with dozens of names fit.
const SIZE_MAX: usize = 4 * 1024 * 1024;

/// Why `/status` could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The pod cannot be reached.
    #[error("failed to connect")]
    Connect(#[source] io::Error),
    /// The answer is not HTTP, or has no end.
    #[error("failed to read the response")]
    Http(#[source] hyper::Error),
    /// The body cannot be read, or is too large.
    #[error("failed to read the response: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The pod answers something else.
    #[error("the response has status {0}")]
    Refused(StatusCode),
    /// The answer is not that of a terminator of this version.
    #[error("could not parse the response")]
    Unreadable(#[source] serde_json::Error),
    /// The time is over.
    #[error("timed out")]
    Timeout,
}

/// What is read of `/status`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    configuration: Configuration,
    backend: Backend,
    #[serde(default)]
    by_protocol: Vec<Protocol>,
    #[serde(default)]
    hosts: Vec<Host>,
    revocation: Option<Revocation>,
    #[serde(default)]
    trials: Vec<Trial>,
    #[serde(default)]
    preview: Preview,
}

/// The sources of revocation lists.
#[derive(Debug, Deserialize)]
struct Revocation {
    sources: Vec<ListSource>,
}

#[derive(Debug, Deserialize)]
struct ListSource {
    source: String,
    url: Option<String>,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    names: Vec<String>,
    backend: Backend,
    #[serde(default)]
    by_protocol: Vec<Protocol>,
}

/// An application protocol with a broker of its own.
#[derive(Debug, Deserialize)]
struct Protocol {
    protocol: String,
    backend: Backend,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    version: Option<String>,
    last_error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    reason: String,
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Backend {
    address: String,
    reachable: Option<bool>,
    unreachable_for: Option<u64>,
    error: Option<String>,
}

impl Status {
    /// Compares it with what is wanted. A pod that runs the wanted version and refuses a later file serves.
    pub(super) fn answer(self, question: &Question) -> Answer {
        let Self {
            configuration,
            backend,
            by_protocol,
            hosts,
            revocation,
            trials,
            preview,
        } = self;
        let hosts = hosts.into_iter().take(HOSTS_MAX);
        let hosts = hosts.flat_map(|host| host.unreached(&backend.address));
        let hosts = hosts.collect();
        let protocols = by_protocol.into_iter().take(ALPN_PROTOCOLS_MAX);
        let protocols = protocols.filter_map(|one| one.backend.unreached(&text(&one.protocol)));
        let protocols = protocols.collect();
        let is_wanted = configuration.version == question.version;
        Answer {
            configuration: match configuration.last_error {
                _ if is_wanted => answer::Configuration::Served,
                Some(refusal) => {
                    let Refusal { reason, message } = refusal;
                    answer::Configuration::Refused(text(&format!("{reason}: {message}")))
                }
                None => answer::Configuration::Behind,
            },
            backend: backend.answer(),
            hosts,
            protocols,
            unloaded: revocation.and_then(Revocation::unloaded),
            said: Some(Said {
                trials: trials
                    .into_iter()
                    .take(TRIALS_MAX)
                    .map(Trial::report)
                    .collect(),
                day: preview.day.day(),
            }),
        }
    }
}

impl Revocation {
    /// Returns the first source that is not good, with what is wrong.
    fn unloaded(self) -> Option<String> {
        let mut sources = self.sources.into_iter();
        sources.find_map(|source| {
            let Refusal { reason, message } = source.error?;
            let name = source.url.unwrap_or(source.source);
            Some(text(&format!("{name}: {reason}: {message}")))
        })
    }
}

impl Host {
    /// Returns its name, with each of its brokers that is not reached, as far as the pod knows. Hosts without a broker of their
    /// own have the listener's.
    fn unreached(self, listeners: &str) -> Vec<(String, answer::Backend)> {
        let name = text(self.names.first().map_or("", |name| name));
        let protocols = self.by_protocol.into_iter().take(ALPN_PROTOCOLS_MAX);
        let backends = std::iter::once(self.backend).chain(protocols.map(|one| one.backend));
        let own = backends.filter(|backend| backend.address != listeners);
        own.filter_map(|backend| backend.unreached(&name)).collect()
    }
}

impl Backend {
    /// Returns whose it is, if it is not reached, as far as the pod knows.
    fn unreached(self, name: &str) -> Option<(String, answer::Backend)> {
        let backend = self.answer();
        (backend != answer::Backend::Reached).then(|| (name.to_owned(), backend))
    }

    fn answer(self) -> answer::Backend {
        match self.reachable {
            None => answer::Backend::Unknown,
            Some(true) => answer::Backend::Reached,
            Some(false) => answer::Backend::Unreached {
                since: Duration::from_secs(self.unreachable_for.unwrap_or(0)),
                address: text(&self.address),
                error: text(&self.error.unwrap_or_default()),
            },
        }
    }
}

/// Gets a pod's `/status`.
pub(super) async fn get(address: SocketAddr) -> Result<Status, Error> {
    let stream = TcpStream::connect(address).await.map_err(Error::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Error::Http)?;
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = axum::http::Uri::from_static("/status");
    let headers = request.headers_mut();
    headers.insert(header::HOST, header::HeaderValue::from_static("terminator"));
    let exchange = async {
        let response = sender.send_request(request).await.map_err(Error::Http)?;
        if response.status() != StatusCode::OK {
            return Err(Error::Refused(response.status()));
        }
        let body = Limited::new(response.into_body(), SIZE_MAX).collect().await;
        let body = body.map_err(Error::Body)?.to_bytes();
        serde_json::from_slice(&body).map_err(Error::Unreadable)
    };
    tokio::select! {
        status = exchange => status,
        // The exchange reports why the connection ended.
        Err(error) = connection => Err(Error::Http(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Question, Status, answer};

    /// A first attempt that is not over says nothing.
    #[test]
    fn a_broker_that_no_attempt_has_reached_yet_is_not_reached() {
        let host = |name: &str, reachable: Option<bool>| json!({"names": [name], "backend": {"address": format!("{name}:1883"), "reachable": reachable}});
        let status = json!({
            "configuration": {"version": "1"},
            "backend": {"address": "broker:1883", "reachable": true},
            "hosts": [host("a", Some(true)), host("b", None), host("broker", None)],
            "byProtocol": [{"protocol": "mqtt", "backend": {"address": "c:1883", "reachable": false}}],
            "revocation": {"complete": false, "generation": 1, "sources": [
                {"source": "file", "loadedAt": "2026-06-01T00:00:00Z", "error": null, "lists": []},
                {"source": "crls[0]", "url": "http://ca/list.crl", "loadedAt": null, "lists": [],
                 "error": {"reason": "connect", "message": "refused", "at": "2026-06-01T00:00:00Z"}}]},
        });
        let status: Status = serde_json::from_value(status).unwrap();
        let answer = status.answer(&Question {
            version: Some("1".to_owned()),
            port: 8883,
            handshakes: Vec::new(),
        });
        assert_eq!(answer.backend, answer::Backend::Reached);
        let unknown = ("b".to_owned(), answer::Backend::Unknown);
        assert_eq!(answer.hosts, [unknown]);
        let [(protocol, answer::Backend::Unreached { address, .. })] = &*answer.protocols else {
            panic!("{:?}", answer.protocols);
        };
        assert_eq!((&**protocol, &**address), ("mqtt", "c:1883"));
        let unloaded = answer.unloaded.as_deref();
        assert_eq!(unloaded, Some("http://ca/list.crl: connect: refused"));
    }
}
