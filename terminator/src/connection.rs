//! The life of a connection: accept, ClientHello, admission, handshake, first packet, dial, relay, close.
//!
//! Only this file knows both TLS and the backend. A connection must not exceed its deadlines, and is counted
//! exactly once, when it ends.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use mqtt_tls_config::Protocol;
use mqtt_tls_judge::client::Refusal;
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use crate::admission::{Permit, Place};
use crate::backend;
use crate::clients::Membership;
use crate::end::{End, Limit};
use crate::first_packet;
use crate::last_words::{Cause, Unserved, last_words, linger};
use crate::recheck;
use crate::record::Record;
use crate::relay::Relay;
use crate::roster::Entry;
use crate::settings::Settings;
use crate::settings::hosts::{Host, key_of};
use crate::state::Worker;
use crate::tls::again;
use crate::tls::failure::{self, Failure};
use crate::tls::handshake::{self, Attempt, Established};

/// An accepted connection, before its client has sent anything.
pub(crate) struct Accepted {
    pub(crate) client: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) at: Instant,
    pub(crate) settings: Arc<Settings>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) membership: Membership,
}

/// A connection with a backend.
struct Opened {
    relay: Relay,
    membership: Membership,
    permit: Permit,
}

/// Serves a connection to its end.
pub(crate) fn serve(accepted: Accepted) -> impl Future<Output = ()> {
    let worker = Arc::clone(&accepted.worker);
    let mut record = Record::begin(&worker);
    // Boxed, so that the state for opening and closing a connection takes no memory while it is idle.
    let opening = Box::pin(open(accepted));
    async move {
        match opening.await {
            Ok(mut opened) => {
                let end = run(&mut opened).await;
                opened.membership.stop_judging();
                worker.state.notices.ended(end);
                if end.is_unanswered() {
                    let health = &opened.relay.known.health;
                    health.unanswered(end.meaning(), Instant::now());
                }
                record.end(end);
                // Close before membership and permit are dropped: drains and limits count the connection until
                // then.
                Box::pin(close(*opened)).await;
            }
            Err(unserved) => {
                record.end(unserved.end());
                Box::pin(unserved.close(Arc::clone(&worker))).await;
            }
        }
    }
}

/// Takes a connection from accept to the relay.
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
        introduced = introduce(&mut client, (address, at), &settings, &worker, &mut attempt, &mut place) => introduced,
        () = notice.notified() => Err(Cause::Refused(Limit::Handshakes)),
    };
    let reached = match introduced {
        Ok((permit, established, host)) => {
            place.leave();
            let target = host.target(established.session.protocol());
            match backend::reach(target, &settings, &worker).await {
                Ok(backend) => {
                    if settings.connections
                        && let Ok(seen) = backend.0.local_addr()
                    {
                        let now = Timestamp::now();
                        membership.show(Entry::of(address, seen, &host, &established, now));
                    }
                    Ok((permit, backend, established, host))
                }
                Err(error) => Err(Cause::Backend(error, Box::new(established.session))),
            }
        }
        Err(cause) => Err(cause),
    };
    match reached {
        Ok((permit, backend, established, host)) => {
            if let Some(expires) = again::expiry(&established.session, Timestamp::now()) {
                membership.keep_judging(key_of(attempt.server_name()), expires);
            }
            let watched = (host.naming.as_ref(), attempt.drawn());
            let relay = Relay::new(client, backend, established, &settings, watched, worker);
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

/// Handles the client's part before the backend is dialed: ClientHello, handshake, first packet.
async fn introduce(
    client: &mut TcpStream,
    (address, at): (SocketAddr, Instant),
    settings: &Settings,
    worker: &Worker,
    attempt: &mut Attempt,
    place: &mut Place,
) -> Result<(Permit, Established, Arc<Host>), Cause> {
    let shaken = timeout_at((at + settings.timeouts.handshake).into(), async {
        attempt.hear(client, place).await?;
        let host = settings.hosts.of(attempt.server_name());
        let host = host.ok_or_else(|| attempt.refuse_name())?;
        let turn = handshake::turn(client, place, &worker.turns).await?;
        Permit::is_left(&worker.state, settings)?;
        attempt.draw(&worker.state.trials, address.ip(), &host.tls);
        let shaken = attempt.shake(client, &host.tls, place, turn).await;
        let failure = shaken.as_ref().err().map(failure::Error::failure);
        if failure == Some(Failure::ClientCertificateMissing) && !attempt.is_probe() {
            host.verdicts.refused.count(None);
        }
        if let Some(verdict) = attempt.verdict(&host.tls, shaken.as_ref().err()) {
            worker.counts().preview.record(verdict, Instant::now());
        }
        Ok::<_, Cause>((shaken?, Arc::clone(host)))
    });
    let shaken = shaken.await;
    let (mut established, host) = shaken.unwrap_or(Err(failure::Error::Timeout.into()))?;
    if attempt.is_probe() {
        return Err(Cause::Probe(Box::new(established.session)));
    }
    let session = &established.session;
    worker
        .counts()
        .handshake(session.version(), session.is_resumed(), at.elapsed());
    if let Some(found) = handshake::rehearse(&host.trust, session) {
        let reason = found.refusal.as_ref().map(Refusal::reason);
        host.verdicts.would_refuse.count(reason);
        worker.state.notices.would_refuse(address, &found);
    }
    if settings.protocol == Protocol::Mqtt {
        let rules = first_packet::Rules {
            most: settings.limits.connect_bytes,
            naming: host.naming.as_ref(),
        };
        let places = first_packet::places(&settings.limits, worker.state.counts.len());
        let mut holding = place.beside(&worker.holding, places);
        let places = (place, &mut holding);
        let read = first_packet::read(client, &mut established, places, rules);
        let read = timeout(settings.timeouts.first_packet, read).await;
        match read.unwrap_or(Err(first_packet::Error::Timeout)) {
            Ok(None) => {}
            Ok(Some(doubt)) => worker.tolerate(address, &doubt),
            Err(error) => {
                return Err(Cause::FirstPacket(error, Box::new(established.session)));
            }
        }
    }
    // Of another protocol, the relay waits for the first bytes.
    if !established.to_backend.is_empty()
        && let Some(draw) = attempt.drawn()
    {
        draw.served();
    }
    worker.counts().opened.add(1);
    let permit = Permit::take(&worker.state, settings)?;
    Ok((permit, established, host))
}

/// Relays until the connection or a drain ends it.
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
        if let Some(name) = membership.is_asked() {
            recheck::judge(relay, membership, name);
        }
        relay.poll(cx)
    })
    .await
}

/// Closes the sockets after the relay. The backend has received its FIN, unless its connection failed.
async fn close(
    Opened {
        relay,
        membership: _membership,
        permit: _permit,
    }: Opened,
) {
    let (ends_in_order, has_sent_fin) = (relay.ends_in_order(), relay.has_sent_fin());
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
    if has_sent_fin {
        return linger(client).await;
    }
    // Without close_notify the client knows that data was truncated (RFC 8446, section 6.1).
    if ends_in_order {
        session.queue_close_notify();
    }
    last_words(client, session.to_client).await;
}

#[cfg(test)]
mod tests {
    use super::{Opened, serve};

    /// Returns the size of an async function's future.
    fn size<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_takes_little_memory() {
        // A hundred thousand devices multiply each byte.
        let size = size(serve) + size_of::<Opened>();
        assert!((300..=400).contains(&size), "{size} bytes");
    }
}
