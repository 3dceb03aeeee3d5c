//! The command line; the only reader of the environment.

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
    /// Judge a file without serving it: exit code 0 if it can be served, 1 if not.
    Check {
        /// The configuration, as the operator or smart-mqtt's TLS plugin has it. A file, not a pipe.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration, as the operator or smart-mqtt's TLS plugin has it. A file, not a pipe; it is watched.
    pub(crate) file: PathBuf,
    /// How many threads accept connections [default: as many as there are cores]
    #[arg(long, env = "MQTT_TLS_THREADS")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// How the log is written, to standard error.
    #[arg(long, env = "MQTT_TLS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or filters as tracing-subscriber has them. Up to info, a
    /// level is about this program's own lines; libraries are heard from debug on, or by name (info,rustls=warn).
    #[arg(long, env = "MQTT_TLS_LOG", default_value = "info")]
    pub(crate) log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Json,
    Text,
}
