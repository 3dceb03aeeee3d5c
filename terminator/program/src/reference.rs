//! The metrics of a program, as a Markdown table for its reference.
//!
//! It must not describe a metric: the registry does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

#[derive(Default)]
struct Metric {
    type_: String,
    help: String,
    labels: BTreeSet<String>,
}

/// Lists the metrics of a registry by name, with type, labels and help. Labels are found in samples: a family without
/// samples has none.
pub fn metrics(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, registry);
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, type_)) = described(line, "# TYPE ") {
            type_.clone_into(&mut metrics.entry(name.to_owned()).or_default().type_);
        } else if let Some((name, help)) = described(line, "# HELP ") {
            help.trim_end_matches('.')
                .clone_into(&mut metrics.entry(name.to_owned()).or_default().help);
        } else if let Some((sample, rest)) = line.split_once('{') {
            let last = metrics
                .iter_mut()
                .filter(|(name, _)| sample.starts_with(name.as_str()))
                .max_by_key(|(name, _)| name.len());
            let labels = rest.split_once('}').map(|(labels, _)| labels);
            if let Some((_, metric)) = last {
                metric.labels.extend(labels.into_iter().flat_map(names_of));
            }
        }
    }
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (name, metric) in metrics {
        let suffix = match metric.type_.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = metric.labels.iter().map(|one| format!("`{one}`")).collect();
        let _ = writeln!(
            table,
            "| `{name}{suffix}` | {} | {} | {} |",
            metric.type_,
            labels.join(", "),
            metric.help
        );
    }
    table
}

fn described<'l>(line: &'l str, sign: &str) -> Option<(&'l str, &'l str)> {
    line.strip_prefix(sign)?.split_once(' ')
}

/// Returns the names of labels, without the bounds of a histogram's buckets.
fn names_of(labels: &str) -> impl Iterator<Item = String> {
    labels
        .split("\",")
        .filter_map(|label| label.split_once('='))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name != "le")
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::registry::Registry;

    use super::metrics;

    #[test]
    fn a_metric_has_a_row() {
        let mut registry = Registry::default();
        let family: Family<[(&str, &str); 2], Counter> = Family::default();
        drop(family.get_or_create(&[("outcome", "a,b"), ("kind", "c")]));
        registry.register("reloads", "Reloads of the file", family);
        assert_eq!(
            metrics(&registry),
            "| metric | type | labels | meaning |\n|---|---|---|---|\n\
             | `reloads_total` | counter | `kind`, `outcome` | Reloads of the file |\n"
        );
    }
}
