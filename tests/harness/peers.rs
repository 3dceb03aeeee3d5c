//! What others put in front of a broker, to be compared with: nginx with its stream module, and mosquitto's own TLS
//! listener. Both have their defaults but for what they cannot do without. It must not know what is compared.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::broker::Mosquitto;
use crate::pki::Leaf;
use crate::process::Process;
use crate::{assets, ports, workdir};

const START: Duration = Duration::from_secs(20);

/// Where Debian's package has it.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// An nginx that takes TLS in and passes plaintext on.
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
        // One process without a master, which ends with its only signal.
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
        std::fs::write(&file, config).expect("the folder is ours");
        command.arg("-p").arg(&folder).arg("-c").arg(&file);
        let process = Process::spawn("nginx", command);
        process.wait_for_port(addr, START);
        Self {
            _process: process,
            addr,
        }
    }

    /// Where it takes TLS.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// A mosquitto that listens in plaintext and, at another port, with TLS. It logs who comes and how they leave.
pub struct MosquittoTls {
    broker: Mosquitto,
    tls: SocketAddr,
}

impl MosquittoTls {
    /// Starts one that serves `leaf`. It queues without a limit, so that whatever is missing at a subscriber has
    /// not reached it.
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

    /// Where it takes TLS.
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
