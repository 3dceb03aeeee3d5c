//! Reads the existing children, including those of other owners. It must not judge whose they are.

use futures::future::join_all;
use kube::Client;

use crate::api::call::Error;
use crate::api::child::ChildApi;
use crate::kinds::{CHILDREN, Child, ChildRow};
use crate::plan::names::Identity;
use crate::plan::objects::Children;

/// Reads the children that exist.
pub(super) async fn children(client: &Client, identity: &Identity) -> Result<Children, Error> {
    some(client, identity, &CHILDREN).await
}

/// Reads the Secrets with the current and the last accepted configuration, if they exist.
pub(super) async fn configurations(
    client: &Client,
    identity: &Identity,
) -> Result<Children, Error> {
    let rows = [Child::Configuration, Child::Accepted].map(|child| *child.row());
    some(client, identity, &rows).await
}

async fn some(client: &Client, identity: &Identity, rows: &[ChildRow]) -> Result<Children, Error> {
    let gets = rows.iter().map(async |row| {
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
