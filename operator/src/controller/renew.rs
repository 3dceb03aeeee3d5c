//! The short way of a renewed certificate, while other listeners wait: only what it is rendered from is read, and only the
//! config Secret is written. The reconciliation that follows does the rest.
//!
//! It must not report: the reconciliation meets the same failure.

use tracing::debug;

use super::Context;
use crate::api::call;
use crate::apply::apply;
use crate::error::chain;
use crate::gather::gather_certificates;
use crate::plan::names::Name;
use crate::plan::{self, Plan};

/// Renews what a listener serves.
pub(super) async fn renew(name: &Name, context: &Context) {
    if let Err(error) = renewed(name, context).await {
        debug!(
            namespace = name.namespace,
            listener = name.name,
            error = chain(&error),
            "failed to renew the certificate first"
        );
    }
}

async fn renewed(name: &Name, context: &Context) -> Result<(), call::Error> {
    let Context {
        client, metrics, ..
    } = context;
    let seen = context.seen(name);
    let world = gather_certificates(client, &name.namespace, &name.name, &seen).await?;
    let Some(world) = world else {
        return Ok(());
    };
    let Plan {
        objects, report, ..
    } = plan::renew(&world, context.clock.now());
    let applied = apply(client, &report.identity, objects, &world.children, metrics).await;
    applied.map(drop).map_err(|failed| failed.error)
}
