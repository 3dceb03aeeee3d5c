//! The ConfigMap with the CA certificates that devices are to trust. It must not contain anything from a Secret but certificates.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::Files;
use crate::kinds::Child;
use crate::plan::listener::Listener;
use crate::plan::names::{CA_KEY, Identity};
use crate::plan::objects::Wanted;

/// Returns the ConfigMap, if certificates are published and known. While nothing is rendered, it stays as it is.
pub(super) fn wanted(listener: &Listener, files: Option<&Files<'_>>) -> Wanted<ConfigMap> {
    if !listener.publishes_ca {
        return Wanted::Absent;
    }
    let Some(files) = files else {
        return Wanted::Kept;
    };
    let certificates = files.authorities.as_deref();
    certificates.map_or(Wanted::Absent, |text| {
        Wanted::new(build(&listener.identity, text))
    })
}

fn build(identity: &Identity, certificates: &str) -> ConfigMap {
    let data = BTreeMap::from([(CA_KEY.to_owned(), certificates.to_owned())]);
    ConfigMap {
        metadata: identity.child(Child::Authorities, &BTreeMap::new(), BTreeMap::new()),
        data: Some(data),
        ..ConfigMap::default()
    }
}
