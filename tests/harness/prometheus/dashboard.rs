//! The Prometheus queries of a Grafana dashboard, without Grafana. It must not judge their results.

use serde_json::Value;

/// Values of the dashboard's variables: everything, over the last minute.
const VARIABLES: [(&str, &str); 4] = [
    ("$__rate_interval", "1m"),
    ("$__range", "1m"),
    ("$namespace", ".*"),
    ("$listener", ".*"),
];

/// One query of a panel.
#[derive(Clone, Debug)]
pub struct Query {
    /// The panel's title.
    pub panel: String,
    /// The query with values in place of variables.
    pub expr: String,
}

/// Returns all queries of a dashboard, with values in place of variables. Panics at an unknown variable.
#[track_caller]
pub fn queries(dashboard: &str) -> Vec<Query> {
    let dashboard: Value = serde_json::from_str(dashboard).expect("a dashboard is JSON");
    let mut found = Vec::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap_or_default();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().expect("a target has a query");
            found.push(Query {
                panel: title.to_owned(),
                expr: substituted(expr),
            });
        }
    }
    assert!(!found.is_empty(), "the dashboard has no queries");
    found
}

/// Returns all panels, including those in rows.
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        found.push(panel);
        found.extend(panels(panel));
    }
    found
}

fn substituted(expr: &str) -> String {
    let expr = VARIABLES
        .iter()
        .fold(expr.to_owned(), |expr, (name, value)| {
            expr.replace(name, value)
        });
    assert!(!expr.contains('$'), "no value for a variable in {expr}");
    expr
}

/// Returns the selectors of a query or rule, as `name{matchers}`, for names with one of these prefixes. It supports only
/// PromQL without a `}` in matchers.
pub fn selectors(expr: &str, prefixes: &[&str]) -> Vec<String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let mut found = Vec::new();
    let mut rest = expr;
    while let Some(start) = rest.find(is_name) {
        let from = &rest[start..];
        let end = from.find(|letter| !is_name(letter)).unwrap_or(from.len());
        let (name, after) = from.split_at(end);
        rest = after;
        if after.starts_with('"') || !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let matchers = after
            .starts_with('{')
            .then(|| after.find('}').map_or("", |end| &after[..=end]));
        found.push(format!("{name}{}", matchers.unwrap_or_default()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{queries, selectors};

    #[test]
    fn variables_are_replaced_also_in_rows() {
        let dashboard = r#"{"panels": [{"panels": [
            {"title": "A", "targets": [{"expr": "rate(a{namespace=~\"$namespace\"}[$__rate_interval])"}]}
        ]}]}"#;
        let found = queries(dashboard);
        assert_eq!(found[0].panel, "A");
        assert_eq!(found[0].expr, "rate(a{namespace=~\".*\"}[1m])");
    }

    #[test]
    #[should_panic(expected = "no value for a variable in up == $x")]
    fn an_unknown_variable_panics() {
        queries(r#"{"panels": [{"title": "A", "targets": [{"expr": "up == $x"}]}]}"#);
    }

    #[test]
    fn selectors_are_found_with_their_matchers() {
        let expr = "sum by (mode) (rate(m_a{x=\"m_no\",y!~\"b|c\"}[5m])) / m_b > 1 unless up == 1";
        let found = selectors(expr, &["m_", "up"]);
        assert_eq!(found, ["m_a{x=\"m_no\",y!~\"b|c\"}", "m_b", "up"]);
    }
}
