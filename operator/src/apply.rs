//! Applies the planned children: [`Objects`] in, [`Applied`] out.
//!
//! It must decide nothing, and must write nothing when nothing differs. Every write is idempotent: it may
//! have succeeded although it appeared to fail.

mod compare;
mod marks;
mod quantity;
mod replace;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;

use crate::api::call::Error;
use crate::kinds::{Child, Object, Wave};
use crate::metrics::Metrics;
use crate::plan::names::{Identity, Ownership};
use crate::plan::objects::{Applied, Children, Objects, Step, Wanted};
use writer::Writer;

/// Not all children could be applied.
#[derive(Debug)]
pub struct Failed {
    /// The first error.
    pub error: Error,
    /// Whether the configuration was applied nevertheless.
    pub is_configured: bool,
}

/// Writes one child that was decided on after the others had been applied.
///
/// # Errors
///
/// The write failed.
pub async fn apply_one(
    client: &Client,
    identity: &Identity,
    step: Step,
    children: &mut Children,
    metrics: &Metrics,
) -> Result<(), Error> {
    let writer = Writer {
        client,
        identity,
        metrics,
    };
    writer.all(vec![step], children).await
}

/// Applies the planned children, wave after wave.
///
/// Continues after an error: a refused child must not hold back a renewed certificate.
pub async fn apply(
    client: &Client,
    identity: &Identity,
    objects: Objects,
    observed: &Children,
    metrics: &Metrics,
) -> Result<Applied, Failed> {
    let writer = Writer {
        client,
        identity,
        metrics,
    };
    let (steps, pods) = objects.steps();
    let (before, others): (Vec<Step>, Vec<Step>) = steps
        .into_iter()
        .partition(|step| step.wave() == Wave::Fallback);
    let (configuration, others): (Vec<Step>, Vec<Step>) = others
        .into_iter()
        .partition(|step| step.wave() == Wave::Configuration);
    let is_rendered = configuration
        .iter()
        .any(|step| matches!(step.wanted, Wanted::Present(_)));
    let mut children = observed.clone();
    let prepared = writer.all(before, &mut children).await;
    let configured = writer.all(configuration, &mut children).await;
    // Running pods mount the configuration, so they are marked before the other children are applied.
    let marked = match &configured {
        Ok(()) if is_rendered => marks::mark_all(&writer, &pods, &children).await,
        Ok(()) | Err(_) => Ok(BTreeMap::new()),
    };
    // Pods mount the Secret by name: if it could not be applied, the name may belong to another owner's Secret, or to one
    // of an earlier listener that accepted more clients.
    let is_own =
        |secret: &Arc<dyn Object>| identity.ownership(secret.metadata()) == Ownership::Ours;
    let is_mountable = configured.is_ok() || observed.of(Child::Configuration).is_some_and(is_own);
    let others = others.into_iter();
    let held_back = |step: &Step| step.wave() == Wave::Terminators && !is_mountable;
    let others = others.filter(|step| !held_back(step)).collect();
    let made = writer.all(others, &mut children).await;
    match (configured, prepared.and(made).and(marked)) {
        (Ok(()), Ok(marked)) => Ok(Applied { children, marked }),
        (Err(error), _) => Err(Failed {
            error,
            is_configured: false,
        }),
        (Ok(()), Err(error)) => Err(Failed {
            error,
            is_configured: true,
        }),
    }
}
