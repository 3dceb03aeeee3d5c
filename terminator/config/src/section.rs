//! A mapping of the file, read key by key: what is unknown, missing or of the wrong kind is collected, with
//! its line, and reading goes on.
//!
//! It must not quote a value other than a number, nor a key that does not look like one.

use crate::problem::Problem;
use crate::yaml::{self, Step, Value};

/// How far a key may be from a known one to be taken for a slip of it, by Jaro-Winkler's measure.
const NEAREST_MIN: f64 = 0.75;

/// The longest unknown key that is shown, in characters.
const KEY_SHOWN_MAX: usize = 64;

/// How many problems are told.
const PROBLEMS_MAX: usize = 20;

/// How many bytes are read again to find the lines of problems, each of which takes the whole text: of a
/// text that is no configuration at all, the first lines are enough.
const REREAD_MAX: usize = 2 * 1024 * 1024;

/// What has been found so far, and the text that the lines are looked up in.
pub(crate) struct Report<'t> {
    text: &'t str,
    problems: Vec<Problem>,
    untold: usize,
    reread: usize,
}

impl<'t> Report<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
            untold: 0,
            reread: 0,
        }
    }

    /// The problems, and how many more there are than are told.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        if self.untold > 0 {
            let message = format!("and {} more problems", self.untold);
            self.problems.push(Problem {
                line: None,
                key: String::new(),
                message,
            });
        }
        self.problems
    }

    /// Notes a problem at the end of a path, or else at the end of the path to its parent: a missing
    /// key has no line of its own.
    fn note(&mut self, paths: [&[Step]; 2], key: String, message: String) {
        if self.is_full() {
            self.untold += 1;
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

/// One mapping of the file, of which each key is taken at most once.
pub(crate) struct Section<'r, 't> {
    entries: Vec<(String, Value)>,
    pub(crate) path: Vec<Step>,
    known: Vec<&'static str>,
    pub(crate) report: &'r mut Report<'t>,
}

impl<'r, 't> Section<'r, 't> {
    /// Opens a mapping; anything else is a problem. An empty value is an empty mapping, as in
    /// `drain:` with all its keys commented out.
    pub(crate) fn new(value: Value, path: Vec<Step>, report: &'r mut Report<'t>) -> Option<Self> {
        let mut section = Self {
            entries: Vec::new(),
            path,
            known: Vec::new(),
            report,
        };
        match value {
            Value::Null => {}
            Value::Mapping(mapping) => {
                for (key, value) in mapping {
                    match key {
                        Value::String(key) => section.entries.push((key, value)),
                        other => section
                            .complain_here(format!("a key must be a text, found {}", kind(&other))),
                    }
                }
            }
            other => {
                section.complain_here(format!("expected keys and values, found {}", kind(&other)));
                return None;
            }
        }
        Some(section)
    }

    /// Takes a key's value, if it is there; a value that does not read is a problem.
    pub(crate) fn take<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.remove(key)?;
        let found = if value.is_string() {
            "another text".to_owned()
        } else {
            kind(&value)
        };
        let taken = read(value);
        if taken.is_none() {
            self.complain(key, format!("expected {expected}, found {found}"));
        }
        taken
    }

    /// Reads a nested mapping, if it is there.
    pub(crate) fn nested<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> Option<T> {
        let value = self.remove(key)?;
        let mut path = self.path.clone();
        path.push(Step::Key(key.to_owned()));
        let mut section = Section::new(value, path, self.report)?;
        let read = read(&mut section);
        section.finish();
        Some(read)
    }

    /// Whether a key is there, and nothing is behind it, or nothing but braces.
    pub(crate) fn says_nothing(&self, key: &str) -> bool {
        let is_empty = |value: &Value| {
            value.is_null() || value.as_mapping().is_some_and(yaml::Mapping::is_empty)
        };
        self.entries
            .iter()
            .any(|(name, value)| name == key && is_empty(value))
    }

    /// Complains of a missing key, unless it was there and wrong: then that was said already.
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

    /// Complains of the keys that nobody took.
    pub(crate) fn finish(mut self) {
        for (key, _) in std::mem::take(&mut self.entries) {
            if self.report.is_full() {
                self.report.untold += 1;
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

    pub(crate) fn remove(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.entries.swap_remove(index);
        // `host:` with nothing behind it is as if it were not there.
        (!value.is_null()).then_some(value)
    }

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

/// What a value is, in words, and which number if it is one.
pub(crate) fn kind(value: &Value) -> String {
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

/// A key as it may be shown: a text that does not look like a key may be a slipped secret.
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
