//! The last configuration that all pods accepted: a pod that refuses the current one when it starts, starts from it, as
//! pods that run keep it.
//!
//! It must not hold a configuration with another client authentication than the current one: where that was tightened, a
//! pod that starts must not accept the clients that it now excludes.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mqtt_tls_config::{Config, Pem};

use super::children::{Accepted, Files, accepted_secret};
use super::conditions::judged::{Judged, Outcome};
use super::names::{ACCEPTED_KEY, CONFIG_KEY, Identity, Ownership, SOURCES, TRIALS};
use super::objects::{Children, Wanted};
use super::owned::{Claim, unwritable};
use super::proof::answer::Configuration;
use super::trials::state::State;
use crate::kinds::Child;

/// Keeps the accepted configuration beside a configuration that is about to be written, if it authenticates clients in
/// the same way, and else removes it. Where trials stand is as in that: what is rolled back must stay so, whatever pods have accepted.
pub fn beside(files: &Files<'_>, children: &Children, claim: &mut Claim<'_>) -> Wanted<Secret> {
    let Some(found) = children.accepted_secret() else {
        return Wanted::Kept;
    };
    let (identity, config) = (claim.identity, &files.config.text);
    let is_ours = is_of(identity, found);
    let kept = content(found, ACCEPTED_KEY).filter(|kept| {
        is_ours && (kept.0 == config.expose().as_bytes() || is_as_strict(kept, config))
    });
    let now = files.tried.annotation.as_ref();
    let trials = found.annotations().get(TRIALS);
    let kept = kept.map(|text| Accepted {
        text,
        sources: found.annotations().get(SOURCES),
        trials: if stand_alike(trials, now, identity) {
            trials
        } else {
            now
        },
    });
    let wanted = Wanted::new(accepted_secret(identity, kept.as_ref()));
    let wanted = claim.wanted(Some(found), wanted);
    if let (Some(_), Some(problem)) = (wanted.present(), unwritable(found, Child::Accepted)) {
        claim.problems.push(problem);
        return Wanted::Kept;
    }
    wanted
}

/// Accepts the configuration that all ready pods were found to serve.
pub fn proven(judged: &Judged<'_>) -> Wanted<Secret> {
    let pods = &judged.proofs.pods;
    let is_served = pods
        .iter()
        .all(|(_, answer)| answer.configuration == Configuration::Served);
    let Outcome::Done(applied) = judged.outcome else {
        return Wanted::Kept;
    };
    let ready = judged.pods.iter();
    let ready = ready.filter(|pod| pod.is_ready && !pod.is_leaving).count();
    if pods.is_empty() || pods.len() < ready || !is_served {
        return Wanted::Kept;
    }
    let (identity, children) = (&judged.report.identity, &applied.children);
    let config = children.config_secret();
    let config = config.filter(|found| is_of(identity, found));
    let served = config.and_then(|config| Some((config, content(config, CONFIG_KEY)?)));
    let Some((config, text)) = served else {
        return Wanted::Kept;
    };
    let annotations = config.annotations();
    let accepted = Accepted {
        text,
        sources: annotations.get(SOURCES),
        trials: annotations.get(TRIALS),
    };
    let found = children.accepted_secret();
    let is_known = |found: &Secret| {
        let annotations = found.annotations();
        content(found, ACCEPTED_KEY) == Some(text)
            && annotations.get(SOURCES) == accepted.sources
            && stand_alike(annotations.get(TRIALS), accepted.trials, identity)
    };
    // What is counted alone needs no write.
    if found.is_some_and(is_known) {
        return Wanted::Kept;
    }
    let can_be_written = |found: &Secret| {
        is_of(identity, found)
            && found.metadata.deletion_timestamp.is_none()
            && unwritable(found, Child::Accepted).is_none()
    };
    if found.is_none_or(can_be_written) {
        Wanted::new(accepted_secret(identity, Some(&accepted)))
    } else {
        Wanted::Kept
    }
}

fn is_of(identity: &Identity, secret: &Secret) -> bool {
    identity.ownership(&secret.metadata) == Ownership::Ours
}

/// Reports whether trials stand where they do in another annotation, whatever was counted.
fn stand_alike(one: Option<&String>, other: Option<&String>, identity: &Identity) -> bool {
    let read = |text: Option<&String>| {
        let text = text.map(String::as_str);
        State::read(text, None, &identity.namespace)
    };
    read(one).stands_as(&read(other))
}

fn content<'s>(secret: &'s Secret, key: &str) -> Option<&'s ByteString> {
    secret.data.as_ref()?.get(key)
}

/// Reports whether both configurations authenticate clients in the same way.
fn is_as_strict(kept: &ByteString, config: &Pem) -> bool {
    let kept = std::str::from_utf8(&kept.0).ok().map(Config::parse);
    match (kept, Config::parse(config.expose())) {
        (Some(Ok(kept)), Ok(config)) => kept.authenticates_as(&config),
        _ => false,
    }
}
