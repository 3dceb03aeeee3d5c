//! A program's clock, which a test sets forward and back while the program runs. Only the time of day is changed, as by an
//! operator's `date`: the clock that measures durations goes on.

use std::path::PathBuf;
use std::process::Command;

use crate::{assets, workdir};

/// A clock for one program.
#[derive(Debug)]
pub struct SteppedClock {
    file: PathBuf,
}

impl SteppedClock {
    /// Sets up the clock of a program that has not started yet, which so much is ahead, in seconds.
    pub fn for_program(command: &mut Command, ahead: i64) -> Self {
        let clock = Self {
            file: workdir::scratch("clock").join("ahead"),
        };
        clock.step(ahead);
        command
            .env("LD_PRELOAD", assets::faketime())
            .env("FAKETIME_TIMESTAMP_FILE", &clock.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            // Otherwise a program that is killed leaves a file in /dev/shm.
            .env("FAKETIME_DISABLE_SHM", "1");
        clock
    }

    /// Steps the clock: from now on it is so many seconds ahead of the real one.
    pub fn step(&self, ahead: i64) {
        workdir::replace(&self.file, &format!("{ahead:+}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::run;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn a_stepped_clock_of_a_program_is_ahead() {
        let mut date = Command::new("date");
        date.arg("+%s");
        let _clock = SteppedClock::for_program(&mut date, -86_400);
        let printed = run(date, b"", Duration::from_secs(20)).expect_success();
        let printed: u64 = printed.stdout.trim().parse().expect("seconds");
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let behind = now.expect("it is after 1970").as_secs() - printed;
        assert!((86_400..87_000).contains(&behind), "{behind}");
    }
}
