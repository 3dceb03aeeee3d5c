//! The children that exist, also those that someone else made: one of each kind that the table has children of.

use futures::future::join_all;
use kube::Client;

use crate::api::call::Error;
use crate::api::child::ChildApi;
use crate::kinds;
use crate::plan::names::Identity;
use crate::plan::objects::Children;

/// Those that exist.
pub(super) async fn children(client: &Client, identity: &Identity) -> Result<Children, Error> {
    let name = identity.child_name();
    let gets = kinds::children().map(async |(row, child)| {
        let api = ChildApi::new(client, &identity.namespace, row, child);
        (row.kind, api.get(&name).await)
    });
    let mut children = Children::default();
    // All are waited for, so that of several errors it is always the same one that is reported.
    for (kind, found) in join_all(gets).await {
        if let Some(object) = found? {
            children.put(kind, object);
        }
    }
    Ok(children)
}
