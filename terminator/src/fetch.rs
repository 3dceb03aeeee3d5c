//! One GET by HTTP or HTTPS, within limits of time and size.
//!
//! It must not follow redirects, use a proxy, send credentials, or trust any CA but those that it is given. It does not know
//! what it fetches.

pub(crate) mod error;
pub(crate) mod place;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::tls::client::Client;
use error::Error;
use place::Place;

/// Maximum size of an answer's head, in bytes.
const HEAD_MAX: usize = 32 * 1024;

/// By how much the body of an answer without a length grows, in bytes.
const STEP: usize = 1 << 20;

/// Name of this program, for the server's log.
const USER_AGENT: &str = concat!("mqtt-tls-terminator/", env!("CARGO_PKG_VERSION"));

/// Limits of a GET.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Time for resolving the name, for connecting to one of its addresses and for TLS.
    pub(crate) connect: Duration,
    /// Time from the request to the head of the answer.
    pub(crate) head: Duration,
    /// Time for the body.
    pub(crate) body: Duration,
    /// Maximum size of the body, in bytes.
    pub(crate) size: usize,
}

/// What the server says of the version that it sent, to be asked for a newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    /// Last-Modified is not used: within a second it names two versions.
    etag: Option<HeaderValue>,
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Nothing newer than is known.
    Unchanged,
    /// All of it.
    Body(Body),
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) validators: Validators,
    /// Keep it as long as the bytes: others are read after that.
    pub(crate) turn: Option<OwnedSemaphorePermit>,
}

/// Fetches what is at a place, unless it is known already. The body takes `turn` for as long as it is kept.
pub(crate) async fn get(
    place: &Place,
    client: Option<&Client>,
    known: &Validators,
    limits: Limits,
    turn: &Arc<Semaphore>,
) -> Result<Answer, Error> {
    let deadline = Instant::now() + limits.connect;
    let stream = connect(place, deadline, limits.connect).await?;
    match client.filter(|_| place.is_https) {
        None => exchange(stream, place, known, limits, turn).await,
        Some(client) => {
            let shaken = timeout_at(deadline, client.connect(stream, &place.host)).await;
            let stream = shaken
                .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
                .map_err(Error::Tls)?;
            exchange(stream, place, known, limits, turn).await
        }
    }
}

/// Connects to one of the addresses that may be asked.
async fn connect(place: &Place, deadline: Instant, within: Duration) -> Result<TcpStream, Error> {
    let late = |what| Error::Timeout { what, within };
    let found: Vec<SocketAddr> = if let Ok(address) = place.host.parse::<IpAddr>() {
        vec![SocketAddr::new(address, place.port)]
    } else {
        let looked_up = tokio::net::lookup_host((&*place.host, place.port));
        let looked_up = timeout_at(deadline, looked_up).await;
        let found = looked_up.map_err(|_| late("have an address"))?;
        found.map_err(Error::Resolve)?.collect()
    };
    let (refused, asked): (Vec<SocketAddr>, Vec<SocketAddr>) = found
        .into_iter()
        .partition(|found| place::is_refused(found.ip()));
    let mut last = match refused.first() {
        Some(refused) => Error::Address(refused.ip()),
        None => Error::NoAddress,
    };
    for (index, address) in asked.iter().enumerate() {
        // Divide the time, so that an unresponsive address leaves time for the others.
        let left = u32::try_from(asked.len() - index).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(source)) => {
                last = Error::Connect {
                    address: *address,
                    source,
                }
            }
            Err(_) => last = late("accept the connection"),
        }
    }
    Err(last)
}

/// Sends the request, and reads the answer.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    place: &Place,
    known: &Validators,
    limits: Limits,
    turn: &Arc<Semaphore>,
) -> Result<Answer, Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_MAX);
    let (mut sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Error::Http)?;
    // Ends with this function.
    let mut task = JoinSet::new();
    task.spawn(connection);
    let response = timeout(limits.head, sender.send_request(request(place, known)));
    let response = response.await.map_err(|_| Error::Timeout {
        what: "answer",
        within: limits.head,
    })?;
    let response = response.map_err(Error::Http)?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if *known != Validators::default() => {
            return Ok(Answer::Unchanged);
        }
        status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
            return Err(Error::Redirect(location(response.headers())));
        }
        status => return Err(Error::Status(status.as_u16())),
    }
    // It is never closed.
    let turn = Arc::clone(turn).acquire_owned().await.ok();
    let read = timeout(limits.body, body(response, limits.size)).await;
    let read = read.unwrap_or(Err(Error::Timeout {
        what: "send all of it",
        within: limits.body,
    }));
    read.map(|(bytes, validators)| {
        Answer::Body(Body {
            bytes,
            validators,
            turn,
        })
    })
}

fn request(place: &Place, known: &Validators) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = place.target.clone();
    let headers = request.headers_mut();
    headers.insert(header::HOST, place.host_header.clone());
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some(etag) = &known.etag {
        headers.insert(header::IF_NONE_MATCH, etag.clone());
    }
    request
}

/// Returns where a redirect leads to, without credentials.
fn location(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok());
    let uri = value.and_then(|value| value.parse::<Uri>().ok());
    uri.map_or_else(|| "another URL".to_owned(), |uri| place::shown(&uri))
}

/// Reads the body within a limit.
async fn body(response: Response<Incoming>, most: usize) -> Result<(Vec<u8>, Validators), Error> {
    let validators = Validators {
        etag: response.headers().get(header::ETAG).cloned(),
    };
    let mut body = response.into_body();
    let announced = body.size_hint().lower();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > most {
        return Err(Error::TooLarge(most));
    }
    let mut bytes = Steps::new(announced);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Error::Http)?.into_data() {
            if data.len() > most - bytes.length {
                return Err(Error::TooLarge(most));
            }
            bytes.push(&data);
        }
    }
    Ok((bytes.joined(), validators))
}

/// Bytes of an unknown number. They grow by steps: a vector that doubles is in memory twice while it grows.
struct Steps {
    steps: Vec<Vec<u8>>,
    length: usize,
}

impl Steps {
    /// Makes room for what is announced.
    fn new(announced: usize) -> Self {
        Self {
            steps: vec![Vec::with_capacity(announced)],
            length: 0,
        }
    }

    fn push(&mut self, mut data: &[u8]) {
        self.length += data.len();
        while !data.is_empty() {
            let Some(last) = self.steps.last_mut() else {
                return;
            };
            let room = last.capacity() - last.len();
            let (now, later) = data.split_at(room.min(data.len()));
            last.extend_from_slice(now);
            data = later;
            if !data.is_empty() {
                self.steps.push(Vec::with_capacity(STEP));
            }
        }
    }

    /// Joins the steps, and frees each as soon as it is copied.
    fn joined(mut self) -> Vec<u8> {
        if let [_] = &self.steps[..] {
            return self.steps.remove(0);
        }
        let mut bytes = Vec::with_capacity(self.length);
        for step in self.steps {
            bytes.extend_from_slice(&step);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use hyper::header::HeaderValue;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;

    use super::error::{Error, Reason};
    use super::place::Place;
    use super::{Answer, Limits, STEP, Steps, Validators, get};

    /// No test waits so long.
    const SOON: Duration = Duration::from_secs(20);

    const LIMITS: Limits = Limits {
        connect: SOON,
        head: SOON,
        body: SOON,
        size: 1000,
    };

    /// Answers one request with bytes, and again with more until the client is gone; returns the request.
    async fn answer(listener: TcpListener, first: &[u8], more: &[u8]) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = head(&mut stream).await;
        let mut sent = stream.write_all(first).await;
        while !more.is_empty() && sent.is_ok() {
            sent = stream.write_all(more).await;
        }
        request
    }

    async fn head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    async fn listening() -> (TcpListener, Place) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ca.crl?key=k", listener.local_addr().unwrap());
        (listener, Place::of(&url).unwrap())
    }

    async fn got(known: &Validators, first: &[u8], more: &[u8]) -> (Result<Answer, Error>, String) {
        let (listener, place) = listening().await;
        let turn = Arc::new(Semaphore::new(1));
        tokio::join!(
            get(&place, None, known, LIMITS, &turn),
            answer(listener, first, more)
        )
    }

    async fn reason(first: &str, more: &[u8]) -> (Reason, String) {
        let (answer, _) = got(&Validators::default(), first.as_bytes(), more).await;
        let error = answer.unwrap_err();
        (error.reason(), error.to_string())
    }

    #[tokio::test]
    async fn a_body_is_read_by_its_length_by_chunks_and_to_the_end() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlist",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nli\r\n2\r\nst\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\nlist",
        ] {
            let (got, request) = got(&Validators::default(), answer.as_bytes(), b"").await;
            assert!(matches!(got, Ok(Answer::Body(body)) if body.bytes == b"list"));
            assert!(
                request.starts_with("GET /ca.crl?key=k HTTP/1.1\r\n"),
                "{request}"
            );
            let request = request.to_ascii_lowercase();
            assert!(request.contains("\r\nhost: 127.0.0.1:"), "{request}");
            for credential in ["authorization", "cookie", "if-none-match"] {
                assert!(!request.contains(credential), "{request}");
            }
        }
    }

    /// Without doubling what it takes.
    #[test]
    fn a_body_without_a_length_grows_by_steps() {
        let data: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
        for announced in [0, 100_000, 3_000_000] {
            let mut steps = Steps::new(announced);
            for _ in 0..10 {
                steps.push(&data);
            }
            let taken: usize = steps.steps.iter().map(Vec::capacity).sum();
            assert!(taken < 3_000_000 + STEP, "{taken}");
            assert_eq!(steps.joined(), data.repeat(10));
        }
    }

    #[tokio::test]
    async fn a_known_version_is_not_sent_again() {
        let first =
            b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: then\r\nContent-Length: 0\r\n\r\n";
        let (got_first, _) = got(&Validators::default(), first, b"").await;
        let Ok(Answer::Body(first)) = got_first else {
            panic!("{got_first:?}");
        };
        let known = first.validators;
        assert_eq!(known.etag, Some(HeaderValue::from_static("\"1\"")));
        let (again, request) = got(&known, b"HTTP/1.1 304 Not Modified\r\n\r\n", b"").await;
        assert!(matches!(again, Ok(Answer::Unchanged)));
        let request = request.to_ascii_lowercase();
        assert!(request.contains("if-none-match: \"1\""), "{request}");
        // Without one there is nothing that could be unchanged.
        let (reason, _) = reason("HTTP/1.1 304 Not Modified\r\n\r\n", b"").await;
        assert_eq!(reason, Reason::Status);
    }

    #[tokio::test]
    async fn a_body_without_an_end_is_left_at_the_limit() {
        let piece = [b'x'; 700];
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
        ] {
            assert_eq!(reason(head, &piece).await.0, Reason::TooLarge, "{head}");
        }
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = [b"2bc\r\n", &piece[..], b"\r\n"].concat();
        assert_eq!(reason(chunked, &chunk).await.0, Reason::TooLarge);
        // Nor is a head.
        let (reason, _) = reason("HTTP/1.1 200 OK\r\n", b"X: y\r\n").await;
        assert_eq!(reason, Reason::Http);
    }

    #[tokio::test]
    async fn only_a_whole_answer_with_status_200_counts() {
        for (answer, expected) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", Reason::Status),
            (
                "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx",
                Reason::Status,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlist",
                Reason::Http,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nlist",
                Reason::Http,
            ),
            ("MQTT\r\n\r\n", Reason::Http),
            ("", Reason::Http),
        ] {
            assert_eq!(reason(answer, b"").await.0, expected, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_named_without_credentials() {
        for (location, shown) in [
            (
                "https://user:pass@ca.example:8443/new?token=t",
                "https://ca.example:8443/new",
            ),
            ("/new.crl", "/new.crl"),
            ("a b", "another URL"),
        ] {
            let answer = format!("HTTP/1.1 301 Moved\r\nLocation: {location}\r\n\r\n");
            let (reason, message) = reason(&answer, b"").await;
            assert_eq!(reason, Reason::Redirect);
            let expected = format!("the server redirects to {shown}; use that URL, if it is right");
            assert_eq!(message, expected);
        }
    }

    #[tokio::test]
    async fn a_server_that_stalls_is_given_up() {
        let short = Duration::from_millis(50);
        for (head, limits, what) in [
            (
                "",
                Limits {
                    head: short,
                    ..LIMITS
                },
                "answer",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nl",
                Limits {
                    body: short,
                    ..LIMITS
                },
                "send all of it",
            ),
        ] {
            let (listener, place) = listening().await;
            let (turn, known) = (Arc::new(Semaphore::new(1)), Validators::default());
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(head.as_bytes()).await.unwrap();
                // Until the client is gone.
                stream.read_to_end(&mut Vec::new()).await
            };
            let (got, _) = tokio::join!(get(&place, None, &known, limits, &turn), server);
            let message = got.unwrap_err().to_string();
            assert_eq!(message, format!("the server did not {what} within 0.05 s"));
        }
    }

    #[tokio::test]
    async fn bodies_are_read_one_at_a_time() {
        let (listener, place) = listening().await;
        let (turn, known) = (Arc::new(Semaphore::new(1)), Validators::default());
        let held = turn.acquire().await.unwrap();
        let answer = async {
            let body = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlist";
            let answered = answer(listener, body, b"").await;
            // Whatever the client does meanwhile, it must wait.
            tokio::task::yield_now().await;
            drop(held);
            answered
        };
        let (got, _) = tokio::join!(get(&place, None, &known, LIMITS, &turn), answer);
        assert!(matches!(got, Ok(Answer::Body(_))));
        assert_eq!(turn.available_permits(), 0, "as long as the body is kept");
        drop(got);
        assert_eq!(turn.available_permits(), 1);
    }

    #[tokio::test]
    async fn an_address_of_the_node_is_not_asked() {
        let (turn, known) = (Arc::new(Semaphore::new(1)), Validators::default());
        for host in [
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "[fe80::1]",
            "0.0.0.0",
        ] {
            let place = Place::of(&format!("http://{host}/latest/meta-data")).unwrap();
            let error = get(&place, None, &known, LIMITS, &turn).await.unwrap_err();
            assert_eq!(error.reason(), Reason::Address, "{host}");
        }
        let place = Place::of("http://list.invalid/").unwrap();
        let error = get(&place, None, &known, LIMITS, &turn).await.unwrap_err();
        assert_eq!(error.reason(), Reason::Resolve);
    }
}
