//! Adds up the counters of all threads at each scrape. It must not count anything itself.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mqtt_tls_judge::client::Reason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::admission::Stage;
use crate::counts::{BOUNDS, Count, Counts, Durations, Kind};
use crate::end::{End, Limit};
use crate::first_packet::TOLERATED;
use crate::state::State;
use crate::tls::failure::Failure;
use crate::tls::session::Version;
use crate::trial::{Arm, Outcome};

/// All threads.
pub(super) struct Threads(pub(super) Arc<State>);

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Threads").finish_non_exhaustive()
    }
}

impl Threads {
    fn sum(&self, count: impl Fn(&Counts) -> u64) -> u64 {
        self.0.counts.iter().map(count).sum()
    }

    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        type Plain = (&'static str, &'static str, fn(&Counts) -> &Count);
        let plain: [Plain; 3] = [
            (
                "connections_accepted",
                "Number of accepted connections.",
                |counts| &counts.accepted,
            ),
            (
                "connections_opened",
                "Number of connections whose client has sent its first packet; with another `protocol` than `mqtt`, \
                whose handshake succeeded.",
                |counts| &counts.opened,
            ),
            (
                "accept_errors",
                "Number of failed accepts, for example for lack of file descriptors.",
                |counts| &counts.accept_errors,
            ),
        ];
        for (name, help, count) in plain {
            let counter = ConstCounter::new(self.sum(|counts| count(counts).get()));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let help =
            "Number of connections closed because of a limit before they were open, by limit.";
        let refused = Limit::ALL.into_iter().map(|limit| {
            let labels = vec![("limit", limit.name())];
            (labels, self.sum(|counts| counts.refused(limit)))
        });
        counters(encoder, ("connections_refused", help, None), refused)?;
        let help = "Number of ended connections, by cause.";
        let ended = End::ALL.into_iter().map(|end| {
            let labels = vec![("end", end.name())];
            (labels, self.sum(|counts| counts.ended(end)))
        });
        counters(encoder, ("connections_ended", help, None), ended)?;
        let help = "Number of first packets that passed, and that a later release refuses unless `protocol` says \
            otherwise, by reason.";
        let tolerated = TOLERATED.into_iter().enumerate().map(|(index, reason)| {
            let labels = vec![("reason", reason.name())];
            (labels, self.sum(|counts| counts.tolerated(index)))
        });
        counters(encoder, ("first_packets_tolerated", help, None), tolerated)?;
        let help = "Number of times that a connected client's certificate was judged again, by outcome: ok, or the reason \
            why the connection was closed.";
        let outcomes = std::iter::once(None).chain(Reason::ALL.map(Some));
        let rechecked = outcomes.map(|refused| {
            let labels = vec![("outcome", refused.map_or("ok", Reason::name))];
            (labels, self.sum(|counts| counts.rechecked(refused)))
        });
        counters(encoder, ("certificates_rechecked", help, None), rechecked)
    }

    fn handshakes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let labels = |outcome, version: Version, kind| {
            vec![
                ("outcome", outcome),
                ("version", version.name()),
                ("kind", kind),
            ]
        };
        let settled = [Version::Tls12, Version::Tls13].into_iter();
        let succeeded = settled.flat_map(|version| {
            Kind::ALL.map(|kind| {
                let labels = labels("ok", version, kind.name());
                (labels, self.sum(|counts| counts.succeeded(version, kind)))
            })
        });
        let failed = Failure::ALL.into_iter().flat_map(|failure| {
            Version::ALL.map(|version| {
                let labels = labels(failure.name(), version, "none");
                (labels, self.sum(|counts| counts.failed(failure, version)))
            })
        });
        let help = "Number of TLS handshakes, by outcome, protocol version and kind.";
        counters(encoder, ("handshakes", help, None), succeeded.chain(failed))
    }

    fn durations(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        of: fn(&Counts) -> &Durations,
    ) -> Result<(), Error> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]).enumerate();
        let buckets: Vec<(f64, u64)> = bounds
            .map(|(index, bound)| (bound, self.sum(|counts| of(counts).bucket(index))))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let nanoseconds = self.sum(|counts| of(counts).nanoseconds());
        let seconds = std::time::Duration::from_nanos(nanoseconds).as_secs_f64();
        encoder
            .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }

    fn trials(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let sums = self.0.trials.sums();
        let counted = Arm::ALL.into_iter().flat_map(|arm| {
            let outcomes = Outcome::ALL.into_iter();
            // Only who would get the candidate can be unable to verify it.
            let is_counted =
                move |outcome: &Outcome| arm == Arm::Candidate || *outcome != Outcome::Unable;
            outcomes
                .filter(is_counted)
                .map(move |outcome| (arm, outcome))
        });
        let counted = counted.map(|(arm, outcome)| {
            let labels = vec![("arm", arm.name()), ("outcome", outcome.name())];
            (labels, sums[arm as usize][outcome as usize])
        });
        let help = "Number of clients in trials of renewed certificates, by the certificate that they got and what became of them.";
        counters(encoder, ("trial_handshakes", help, None), counted)
    }

    /// Writes the gauges.
    fn gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let state = &self.0;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (trials_on, trials_held) = state.trials.on_and_held();
        for (name, help, value) in [
            (
                "trials_on",
                "Number of trials in which a share of the clients gets a renewed certificate.",
                count(trials_on),
            ),
            (
                "trials_held",
                "Number of these trials in which all clients get the current certificate, because no further device could be \
                remembered.",
                count(trials_held),
            ),
            (
                "connections_open",
                "Number of open connections: those whose client has sent its first packet; with another `protocol` \
                than `mqtt`, those whose handshake succeeded.",
                state.open.load(Ordering::Relaxed),
            ),
            (
                "handshakes_in_flight",
                "Number of TLS handshakes in progress.",
                state.waiting.handshaking(),
            ),
            (
                "certificates_to_recheck",
                "Number of connected clients whose certificates are still to be judged again.",
                count(state.to_recheck()),
            ),
        ] {
            let gauge = ConstGauge::new(i64::from(value));
            let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        let help = "Number of clients that the terminator waits for, by stage.";
        let mut encode =
            encoder.encode_descriptor("clients_waited_for", help, None, MetricType::Gauge)?;
        for stage in Stage::ALL {
            let gauge = ConstGauge::new(i64::from(state.waiting.of(stage)));
            gauge.encode(encode.encode_family(&[("stage", stage.name())])?)?;
        }
        Ok(())
    }
}

/// Writes a counter for each value of its labels.
fn counters<'l>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    values: impl Iterator<Item = (Vec<(&'l str, &'l str)>, u64)>,
) -> Result<(), Error> {
    let mut encoder = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
    for (labels, value) in values {
        let counter = ConstCounter::new(value);
        counter.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

impl Collector for Threads {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        self.connections(encoder)?;
        self.handshakes(encoder)?;
        self.trials(encoder)?;
        let name = "handshake_duration";
        let help = "Time from accept to the end of a successful handshake.";
        self.durations(encoder, (name, help), |counts| &counts.handshake_duration)?;
        let name = "dial_duration";
        let help = "Time to resolve the backend and connect to it, if successful.";
        self.durations(encoder, (name, help), |counts| &counts.dial_duration)?;
        self.gauges(encoder)?;
        let relayed = [
            ("to_backend", self.sum(|counts| counts.to_backend.get())),
            ("to_client", self.sum(|counts| counts.to_client.get())),
        ];
        let relayed = relayed.map(|(direction, bytes)| (vec![("direction", direction)], bytes));
        let help = "Relayed plaintext, by direction.";
        let unit = Some(&Unit::Bytes);
        counters(encoder, ("relayed", help, unit), relayed.into_iter())
    }
}
