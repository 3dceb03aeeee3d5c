//! The servers and their configurations: one worker, TLS 1.3 with X25519, session tickets, plaintext to the backend, no
//! log of connections, and a listen queue for a storm. All else is their default, or the terminator's set-up. It must not
//! start them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use mqtt_tls_config::{Backend, Config, Pem};
use tests::{assets, ports};

use crate::setup::{Pki, Setup};

/// Path in Debian's package.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// The listen queue: more than the clients of a storm, and what the kernel allows by default (net.core.somaxconn).
const BACKLOG: u32 = 4096;

/// Addresses and files of a server.
pub(crate) struct Place<'a> {
    /// Folder for its files.
    pub(crate) folder: &'a Path,
    pub(crate) pki: &'a Pki,
    pub(crate) addr: SocketAddr,
    pub(crate) backend: SocketAddr,
}

impl Place<'_> {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("the folder is writable");
        path
    }
}

pub(crate) fn terminator(program: &Path, setup: Setup, place: &Place<'_>) -> Command {
    let mut config = Config::new(place.addr.port(), Pem::new(place.pki.leaf.bundle()));
    config.host = Some(place.addr.ip());
    config.backend = Backend {
        host: place.backend.ip().to_string(),
        port: place.backend.port(),
    };
    config.admin.port = ports::free_port();
    setup.configure(&mut config, place.pki);
    let mut command = Command::new(program);
    command
        .args(["--threads", "1"])
        .arg(place.write("config.yaml", config.to_yaml().expose()));
    for (option, text) in setup.files(place.pki) {
        let name = option.trim_start_matches('-');
        command.arg(option).arg(place.write(name, text.expose()));
    }
    command
}

/// Starts this program as a relay.
pub(crate) fn relay(place: &Place<'_>) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("Linux knows a program's path"));
    command
        .arg("serve-relay")
        .args([place.addr.to_string(), place.backend.to_string()]);
    command
}

/// Starts one process without a master.
pub(crate) fn nginx(place: &Place<'_>) -> Command {
    let (cert, key) = place.pki.leaf.write_to(place.folder);
    let text = format!(
        "load_module {STREAM_MODULE};\n\
         daemon off; master_process off; pid {pid}; error_log stderr warn;\n\
         events {{ worker_connections 10000; }}\n\
         stream {{ server {{\n\
           listen {addr} ssl backlog={BACKLOG};\n\
           ssl_certificate {cert}; ssl_certificate_key {key};\n\
           ssl_protocols TLSv1.3; ssl_ecdh_curve X25519; ssl_session_tickets on;\n\
           proxy_pass {backend};\n\
         }} }}\n",
        pid = place.folder.join("pid").display(),
        addr = place.addr,
        cert = cert.display(),
        key = key.display(),
        backend = place.backend,
    );
    let mut command = assets::installed("nginx");
    command.arg("-p").arg(place.folder);
    command.arg("-c").arg(place.write("nginx.conf", &text));
    command
}

/// Tickets are its default.
pub(crate) fn haproxy(place: &Place<'_>) -> Command {
    let text = format!(
        "global\n  nbthread 1\n  maxconn 5000\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen mqtt\n  bind {addr} ssl crt {pem} ssl-min-ver TLSv1.3 curves X25519 backlog {BACKLOG}\n  \
           server broker {backend}\n",
        addr = place.addr,
        pem = place
            .write("server.pem", &place.pki.leaf.bundle())
            .display(),
        backend = place.backend,
    );
    let mut command = assets::installed("haproxy");
    command
        .arg("-db")
        .arg("-f")
        .arg(place.write("haproxy.cfg", &text));
    command
}

/// Tickets are its default. It has a worker and a process that fetches OCSP responses, and refuses to run them as root.
pub(crate) fn hitch(place: &Place<'_>) -> Command {
    let is_root = rustix::process::geteuid().is_root();
    let user = if is_root { "user = \"nobody\"\n" } else { "" };
    let text = format!(
        "frontend = {{\n  host = \"{host}\"\n  port = \"{port}\"\n}}\n\
         backend = \"[{backend_host}]:{backend_port}\"\n\
         pem-file = \"{pem}\"\n\
         workers = 1\nbacklog = {BACKLOG}\ntls-protos = TLSv1.3\necdh-curve = \"X25519\"\n\
         daemon = off\nquiet = on\nsyslog = off\nocsp-dir = \"\"\n{user}",
        host = place.addr.ip(),
        port = place.addr.port(),
        backend_host = place.backend.ip(),
        backend_port = place.backend.port(),
        pem = place
            .write("server.pem", &place.pki.leaf.bundle())
            .display(),
    );
    let mut command = assets::installed("hitch");
    command
        .arg("--config")
        .arg(place.write("hitch.conf", &text));
    command
}

/// Tickets are its default. So is a limit of 1,024 connections to the backend, which is raised.
pub(crate) fn envoy(place: &Place<'_>) -> Command {
    let (cert, key) = place.pki.leaf.write_to(place.folder);
    let address = |addr: SocketAddr| serde_json::json!({"socket_address": {"address": addr.ip(), "port_value": addr.port()}});
    let type_of = |name: &str| format!("type.googleapis.com/envoy.extensions.{name}");
    let tls = serde_json::json!({
        "@type": type_of("transport_sockets.tls.v3.DownstreamTlsContext"),
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
                "ecdh_curves": ["X25519"],
            },
            "tls_certificates": [{
                "certificate_chain": {"filename": cert},
                "private_key": {"filename": key},
            }],
        },
    });
    let proxy = serde_json::json!({
        "@type": type_of("filters.network.tcp_proxy.v3.TcpProxy"),
        "stat_prefix": "mqtt",
        "cluster": "broker",
    });
    let bootstrap = serde_json::json!({"static_resources": {
        "listeners": [{
            "name": "mqtt",
            "address": address(place.addr),
            "tcp_backlog_size": BACKLOG,
            "filter_chains": [{
                "transport_socket": {"name": "tls", "typed_config": tls},
                "filters": [{"name": "tcp_proxy", "typed_config": proxy}],
            }],
        }],
        "clusters": [{
            "name": "broker",
            "type": "STATIC",
            "circuit_breakers": {"thresholds": [{"max_connections": 100_000, "max_pending_requests": 100_000}]},
            "load_assignment": {
                "cluster_name": "broker",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(place.backend)}}]}],
            },
        }],
    }});
    let mut command = Command::new(assets::envoy());
    command
        .args(["--concurrency", "1", "--disable-hot-restart"])
        .args(["--log-level", "warning"])
        .arg("--config-path")
        .arg(place.write("envoy.json", &bootstrap.to_string()));
    command
}
