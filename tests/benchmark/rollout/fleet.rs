//! A fleet of devices during a trial: each has its own behaviour, and is drawn for the candidate or not with each connection.
//!
//! It follows the terminator's rules (`terminator/reference.md`, "Trials of renewed certificates") with one process, and
//! those of a trial's steps. It must not use anything but the standard library and the evidence, so that it can be run alone.

use super::evidence::{Arm, OfShare, Verdict, judge, needed};

/// Shares of the steps, in parts of 10,000.
const SHARES: [u16; 4] = [100, 500, 2500, 10_000];

/// Share of the rounds that are outages, if there are any.
const OUTAGES: f64 = 0.05;

/// What a fleet is like, and how a trial goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Number of devices, each of which connects once in a round.
    pub(crate) devices: u32,
    /// Share of the devices that do not take the candidate.
    pub(crate) bad: f64,
    pub(crate) noise: Noise,
    /// Number of handshakes with the candidate that each step needs without noise.
    pub(crate) handshakes: [u64; 4],
    /// Number of rounds for which a device that aborted is set apart.
    pub(crate) apart: u32,
    /// Number of rounds after which a trial that is not decided counts as one that waits.
    pub(crate) rounds: u32,
}

/// Aborts that have nothing to do with the certificate, as shares of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// Of devices: they try again until they are served.
    pub(crate) devices: f64,
    /// Of strangers: none of them comes twice.
    pub(crate) strangers: f64,
    /// Of devices, in the rounds that are outages.
    pub(crate) outage: f64,
}

impl Noise {
    pub(crate) const fn of(devices: f64, strangers: f64, outage: f64) -> Self {
        Self {
            devices,
            strangers,
            outage,
        }
    }
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All steps are done.
    Finished,
    RolledBack,
    /// It was not decided in time.
    Waits,
}

/// What a trial cost until it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) rounds: u32,
    /// Number of full handshakes of the fleet and of strangers.
    pub(crate) handshakes: u64,
    /// Number of those with the candidate.
    pub(crate) shown: u64,
    /// Number of devices that aborted on the candidate because they do not take it.
    pub(crate) in_vain: u32,
    /// Greatest number of failed tries of a device, in a row.
    pub(crate) failed_in_a_row: u32,
}

/// Random numbers: xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        // Zero is its only fixed point, and small seeds are much alike at first.
        let mut chance = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..16 {
            chance.next();
        }
        chance
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let [a, b, c, d, ..] = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Returns true with a probability.
    fn is(&mut self, probability: f64) -> bool {
        f64::from(self.next()) < probability * f64::from(u32::MAX)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Device {
    is_bad: bool,
    /// Round from which it is drawn again.
    drawn_from: u32,
}

/// Runs a trial until it is decided.
pub(crate) fn run(setting: &Setting, chance: &mut Chance) -> Outcome {
    let mut devices = vec![Device::default(); setting.devices as usize];
    // The expected number, rounded up or down at random.
    let bad = setting.bad * f64::from(setting.devices);
    let mut left = (1..=setting.devices)
        .take_while(|number| f64::from(*number) <= bad)
        .count();
    left += usize::from(chance.is(bad.fract()));
    while left > 0 {
        let device = &mut devices[chance.next() as usize % setting.devices as usize];
        left -= usize::from(!device.is_bad);
        device.is_bad = true;
    }
    let mut trial = Trial::new(setting, chance);
    for round in 0..setting.rounds {
        trial.outcome.rounds = round + 1;
        trial.begin(round);
        for device in &mut devices {
            trial.strangers();
            trial.device(device);
            if trial.outcome.end != End::Waits {
                return trial.outcome;
            }
        }
    }
    trial.outcome
}

/// A trial that goes on.
struct Trial<'t> {
    setting: &'t Setting,
    chance: &'t mut Chance,
    step: usize,
    counts: [OfShare; 4],
    round: u32,
    /// Probability that a connection of a device aborts for other reasons.
    noise: f64,
    verdict: Verdict,
    outcome: Outcome,
}

impl<'t> Trial<'t> {
    fn new(setting: &'t Setting, chance: &'t mut Chance) -> Self {
        Self {
            setting,
            chance,
            step: 0,
            counts: SHARES.map(|share| OfShare {
                share,
                ..OfShare::default()
            }),
            round: 0,
            noise: 0.0,
            verdict: Verdict::Clear,
            outcome: Outcome {
                end: End::Waits,
                rounds: 0,
                handshakes: 0,
                shown: 0,
                in_vain: 0,
                failed_in_a_row: 0,
            },
        }
    }

    fn begin(&mut self, round: u32) {
        self.round = round;
        let noise = self.setting.noise;
        let is_outage = noise.outage > 0.0 && self.chance.is(OUTAGES);
        self.noise = if is_outage {
            noise.outage
        } else {
            noise.devices
        };
    }

    /// Lets a device connect, until it is served.
    fn device(&mut self, device: &mut Device) {
        let mut aborted_at = None;
        for failed in 0_u32.. {
            self.outcome.failed_in_a_row = self.outcome.failed_in_a_row.max(failed);
            let is_drawn = device.drawn_from <= self.round;
            let is_candidate = is_drawn && self.draw();
            self.outcome.handshakes += 1;
            let is_refused = is_candidate && device.is_bad;
            if !is_refused && !self.chance.is(self.noise) {
                if is_drawn {
                    self.arm(self.step, is_candidate).served += 1;
                }
                break;
            }
            self.outcome.in_vain += u32::from(is_refused);
            if is_drawn {
                device.drawn_from = self.round.saturating_add(self.setting.apart);
                self.arm(self.step, is_candidate).aborted += 1;
                aborted_at = Some((self.step, is_candidate));
                self.judge();
            }
        }
        if let Some((step, is_candidate)) = aborted_at {
            self.arm(step, is_candidate).confirmed += 1;
            self.judge();
        }
        self.step_on();
    }

    /// Lets the strangers connect who come between two devices.
    fn strangers(&mut self) {
        while self.chance.is(self.setting.noise.strangers) {
            let is_candidate = self.draw();
            self.outcome.handshakes += 1;
            self.arm(self.step, is_candidate).aborted += 1;
            self.judge();
        }
    }

    fn draw(&mut self) -> bool {
        let is_candidate = self.chance.is(f64::from(SHARES[self.step]) / 10_000.0);
        self.outcome.shown += u64::from(is_candidate);
        is_candidate
    }

    fn arm(&mut self, step: usize, is_candidate: bool) -> &mut Arm {
        let counts = &mut self.counts[step];
        if is_candidate {
            &mut counts.candidate
        } else {
            &mut counts.current
        }
    }

    /// Judges: after each abort, and when a step at 100 % seems done, because there the connections count too.
    fn judge(&mut self) {
        self.verdict = judge(&self.counts);
        if self.verdict == Verdict::Worse {
            self.outcome.end = End::RolledBack;
        }
    }

    /// Goes on to the next step, if this one has what it needs and nothing speaks against it.
    fn step_on(&mut self) {
        let min = self.setting.handshakes[self.step];
        let served = self.counts[self.step].candidate.served;
        let is_done = served >= min && served >= needed(min, &self.counts);
        if is_done && self.step + 1 == SHARES.len() {
            self.judge();
        }
        if self.outcome.end != End::Waits || !is_done || self.verdict != Verdict::Clear {
            return;
        }
        if self.step + 1 < SHARES.len() {
            self.step += 1;
        } else {
            self.outcome.end = End::Finished;
        }
    }
}
