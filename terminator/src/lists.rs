//! The sources of revocation lists, as the control thread reads them into the pool.
//!
//! It must not decide which lists count: the pool does.

use std::path::Path;

use jiff::Timestamp;

use crate::crls::file::CrlFile;
use crate::crls::urls::Urls;
use crate::crls::{self, Pool};
use crate::settings::Settings;
use crate::source::Source;

/// The sources.
pub(crate) struct Lists {
    file: Option<CrlFile>,
    /// Once the control thread runs.
    urls: Option<Urls>,
    /// Whether clients of any host are judged by lists.
    is_judged: bool,
}

impl Lists {
    /// Reads the file, if there is one, before clients are accepted.
    pub(crate) fn first(
        beside: &Source,
        file: Option<&Path>,
        settings: &Settings,
        now: Timestamp,
    ) -> Self {
        let file = file.map(|path| CrlFile::new(beside, path));
        let mut lists = Self {
            file,
            urls: None,
            is_judged: false,
        };
        lists.expect(settings, now);
        lists.reload(&settings.crls, now);
        lists
    }

    /// Begins to ask URLs. Call it within the control thread's runtime.
    pub(crate) fn ask(&mut self, settings: &Settings) {
        let urls = self.urls.insert(Urls::new(&settings.crls));
        urls.follow(&settings.crl_urls);
    }

    /// Takes the authorities and the sources of settings that are to take effect.
    pub(crate) fn expect(&mut self, settings: &Settings, now: Timestamp) {
        // The operator removes the file together with the last `revocation`.
        let is_judged = settings.judges_revocation();
        let was_judged = std::mem::replace(&mut self.is_judged, is_judged);
        let is_new = is_judged && !was_judged;
        let file = self.file.iter().filter(|_| is_judged);
        let file = file.map(|_| crls::Source::File);
        let urls = settings.crl_urls.iter();
        let urls = urls.map(|url| crls::Source::Url(url.written.url.clone()));
        let sources: Vec<_> = file.chain(urls).collect();
        let has_new_issuers = settings
            .crls
            .expect(settings.issuers(), &sources, is_judged);
        if let Some(file) = &mut self.file {
            if !is_judged {
                file.forget();
            } else if is_new || has_new_issuers {
                file.reload(&settings.crls, true, now);
            }
        }
        if let Some(urls) = &mut self.urls {
            urls.follow(&settings.crl_urls);
            if has_new_issuers {
                urls.ask_now(true);
            }
        }
    }

    /// Asks all URLs now.
    pub(crate) fn ask_now(&self) {
        if let Some(urls) = &self.urls {
            urls.ask_now(false);
        }
    }

    /// Reads the file if it has changed, and if clients are judged by it.
    pub(crate) fn reload(&mut self, pool: &Pool, now: Timestamp) {
        if let Some(file) = self.file.as_mut().filter(|_| self.is_judged) {
            file.reload(pool, false, now);
        }
    }
}
