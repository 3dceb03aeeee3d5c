//! The program: arguments, log, start, signals, exit code. It must not do anything else.
//!
//! Exit codes: 0 ended as asked, 1 `check` found something wrong, 2 wrong arguments, 69 a port could not
//! be bound or a thread not started, 70 a thread was lost, 78 the configuration cannot be served, 130 a
//! second signal came while it was ending (the numbers of sysexits.h where there is one).

mod args;

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser;
use jiff::Timestamp;
use mqtt_tls_program::hardening::harden;
use mqtt_tls_program::log::{self, Log};
use mqtt_tls_terminator::{Ended, StartError, Terminator, load};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};
use zeroizing_alloc::ZeroAlloc;

use crate::args::{Arguments, Command, LogFormat, Serve};

/// What is freed is wiped: libraries leave copies of keys behind, in buffers that we cannot reach.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match (arguments.command, arguments.serve) {
        (Some(Command::Check { file }), _) => check(&file),
        (None, Some(serve)) => run(&serve),
        // clap shows the help instead.
        (None, None) => ExitCode::from(2),
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this command's result is its output"
)]
fn check(file: &std::path::Path) -> ExitCode {
    harden();
    match load::check(file) {
        Ok(settings) => {
            for warning in settings.warnings(Timestamp::now()) {
                eprintln!("warning: {warning}");
            }
            println!("{} can be served", file.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", StartError::Load(error).chain());
            ExitCode::FAILURE
        }
    }
}

fn run(serve: &Serve) -> ExitCode {
    // Dropped last, so that the last lines are written.
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
            // Before anything else: a signal that comes early is not lost.
            let signals = Signals::receive()?;
            match Terminator::start(&serve.file, serve.threads) {
                Ok(terminator) => Ok(until_ended(terminator, signals).await),
                Err(error) => Ok(refused(&error)),
            }
        })
    });
    code.unwrap_or_else(|error: std::io::Error| {
        error!(%error, "signals cannot be received");
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

/// The targets of our own code.
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

/// SIGTERM and SIGINT drain, and a second one ends it at once; SIGHUP reloads.
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
            info!("a second signal: ending at once");
            return ExitCode::from(130);
        }
        is_draining = true;
        terminator.drain();
    }
}
