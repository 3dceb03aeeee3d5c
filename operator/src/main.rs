//! The program: arguments, log, command, exit code. It must not do anything else.
//!
//! Exit codes: 0 ended as asked, 1 the proof of `demo` failed or `crd --apply` would lose data, 2 wrong
//! arguments, 69 the cluster, a port or a folder cannot be used, 75 the Lease was lost, so that another operator
//! works, 130 a second signal came while it was ending.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use mqtt_tls_operator::args::{Arguments, Command, Crd, Log, LogFormat};
use mqtt_tls_operator::{crd, install, run, screen, standalone};

/// The API client logs every answer that it cannot read as a whole, and that may be a Secret.
const SILENT: &str = "kube_client::client=off";

fn main() -> ExitCode {
    let Arguments {
        command,
        log: options,
    } = Arguments::parse();
    if let Err(error) = log(&options, &command) {
        screen::complain(&error);
        return ExitCode::from(2);
    }
    mqtt_tls_terminator::hardening::harden();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            screen::complain(&format!("no threads can be started: {error}"));
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
        Command::Standalone(arguments) => runtime.block_on(standalone::run(&arguments)),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => runtime.block_on(mqtt_tls_operator::demo::run(&arguments)),
    };
    // A call that hangs is no reason to stay.
    runtime.shutdown_background();
    code
}

fn log(options: &Log, command: &Command) -> Result<(), String> {
    let usual = match command {
        #[cfg(feature = "demo")]
        // The broker takes every end of a connection for an error, and the terminator tells that this
        // machine's limits would not do for a fleet.
        Command::Demo(_) => "warn,mqtt_tls_terminator=error,rumqttd=off",
        _ => "info",
    };
    let filter = options.log.as_deref().unwrap_or(usual);
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| format!("--log is not a filter: {error}"))?;
    let filter = match SILENT.parse() {
        Ok(silent) => filter.add_directive(silent),
        Err(_) => filter,
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.init(),
    }
    Ok(())
}
