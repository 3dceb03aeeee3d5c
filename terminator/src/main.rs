//! The program: arguments, log, startup, signals, exit codes. It must not do anything else.
//!
//! Exit codes: 0 drained, 1 `check` found an error, 2 invalid arguments, 69 failed to bind a port or to start a
//! thread, 70 a thread ended unexpectedly, 78 invalid configuration, 130 received a second signal while draining
//! (following sysexits.h).

mod args;

use std::alloc::System;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use jiff::Timestamp;
use mqtt_tls_program::hardening::harden;
use mqtt_tls_program::log::{self, Log};
use mqtt_tls_terminator::{Ended, Files, StartError, Terminator, load};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};
use zeroizing_alloc::ZeroAlloc;

use crate::args::{Arguments, Command, LogFormat, Serve};

/// Wipes freed memory: libraries leave copies of keys in buffers that this program cannot reach.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match (arguments.command, arguments.serve) {
        (Some(Command::Check { file, crls }), _) => check(&file, crls.as_deref()),
        (None, Some(serve)) => run(&serve),
        // Unreachable: clap prints the help instead.
        (None, None) => ExitCode::from(2),
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this command's result is its output"
)]
fn check(file: &Path, crls: Option<&Path>) -> ExitCode {
    harden();
    match load::check(file, crls) {
        Ok(settings) => {
            for warning in settings.warnings(Timestamp::now()) {
                eprintln!("warning: {warning}");
            }
            for advice in settings.advice() {
                eprintln!("warning: {advice}");
            }
            let mut code = ExitCode::SUCCESS;
            for warning in settings.list_warnings(Timestamp::now()) {
                if warning.is_error {
                    eprintln!("{warning}");
                    code = ExitCode::FAILURE;
                } else {
                    eprintln!("warning: {warning}");
                }
            }
            println!("{} can be served", file.display());
            code
        }
        Err(error) => {
            eprintln!("{}", StartError::Load(error).chain());
            ExitCode::FAILURE
        }
    }
}

fn run(serve: &Serve) -> ExitCode {
    // Dropped last, to flush the last lines.
    let _log = match start_log(serve) {
        Ok(log) => log,
        Err(error) => return usage(&error.to_string()),
    };
    harden();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let code = runtime.and_then(|runtime| {
        runtime.block_on(async {
            // First, so that an early signal is not lost.
            let signals = Signals::receive()?;
            let files = Files {
                configuration: &serve.file,
                fallback: serve.fallback.as_deref(),
                ticket_keys: serve.ticket_keys.as_deref(),
                crls: serve.crls.as_deref(),
                trials: serve.trials.as_deref(),
            };
            match Terminator::start(files, serve.threads) {
                Ok(terminator) => Ok(until_ended(terminator, signals).await),
                Err(error) => Ok(refused(&error)),
            }
        })
    });
    code.unwrap_or_else(|error: std::io::Error| {
        error!(%error, "failed to set up signal handling");
        ExitCode::from(70)
    })
}

fn refused(error: &StartError) -> ExitCode {
    error!("{}", error.chain());
    ExitCode::from(match error {
        StartError::Bind { .. } | StartError::Thread(_) => 69,
        StartError::Load(_) => 78,
    })
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn usage(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(2)
}

/// Log targets of this project's code.
const OWN: [&str; 4] = [
    "mqtt_tls_terminator",
    "mqtt_tls_config",
    "mqtt_tls_judge",
    "mqtt_tls_program",
];

fn start_log(serve: &Serve) -> Result<Log, log::Error> {
    log::start(&log::Options {
        filter: &serve.log,
        format: match serve.log_format {
            LogFormat::Json => log::Format::Json,
            LogFormat::Text => log::Format::Text,
        },
        own: &OWN,
        never: &[],
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn receive() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Handles signals until the terminator ends: SIGTERM and SIGINT drain, a second one exits at once, SIGHUP reloads.
async fn until_ended(mut terminator: Terminator, mut signals: Signals) -> ExitCode {
    let mut is_draining = false;
    loop {
        tokio::select! {
            ended = terminator.ended() => return match ended {
                Ended::Drained => ExitCode::SUCCESS,
                Ended::ThreadLost => ExitCode::from(70),
            },
            _ = signals.hangup.recv() => {
                terminator.reload();
                continue;
            }
            _ = signals.terminate.recv() => {}
            _ = signals.interrupt.recv() => {}
        }
        if is_draining {
            info!("received a second signal; exiting without draining");
            return ExitCode::from(130);
        }
        is_draining = true;
        terminator.drain();
    }
}
