//! The expected size of a configuration, and room in it for what serves, before what is tried. It must not take a certificate out that
//! clients have without a trial.

use std::cmp::Reverse;

use mqtt_tls_config::{AVOIDED_MAX, TRIAL_ID_LENGTH_MAX, TRIALS_MAX};

use super::{Choices, PER_LINE, PER_TEXT, RESERVE, REST, SIZE_MAX, Weight, rules_size, weight};
use crate::plan::certificates::choose::Chosen;
use crate::plan::certificates::lists;
use crate::plan::source::Source;
use crate::plan::trials::stage::{Staged, Standing};

/// Bytes that the file of trials has at most: of each trial and each device a line.
const TRIALS_SIZE_MAX: usize = (TRIALS_MAX + AVOIDED_MAX) * (TRIAL_ID_LENGTH_MAX + 40);

impl Choices {
    /// Returns the expected size of the file, which is at least that of any usual one.
    pub(super) fn size(&self) -> usize {
        let hosts = self.hosts.iter().map(|host| {
            let names = host.names.iter().map(|name| name.len() + PER_LINE);
            let protocols = host.alpn.iter().flat_map(|alpn| &alpn.protocols);
            let protocols = protocols.map(|protocol| {
                let backend = protocol.backend.as_ref();
                let broker = backend.map_or(0, |backend| backend.host.len() + 2 * PER_TEXT);
                protocol.name.len() + PER_TEXT + broker
            });
            let texts = names.sum::<usize>() + protocols.sum::<usize>() + 4 * PER_TEXT;
            let texts = texts + rules_size(&host.chosen);
            Weight::of_chosen(&host.chosen).sum() + texts
        });
        let urls = self.urls().into_iter();
        let urls = urls.map(|url| url.url.len() + PER_TEXT + url.ca.as_ref().map_or(0, weight));
        let listener = Weight::of_chosen(&self.listener).sum() + rules_size(&self.listener);
        REST + listener + urls.sum::<usize>() + hosts.sum::<usize>()
    }

    /// Returns the maximum size of the file: the Secret has the revocation lists, too.
    pub(super) fn size_max(&self) -> usize {
        let has_crls = self.all().any(|chosen| !chosen.crls.is_empty());
        let crls = if has_crls { lists::SIZE_MAX } else { 0 };
        let has_trials = self.staged().any(|one| one.rendered().is_some());
        let trials = if has_trials { TRIALS_SIZE_MAX } else { 0 };
        SIZE_MAX - crls - trials
    }

    /// Takes a candidate out of all other places if it has none in one of them.
    pub(super) fn agree_on_candidates(&mut self) {
        let without = self
            .staged()
            .filter(|one| one.standing == Standing::TooLarge);
        let without: Vec<Source> = without.map(|one| one.source.clone()).collect();
        let shown = self.staged_mut().filter(|one| one.rendered().is_some());
        shown
            .filter(|one| without.contains(&one.source))
            .for_each(Staged::make_room);
    }

    /// Takes candidates out until the rest is expected to fit, those first whose trials have not begun: what serves comes before what is
    /// tried. Where several hosts have a certificate, its trial is in all of them or in none.
    pub(super) fn fit_candidates(&mut self) {
        while self.size() + RESERVE > self.size_max() {
            let rendered = self.staged_mut().filter_map(|one| {
                let candidate = one.rendered()?;
                Some((one.is_known, candidate, one))
            });
            let first = rendered.min_by_key(|(is_known, candidate, _)| {
                (*is_known, Reverse(candidate.pem.expose().len()))
            });
            let Some((_, _, one)) = first else {
                return;
            };
            one.make_room();
            self.agree_on_candidates();
        }
    }
}

impl Chosen {
    /// Takes all candidates out, because there is no place for them.
    pub(super) fn untry(&mut self) {
        for one in &mut self.staged {
            if one.rendered().is_some() {
                one.make_room();
            }
        }
    }
}
