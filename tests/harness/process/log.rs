//! The output of a child: all lines in a file, the last ones in memory. It must not block the child for longer than a
//! write to a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::workdir;

/// Number of lines kept in memory.
const KEPT: usize = 10_000;
/// Number of lines shown in a panic.
const SHOWN: usize = 60;

#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    kept: Arc<Mutex<Kept>>,
    readers: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    lines: VecDeque<String>,
    dropped: usize,
}

impl Log {
    pub(super) fn follow(
        name: &str,
        stdout: Option<impl Read + Send + 'static>,
        stderr: Option<impl Read + Send + 'static>,
    ) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = workdir::logs().join(format!("{number:03}-{name}.log"));
        let file = File::create(&path)
            .unwrap_or_else(|error| panic!("failed to create {}: {error}", path.display()));
        let kept = Arc::new(Mutex::new(Kept {
            file,
            lines: VecDeque::new(),
            dropped: 0,
        }));
        let readers = [
            stdout.map(|out| read_lines(out, &kept)),
            stderr.map(|err| read_lines(err, &kept)),
        ];
        Self {
            path,
            kept,
            readers: Mutex::new(readers.into_iter().flatten().collect()),
        }
    }

    /// After the end of the process: waits for its last lines, with a limit, because a remaining grandchild may hold
    /// the pipe open.
    pub(super) fn drain(&self) {
        let readers = self
            .readers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let deadline = Instant::now() + Duration::from_secs(2);
        while readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn find(&self, mark: usize, matches: impl Fn(&str) -> bool) -> Option<String> {
        let kept = self.kept();
        let skip = mark.saturating_sub(kept.dropped);
        kept.lines
            .iter()
            .skip(skip)
            .find(|line| matches(line))
            .cloned()
    }

    pub(super) fn count(&self) -> usize {
        let kept = self.kept();
        kept.dropped + kept.lines.len()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.kept().lines.iter().cloned().collect()
    }

    pub(super) fn tail(&self) -> String {
        let kept = self.kept();
        let skip = kept.lines.len().saturating_sub(SHOWN);
        let shown: Vec<_> = kept.lines.iter().skip(skip).map(String::as_str).collect();
        format!(
            "--- last lines of {}\n{}\n---",
            self.path.display(),
            shown.join("\n")
        )
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn read_lines(stream: impl Read + Send + 'static, kept: &Arc<Mutex<Kept>>) -> JoinHandle<()> {
    let kept = Arc::clone(kept);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        // A read error is treated as the end of the stream.
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let mut kept = kept
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            // A full disk must not fail the test; the lines are in memory, too.
            let _ = kept.file.write_all(&line);
            kept.lines
                .push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
            if kept.lines.len() > KEPT {
                kept.lines.pop_front();
                kept.dropped += 1;
            }
            line.clear();
        }
    })
}

/// Reads a stream to its end.
pub(super) fn read_all(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // On an error, the bytes before it are still useful.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
