//! The first packet: reads the client's CONNECT before the broker is dialed, and sets or compares the names in it.
//!
//! The caller sets the deadline. It must not change any data but these names. If the connection fails after the
//! CONNECT, the broker still gets all data that the client sent.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use mqtt_tls_config::Limits;
use mqtt_tls_judge::identity::naming::{Naming, Reason, Refusal, Sent, Target};
use mqtt_tls_judge::identity::{Identity, Unreadable};
use mqtt_tls_mqtt::connack::{self, Connack};
use mqtt_tls_mqtt::{Connect, Names, Progress, Reason as Fault, Start, Version, rewrite};
use tokio::net::TcpStream;

use crate::admission::{Place, Stage};
use crate::backlog::Backlog;
use crate::end::End;
use crate::scratch;
use crate::tls::handshake::Established;
use crate::tls::inbound::{self, Read};
use crate::tls::session::Session;
use crate::trial::Abort;

/// Maximum number of bytes to wait for before dialing, if no names are set. A longer CONNECT (a will may have any
/// length) is forwarded as it arrives.
const WAITED_FOR_MAX: usize = 16 * 1024;

/// Memory of all large CONNECTs that are held, in bytes: beyond it, the oldest of the addresses that hold many are evicted.
const HELD_MAX: usize = 64 * 1024 * 1024;

/// Size of a CONNECT above which a later release refuses it where no names are set, in bytes: that of smart-mqtt's packets.
const SIZE_MAX: usize = 1024 * 1024;

/// Why a later release refuses a first packet that passes where no names are set, as earlier releases passed it.
pub(crate) const TOLERATED: [Fault; 4] = [
    Fault::BadLength,
    Fault::NotMqtt,
    Fault::TooLarge,
    Fault::UnsupportedVersion,
];

/// What a CONNECT must be.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'r> {
    /// Maximum size where names are set, in bytes.
    pub(crate) most: u32,
    /// Names from clients' certificates.
    pub(crate) naming: Option<&'r Naming>,
}

/// Returns how many large CONNECTs a thread may hold.
pub(crate) fn places(limits: &Limits, threads: usize) -> usize {
    let most = usize::try_from(limits.connect_bytes).unwrap_or(usize::MAX);
    (HELD_MAX / most / threads.max(1)).max(1)
}

/// Errors that prevent dialing the broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The client begins enhanced authentication, and its user name comes from its certificate.
    #[error(
        "the client begins enhanced authentication, which may bring another user name than its certificate gives"
    )]
    Authenticates(Version),
    /// The client sent close_notify.
    #[error("the client closed the connection before it sent a CONNECT")]
    Closed,
    /// The connection ended without close_notify.
    #[error("the client's connection ended before it sent a CONNECT")]
    Cut,
    /// The client may not have the names, or has none.
    #[error("the client may not connect under the names in its CONNECT")]
    Identity(#[source] Refusal, Version),
    /// It is no CONNECT, or none that is forwarded.
    #[error("the first packet is refused")]
    Refused(#[source] mqtt_tls_mqtt::Error, Option<Connack>),
    /// The connection failed.
    #[error("the connection failed before the client sent a CONNECT")]
    Reset(#[source] std::io::Error),
    /// The names cannot be written.
    #[error("failed to write the client's names into its CONNECT")]
    Rewrite(#[source] rewrite::Error),
    /// The deadline passed.
    #[error("timed out waiting for the client's CONNECT")]
    Timeout,
    /// The client violated the TLS protocol; the alert is queued in the session.
    #[error("the client violated the TLS protocol before it sent a CONNECT")]
    Tls(#[source] inbound::Error),
    /// The certificate's names cannot be read.
    #[error("the client may not connect under the names in its CONNECT")]
    Unreadable(#[source] Unreadable, Version),
}

impl Error {
    /// Returns how the connection ends.
    pub(crate) fn end(&self) -> End {
        match self {
            Self::Authenticates(_) => End::EnhancedAuthentication,
            Self::Closed => End::ClientClosed,
            Self::Cut => End::ClientCut,
            Self::Identity(refusal, _) => match refusal.reason() {
                Reason::UserNameMismatch | Reason::ClientIdMismatch => End::IdentityMismatch,
                _ => End::NoIdentity,
            },
            Self::Refused(error, _) => match error.reason() {
                mqtt_tls_mqtt::Reason::NotMqtt => End::NotMqtt,
                mqtt_tls_mqtt::Reason::TooLarge => End::ConnectTooLarge,
                mqtt_tls_mqtt::Reason::UnsupportedVersion => End::UnsupportedVersion,
                _ => End::BadConnect,
            },
            Self::Reset(_) => End::ClientReset,
            Self::Rewrite(_) => End::BadConnect,
            Self::Timeout => End::FirstPacketTimeout,
            Self::Tls(_) => End::TlsError,
            Self::Unreadable(..) => End::NoIdentity,
        }
    }

    /// Returns how the client ended the connection, if it did. One whose first packet is refused has taken the certificate.
    pub(crate) fn abort(&self) -> Option<Abort> {
        match self {
            Self::Closed | Self::Cut | Self::Reset(_) | Self::Timeout => Some(Abort::NoFirstPacket),
            Self::Tls(error) => error.alert().map(Abort::Alert),
            _ => None,
        }
    }

    /// Returns the answer to the client, if its version of MQTT has one.
    pub(crate) fn connack(&self) -> Option<Connack> {
        let (version, cause) = match self {
            Self::Refused(_, connack) => return *connack,
            Self::Authenticates(version) => (version, connack::Cause::BadAuthenticationMethod),
            Self::Identity(Refusal::Mismatch(Target::UserName), version) => {
                (version, connack::Cause::BadUserNameOrPassword)
            }
            Self::Identity(Refusal::GuestId | Refusal::Mismatch(Target::ClientId), version) => {
                (version, connack::Cause::ClientIdNotValid)
            }
            Self::Identity(_, version) | Self::Unreadable(_, version) => {
                (version, connack::Cause::NotAuthorized)
            }
            _ => return None,
        };
        Connack::refusing(*version, cause)
    }

    /// Reports whether an alert is queued; nothing may follow it.
    pub(crate) fn is_alerted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// What is to be done with the client's data.
enum Verdict {
    /// Wait for so many bytes at least.
    Wait(usize),
    /// Forward; why a later release does not.
    Forward(Option<mqtt_tls_mqtt::Error>),
    /// Replace the first bytes, and forward.
    Rewrite(usize, Vec<u8>),
}

/// Reads until the client's CONNECT is complete, and queues it for the backend; returns why a later release refuses it.
pub(crate) async fn read(
    client: &mut TcpStream,
    established: &mut Established,
    (place, holding): (&mut Place, &mut Place),
    rules: Rules<'_>,
) -> Result<Option<mqtt_tls_mqtt::Error>, Error> {
    poll_fn(|cx| {
        loop {
            let said = established.to_backend.waiting();
            match judge(said, &established.session, rules)? {
                Verdict::Forward(doubt) => return Poll::Ready(Ok(doubt)),
                Verdict::Rewrite(size, packet) => {
                    established.to_backend.replace(size, &packet);
                    return Poll::Ready(Ok(None));
                }
                Verdict::Wait(_) if established.session.peer_closed() => {
                    return Poll::Ready(Err(Error::Closed));
                }
                Verdict::Wait(missing) => hold(missing, &mut established.to_backend, holding),
            }
            let polled = step(client, established, cx);
            if polled.is_pending() {
                place.wait(Stage::FirstPacket);
            }
            ready!(polled)?;
        }
    })
    .await
}

/// Makes room for a CONNECT of which this many bytes are missing: as it arrives, and with a place for large ones whole.
fn hold(missing: usize, to_backend: &mut Backlog, holding: &mut Place) {
    let said = to_backend.waiting().len();
    if said <= WAITED_FOR_MAX {
        to_backend.reserve(missing.min(said));
    } else {
        holding.wait(Stage::FirstPacket);
        to_backend.reserve(missing);
    }
}

/// Judges a client's data.
fn judge(said: &[u8], session: &Session, rules: Rules<'_>) -> Result<Verdict, Error> {
    let Some(naming) = rules.naming else {
        return unnamed(said);
    };
    let most = usize::try_from(rules.most).unwrap_or(usize::MAX);
    match mqtt_tls_mqtt::read(said, most) {
        Progress::Connect(connect) => named(&connect, session, naming),
        Progress::Partial(missing) => match mqtt_tls_mqtt::version(said) {
            // What comes does not change the refusal.
            Some(version) if !naming.takes_guests() && session.peer_certificate().is_none() => {
                Err(Error::Identity(Refusal::Unauthenticated, version))
            }
            _ => Ok(Verdict::Wait(missing)),
        },
        Progress::Refused(refused) => Err(Error::Refused(refused.error, refused.connack())),
    }
}

/// Judges data without names to set, by type and length alone, as earlier releases did: what a broker takes goes on working.
fn unnamed(said: &[u8]) -> Result<Verdict, Error> {
    match mqtt_tls_mqtt::start(said) {
        Start::Other => Err(Error::Refused(mqtt_tls_mqtt::Error::NotConnect, None)),
        Start::Partial if said.len() <= WAITED_FOR_MAX => Ok(Verdict::Wait(0)),
        Start::Connect | Start::Partial => Ok(Verdict::Forward(doubt(said))),
    }
}

/// Returns why a later release refuses a first packet. The fields behind the version are always left to the broker.
fn doubt(said: &[u8]) -> Option<mqtt_tls_mqtt::Error> {
    match mqtt_tls_mqtt::read(said, SIZE_MAX) {
        Progress::Refused(refused) => Some(refused.error).filter(|error| !error.is_in_fields()),
        Progress::Connect(_) | Progress::Partial(_) => None,
    }
}

/// Decides the names of a client.
fn named(connect: &Connect<'_>, session: &Session, naming: &Naming) -> Result<Verdict, Error> {
    let version = connect.version;
    let identity = session.peer_certificate().map(Identity::of).transpose();
    let identity = identity.map_err(|error| Error::Unreadable(error, version))?;
    let sent = Sent {
        user_name: connect.user_name,
        client_id: connect.client_id,
    };
    let names = naming.decide(identity.as_ref(), sent);
    let names = names.map_err(|refusal| Error::Identity(refusal, version))?;
    if connect.authenticates && naming.names().0 {
        return Err(Error::Authenticates(version));
    }
    let given = Names {
        user_name: names.user_name.name(),
        client_id: names.client_id.name(),
    };
    if given == Names::default() {
        return Ok(Verdict::Forward(None));
    }
    let packet = mqtt_tls_mqtt::rewrite(connect, given).map_err(Error::Rewrite)?;
    Ok(Verdict::Rewrite(connect.size(), packet))
}

/// Sends what is left of the handshake, and reads once.
fn step(
    client: &mut TcpStream,
    Established {
        session,
        to_backend,
    }: &mut Established,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    match session.to_client.poll_flush(client, cx) {
        Poll::Ready(Ok(())) | Poll::Pending => {}
        // The client receives nothing more, but may have sent data.
        Poll::Ready(Err(_)) => session.to_client = Backlog::default(),
    }
    scratch::with(|scratch| {
        let read = ready!(inbound::poll_read(client, session, scratch, cx));
        if !scratch.plain.is_empty() {
            to_backend.push(&scratch.plain);
        }
        Poll::Ready(match read {
            Ok(Read::Some) => Ok(()),
            Ok(Read::End) => Err(Error::Cut),
            Err(inbound::Error::Io(error)) => Err(Error::Reset(error)),
            Err(error) => Err(Error::Tls(error)),
        })
    })
}
