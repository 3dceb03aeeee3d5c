//! The results as Markdown and as JSON. It must not measure.

use serde::Serialize;
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::measure::Measure;

/// Results of a run.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) measures: Vec<Measure>,
    pub(crate) rows: Vec<Row>,
}

/// Results of a server.
pub(crate) struct Row {
    name: String,
    /// Why it was not measured.
    missing: Option<String>,
    pub(crate) about: Option<About>,
    cells: Vec<(Measure, Cell)>,
}

/// Properties of a server.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    pub(crate) version: String,
    /// The TLS library.
    pub(crate) library: String,
    /// The cipher suite.
    pub(crate) suite: String,
}

/// A measure of a server.
#[derive(Default)]
pub(crate) struct Cell {
    /// Figures of the successful rounds.
    pub(crate) rounds: Vec<Vec<f64>>,
    /// Errors of the other rounds.
    pub(crate) failures: Vec<String>,
    /// Why it is not measured.
    pub(crate) unable: Option<String>,
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            missing: None,
            about: None,
            cells: Vec::new(),
        }
    }

    /// Makes the row of a server that is not available on this machine.
    pub(crate) fn missing(name: &str, why: &str) -> Self {
        let mut row = Self::new(name);
        row.missing = Some(why.to_owned());
        row
    }

    /// Returns the cell of a measure, initially empty.
    pub(crate) fn cell(&mut self, measure: Measure) -> &mut Cell {
        let known = self.cells.iter().position(|(of, _)| *of == measure);
        let index = known.unwrap_or_else(|| {
            self.cells.push((measure, Cell::default()));
            self.cells.len() - 1
        });
        &mut self.cells[index].1
    }

    fn text(&self, measure: Measure, figure: usize) -> String {
        let cell = self.cells.iter().find(|(of, _)| *of == measure);
        match (&self.missing, cell) {
            (Some(_), _) => "not installed".to_owned(),
            (None, None) => "not measured".to_owned(),
            (None, Some((_, cell))) => cell.text(figure),
        }
    }
}

impl Cell {
    fn figures(&self, index: usize) -> Vec<f64> {
        self.rounds.iter().map(|figures| figures[index]).collect()
    }

    fn text(&self, index: usize) -> String {
        let figures = self.figures(index);
        let measured = spread(&figures).map(|[least, median, most]| match figures.len() {
            1 => number(median),
            _ => format!("{} ({}–{})", number(median), number(least), number(most)),
        });
        let failed = self.failures.first().map(|why| {
            let count = self.failures.len();
            format!(
                "failed in {count} of {} rounds: {why}",
                count + figures.len()
            )
        });
        let parts = [self.unable.clone(), measured, failed];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        parts.join("; ")
    }
}

impl Report {
    /// Reports whether all measurements succeeded.
    pub(crate) fn is_whole(&self) -> bool {
        let mut cells = self.rows.iter().flat_map(|row| &row.cells);
        cells.all(|(_, cell)| cell.failures.is_empty())
    }

    /// Formats a table of figures and one of the servers.
    pub(crate) fn markdown(&self) -> String {
        let columns: Vec<_> = self
            .measures
            .iter()
            .flat_map(|&measure| (0..measure.figures().len()).map(move |index| (measure, index)))
            .collect();
        let heads = columns.iter().map(|&(measure, index)| {
            let figure = measure.figures()[index];
            format!("{}, {}", figure.name, figure.unit)
        });
        let heads: Vec<_> = heads.collect();
        let mut lines = vec![
            format!("| | {} |", heads.join(" | ")),
            "|---".repeat(columns.len() + 1) + "|",
        ];
        for row in &self.rows {
            let cells = columns
                .iter()
                .map(|&(measure, index)| row.text(measure, index));
            let cells: Vec<_> = cells.collect();
            lines.push(format!("| {} | {} |", row.name, cells.join(" | ")));
        }
        lines.push(String::new());
        lines.push("| | version | TLS library | suite |".to_owned());
        lines.push("|---|---|---|---|".to_owned());
        lines.extend(self.rows.iter().map(Row::about_line));
        lines.push(String::new());
        let rounds = self.rounds;
        lines.push(format!(
            "Medians of {rounds} rounds (least–most). {}",
            self.machine.line()
        ));
        lines.join("\n") + "\n"
    }

    /// Formats all figures, round by round, as JSON.
    pub(crate) fn json(&self) -> String {
        let servers: Vec<_> = self
            .rows
            .iter()
            .map(|row| json!({"name": row.name, "about": row.about, "missing": row.missing}))
            .collect();
        let figures: Vec<_> = self.rows.iter().flat_map(Row::figures).collect();
        let all = json!({
            "machine": self.machine,
            "rounds": self.rounds,
            "servers": servers,
            "figures": figures,
        });
        serde_json::to_string_pretty(&all).expect("these are texts and numbers") + "\n"
    }
}

impl Row {
    fn about_line(&self) -> String {
        let text = match (&self.about, &self.missing) {
            (Some(about), _) => {
                format!("{} | {} | {}", about.version, about.library, about.suite)
            }
            (None, Some(why)) => format!("not installed: {why} | |"),
            (None, None) => "unknown | |".to_owned(),
        };
        format!("| {} | {text} |", self.name)
    }

    fn figures(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (measure, cell) in &self.cells {
            for (index, figure) in measure.figures().iter().enumerate() {
                let rounds = cell.figures(index);
                all.push(json!({
                    "server": self.name,
                    "measure": measure,
                    "name": figure.name,
                    "unit": figure.unit,
                    "median": spread(&rounds).map(|[_, median, _]| median),
                    "rounds": rounds,
                    "failures": cell.failures,
                    "unable": cell.unable,
                }));
            }
        }
        all
    }
}

/// Returns minimum, median and maximum; `None` without figures.
fn spread(figures: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    };
    Some([least, median, most])
}

/// Formats a number with commas between thousands; fractions below a hundred have one decimal place, others none.
fn number(figure: f64) -> String {
    if figure.abs() < 99.95 && figure.fract() != 0.0 {
        return format!("{figure:.1}");
    }
    let digits = format!("{:.0}", figure.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if figure < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpus::Cpus;

    fn report() -> Report {
        let mut ours = Row::new("terminator");
        ours.about = Some(About {
            version: "0.1.0".to_owned(),
            library: "rustls 0.23.46".to_owned(),
            suite: "AES_128_GCM_SHA256".to_owned(),
        });
        for figures in [[1500.0], [250.0], [4800.4]] {
            ours.cell(Measure::Idle).rounds.push(figures.to_vec());
        }
        let mut relay = Row::new("relay");
        relay.cell(Measure::Resumed).unable = Some("no TLS".to_owned());
        relay.cell(Measure::Trip).rounds.push(vec![11.24, 61.0]);
        Report {
            machine: Machine::look(Cpus { server: 0, load: 1 }, 65_536),
            rounds: 3,
            measures: vec![Measure::Resumed, Measure::Trip, Measure::Idle],
            rows: vec![ours, relay, Row::missing("hitch", "no apt-get")],
        }
    }

    #[test]
    fn the_table_has_medians_and_reasons() {
        let markdown = report().markdown();
        let lines: Vec<_> = markdown.lines().collect();
        assert_eq!(
            lines[..5],
            [
                "| | resumed handshake, µs CPU | round trip, µs CPU | round trip p50, µs | idle connection, bytes |",
                "|---|---|---|---|---|",
                "| terminator | not measured | not measured | not measured | 1,500 (250–4,800) |",
                "| relay | no TLS | 11.2 | 61 | not measured |",
                "| hitch | not installed | not installed | not installed | not installed |",
            ]
        );
        assert!(markdown.contains("| terminator | 0.1.0 | rustls 0.23.46 | AES_128_GCM_SHA256 |"));
        assert!(
            markdown.contains("| hitch | not installed: no apt-get | | |"),
            "{markdown}"
        );
    }

    #[test]
    fn a_failure_is_in_its_cell_and_in_the_exit_code() {
        let mut report = report();
        assert!(report.is_whole());
        let cell = report.rows[0].cell(Measure::Idle);
        cell.failures.push("connection refused".to_owned());
        assert!(!report.is_whole());
        let wanted = "1,500 (250–4,800); failed in 1 of 4 rounds: connection refused";
        assert!(report.markdown().contains(wanted));
    }

    #[test]
    fn json_has_every_round() {
        let value: Value = serde_json::from_str(&report().json()).expect("it is JSON");
        let figure = &value["figures"][0];
        assert_eq!(figure["server"], "terminator");
        assert_eq!(figure["measure"], "idle");
        assert_eq!(figure["rounds"], json!([1500.0, 250.0, 4800.4]));
        assert_eq!(figure["median"], 1500.0);
        assert_eq!(value["servers"][0]["about"]["suite"], "AES_128_GCM_SHA256");
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some([1.0, 2.0, 3.0]));
        assert_eq!(spread(&[4.0, 1.0]), Some([1.0, 2.5, 4.0]));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn numbers_are_readable() {
        let all = [0.0, 0.26, 11.24, 99.96, 999.6, 22_938.0, 1_234_567.0].map(number);
        assert_eq!(
            all,
            ["0", "0.3", "11.2", "100", "1,000", "22,938", "1,234,567"]
        );
        assert_eq!(number(-1500.0), "-1,500");
    }
}
