//! What a Grafana dashboard asks of Prometheus, without a Grafana. It must not judge what comes of it.

use serde_json::Value;

/// What the variables of a dashboard stand for: all of everything, over the last minute.
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
    /// With values in the place of variables.
    pub expr: String,
}

/// All queries of a dashboard, with values in the place of variables. One that is not known is a panic.
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
    assert!(!found.is_empty(), "the dashboard asks nothing");
    found
}

/// All panels, those within rows too.
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
    assert!(
        !expr.contains('$'),
        "there is no value for a variable in {expr}"
    );
    expr
}

/// The series that a query or rule looks at, each as a query of its own: `name{matchers}`, for the names that
/// begin in one of these ways. For the PromQL of this project, where no matcher holds a `}`.
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
    fn variables_have_values_also_within_rows() {
        let dashboard = r#"{"panels": [{"panels": [
            {"title": "A", "targets": [{"expr": "rate(a{namespace=~\"$namespace\"}[$__rate_interval])"}]}
        ]}]}"#;
        let found = queries(dashboard);
        assert_eq!(found[0].panel, "A");
        assert_eq!(found[0].expr, "rate(a{namespace=~\".*\"}[1m])");
    }

    #[test]
    #[should_panic(expected = "there is no value for a variable in up == $x")]
    fn a_variable_without_a_value_is_told() {
        queries(r#"{"panels": [{"title": "A", "targets": [{"expr": "up == $x"}]}]}"#);
    }

    #[test]
    fn selectors_are_found_with_their_matchers() {
        let expr = "sum by (mode) (rate(m_a{x=\"m_no\",y!~\"b|c\"}[5m])) / m_b > 1 unless up == 1";
        let found = selectors(expr, &["m_", "up"]);
        assert_eq!(found, ["m_a{x=\"m_no\",y!~\"b|c\"}", "m_b", "up"]);
    }
}
