//! Reads the existing children, including those of other owners. It must not judge whose they are.

use std::sync::Arc;

use futures::future::join_all;
use kube::Client;

use super::Seen;
use crate::api::call::Error;
use crate::api::child::ChildApi;
use crate::kinds::{CHILDREN, Child, ChildRow, Kind, Object};
use crate::plan::names::Identity;
use crate::plan::objects::Children;

/// Reads the children that exist, of which a listener has one each; rare ones of these kinds only.
pub(super) async fn children(
    client: &Client,
    identity: &Identity,
    rare: &[Kind],
) -> Result<Children, Error> {
    let rows = CHILDREN.iter().filter(|row| !row.is_plural);
    let rows = rows.filter(|row| !row.is_rare || rare.contains(&row.kind));
    some(client, identity, &rows.copied().collect::<Vec<_>>()).await
}

/// Reads the certificates that cert-manager issues for a listener; `None` if the cluster does not serve their kind.
pub(super) async fn certificates(
    client: &Client,
    identity: &Identity,
    seen: &Seen,
) -> Result<Option<Vec<Arc<dyn Object>>>, Error> {
    let api = ChildApi::new(client, &identity.namespace, Child::Certificate.row());
    let (owner, selector) = (identity.child_name(), identity.selector_text());
    match api.list(&owner, &selector).await {
        Ok(found) => Ok(Some(found)),
        // An API server that has just started serves none for a moment.
        Err(error) if error.is_not_found() && seen.unserved.contains(&Kind::Certificate) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
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
