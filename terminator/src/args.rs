//! The command line. Only this module reads the environment.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Terminates TLS for MQTT, and forwards plaintext MQTT to a smart-mqtt broker.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Option<Serve>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Validate a configuration file without serving it; exits with 0 if it is valid, 1 if not.
    Check {
        /// Configuration file, as the operator writes it or smart-mqtt's TLS plugin reads it. Must be a regular
        /// file.
        file: PathBuf,
        /// File with revocation lists of clients' certificates, as for serving.
        #[arg(long, env = "MQTT_TLS_CRLS", value_name = "FILE")]
        crls: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Configuration file, as the operator writes it or smart-mqtt's TLS plugin reads it. Must be a regular
    /// file; it is watched for changes.
    pub(crate) file: PathBuf,
    /// Configuration file to start from if FILE is refused, such as the last one that was accepted; FILE is served as
    /// soon as it is good.
    #[arg(long, env = "MQTT_TLS_FALLBACK", value_name = "FILE")]
    pub(crate) fallback: Option<PathBuf>,
    /// File with session ticket keys that all terminators of a listener share, as the operator writes it; it is watched for
    /// changes [default: keys of this process]
    #[arg(long, env = "MQTT_TLS_TICKET_KEYS", value_name = "FILE")]
    pub(crate) ticket_keys: Option<PathBuf>,
    /// File with revocation lists of clients' certificates (PEM), and certificates of their issuers, as the operator writes it;
    /// it is watched for changes
    #[arg(long, env = "MQTT_TLS_CRLS", value_name = "FILE")]
    pub(crate) crls: Option<PathBuf>,
    /// File with trials of renewed certificates: which share of the clients gets the candidates in the configuration, and which
    /// devices must not; it is watched for changes
    #[arg(long, env = "MQTT_TLS_TRIALS", value_name = "FILE")]
    pub(crate) trials: Option<PathBuf>,
    /// Number of threads that serve connections [default: number of cores]
    #[arg(long, env = "MQTT_TLS_THREADS")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Format of the log, which goes to standard error.
    #[arg(long, env = "MQTT_TLS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Log level (error, warn, info, debug, trace) or filter in the syntax of tracing-subscriber. Levels up to info
    /// exclude libraries unless the filter names them (info,rustls=warn).
    #[arg(long, env = "MQTT_TLS_LOG", default_value = "info")]
    pub(crate) log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Json,
    Text,
}
