//! Keys in memory: nothing remains of keys that are no longer served or never were.

use mqtt_tls_config::{Config, Pem};
use tests::attack::sink::Sink;
use tests::clients::tls::Connector;
use tests::memory::Keys;
use tests::pki::{Ca, KeyEncoding, KeyKind, Leaf};
use tests::process::Process;
use tests::workdir;

use crate::fixture::{SOON, config, write};
use crate::program::start;

/// The terminator as a program, with changing keys.
struct Rotated {
    ca: Ca,
    config: Config,
    file: std::path::PathBuf,
    process: Process,
}

impl Rotated {
    async fn start() -> (Self, Leaf) {
        let ca = Ca::new("root");
        let leaf = ca.leaf().dns("localhost").issue();
        let config = config(&leaf, Sink::start().addr());
        let file = write(&config);
        let process = start(&file, &["--threads", "1"]);
        process.wait_for_line("serving", SOON);
        let rotated = Self {
            ca,
            config,
            file,
            process,
        };
        rotated.connect().await;
        (rotated, leaf)
    }

    /// Signs with the key that is served.
    async fn connect(&self) {
        let addr = (self.config.host.unwrap(), self.config.port).into();
        let mut client = Connector::new(&self.ca).open(addr).await.unwrap();
        client.close_notify().await.unwrap();
        client.read_to_end().await;
    }

    /// Writes a text into the file, and waits for a log line.
    fn put(&self, text: &str, answer: &str) {
        let mark = self.process.mark();
        workdir::replace(&self.file, text);
        self.process.wait_for_line_after(mark, answer, SOON);
    }

    async fn serve(&self, pem: String) {
        let mut config = self.config.clone();
        config.pem = Pem::new(pem);
        self.put(config.to_yaml().expose(), "serving");
        self.connect().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_remains_of_keys_that_are_not_served() {
    if !rustix::process::getuid().is_root() {
        println!("not root: nothing was searched");
        return;
    }
    let (rotated, first) = Rotated::start().await;
    let leaf = |kind| rotated.ca.leaf().dns("localhost").key(kind).issue();
    // A connection does not keep the key of its handshake.
    let addr = (rotated.config.host.unwrap(), rotated.config.port).into();
    let _open = Connector::new(&rotated.ca).open(addr).await.unwrap();
    let mut gone = Keys::default();
    gone.add("the first", &first);
    // Served, and replaced.
    for kind in KeyKind::ALL {
        let leaf = leaf(kind);
        for &encoding in kind.encodings() {
            rotated
                .serve(leaf.chain_pem.clone() + &leaf.key_as(encoding))
                .await;
        }
        gone.add("replaced", &leaf);
    }
    // Refused: a key that does not match the certificate, another error, and invalid YAML.
    let (wrong, unknown, broken) = (
        leaf(KeyKind::Rsa2048),
        leaf(KeyKind::P256),
        leaf(KeyKind::Rsa2048),
    );
    let mut config = rotated.config.clone();
    config.pem = Pem::new(first.chain_pem.clone() + &wrong.key_as(KeyEncoding::Pkcs1));
    rotated.put(config.to_yaml().expose(), "KeyMismatch");
    config.pem = Pem::new(unknown.bundle());
    rotated.put(
        &(config.to_yaml().expose().to_owned() + "hots: x\n"),
        "hots",
    );
    config.pem = Pem::new(broken.bundle());
    rotated.put(&(config.to_yaml().expose().to_owned() + "}\n"), "refused");
    gone.add("of another certificate", &wrong);
    gone.add("beside an unknown key", &unknown);
    gone.add("in what is no YAML", &broken);
    // Two more that are served.
    rotated.serve(leaf(KeyKind::P256).bundle()).await;
    let last = leaf(KeyKind::Rsa2048);
    rotated.serve(last.bundle()).await;
    let hits = gone.search(rotated.process.pid());
    let shown: Vec<_> = hits.iter().take(20).collect();
    assert!(hits.is_empty(), "{} hits: {shown:#?}", hits.len());
    // The served key must be found; otherwise the search does not work.
    let mut kept = Keys::default();
    kept.add("served", &last);
    assert!(!kept.search(rotated.process.pid()).is_empty());
}
