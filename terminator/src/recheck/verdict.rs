//! What becomes of a client that is judged again. It must not decide when that is.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use jiff::Timestamp;
use mqtt_tls_judge::client::Refusal;
use mqtt_tls_judge::name_of;

use super::Answer;
use crate::clients::Membership;
use crate::end::End;
use crate::journal::Entry;
use crate::relay::Relay;
use crate::settings::name_key::NameKey;
use crate::tls::again;

/// Judges the client of a connection by the settings of now, and ends the connection if it is refused.
pub(crate) fn judge(relay: &mut Relay, membership: &Membership, name: NameKey) {
    let (began, now) = (Instant::now(), Timestamp::now());
    let recheck = membership.recheck();
    // Before the settings: if they change meanwhile, it is judged once more.
    let generation = recheck.generation();
    let Some(settings) = recheck.settings() else {
        return membership.stop_judging();
    };
    let host = settings.hosts.again(name);
    let judged = again::judge(&relay.session, &host.trust, now);
    let took = began.elapsed();
    relay
        .worker
        .counts()
        .recheck(judged.as_ref().err().map(Refusal::reason));
    match judged {
        Ok(expires) => membership.answer(Answer::Good { expires, took }, generation),
        Err(refusal) => {
            membership.answer(Answer::Refused { took }, generation);
            note(relay, settings.journal, &refusal, now);
            relay.refuse(End::CertificateRefused);
        }
    }
}

/// Keeps and logs who was refused.
fn note(relay: &Relay, is_kept: bool, refusal: &Refusal, now: Timestamp) {
    let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let address = relay.client.peer_addr().unwrap_or(unknown);
    let certificate = relay.session.peer_certificate().map(name_of);
    let entry = Entry::refused(address, now, refusal, certificate);
    relay.worker.state.notices.refused_again(&entry, refusal);
    if is_kept {
        relay.worker.state.journal.add(entry);
    }
}
