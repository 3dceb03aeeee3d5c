//! The program: arguments, log, command, exit code. It must not do anything else.
//!
//! Exit codes: 0 success, 1 the check of `demo` or `verify` failed or `crd --apply` would lose data, 2 invalid
//! arguments, 69 the cluster, a port or a folder is unavailable, 75 the Lease was lost and another operator
//! works, 130 a second signal aborted the shutdown.

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser;
use mqtt_tls_operator::args::{self, Arguments, Command, Crd, LogFormat};
use mqtt_tls_operator::{crd, install, run, screen, standalone, verify};
use mqtt_tls_program::log::{self, Log};
use zeroizing_alloc::ZeroAlloc;

/// The API client logs the whole body of a response that it cannot parse, and that may be a Secret. The controller puts
/// its span around each line of a reconciliation; our own lines name the listener.
const SILENT: [&str; 2] = ["kube_client::client", "kube_runtime::controller"];

/// Wipes freed memory: libraries leave copies of keys in buffers that we cannot reach.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let Arguments {
        command,
        log: options,
    } = Arguments::parse();
    // Dropped last, so that the last lines are flushed.
    let _log = match start_log(&options, &command) {
        Ok(log) => log,
        Err(error) => {
            screen::complain(&error.to_string());
            return ExitCode::from(2);
        }
    };
    mqtt_tls_program::hardening::harden();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            screen::complain(&format!("failed to start threads: {error}"));
            return ExitCode::from(69);
        }
    };
    let code = match command {
        Command::Crd(Crd { apply: true }) => runtime.block_on(install::run()),
        Command::Crd(Crd { apply: false }) => {
            screen::say(crd::yaml().trim_end());
            ExitCode::SUCCESS
        }
        Command::Run(arguments) => runtime.block_on(run::run(&arguments)),
        Command::Verify(arguments) => runtime.block_on(verify::run(&arguments)),
        Command::Standalone(arguments) => runtime.block_on(standalone::run(&arguments)),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => runtime.block_on(mqtt_tls_operator::demo::run(&arguments)),
    };
    // A call that hangs must not delay the exit.
    runtime.shutdown_background();
    code
}

/// The targets that a log level applies to: our own code and the API client.
const OWN: [&str; 8] = [
    "mqtt_tls_operator",
    "mqtt_tls_terminator",
    "mqtt_tls_config",
    "mqtt_tls_judge",
    "mqtt_tls_program",
    "kube",
    "kube_client",
    "kube_runtime",
];

fn start_log(options: &args::Log, command: &Command) -> Result<Log, log::Error> {
    let usual = match command {
        #[cfg(feature = "demo")]
        // The terminator warns that this machine's limits are too low for many devices.
        Command::Demo(_) => "warn,mqtt_tls_terminator=error",
        _ => "info",
    };
    log::start(&log::Options {
        filter: options.log.as_deref().unwrap_or(usual),
        format: match options.log_format {
            LogFormat::Json => log::Format::Json,
            LogFormat::Text => log::Format::Text,
        },
        own: &OWN,
        never: &SILENT,
    })
}
