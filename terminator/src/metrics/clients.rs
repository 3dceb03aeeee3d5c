//! Clients' certificates at each scrape: how often they were refused, or would be, and the revocation lists.
//!
//! It must not have a label whose values come from a certificate or a list.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::current::Current;
use crate::settings::Settings;
use crate::settings::hosts::Host;
use crate::tls::ClientTrust;
use crate::verdicts::Counters;

/// The active settings, whose hosts count for themselves.
#[derive(Debug)]
pub(super) struct Clients(pub(super) Current);

impl Collector for Clients {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(settings) = self.0.settings() else {
            return Ok(());
        };
        let help = "Number of handshakes in which a client was refused for its certificate, by host (\"\" is the listener itself) and \
            reason.";
        let name = "client_certificates_refused";
        refused(&mut encoder, &settings, (name, help), |host| {
            host.trust.verifies().then_some(&host.verdicts.refused)
        })?;
        let help = "Number of handshakes in which `DryRun` served a client that `Require` would refuse, by host and reason.";
        let name = "client_certificates_would_refuse";
        refused(&mut encoder, &settings, (name, help), |host| {
            let is_rehearsed = matches!(host.trust, ClientTrust::DryRun(_));
            is_rehearsed.then_some(&host.verdicts.would_refuse)
        })?;
        lists(&mut encoder, &settings)
    }
}

/// Writes the counters of the hosts that have them.
fn refused(
    encoder: &mut DescriptorEncoder<'_>,
    settings: &Settings,
    (name, help): (&str, &str),
    counters: fn(&Host) -> Option<&Counters>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for host in settings.hosts.all() {
        for (reason, count) in counters(host).into_iter().flat_map(Counters::all) {
            let labels = [("host", host.name()), ("reason", reason)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn lists(encoder: &mut DescriptorEncoder<'_>, settings: &Settings) -> Result<(), Error> {
    let help = "Number of loads of revocation lists that brought something new or failed, by kind of source and outcome.";
    let name = "revocation_list_loads";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for ((source, outcome), count) in settings.crls.loads() {
        let labels = [("outcome", outcome), ("source", source)];
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    let shown = settings.crls.shown();
    let help = "Whether each source of revocation lists has brought its lists since it is configured; otherwise lists are missing.";
    let name = "revocation_lists_complete";
    let complete = shown.as_ref().is_none_or(|shown| shown.complete);
    let gauge = ConstGauge::new(i64::from(complete));
    gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    let help = "Unix time by which a revocation list is to be replaced, by source (the file, or the key of a URL) and position in it.";
    let name = "revocation_list_next_update_timestamp";
    let unit = Some(&Unit::Seconds);
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for source in shown.iter().flat_map(|shown| &shown.sources) {
        for (index, list) in source.lists.iter().enumerate() {
            let index = index.to_string();
            let labels = [("index", &*index), ("source", &*source.source)];
            let gauge = ConstGauge::new(list.next_update_seconds);
            gauge.encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
