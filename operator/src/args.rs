//! The command line; the only reader of the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mqtt_tls_config::Backend;

use crate::plan::environment::Environment;
use crate::plan::names::MANAGER;

/// Puts smart-mqtt behind TLS on Kubernetes: MqttTlsListener resources and Secrets in, terminators out.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How the log is written.
    #[command(flatten)]
    pub log: Log,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller, against the cluster of the kubeconfig or the one that this pod is in
    Run(Box<Run>),
    /// Print the CustomResourceDefinition, or put it into the cluster
    Crd(Crd),
    /// Serve the listeners in a folder of manifests, in this process and without a cluster
    Standalone(Standalone),
    /// Show it all on this machine: a CA, a listener, a broker, and a message through TLS
    #[cfg(feature = "demo")]
    Demo(Demo),
}

/// How the log is written.
#[derive(Clone, Debug, Args)]
pub struct Log {
    /// How the log is written, to standard error
    #[arg(long, global = true, env = "MQTT_TLS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or filters as tracing-subscriber has them. Up to info, a level
    /// is about this program's own lines; other libraries are heard from debug on, or by name [default: info; for
    /// `demo`: warn]
    #[arg(long, global = true, env = "MQTT_TLS_LOG")]
    pub log: Option<String>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The controller's arguments.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// The image that terminator pods run
    #[arg(long, env = "MQTT_TLS_TERMINATOR_IMAGE")]
    pub terminator_image: String,
    /// The cluster's DNS domain
    #[arg(long, env = "MQTT_TLS_CLUSTER_DOMAIN", default_value = "cluster.local", value_parser = domain)]
    pub cluster_domain: String,
    /// From SIGTERM to the end of a terminator's last connection, from 0s to 1h
    #[arg(long, env = "MQTT_TLS_DRAIN_DEADLINE", default_value = "30s", value_parser = deadline)]
    pub drain_deadline: Duration,
    /// Watch this namespace only [default: all]
    #[arg(long, env = "MQTT_TLS_NAMESPACE")]
    pub namespace: Option<String>,
    /// How many listeners are reconciled at once, from 1 to 256
    #[arg(long, env = "MQTT_TLS_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Where /livez, /readyz and /metrics are answered
    #[arg(long, env = "MQTT_TLS_ADMIN", default_value = "[::]:9884")]
    pub admin: SocketAddr,
    /// What this process is called in events, and as the holder of the Lease
    #[arg(long, env = "POD_NAME")]
    pub instance: Option<String>,
    /// The namespace of the Lease by which one of several operators is chosen [default: that of this pod; outside
    /// of a cluster no Lease is used]
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// The name of that Lease. Operators that are not replicas of each other need different ones
    #[arg(long, env = "MQTT_TLS_LEASE_NAME", default_value = MANAGER)]
    pub lease_name: String,
    /// How long a leader that says nothing more is waited for, from 5s to 10m; it gives up itself after two thirds
    #[arg(long, env = "MQTT_TLS_LEASE_DURATION", default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,
}

/// The arguments of `crd`.
#[derive(Clone, Debug, Args)]
pub struct Crd {
    /// Put it into the cluster of the kubeconfig or the one that this pod is in, and wait until it can be used
    #[arg(long)]
    pub apply: bool,
}

impl Run {
    /// What holds for all listeners.
    pub fn environment(&self) -> Environment {
        let (image, domain) = (&self.terminator_image, &self.cluster_domain);
        Environment::cluster(image.clone(), domain.clone(), self.drain_deadline)
    }
}

/// The arguments of `standalone`.
#[derive(Clone, Debug, Args)]
pub struct Standalone {
    /// The folder with MqttTlsListeners, Secrets and ConfigMaps as YAML files. It is watched.
    pub folder: PathBuf,
    /// The broker, instead of what the listeners name [default: the port that a listener's backend.service
    /// names, on 127.0.0.1]
    #[arg(long, env = "MQTT_TLS_BACKEND", value_parser = backend)]
    pub backend: Option<Backend>,
    /// From the first signal to the end of the last connection, from 0s to 1h
    #[arg(long, env = "MQTT_TLS_DRAIN_DEADLINE", default_value = "5s", value_parser = deadline)]
    pub drain_deadline: Duration,
}

/// The arguments of `demo`.
#[cfg(feature = "demo")]
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Where certificates and manifests are put, and kept [default: a temporary folder, removed at the end]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// The port for MQTT over TLS
    #[arg(long, default_value_t = 8883)]
    pub port: u16,
    /// Take another port if that one is taken
    #[arg(long)]
    pub any_port: bool,
    /// End after the proof: exit code 0 if the message came through, 1 if not
    #[arg(long)]
    pub once: bool,
}

fn deadline(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > Duration::from_secs(3600) {
        return Err("at most 1h".to_owned());
    }
    Ok(duration)
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    // The Lease holds whole seconds.
    if !(5..=600).contains(&duration.as_secs()) || duration.subsec_nanos() > 0 {
        return Err("whole seconds, from 5s to 10m".to_owned());
    }
    Ok(duration)
}

fn domain(text: &str) -> Result<String, String> {
    let domain = text.trim_matches('.');
    let plain = |char: char| char.is_ascii_alphanumeric() || "-.".contains(char);
    if domain.is_empty() || domain.len() > 100 || !domain.chars().all(plain) {
        return Err("a DNS domain, such as cluster.local".to_owned());
    }
    Ok(domain.to_owned())
}

fn backend(text: &str) -> Result<Backend, String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or("HOST:PORT, such as 127.0.0.1:1883")?;
    let port = port
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or("a port from 1 to 65535")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("a host before the port".to_owned());
    }
    Ok(Backend {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Arguments, backend, lease_duration};

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        assert!(Arguments::try_parse_from(["operator", "crd"]).is_ok());
        assert!(
            Arguments::try_parse_from(["operator", "run"]).is_err(),
            "the image is mandatory"
        );
        let deadline = [
            "operator",
            "run",
            "--terminator-image",
            "a",
            "--drain-deadline",
            "2h",
        ];
        assert!(Arguments::try_parse_from(deadline).is_err());
    }

    #[test]
    fn lease_durations() {
        assert_eq!(lease_duration("15s").unwrap().as_secs(), 15);
        for bad in ["4s", "11m", "5500ms", "0s", "15"] {
            assert!(lease_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn backends() {
        assert_eq!(backend("[::1]:1883").unwrap().to_string(), "[::1]:1883");
        assert_eq!(backend("broker:1883").unwrap().to_string(), "broker:1883");
        for bad in ["broker", "broker:0", ":1883", "broker:65536"] {
            assert!(backend(bad).is_err(), "{bad}");
        }
    }
}
