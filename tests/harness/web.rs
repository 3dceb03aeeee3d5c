//! Web servers that are not ours, for a folder of files: Python's by HTTP, OpenSSL's by HTTPS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::pki::Leaf;
use crate::process::Process;
use crate::{assets, ports, workdir};

/// Upper bound for a start.
const START: Duration = Duration::from_secs(20);

/// A running server.
pub struct Web {
    folder: PathBuf,
    address: SocketAddr,
    scheme: &'static str,
    process: Process,
}

impl Web {
    /// Serves by HTTP (`python3 -m http.server`).
    #[track_caller]
    pub fn http() -> Self {
        let (folder, address) = (workdir::scratch("web"), ports::free_addr());
        let mut command = assets::installed("python3");
        let port = address.port().to_string();
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", &port]);
        command.current_dir(&folder);
        Self::wait_for(folder, address, "http", Process::spawn("web", command))
    }

    /// Serves by HTTPS with a certificate (`openssl s_server -WWW`).
    #[track_caller]
    pub fn https(leaf: &Leaf) -> Self {
        let (folder, address) = (workdir::scratch("web"), ports::free_addr());
        let (cert, key) = leaf.files();
        let mut command = assets::installed("openssl");
        command.args(["s_server", "-WWW", "-accept", &address.to_string()]);
        command
            .arg("-cert")
            .arg(&cert)
            .arg("-cert_chain")
            .arg(&cert);
        command.arg("-key").arg(key).current_dir(&folder);
        Self::wait_for(folder, address, "https", Process::spawn("web", command))
    }

    #[track_caller]
    fn wait_for(
        folder: PathBuf,
        address: SocketAddr,
        scheme: &'static str,
        process: Process,
    ) -> Self {
        process.wait_for_port(address, START);
        Self {
            folder,
            address,
            scheme,
            process,
        }
    }

    /// Puts a file there, at once as a whole.
    pub fn put(&self, name: &str, text: &str) {
        workdir::replace(&self.folder.join(name), text);
    }

    /// Like [`Web::put`], with content that is no text.
    pub fn put_bytes(&self, name: &str, content: &[u8]) {
        workdir::replace_bytes(&self.folder.join(name), content);
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.join(name)).expect("the file is there");
    }

    /// The URL of a file.
    pub fn url(&self, name: &str) -> String {
        format!("{}://{}/{name}", self.scheme, self.address)
    }

    /// The URL of a file, with another name of this machine.
    pub fn url_at(&self, host: &str, name: &str) -> String {
        format!("{}://{host}:{}/{name}", self.scheme, self.address.port())
    }

    /// The process, whose log has a line for each request by HTTP.
    pub fn process(&self) -> &Process {
        &self.process
    }
}
