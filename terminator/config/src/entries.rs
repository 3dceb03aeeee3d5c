//! One mapping of the file, read key by key. Unknown and missing keys and values of the wrong kind are collected
//! with their lines, and reading goes on.
//!
//! It must not quote a value other than a number, nor a key that does not look like one.

use crate::key::{Key, Required, Section, Values, Visitor};
use crate::problem::Problem;
use crate::yaml::{self, Step, Value};

/// How similar to a known key an unknown one must be to be taken for a typo (Jaro-Winkler similarity, 0 to 1).
const NEAREST_MIN: f64 = 0.75;

/// Maximum length of an unknown key that is shown, in bytes.
const KEY_SHOWN_MAX: usize = 64;

/// Maximum number of problems listed.
const PROBLEMS_MAX: usize = 20;

/// Maximum number of bytes that are parsed again to find the lines of problems; each problem takes the whole
/// text. The problems after that have no line.
const REREAD_MAX: usize = 2 * 1024 * 1024;

/// The problems found so far, and the text in which their lines are looked up.
pub(crate) struct Report<'t> {
    text: &'t str,
    problems: Vec<Problem>,
    unlisted: usize,
    reread: usize,
}

impl<'t> Report<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
            unlisted: 0,
            reread: 0,
        }
    }

    /// Returns the problems, and last how many more there are.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        if self.unlisted > 0 {
            let message = format!("and {} more problems", self.unlisted);
            self.problems.push(Problem {
                line: None,
                key: String::new(),
                message,
            });
        }
        self.problems
    }

    /// Adds a problem, with the line of the first path that leads somewhere: a missing key has no line of its own,
    /// and gets its parent's.
    fn note(&mut self, paths: [&[Step]; 2], key: String, message: String) {
        if self.is_full() {
            self.unlisted += 1;
            return;
        }
        let line = paths
            .into_iter()
            .filter(|path| !path.is_empty())
            .find_map(|path| self.line_of(path));
        self.problems.push(Problem { line, key, message });
    }
}

impl Report<'_> {
    /// Reports whether there is no problem yet.
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn is_full(&self) -> bool {
        self.problems.len() == PROBLEMS_MAX
    }

    fn line_of(&mut self, path: &[Step]) -> Option<usize> {
        self.reread += self.text.len();
        (self.reread <= REREAD_MAX)
            .then(|| yaml::line_of(self.text, path))
            .flatten()
    }
}

/// One mapping of the file; each key is taken at most once.
pub(crate) struct Entries<'r, 't> {
    values: Vec<(String, Value)>,
    path: Vec<Step>,
    known: Vec<&'static str>,
    report: &'r mut Report<'t>,
}

impl Visitor for Entries<'_, '_> {
    fn key<T>(&mut self, key: &Key<T>) -> T {
        self.take(key.name, &key.values).unwrap_or_else(key.default)
    }
}

impl<'r, 't> Entries<'r, 't> {
    /// Opens a mapping; anything else is a problem. An empty value is an empty mapping, as in `drain:` with all
    /// its keys commented out.
    pub(crate) fn new(value: Value, path: Vec<Step>, report: &'r mut Report<'t>) -> Option<Self> {
        let mut opened = Self {
            values: Vec::new(),
            path,
            known: Vec::new(),
            report,
        };
        match value {
            Value::Null => {}
            Value::Mapping(mapping) => {
                for (key, value) in mapping {
                    match key {
                        Value::String(key) => opened.values.push((key, value)),
                        other => opened
                            .complain_here(format!("a key must be a text, found {}", kind(&other))),
                    }
                }
            }
            other => {
                opened.complain_here(format!("expected keys and values, found {}", kind(&other)));
                return None;
            }
        }
        Some(opened)
    }

    /// Takes the value of a key that must be there.
    pub(crate) fn required<T>(&mut self, key: &Required<T>) -> Option<T> {
        let taken = self.take(key.name, &key.values);
        self.require(key.name, taken.is_some());
        taken
    }

    /// Takes a key's value, if it is there; a value that the key does not take is a problem.
    fn take<T>(&mut self, key: &'static str, values: &Values<T>) -> Option<T> {
        let value = self.remove(key)?;
        let found = if value.is_string() {
            "another text".to_owned()
        } else {
            kind(&value)
        };
        let taken = values.read(value);
        if taken.is_none() {
            self.complain(
                key,
                format!("expected {}, found {found}", values.expected()),
            );
        }
        taken
    }

    /// Reads a section, or its defaults where the file has none.
    pub(crate) fn section<S: Section + Default>(&mut self) -> S {
        self.nested(S::NAME, |entries| S::visit(entries))
            .unwrap_or_default()
    }

    /// Reads a nested mapping, if it is there.
    pub(crate) fn nested<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Entries<'_, 't>) -> T,
    ) -> Option<T> {
        let value = self.remove(key)?;
        let mut path = self.path.clone();
        path.push(Step::Key(key.to_owned()));
        let mut entries = Entries::new(value, path, self.report)?;
        let read = read(&mut entries);
        entries.finish();
        Some(read)
    }

    /// Reads a list of mappings, if it is there.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        most: usize,
        read: impl Fn(&mut Entries<'_, 't>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.remove(key) else {
            return Vec::new();
        };
        let Value::Sequence(entries) = value else {
            self.complain(key, format!("expected a list, found {}", kind(&value)));
            return Vec::new();
        };
        if entries.len() > most {
            let message = format!("{} entries; at most {most} are allowed", entries.len());
            self.complain(key, message);
            return Vec::new();
        }
        let mut path = self.path.clone();
        path.push(Step::Key(key.to_owned()));
        let mut list = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            let mut path = path.clone();
            path.push(Step::Index(index));
            let Some(mut entry) = Entries::new(entry, path, self.report) else {
                continue;
            };
            let read = read(&mut entry);
            entry.finish();
            list.extend(read);
        }
        list
    }

    /// Reports whether the file has no problem yet.
    pub(crate) fn is_clean(&self) -> bool {
        self.report.is_clean()
    }

    /// Reports whether a key is there and has a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        let mut values = self.values.iter();
        values.any(|(name, value)| name == key && !value.is_null())
    }

    /// Reports whether a key is there without a value, or with empty braces.
    pub(crate) fn is_empty(&self, key: &str) -> bool {
        let is_empty = |value: &Value| {
            value.is_null() || value.as_mapping().is_some_and(yaml::Mapping::is_empty)
        };
        self.values
            .iter()
            .any(|(name, value)| name == key && is_empty(value))
    }

    /// Adds a problem for a missing key, unless there is one for its value already.
    pub(crate) fn require(&mut self, key: &'static str, taken: bool) {
        let dotted = dotted(&self.path, key);
        if !taken
            && !self
                .report
                .problems
                .iter()
                .any(|problem| problem.key == dotted)
        {
            self.complain(key, "missing: it is mandatory".to_owned());
        }
    }

    /// Adds a problem for each key that was not taken.
    pub(crate) fn finish(mut self) {
        for (key, _) in std::mem::take(&mut self.values) {
            if self.report.is_full() {
                self.report.unlisted += 1;
                continue;
            }
            let nearest = self
                .known
                .iter()
                .map(|known| {
                    (
                        strsim::jaro_winkler(&key.to_lowercase(), &known.to_lowercase()),
                        known,
                    )
                })
                .filter(|(likeness, _)| *likeness >= NEAREST_MIN)
                .max_by(|one, other| one.0.total_cmp(&other.0));
            let message = match nearest {
                Some((_, known)) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; known here are {}", self.known.join(", ")),
            };
            self.complain(&key, message);
        }
    }

    /// Takes a key's value, and makes the key known.
    pub(crate) fn remove(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let index = self.values.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.values.swap_remove(index);
        // `host:` without a value is the same as no `host`.
        (!value.is_null()).then_some(value)
    }

    /// Adds a problem of a key.
    pub(crate) fn complain(&mut self, key: &str, message: String) {
        let mut path = self.path.clone();
        path.push(Step::Key(key.to_owned()));
        let key = dotted(&self.path, &shown(key));
        self.report.note([&path, &self.path], key, message);
    }

    fn complain_here(&mut self, message: String) {
        let key = dotted(&self.path, "");
        self.report.note([&self.path, &[]], key, message);
    }
}

/// Describes a value's kind; of values, only numbers are shown.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a text".to_owned(),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "keys and values".to_owned(),
        Value::Tagged(_) => "a value with a tag".to_owned(),
    }
}

/// Returns a key as it may be shown: a text that does not look like a key may be a secret in the wrong place.
fn shown(key: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
    if key.len() <= KEY_SHOWN_MAX && key.chars().all(plain) {
        return key.to_owned();
    }
    format!("(a key of {} characters, not shown)", key.chars().count())
}

fn dotted(path: &[Step], key: &str) -> String {
    let mut dotted = String::new();
    for step in path {
        match step {
            Step::Key(key) if dotted.is_empty() => dotted.push_str(key),
            Step::Key(key) => dotted = format!("{dotted}.{key}"),
            Step::Index(index) => dotted = format!("{dotted}[{index}]"),
        }
    }
    match (dotted.is_empty(), key.is_empty()) {
        (_, true) => dotted,
        (true, false) => key.to_owned(),
        (false, false) => format!("{dotted}.{key}"),
    }
}
