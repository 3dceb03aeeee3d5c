//! The configuration that a terminator starts with: the file's, or the fallback's if the file's cannot run.
//!
//! It must not start anything. A running terminator changes its configuration in `control`.

use std::net::TcpListener;
use std::path::Path;

use mqtt_tls_config::{Authentication, Config};
use tracing::warn;

use crate::load::{self, Loaded};
use crate::settings::Settings;
use crate::sockets::{self, Bound, Sharing};
use crate::source::{self, Source};
use crate::{StartError, admin};

/// A configuration that can run, with its ports bound.
pub(crate) struct Opened {
    pub(crate) loaded: Loaded,
    /// Whether it is the fallback's.
    pub(crate) is_fallback: bool,
    pub(crate) listeners: Vec<Bound>,
    pub(crate) admin: TcpListener,
}

impl Opened {
    /// Opens the file, or else the fallback.
    pub(crate) fn first(
        source: &Source,
        fallback: Option<&Path>,
        threads: usize,
    ) -> Result<Self, StartError> {
        let refused = match Self::open(source, threads) {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let Some(path) = fallback else {
            return Err(refused);
        };
        if !authenticates_alike(source, &source.beside(path)) {
            // What is mounted may be older than what the operator has written.
            warn!(fallback = %path.display(), "fallback refused: it authenticates clients differently");
            return Err(refused);
        }
        match Self::open(&source.beside(path), threads) {
            Ok(opened) => {
                warn!(
                    fallback = %path.display(),
                    "configuration refused; starting from the fallback: {}",
                    refused.chain()
                );
                Ok(Self {
                    is_fallback: true,
                    ..opened
                })
            }
            Err(error) => {
                warn!(fallback = %path.display(), "fallback refused: {}", error.chain());
                Err(refused)
            }
        }
    }

    fn open(source: &Source, threads: usize) -> Result<Self, StartError> {
        let text = source.read().map_err(unreadable)?;
        let loaded = load::first(&text).map_err(StartError::Load)?;
        let (listeners, admin) = bind(&loaded.settings, threads)?;
        Ok(Self {
            loaded,
            is_fallback: false,
            listeners,
            admin,
        })
    }
}

/// Reports whether a fallback authenticates clients as the file does, of which this terminator may not know each key. A file that
/// cannot be read, or is not YAML, says nothing about them.
fn authenticates_alike(source: &Source, fallback: &Source) -> bool {
    let (Ok(wanted), Ok(found)) = (source.read(), fallback.read()) else {
        return true;
    };
    let parsed = Config::parse(&wanted.text).ok();
    if let Some((wanted, found)) = parsed.zip(Config::parse(&found.text).ok()) {
        return wanted.authenticates_as(&found);
    }
    let wanted = Authentication::of(&wanted.text);
    wanted.is_none_or(|wanted| Authentication::of(&found.text) == Some(wanted))
}

pub(crate) fn unreadable(error: source::Error) -> StartError {
    StartError::Load(load::Error::Read(error))
}

/// Binds the listener's ports once for each thread, and the admin port.
fn bind(settings: &Settings, threads: usize) -> Result<(Vec<Bound>, TcpListener), StartError> {
    let failed = |which, address: String| {
        move |source| StartError::Bind {
            which,
            address,
            source,
        }
    };
    let listeners = sockets::bind_all(settings.places().into_iter(), threads, &[])
        .map_err(|(place, source)| failed("the listener", place.to_string())(source))?;
    let admin = admin::bind(settings.admin, Sharing::Alone)
        .map_err(failed("the admin port", settings.admin.to_string()))?;
    Ok((listeners, admin))
}
