//! Other TLS terminators for comparison: nginx with its stream module, and mosquitto's own TLS listener, both with
//! default settings where possible. It must not know what is compared.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::broker::Mosquitto;
use crate::pki::Leaf;
use crate::process::Process;
use crate::{assets, ports, workdir};

const START: Duration = Duration::from_secs(20);

/// The path in Debian's package.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// An nginx that terminates TLS and proxies to a backend.
pub struct Nginx {
    /// Dropping it ends the server.
    _process: Process,
    addr: SocketAddr,
}

impl Nginx {
    /// Starts one in front of `backend`.
    #[track_caller]
    pub fn start(leaf: &Leaf, backend: SocketAddr) -> Self {
        let mut command = assets::installed("nginx");
        assert!(
            Path::new(STREAM_MODULE).exists(),
            "{STREAM_MODULE} is missing: run `tests/setup nginx`"
        );
        let addr = ports::free_addr();
        let folder = workdir::scratch("nginx");
        let (cert, key) = leaf.write_to(&folder);
        // A single process without a master, so that one signal ends it.
        let config = format!(
            "load_module {STREAM_MODULE};\n\
             daemon off; master_process off; pid {pid}; error_log stderr warn;\n\
             events {{ worker_connections 4096; }}\n\
             stream {{ server {{ listen {addr} ssl; ssl_certificate {cert}; ssl_certificate_key {key};\n\
             ssl_protocols TLSv1.2 TLSv1.3; proxy_pass {backend}; }} }}\n",
            pid = folder.join("pid").display(),
            cert = cert.display(),
            key = key.display(),
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config).expect("the folder is writable");
        command.arg("-p").arg(&folder).arg("-c").arg(&file);
        let process = Process::spawn("nginx", command);
        process.wait_for_port(addr, START);
        Self {
            _process: process,
            addr,
        }
    }

    /// The address of its TLS listener.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// A mosquitto with a plaintext and a TLS listener, which logs how clients connect and disconnect.
pub struct MosquittoTls {
    broker: Mosquitto,
    tls: SocketAddr,
}

impl MosquittoTls {
    /// Starts one that serves `leaf`. It queues without a limit, so that a message missing at a subscriber did not
    /// reach the broker.
    #[track_caller]
    pub fn start(leaf: &Leaf) -> Self {
        let tls = ports::free_addr();
        let (cert, key) = leaf.files();
        let broker = Mosquitto::start_with(&format!(
            "log_type none\nlog_type notice\nlog_type error\nlog_type warning\n\
             max_queued_messages 0\nmax_queued_bytes 0\n\
             listener {} {}\ncertfile {}\nkeyfile {}\n",
            tls.port(),
            tls.ip(),
            cert.display(),
            key.display(),
        ));
        Self { broker, tls }
    }

    /// The address of its TLS listener.
    pub fn tls(&self) -> SocketAddr {
        self.tls
    }
}

impl std::ops::Deref for MosquittoTls {
    type Target = Mosquitto;
    fn deref(&self) -> &Mosquitto {
        &self.broker
    }
}
