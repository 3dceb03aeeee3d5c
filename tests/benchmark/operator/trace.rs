//! The operator's requests, from the API server's audit log, read as it grows. It must not make any request.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;

/// The group of Leases, whose renewals do not count.
const LEASES: &str = "leases";

/// A completed request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Whether the operator made it.
    pub(crate) is_operator: bool,
    pub(crate) verb: String,
    /// The plural, and the subresource behind a slash.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// When the API server received it.
    pub(crate) begun: Timestamp,
    /// When the API server had answered it.
    pub(crate) ended: Timestamp,
}

impl Request {
    /// Reports whether it changes something.
    pub(crate) fn is_write(&self) -> bool {
        matches!(&*self.verb, "create" | "update" | "patch" | "delete")
    }

    /// Reports whether it counts: a watch costs nothing while nothing changes, and a Lease is renewed in any case.
    pub(crate) fn counts(&self) -> bool {
        self.is_operator && self.verb != "watch" && self.resource != LEASES
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: Object,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

/// Reads the audit log.
pub(crate) struct Trace {
    path: PathBuf,
    operator: String,
    log: BufReader<File>,
    inode: u64,
    /// A line whose end has not been written yet.
    begun: String,
    /// All requests so far.
    pub(crate) requests: Vec<Request>,
}

impl Trace {
    /// Opens the log; `operator` is the operator's user name.
    pub(crate) fn open(path: PathBuf, operator: String) -> Self {
        let (log, inode) = open(&path);
        Self {
            path,
            operator,
            log,
            inode,
            begun: String::new(),
            requests: Vec::new(),
        }
    }

    /// Reads what has been written meanwhile, and returns the number of all requests.
    pub(crate) fn read(&mut self) -> usize {
        loop {
            self.drain();
            // The API server begins another file when one has 100 MB.
            let (log, inode) = open(&self.path);
            if inode == self.inode {
                return self.requests.len();
            }
            self.drain();
            (self.log, self.inode) = (log, inode);
        }
    }

    fn drain(&mut self) {
        while self
            .log
            .read_line(&mut self.begun)
            .expect("the audit log is readable")
            > 0
            && self.begun.ends_with('\n')
        {
            let line: Line = serde_json::from_str(&self.begun)
                .unwrap_or_else(|error| panic!("{error} in audit event {}", self.begun));
            self.begun.clear();
            let object = line.object_ref;
            let resource = match &*object.subresource {
                "" => object.resource,
                part => format!("{}/{part}", object.resource),
            };
            self.requests.push(Request {
                is_operator: line.user.username == self.operator,
                verb: line.verb,
                resource,
                namespace: object.namespace,
                name: object.name,
                begun: line.request_received_timestamp,
                ended: line.stage_timestamp,
            });
        }
    }

    /// Returns the operator's requests that count, from the given one on.
    pub(crate) fn counted(&self, from: usize) -> impl Iterator<Item = &Request> {
        self.requests[from..].iter().filter(|one| one.counts())
    }
}

fn open(path: &PathBuf) -> (BufReader<File>, u64) {
    let file = File::open(path).expect("the API server writes an audit log");
    let inode = file.metadata().expect("it is open").ino();
    (BufReader::new(file), inode)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use ::tests::workdir;

    use super::Trace;

    fn line(user: &str, verb: &str) -> String {
        format!(
            "{{\"verb\": \"{verb}\", \"user\": {{\"username\": \"{user}\"}}, \"objectRef\": {{\"resource\": \"a\", \
             \"subresource\": \"status\"}}, \"requestReceivedTimestamp\": \"2026-06-01T00:00:00.000001Z\", \
             \"stageTimestamp\": \"2026-06-01T00:00:00.000002Z\"}}\n"
        )
    }

    #[test]
    fn it_reads_whole_lines_across_files() {
        let folder = workdir::scratch("trace");
        let path = folder.join("audit.log");
        let whole = line("operator", "patch");
        let (first, rest) = whole.split_at(20);
        fs::write(&path, line("operator", "get") + first).expect("the folder is writable");
        let mut trace = Trace::open(path.clone(), "operator".to_owned());
        assert_eq!(trace.read(), 1);
        let mut log = fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .expect("it is there");
        log.write_all(rest.as_bytes()).expect("it is open");
        assert_eq!(trace.read(), 2);
        log.write_all(line("operator", "watch").as_bytes())
            .expect("it is open");
        fs::rename(&path, folder.join("audit-1.log")).expect("the folder is writable");
        fs::write(&path, line("user", "create")).expect("the folder is writable");
        assert_eq!(trace.read(), 4);
        let counted: Vec<_> = trace.counted(0).map(|one| &*one.verb).collect();
        assert_eq!(counted, ["get", "patch"]);
        assert!(trace.requests[1].is_write() && trace.requests[1].resource == "a/status");
    }
}
