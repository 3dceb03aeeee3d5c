//! A watch that lists again after a "not found", and what that means. It must not log.

use std::fmt::Debug;

use futures::Stream;
use futures::stream::{self, StreamExt};
use kube::core::Status;
use kube::runtime::watcher;
use kube::runtime::watcher::{Config, Error, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// A watch that lists again after a "not found". kube's watcher would resume silently from the old version, but an API server that has just
/// started does not serve custom resources for a moment. Of several versions of an API, the cluster may serve any: each is tried before
/// one counts as missing.
pub(super) fn relisting<K>(
    apis: Vec<Api<K>>,
    config: Config,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let versions = apis.len();
    let mut apis = apis.into_iter().cycle();
    let mut begin = move || {
        let api = apis.next();
        api.map_or_else(
            || stream::empty().boxed(),
            |api| watcher(api, config.clone()).boxed(),
        )
    };
    stream::unfold(
        (begin(), begin, (0, versions)),
        async |(mut watch, mut begin, (mut tried, versions))| {
            loop {
                let event = watch.next().await?;
                let is_missing = event.as_ref().is_err_and(is_unknown);
                if is_missing {
                    watch = begin();
                    tried += 1;
                }
                // An attempt begins with this, whatever comes of it.
                let is_begin = matches!(event, Ok(Event::Init));
                if !is_missing || tried >= versions {
                    let tried = if is_begin { tried } else { 0 };
                    return Some((event, (watch, begin, (tried, versions))));
                }
            }
        },
    )
}

/// Reports whether the API server does not serve the watched resource.
pub(super) fn is_unknown(error: &Error) -> bool {
    refusal(error).is_some_and(|status| status.code == 404)
}

/// Returns the API server's response, if it refused.
pub(super) fn refusal(error: &Error) -> Option<&Status> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status),
        _ => None,
    }
}
