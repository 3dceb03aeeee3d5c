//! Takes one measure of one server: starts it, warms it up, puts it under load, and reads its figures from the
//! kernel. It must not choose the measures.

use std::future::Future;
use std::io;
use std::time::Duration;

use tests::fleet::percentile;
use tokio::time::{Instant, sleep, timeout};

use crate::backend::{Backend, Backends};
use crate::cpus::Cpus;
use crate::load::{self, Load};
use crate::measure::Measure;
use crate::report::{About, Report, Row};
use crate::server::Server;
use crate::setup::Pki;
use crate::subject::Subject;

/// Number of connections before each measure, for lazy initialization.
const WARM_UP: u32 = 100;
const HANDSHAKES: u32 = 2000;
/// Number of messages of each client.
const TRIPS: u32 = 10_000;
const BULK_MIB: u32 = 512;
const IDLE: u32 = 2000;

/// Maximum duration of a measure, so that a hanging server does not block the others.
const TRIAL_MAX: Duration = Duration::from_secs(120);
/// Time without change after which memory counts as settled, and the maximum time for that.
const SETTLED: Duration = Duration::from_millis(500);
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// Parameters of all trials.
pub(crate) struct Trials {
    pub(crate) pki: Pki,
    pub(crate) backends: Backends,
    pub(crate) cpus: Cpus,
    /// Number of clients in a storm.
    pub(crate) storm: u32,
}

impl Trials {
    /// Takes every measure of every server once. Every other round has the reverse order, so that no server always
    /// follows the same other one.
    pub(crate) fn round(&self, round: u32, subjects: &[Subject], report: &mut Report) {
        for measure in report.measures.clone() {
            let mut turns: Vec<_> = subjects.iter().zip(&mut report.rows).collect();
            if !round.is_multiple_of(2) {
                turns.reverse();
            }
            for (subject, row) in turns {
                self.trial(subject, measure, row);
            }
            eprintln!("round {} of {}: {measure:?} done", round + 1, report.rounds);
        }
    }

    fn trial(&self, subject: &Subject, measure: Measure, row: &mut Row) {
        if let Some(why) = subject.unable(measure) {
            row.cell(measure).unable = Some(why.to_owned());
            return;
        }
        let backend = self.backends.listen();
        let server = Server::start(subject, &self.pki, backend.addr(), self.cpus);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let load = if subject.is_plain() {
            Load::plain(server.addr())
        } else {
            Load::tls(
                &self.pki.ca,
                server.addr(),
                subject.setup().offer(&self.pki),
            )
        };
        let trial = Trial {
            server: &server,
            load: &load,
            backend: &backend,
            storm: self.storm,
        };
        let outcome = runtime.block_on(async {
            if row.about.is_none() {
                row.about = Some(self.look(subject, &server).await?);
            }
            let outcome = timeout(TRIAL_MAX, trial.run(measure)).await;
            outcome.unwrap_or_else(|_| Err(io::Error::other(format!("took over {TRIAL_MAX:?}"))))
        });
        match outcome {
            Ok(figures) => row.cell(measure).rounds.push(figures),
            Err(error) => {
                eprintln!("{}: {measure:?} failed: {error}", subject.name);
                row.cell(measure).failures.push(error.to_string());
            }
        }
    }

    async fn look(&self, subject: &Subject, server: &Server) -> io::Result<About> {
        let (library, suite) = if subject.is_plain() {
            ("none".to_owned(), "none".to_owned())
        } else {
            let offer = subject.setup().offer(&self.pki);
            let suite = load::look(&self.pki.ca, server.addr(), offer).await?;
            (server.library(), suite)
        };
        Ok(About {
            version: subject.version.clone(),
            library,
            suite,
        })
    }
}

struct Trial<'a> {
    server: &'a Server,
    load: &'a Load,
    backend: &'a Backend,
    storm: u32,
}

impl Trial<'_> {
    async fn run(&self, measure: Measure) -> io::Result<Vec<f64>> {
        self.load.visits(WARM_UP).await?;
        self.backend.wait_until_left().await?;
        match measure {
            Measure::Full => {
                let (cpu, ()) = self.cpu_of(self.load.visits(HANDSHAKES)).await?;
                Ok(vec![us(cpu) / f64::from(HANDSHAKES)])
            }
            Measure::Resumed => {
                self.load.fetch_tickets().await?;
                let (cpu, ()) = self.cpu_of(self.load.resumed_visits(HANDSHAKES)).await?;
                Ok(vec![us(cpu) / f64::from(HANDSHAKES)])
            }
            Measure::Trip => {
                let alone = self.load.trips_of_one(TRIPS).await?;
                let (cpu, ()) = self.cpu_of(self.load.trips(TRIPS)).await?;
                let all = f64::from(TRIPS) * f64::from(load::CONCURRENCY);
                Ok(vec![us(cpu) / all, us(percentile(&alone, 50))])
            }
            Measure::Up => {
                let (cpu, ()) = self.cpu_of(self.load.send_mib(BULK_MIB)).await?;
                Ok(vec![ms_per_gib(cpu)])
            }
            Measure::Down => {
                let (cpu, ()) = self.cpu_of(self.load.receive_mib(BULK_MIB)).await?;
                Ok(vec![ms_per_gib(cpu)])
            }
            Measure::Idle => self.idle().await,
            Measure::Storm => self.storm().await,
        }
    }

    /// Returns the server's CPU time until the last client is gone.
    async fn cpu_of<T>(
        &self,
        clients: impl Future<Output = io::Result<T>>,
    ) -> io::Result<(Duration, T)> {
        let before = self.server.cpu();
        let outcome = clients.await?;
        self.backend.wait_until_left().await?;
        Ok((self.cpu_since(before)?, outcome))
    }

    fn cpu_since(&self, before: Duration) -> io::Result<Duration> {
        let cpu = self.server.cpu().checked_sub(before);
        cpu.ok_or_else(|| {
            io::Error::other("a thread of the server has ended, and its time with it")
        })
    }

    async fn idle(&self) -> io::Result<Vec<f64>> {
        let before = self.settled_memory().await;
        let clients = self.load.idle(IDLE).await?;
        let after = self.settled_memory().await;
        drop(clients);
        Ok(vec![(after - before) / f64::from(IDLE)])
    }

    /// Returns the memory once it is settled.
    async fn settled_memory(&self) -> f64 {
        let began = Instant::now();
        let mut last = (self.server.memory(), began);
        while last.1.elapsed() < SETTLED && began.elapsed() < SETTLE_MAX {
            sleep(SETTLED / 5).await;
            let memory = self.server.memory();
            if memory != last.0 {
                last = (memory, Instant::now());
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "it is far below 2^52 bytes")]
        let memory = last.0 as f64;
        memory
    }

    /// The clients stay until all have connected, so that the CPU time excludes their end.
    async fn storm(&self) -> io::Result<Vec<f64>> {
        let before = self.server.cpu();
        let storm = self.load.storm(self.storm).await?;
        let cpu = self.cpu_since(before)?;
        drop(storm.clients);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Ok(vec![
            ms(percentile(&storm.times, 50)),
            ms(percentile(&storm.times, 99)),
            ms(cpu),
            f64::from(storm.turned_away),
        ])
    }
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn ms_per_gib(cpu: Duration) -> f64 {
    cpu.as_secs_f64() * 1e3 * 1024.0 / f64::from(BULK_MIB)
}
