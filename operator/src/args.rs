//! The command line, and the only reader of the environment. It must not act on what it reads.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mqtt_tls_config::Backend;

use crate::plan::environment::Environment;
use crate::plan::issuers::{Issuers, Pattern};
use crate::plan::names::MANAGER;

/// Puts smart-mqtt behind TLS on Kubernetes: MqttTlsListener resources and Secrets in, terminators out.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// The log's options.
    #[command(flatten)]
    pub log: Log,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller against the cluster of the kubeconfig, or the cluster that this pod runs in
    Run(Box<Run>),
    /// Print the CustomResourceDefinition, or apply it to the cluster
    Crd(Crd),
    /// Check that an installation works: an operator leads, and all listeners are ready
    Verify(Verify),
    /// Serve the listeners in a folder of manifests in this process, without a cluster
    Standalone(Standalone),
    /// Run a complete example on this machine: a CA, a listener, a broker, and a message over TLS
    #[cfg(feature = "demo")]
    Demo(Demo),
}

/// The log's options.
#[derive(Clone, Debug, Args)]
pub struct Log {
    /// Format of the log, which is written to standard error
    #[arg(long, global = true, env = "MQTT_TLS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Log level (error, warn, info, debug, trace) or tracing-subscriber filters. Up to info, a level applies to this
    /// program's own lines only; libraries log at debug and below, or if named in a filter [default: info; for
    /// `demo`: warn]
    #[arg(long, global = true, env = "MQTT_TLS_LOG")]
    pub log: Option<String>,
}

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Human-readable text.
    Text,
}

/// The controller's arguments.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Image of the terminator pods
    #[arg(long, env = "MQTT_TLS_TERMINATOR_IMAGE")]
    pub terminator_image: String,
    /// DNS domain of the cluster
    #[arg(long, env = "MQTT_TLS_CLUSTER_DOMAIN", default_value = "cluster.local", value_parser = domain)]
    pub cluster_domain: String,
    /// Time that a terminator has after SIGTERM to close its connections, from 0s to 1h
    #[arg(long, env = "MQTT_TLS_DRAIN_DEADLINE", default_value = "30s", value_parser = deadline)]
    pub drain_deadline: Duration,
    /// Watch only this namespace [default: all]
    #[arg(long, env = "MQTT_TLS_NAMESPACE")]
    pub namespace: Option<String>,
    /// Issuers of cert-manager that listeners may name, as KIND/NAME or KIND.GROUP/NAME, separated by commas: users who may write
    /// listeners can have certificates issued by these
    #[arg(
        long,
        env = "MQTT_TLS_ISSUERS",
        value_delimiter = ',',
        default_value = "*/*"
    )]
    pub issuers: Vec<Pattern>,
    /// Maximum number of concurrent reconciliations, from 1 to 256
    #[arg(long, env = "MQTT_TLS_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Address that serves /livez, /readyz and /metrics
    #[arg(long, env = "MQTT_TLS_ADMIN", default_value = "[::]:9884")]
    pub admin: SocketAddr,
    /// Name of this process in events and in the Lease
    #[arg(long, env = "POD_NAME")]
    pub instance: Option<String>,
    /// Namespace of the Lease for leader election [default: this pod's namespace; outside a cluster no Lease is
    /// used]
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of the Lease for leader election. Operators that are not replicas of each other need different names
    #[arg(long, env = "MQTT_TLS_LEASE_NAME", default_value = MANAGER)]
    pub lease_name: String,
    /// Lease duration: how long to wait for an unresponsive leader, from 5s to 10m. The leader itself gives up after
    /// two thirds of it
    #[arg(long, env = "MQTT_TLS_LEASE_DURATION", default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,
}

/// The arguments of `crd`.
#[derive(Clone, Debug, Args)]
pub struct Crd {
    /// Apply it to the cluster of the kubeconfig, or the cluster that this pod runs in, and wait until it is established
    #[arg(long)]
    pub apply: bool,
}

/// The arguments of `verify`.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// Check the listeners of this namespace only [default: all]
    #[arg(long, env = "MQTT_TLS_NAMESPACE")]
    pub namespace: Option<String>,
    /// Namespace of the Lease for leader election
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: String,
    /// Name of the Lease for leader election
    #[arg(long, env = "MQTT_TLS_LEASE_NAME", default_value = MANAGER)]
    pub lease_name: String,
    /// Time for everything to become right, from 0s to 1h
    #[arg(long, env = "MQTT_TLS_PATIENCE", default_value = "60s", value_parser = deadline)]
    pub patience: Duration,
}

impl Run {
    /// Returns the settings that apply to all listeners.
    pub fn environment(&self) -> Environment {
        let (image, domain) = (&self.terminator_image, &self.cluster_domain);
        Environment {
            issuers: Issuers::new(self.issuers.clone()),
            ..Environment::cluster(image.clone(), domain.clone(), self.drain_deadline)
        }
    }
}

/// The arguments of `standalone`.
#[derive(Clone, Debug, Args)]
pub struct Standalone {
    /// Folder with MqttTlsListeners, Secrets and ConfigMaps as YAML files; it is watched for changes
    pub folder: PathBuf,
    /// Broker to use instead of all backends of listeners and their hosts [default: the port of each listener's backend.service on
    /// 127.0.0.1]
    #[arg(long, env = "MQTT_TLS_BACKEND", value_parser = backend)]
    pub backend: Option<Backend>,
    /// Time to close connections after the first signal, from 0s to 1h
    #[arg(long, env = "MQTT_TLS_DRAIN_DEADLINE", default_value = "5s", value_parser = deadline)]
    pub drain_deadline: Duration,
}

/// The arguments of `demo`.
#[cfg(feature = "demo")]
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Folder for certificates and manifests, which is kept [default: a temporary folder, removed at the end]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Port for MQTT over TLS; 0 chooses a free one
    #[arg(long, default_value_t = 8883)]
    pub port: u16,
    /// Use another port if that one is in use
    #[arg(long)]
    pub any_port: bool,
    /// Exit after the first message: code 0 if it arrived, 1 if not
    #[arg(long)]
    pub once: bool,
}

fn deadline(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > Duration::from_secs(3600) {
        return Err("must be at most 1h".to_owned());
    }
    Ok(duration)
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    // A Lease stores whole seconds.
    if !(5..=600).contains(&duration.as_secs()) || duration.subsec_nanos() > 0 {
        return Err("must be whole seconds, from 5s to 10m".to_owned());
    }
    Ok(duration)
}

fn domain(text: &str) -> Result<String, String> {
    let domain = text.trim_matches('.');
    let plain = |char: char| char.is_ascii_alphanumeric() || "-.".contains(char);
    if domain.is_empty() || domain.len() > 100 || !domain.chars().all(plain) {
        return Err("must be a DNS domain, such as cluster.local".to_owned());
    }
    Ok(domain.to_owned())
}

fn backend(text: &str) -> Result<Backend, String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or("must be HOST:PORT, such as 127.0.0.1:1883")?;
    let port = port
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or("the port must be from 1 to 65535")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("a host is required before the port".to_owned());
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
