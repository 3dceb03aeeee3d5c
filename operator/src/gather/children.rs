//! Reads the existing children, including those of other owners. It must not judge whose they are.

use futures::future::join_all;
use kube::Client;

use crate::api::call::Error;
use crate::api::child::ChildApi;
use crate::kinds::{CHILDREN, Child};
use crate::plan::names::Identity;
use crate::plan::objects::Children;

/// Reads the children that exist.
pub(super) async fn children(client: &Client, identity: &Identity) -> Result<Children, Error> {
    let gets = CHILDREN.iter().map(async |row| {
        let api = ChildApi::new(client, &identity.namespace, row);
        (row.child, api.get(&identity.name_of(row.child)).await)
    });
    let mut children = Children::default();
    // Wait for all reads, so that the same one of several errors is reported each time.
    for (child, found) in join_all(gets).await {
        if let Some(object) = found? {
            children.put(child, object);
        }
    }
    Ok(children)
}

/// Reads the config Secret, if it exists.
pub(super) async fn config_secret(client: &Client, identity: &Identity) -> Result<Children, Error> {
    let (mut children, row) = (Children::default(), Child::Configuration.row());
    let api = ChildApi::new(client, &identity.namespace, row);
    if let Some(object) = api.get(&identity.name_of(row.child)).await? {
        children.put(row.child, object);
    }
    Ok(children)
}
