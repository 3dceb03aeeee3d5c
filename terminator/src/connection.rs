//! The life of a connection: accept, ClientHello, admit, handshake, first packet, dial, relay, close.
//!
//! This is the one file that knows both TLS and the backend. It must not outlive its deadlines, and
//! each connection that comes in is counted once when it ends, however it ends.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use crate::admission::{Permit, Place};
use crate::backend;
use crate::clients::Membership;
use crate::first_packet;
use crate::last_words::{Cause, Unserved, last_words};
use crate::record::{End, Limit, Record};
use crate::relay::Relay;
use crate::settings::Settings;
use crate::state::Worker;
use crate::tls::failure;
use crate::tls::handshake::{self, Attempt, Established};

/// A connection that was accepted, before anything is known of its client.
pub(crate) struct Accepted {
    pub(crate) client: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) at: Instant,
    pub(crate) settings: Arc<Settings>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) membership: Membership,
}

/// A connection that has a backend.
struct Opened {
    relay: Relay,
    membership: Membership,
    permit: Permit,
}

/// Serves a connection to its end.
pub(crate) fn serve(accepted: Accepted) -> impl Future<Output = ()> {
    let worker = Arc::clone(&accepted.worker);
    let mut record = Record::begin(&worker);
    // Boxed, so that all that it takes to open and to close a connection is there for no longer than that.
    let opening = Box::pin(open(accepted));
    async move {
        match opening.await {
            Ok(mut opened) => {
                let end = run(&mut opened).await;
                worker.state.notices.ended(end);
                record.end(end);
                // Counted until now: a drain waits for the last words, and the limit for the sockets.
                Box::pin(close(*opened)).await;
            }
            Err(unserved) => {
                record.end(unserved.end());
                Box::pin(unserved.close(Arc::clone(&worker))).await;
            }
        }
    }
}

/// From accept to the relay.
async fn open(accepted: Accepted) -> Result<Box<Opened>, Box<Unserved>> {
    let Accepted {
        mut client,
        address,
        at,
        settings,
        worker,
        membership,
    } = accepted;
    let places = worker.state.room.places(&settings.limits);
    let mut place = Place::new(Arc::clone(&worker.admission), address.ip(), places);
    let notice = place.notice();
    let mut attempt = Attempt::default();
    let introduced = tokio::select! {
        biased;
        introduced = introduce(&mut client, at, &settings, &worker, &mut attempt, &mut place) => introduced,
        () = notice.notified() => Err(Cause::Refused(Limit::Handshakes)),
    };
    let reached = match introduced {
        Ok((permit, established)) => {
            place.leave();
            match backend::reach(&settings, &worker).await {
                Ok(backend) => Ok((permit, backend, established)),
                Err(error) => Err(Cause::Backend(error, Box::new(established.session))),
            }
        }
        Err(cause) => Err(cause),
    };
    match reached {
        Ok((permit, backend, established)) => {
            let half_close = settings.timeouts.half_close;
            let relay = Relay::new(client, backend, established, half_close, worker);
            Ok(Box::new(Opened {
                relay,
                membership,
                permit,
            }))
        }
        Err(cause) => Err(Box::new(Unserved {
            cause,
            client,
            address,
            attempt,
            place,
            is_kept: settings.journal,
            membership,
        })),
    }
}

/// The client's part, before anyone dials for it: its ClientHello, its handshake, its first packet.
async fn introduce(
    client: &mut TcpStream,
    at: Instant,
    settings: &Settings,
    worker: &Worker,
    attempt: &mut Attempt,
    place: &mut Place,
) -> Result<(Permit, Established), Cause> {
    let shaken = timeout_at((at + settings.timeouts.handshake).into(), async {
        attempt.hear(client, place).await?;
        let turn = handshake::turn(client, place, &worker.turns).await?;
        Permit::is_left(&worker.state, settings)?;
        Ok::<_, Cause>(attempt.shake(client, &settings.tls, place, turn).await?)
    });
    let shaken = shaken.await;
    let mut established = shaken.unwrap_or(Err(failure::Error::Timeout.into()))?;
    let session = &established.session;
    worker
        .counts()
        .handshake(session.version(), session.is_resumed(), at.elapsed());
    let read = first_packet::read(client, &mut established, place);
    let read = timeout(settings.timeouts.first_packet, read).await;
    if let Err(error) = read.unwrap_or(Err(first_packet::Error::Timeout)) {
        return Err(Cause::FirstPacket(error, Box::new(established.session)));
    }
    worker.counts().opened.add(1);
    let permit = Permit::take(&worker.state, settings)?;
    Ok((permit, established))
}

/// Relays until the end, which a drain may bring on.
async fn run(
    Opened {
        relay, membership, ..
    }: &mut Opened,
) -> End {
    let (mut is_listening, mut turn) = (false, None);
    poll_fn(|cx| {
        if !std::mem::replace(&mut is_listening, true) {
            membership.listen(cx.waker());
        }
        if turn.is_none() {
            turn = membership.turn().map(Box::pin);
        }
        if let Some(sleep) = &mut turn
            && sleep.as_mut().poll(cx).is_ready()
        {
            relay.begin_drain();
        }
        relay.poll(cx)
    })
    .await
}

/// Ends what is left when the relay is over. The backend has got its FIN, unless it took nothing more.
async fn close(
    Opened {
        relay,
        membership: _membership,
        permit: _permit,
    }: Opened,
) {
    let ends_in_order = relay.ends_in_order();
    let Relay {
        client,
        backend,
        mut session,
        client_is_gone,
        ..
    } = relay;
    drop(backend);
    if client_is_gone {
        return;
    }
    // Without close_notify the client knows that something was cut off (RFC 8446, section 6.1).
    if ends_in_order {
        session.queue_close_notify();
    }
    last_words(client, session.to_client).await;
}

#[cfg(test)]
mod tests {
    use super::{Opened, serve};

    /// The size of what a function that waits keeps while it does.
    fn size<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_keeps_little() {
        // Each byte is paid for by each of a hundred thousand devices.
        let size = size(serve) + size_of::<Opened>();
        assert!((300..=400).contains(&size), "{size} bytes");
    }
}
