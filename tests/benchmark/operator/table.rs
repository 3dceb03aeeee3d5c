//! The operator's figures as Markdown and as JSON. It must not measure.

use serde::Serialize;
use serde_json::json;

/// A figure of one build.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: String,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it should be at most, if there is a goal.
    pub(crate) goal: Option<f64>,
    /// The figure.
    pub(crate) value: f64,
}

/// The figures of a build.
#[derive(Debug, Serialize)]
pub(crate) struct Column {
    /// The build's name.
    pub(crate) name: String,
    /// Its figures, the same in each column.
    pub(crate) figures: Vec<Figure>,
}

/// Formats a table with a line for each figure.
pub(crate) fn markdown(columns: &[Column], about: &str) -> String {
    let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
    let mut lines = vec![
        format!("| | goal | {} |", names.join(" | ")),
        "|---".repeat(names.len() + 2) + "|",
    ];
    let first = columns.first().map(|column| &*column.figures);
    for (index, figure) in first.unwrap_or_default().iter().enumerate() {
        let goal = figure
            .goal
            .map_or(String::new(), |goal| format!("≤ {}", number(goal)));
        let values = columns.iter().map(|column| {
            let figure = column.figures.get(index);
            figure.map_or(String::new(), |figure| number(figure.value))
        });
        let values: Vec<_> = values.collect();
        lines.push(format!(
            "| {}, {} | {goal} | {} |",
            figure.name,
            figure.unit,
            values.join(" | ")
        ));
    }
    lines.push(String::new());
    lines.push(about.to_owned());
    lines.join("\n") + "\n"
}

/// Formats all figures as JSON.
pub(crate) fn json(columns: &[Column], about: &str) -> String {
    let all = json!({"builds": columns, "about": about});
    serde_json::to_string_pretty(&all).expect("these are texts and numbers") + "\n"
}

/// Formats a number with at most one decimal place.
fn number(figure: f64) -> String {
    if figure.fract().abs() < 0.05 || figure.abs() >= 1000.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, Figure, markdown, number};

    #[test]
    fn builds_are_columns() {
        let column = |name: &str, value| Column {
            name: name.to_owned(),
            figures: vec![Figure {
                name: "calls".to_owned(),
                unit: "each",
                goal: Some(14.0),
                value,
            }],
        };
        let table = markdown(&[column("before", 21.0), column("now", 12.5)], "A machine.");
        assert_eq!(
            table,
            "| | goal | before | now |\n|---|---|---|---|\n| calls, each | ≤ 14 | 21 | 12.5 |\n\nA machine.\n"
        );
    }

    #[test]
    fn numbers_have_one_decimal_place_at_most() {
        assert_eq!(
            [0.0, 0.26, 12.04, 1234.56].map(number),
            ["0", "0.3", "12", "1235"]
        );
    }
}
