//! All plans, and how one is run: the change, the way back, and what was seen meanwhile. It must not decide which values there
//! are.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use serde_json::Value;
use tests::state::CHILDREN;

use crate::hands::{self, Hand};
use crate::schema::{Field, Path, fields, placed};
use crate::stage::{Look, Stage, spec};
use crate::values::{MUTATIONS_MIN, of};
use crate::{Cluster, hints, judge, schema};

/// Upper bound for the way back. A port is closed a minute after devices are led to another one, which is 5 seconds after
/// the pods have opened it: for the change and for the way back.
const HEALED: Duration = Duration::from_secs(240);

/// Upper bound until the status reports what a hand holds, and the pause between two looks.
const REPORTED: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(150);

/// How often the operator may write after the way back.
const REST: usize = 4;

/// A part of the schema that is Kubernetes' own is deeper than this. Its share is smaller.
const OWN_DEPTH: usize = 3;

/// One run.
pub(crate) struct Plan {
    pub(crate) name: String,
    /// Whether it belongs to the share that always runs.
    pub(crate) is_shared: bool,
    change: Change,
}

enum Change {
    /// Of the spec: the field, its value, and the spec with it.
    Spec(Path, Option<Value>, Value),
    /// Of a child.
    Hand(Hand),
}

/// Returns all plans. Those of the children follow from the children of a first stage.
pub(crate) async fn all(cluster: &'static Cluster) -> Vec<Plan> {
    let mut plans = mutations();
    let stage = Stage::start(cluster).await;
    for (index, hand) in hands::all(&stage).await.into_iter().enumerate() {
        plans.push(Plan {
            name: hand.name.clone(),
            is_shared: index % 4 == 0,
            change: Change::Hand(hand),
        });
    }
    cluster.idle.lock().unwrap().push(stage);
    plans
}

/// The mutations of all fields, without those that change nothing.
fn mutations() -> Vec<Plan> {
    let (schema, base) = (schema::spec(), spec());
    let mut plans = Vec::new();
    for (index, field) in fields(&schema).into_iter().enumerate() {
        let begin = hints::base(&base, &field.path);
        let mutations = of(&field);
        let shared = shared(&field, index, mutations.len());
        for (place, mutation) in mutations.into_iter().enumerate() {
            let changed = placed(&schema, &begin, &field.path, mutation.value.as_ref());
            if changed == base {
                continue;
            }
            let name = format!("{}/{}", field.path, mutation.name);
            plans.push(Plan {
                name,
                is_shared: shared == Some(place),
                change: Change::Spec(field.path.clone(), mutation.value, changed),
            });
        }
    }
    plans
}

/// The mutation of a field that always runs: each time another kind, for each field of ours and some of Kubernetes'.
fn shared(field: &Field, index: usize, mutations: usize) -> Option<usize> {
    let is_own = field.path.0.len() <= OWN_DEPTH && !field.path.to_string().contains("affinity");
    (is_own || index.is_multiple_of(16)).then_some(index * 5 % mutations)
}

/// Names the fields that have too few mutations.
pub(crate) fn few() -> Option<String> {
    let fields = fields(&schema::spec());
    let few = fields
        .iter()
        .filter(|field| of(field).len() < MUTATIONS_MIN);
    let few: Vec<String> = few.map(|field| field.path.to_string()).collect();
    let hint = "add values to the table in tests/mutations/hints.rs";
    (!few.is_empty()).then(|| {
        format!(
            "less than {MUTATIONS_MIN} mutations of {}: {hint}",
            few.join(", ")
        )
    })
}

/// Runs a plan on a stage. One that has led to complaints is not used again.
pub(crate) async fn run(cluster: &'static Cluster, plan: &Plan) -> Result<(), Failed> {
    let idle = cluster.idle.lock().unwrap().pop();
    let stage = match idle {
        Some(stage) => stage,
        None => Stage::start(cluster).await,
    };
    stage.devices.take();
    let wrong = match &plan.change {
        Change::Spec(path, value, changed) => {
            mutate(&stage, plan, path, value.as_ref(), changed).await
        }
        Change::Hand(hand) => handle(&stage, hand).await,
    };
    if wrong.is_empty() {
        cluster.idle.lock().unwrap().push(stage);
        return Ok(());
    }
    let log = stage.operator.log();
    let namespace = stage.namespace.clone();
    stage.end().await;
    let mut wrong = wrong;
    if let Change::Spec(_, _, changed) = &plan.change {
        wrong.push(format!("spec: {changed}"));
    }
    let shown = wrong.join("\n");
    Err(format!("{shown}\n{namespace}: {log}").into())
}

async fn mutate(
    stage: &Stage,
    plan: &Plan,
    path: &Path,
    value: Option<&Value>,
    changed: &Value,
) -> Vec<String> {
    let generation = match stage.change(changed).await {
        Ok(generation) => generation,
        Err(message) => return judge::refusal(path, value, &message),
    };
    let mut wrong = Vec::new();
    match stage.settle(Some(generation)).await {
        Ok(look) => wrong.extend(judge::status(path, value, &look)),
        Err(why) => wrong.push(format!("status: {why}")),
    }
    if let Err(why) = stage.change(&spec()).await {
        wrong.push(format!("heals: the way back is refused: {why}"));
        return wrong;
    }
    wrong.extend(healed(stage).await);
    if hints::interruption(&plan.name).is_none() {
        wrong.extend(interruptions(stage));
    }
    wrong
}

async fn handle(stage: &Stage, hand: &Hand) -> Vec<String> {
    let mut wrong = Vec::new();
    hand.act(stage).await;
    if hand.holds() {
        if hand.may_be_harmless() {
            match stage.settle(None).await {
                Ok(look) if look.is_ready() => {}
                Ok(look) => wrong.extend(held(hand, &look)),
                Err(why) => wrong.push(format!("status: {why}")),
            }
        } else {
            wrong.extend(unreported(stage, hand).await);
        }
        hand.let_go(stage).await;
    }
    wrong.extend(healed(stage).await);
    if hand.interruption().is_none() {
        wrong.extend(interruptions(stage));
    }
    wrong
}

/// Waits until the status reports what a hand holds. Returns what it says instead.
async fn unreported(stage: &Stage, hand: &Hand) -> Option<String> {
    let begin = Instant::now();
    loop {
        let wrong = held(hand, &stage.look().await)?;
        if begin.elapsed() > REPORTED {
            return Some(wrong);
        }
        hand.insist(stage).await;
        tokio::time::sleep(LOOK).await;
    }
}

/// What is wrong with the status while a hand holds a child.
fn held(hand: &Hand, look: &Look) -> Option<String> {
    let messages = look.messages();
    let kind = CHILDREN[hand.kind][2];
    let is_reported = messages.contains(&format!("{kind} {}", crate::stage::CHILD));
    (!is_reported).then(|| format!("status: no condition names the {kind}: {messages}"))
}

/// What is wrong after the way back. The operator may write while pods come and go on a busy machine, but that must end.
async fn healed(stage: &Stage) -> Vec<String> {
    let mut written = Vec::new();
    for _ in 0..REST {
        if let Err(why) = stage.heal(HEALED).await {
            return vec![format!("heals: {why}")];
        }
        written = stage.written_at_rest().await;
        if written.is_empty() {
            return Vec::new();
        }
    }
    vec![format!("heals: written at rest: {}", written.join(", "))]
}

fn interruptions(stage: &Stage) -> Vec<String> {
    let seen = stage.devices.take();
    let mut incidents = seen.incidents;
    let count = incidents.len();
    incidents.truncate(5);
    if count > 5 {
        incidents.push(format!(
            "{count} in all, beside {} connections",
            seen.connections
        ));
    }
    incidents
        .into_iter()
        .map(|one| format!("served: {one}"))
        .collect()
}
