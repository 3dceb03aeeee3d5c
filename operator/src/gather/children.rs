//! Reads the existing children, one of each kind, including those of other owners. It must not judge whose they are.

use futures::future::join_all;
use kube::Client;

use crate::api::call::Error;
use crate::api::child::ChildApi;
use crate::kinds;
use crate::plan::names::Identity;
use crate::plan::objects::Children;

/// Reads the children that exist.
pub(super) async fn children(client: &Client, identity: &Identity) -> Result<Children, Error> {
    let name = identity.child_name();
    let gets = kinds::children().map(async |(row, child)| {
        let api = ChildApi::new(client, &identity.namespace, row, child);
        (row.kind, api.get(&name).await)
    });
    let mut children = Children::default();
    // Wait for all reads, so that the same one of several errors is reported each time.
    for (kind, found) in join_all(gets).await {
        if let Some(object) = found? {
            children.put(kind, object);
        }
    }
    Ok(children)
}
