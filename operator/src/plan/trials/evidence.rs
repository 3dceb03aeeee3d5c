//! Compares a candidate with the current certificate, by how many devices aborted on each.
//!
//! Two tests, each as an e-process (Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid
//! inference", 2023): its value may be read after each connection, and if the candidate is no worse, it ever reaches
//! 1 / α with a probability of at most α (Ville's inequality). So nothing has to be fixed in advance.
//!
//! - Below a share of 100 %: the draw is random, so if an abort is as likely with either certificate, it is one on the candidate with
//!   the probability of the share, whatever else happens and however often devices abort. Outages and attackers occur in both arms alike.
//! - At 100 %: no connection is drawn for the current certificate any more, so the rate of aborts is compared with the one before. A
//!   rate rises for other reasons too: after an outage, devices come that aborted, and they take either certificate. So this
//!   makes a candidate doubtful, and never worse. When an outage is over, its share of the connections falls, and the doubt with it.
//!
//! It must not decide what follows: whether a trial goes on, waits or ends.

/// What became of the connections that were drawn for one certificate, at one share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arm {
    /// Number of connections whose first packet came.
    pub served: u64,
    /// Number of devices that aborted; each is set apart then.
    pub aborted: u64,
    /// Number of those that were served with the current certificate later: devices, not scanners.
    pub confirmed: u64,
}

/// Counts of one share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfShare {
    /// Share of the connections that are drawn for the candidate, in parts of 10,000.
    pub share: u16,
    /// Connections that were drawn for the current certificate.
    pub current: Arm,
    /// Connections that were drawn for the candidate.
    pub candidate: Arm,
    /// Number of connections that were drawn for the candidate by clients that cannot verify its signatures; they got the current one.
    pub unable: u64,
    /// Number of devices among them, as far as they can be distinguished: behind one address, devices with the same software cannot.
    pub unable_devices: u64,
}

/// How the candidate compares with the current certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing speaks against it, so far.
    Clear,
    /// Something speaks against it, which may be chance.
    Doubtful,
    /// Devices that take the current certificate do not take it.
    Worse,
}

/// A share of all connections, in parts of 10,000.
const ALL: u16 = 10_000;

/// Odds of an abort on the candidate, as multiples of those on the current certificate, to which a test gives equal weights. The
/// mean over them loses little to the best of them, which is not known: at most a factor of seven.
const RATIOS: [f64; 7] = [2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0];

/// Evidence that says worse: 1 / α for α = 0.001.
const WORSE: f64 = 1000.0;

/// Evidence that says doubtful, of either test. By chance alone, at most one trial in ten has it at some time, from each.
const DOUBTFUL: f64 = 10.0;

/// Number of devices that cannot verify the candidate's signatures, from which it may be worse.
const UNABLE_MAX: u64 = 3;

/// One in so many connections that are drawn for the candidate, from which those of such devices are worse: it needs no statistics, but
/// one client that comes again and again, or a scanner, is not a fleet.
const UNABLE_WORSE: u64 = 100;

/// Number of confirmed aborts, and one in so many connections, from which a candidate is doubtful that was shown to all from the
/// beginning.
const UNCOMPARED_MIN: f64 = 3.0;
const UNCOMPARED_ONE_IN: f64 = 100.0;

/// One in so many connections of clients that cannot verify the candidate, from which they are doubtful, however few devices they may be.
const UNABLE_DOUBTFUL: u64 = 1000;

/// Compares the arms. The counts may have any order, and shares that occur twice.
///
/// A candidate that is no worse is found worse in at most 2 of 1,000 trials, whatever the rate of aborts is and however it changes.
/// `Worse` holds for good: counts that come later can lower the evidence, but that does not undo it. `Doubtful` may end.
pub fn judge(counts: &[OfShare]) -> Verdict {
    let drawn = by_draw(counts);
    let devices = counts.iter().map(|of| of.unable_devices);
    let devices = devices.fold(0, u64::saturating_add);
    if (devices >= UNABLE_MAX && is_unable_in(counts, UNABLE_WORSE)) || drawn >= WORSE.ln() {
        Verdict::Worse
    } else if has_unable(counts) || drawn.max(by_rate(counts)) >= DOUBTFUL.ln() {
        Verdict::Doubtful
    } else {
        Verdict::Clear
    }
}

/// Reports whether so many clients cannot verify the candidate that it is doubtful for that alone.
pub fn has_unable(counts: &[OfShare]) -> bool {
    is_unable_in(counts, UNABLE_DOUBTFUL)
}

/// Reports whether one in so many connections that were drawn for the candidate was of a client that cannot verify it.
fn is_unable_in(counts: &[OfShare], number: u64) -> bool {
    let (unable, all) = counts.iter().fold((0_u64, 0_u64), |(unable, all), of| {
        let shown = of.candidate.served.saturating_add(of.candidate.aborted);
        let all = shown.saturating_add(of.unable).saturating_add(all);
        (of.unable.saturating_add(unable), all)
    });
    unable > 0 && unable.saturating_mul(number) >= all
}

/// Number of handshakes with the candidate that a step needs: for each percent of connections that abort on the current certificate,
/// as many again as without aborts. The more noise, the more it takes to see the same number of devices in it.
///
/// Only confirmed aborts are noise here: scanners do not hide devices from `judge`, and could draw a step out a hundredfold.
pub fn needed(min: u64, counts: &[OfShare]) -> u64 {
    let (noise, all) = counts.iter().fold((0_u128, 0_u128), |(noise, all), of| {
        let [served, aborted, confirmed] =
            [of.current.served, of.current.aborted, of.current.confirmed].map(u128::from);
        (noise + confirmed, all + served + aborted)
    });
    let more = (noise * 100)
        .saturating_mul(min.into())
        .div_ceil(all.max(1));
    min.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
}

/// Logarithm of the evidence that an abort is more likely with the candidate, from shares below 100 %.
///
/// It is the mean of two e-values. That of all aborts has them at once. That of the confirmed ones is not hidden by scanners and
/// attackers, whose aborts are noise in both arms and confirm nothing. Devices are confirmed in another order than they aborted,
/// so the mean need not be an e-process; but it reaches 1 / α only if one of the two does, which has a probability of at most 2 α.
fn by_draw(counts: &[OfShare]) -> f64 {
    ln_mean([
        of_draws(counts, |arm| arm.aborted),
        of_draws(counts, |arm| arm.confirmed),
    ])
}

/// Logarithm of the likelihood ratio of which arm the aborts were in, with the odds of each ratio and with equal ones.
fn of_draws(counts: &[OfShare], aborts: impl Fn(&Arm) -> u64) -> f64 {
    ln_mean(RATIOS.map(|ratio| {
        let drawn = counts.iter().filter(|of| (1..ALL).contains(&of.share));
        drawn
            .map(|of| {
                let share = f64::from(of.share) / f64::from(ALL);
                let candidate = real(aborts(&of.candidate));
                let all = candidate + real(aborts(&of.current));
                // P(candidate) is `ratio * share / (1 + share * (ratio - 1))` instead of `share`, and that of the other
                // arm accordingly.
                candidate * ratio.ln() - all * (share * (ratio - 1.0)).ln_1p()
            })
            .sum()
    }))
}

/// Logarithm of the evidence that confirmed aborts are more frequent with the candidate than they were before, once all connections
/// get it.
///
/// `ratio^x * exp(-n * rate * (ratio - 1))` is a supermartingale if each of `n` connections aborts with at most that rate, given the
/// past: `1 + rate * (ratio - 1) <= exp(rate * (ratio - 1))`. The rate is no more than its bound with a probability of 1 - α; no
/// connection is added to it once all are drawn for the candidate.
fn by_rate(counts: &[OfShare]) -> f64 {
    let sum = |arm: fn(&OfShare) -> &Arm, is_meant: fn(&OfShare) -> bool| {
        let arms = counts.iter().filter(|of| is_meant(of)).map(arm);
        arms.fold((0.0, 0.0), |(confirmed, all), arm| {
            (
                confirmed + real(arm.confirmed),
                all + real(arm.served) + real(arm.aborted),
            )
        })
    };
    let (before, connections) = sum(|of| &of.current, |_| true);
    let (confirmed, shown) = sum(|of| &of.candidate, |of| of.share >= ALL);
    if shown < 1.0 {
        return 0.0;
    }
    if connections < 1.0 {
        // There is nothing to compare with.
        let is_much = confirmed >= UNCOMPARED_MIN && confirmed * UNCOMPARED_ONE_IN >= shown;
        return if is_much { DOUBTFUL.ln() } else { 0.0 };
    }
    // What was observed, once more: the margin.
    let rate = (mean_at_most(before) + before) / connections;
    ln_mean(RATIOS.map(|ratio| confirmed * ratio.ln() - shown * rate * (ratio - 1.0)))
}

/// Upper bound of the mean of a Poisson distribution of which `seen` was observed, with an error of at most α: Chernoff's bound,
/// `seen * ln(seen / mean) + mean - seen = ln(1 / α)`.
fn mean_at_most(seen: f64) -> f64 {
    let bound = WORSE.ln();
    // The left side as a function of `mean - seen`, which keeps its digits where the two are large.
    let distance = |more: f64| {
        if seen > 0.0 {
            more - seen * (more / seen).ln_1p()
        } else {
            more
        }
    };
    // It is at least `more^2 / (2 * (seen + more))`, because `ln(1 + u) <= u * (2 + u) / (2 * (1 + u))`.
    let (mut low, mut high) = (0.0, bound + (bound * bound + 2.0 * seen * bound).sqrt());
    // Each halves the interval; there are 53 bits.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if distance(middle) < bound {
            low = middle;
        } else {
            high = middle;
        }
    }
    seen + high
}

/// Logarithm of the mean of numbers, of which the logarithms are given: the numbers themselves may be too large or too small.
fn ln_mean<const N: usize>(logarithms: [f64; N]) -> f64 {
    let greatest = logarithms.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let (sum, number) = logarithms.iter().fold((0.0, 0.0), |(sum, number), one| {
        (sum + (one - greatest).exp(), number + 1.0)
    });
    greatest + (sum / number).ln()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of more than 53 bits may be rounded"
)]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Aborts with the candidate and the current certificate, all confirmed.
    fn aborts(share: u16, candidate: u64, current: u64) -> OfShare {
        let arm = |aborted| Arm {
            served: 0,
            aborted,
            confirmed: aborted,
        };
        OfShare {
            share,
            current: arm(current),
            candidate: arm(candidate),
            unable: 0,
            unable_devices: 0,
        }
    }

    #[track_caller]
    fn is_near(logarithm: f64, value: f64) {
        let ratio = logarithm.exp() / value;
        assert!(
            (ratio - 1.0).abs() < 1e-6,
            "{} is not {value}",
            logarithm.exp()
        );
    }

    #[test]
    fn evidence_of_few_aborts_is_exact() {
        assert!(by_draw(&[]).abs() < 1e-12);
        is_near(by_draw(&[aborts(100, 1, 0)]), 32.830_580_6);
        is_near(by_draw(&[aborts(100, 1, 1)]), 11.048_306_5);
        is_near(
            by_draw(&[aborts(100, 1, 0), aborts(2500, 2, 1)]),
            18.453_151_9,
        );
    }

    #[test]
    fn a_smaller_share_needs_fewer_aborts() {
        for (share, doubtful, worse) in [(100, 1, 2), (500, 1, 3), (2500, 2, 6), (5000, 4, 11)] {
            let first =
                |wanted| (0..20).find(|number| judge(&[aborts(share, *number, 0)]) >= wanted);
            assert_eq!(first(Verdict::Doubtful), Some(doubtful), "{share}");
            assert_eq!(first(Verdict::Worse), Some(worse), "{share}");
        }
    }

    #[test]
    fn aborts_on_the_current_certificate_end_a_doubt() {
        assert_eq!(judge(&[aborts(100, 1, 1)]), Verdict::Doubtful);
        assert_eq!(judge(&[aborts(100, 1, 2)]), Verdict::Clear);
    }

    #[test]
    fn without_another_arm_the_draw_says_nothing() {
        for share in [0, ALL, u16::MAX] {
            assert!(by_draw(&[aborts(share, 1_000_000, 0)]).abs() < 1e-12);
        }
    }

    #[test]
    fn shares_may_have_any_order_and_occur_twice() {
        let counts = [aborts(100, 1, 7), aborts(2500, 3, 2), aborts(100, 0, 5)];
        let other = [aborts(2500, 3, 2), aborts(100, 1, 12)];
        assert!((by_draw(&counts) - by_draw(&other)).abs() < 1e-9);
    }

    #[test]
    fn clients_that_cannot_verify_need_no_statistics() {
        let unable = |unable, unable_devices| OfShare {
            unable,
            unable_devices,
            ..OfShare::default()
        };
        assert_eq!(judge(&[unable(0, 0)]), Verdict::Clear);
        assert_eq!(judge(&[unable(1, 1)]), Verdict::Doubtful);
        assert_eq!(judge(&[unable(2, 2), unable(1, 1)]), Verdict::Worse);
        assert_eq!(judge(&[unable(u64::MAX, 2), unable(1, 1)]), Verdict::Worse);
        let mut of = unable(3, 3);
        for (served, expected) in [
            (297, Verdict::Worse),
            (298, Verdict::Doubtful),
            (2997, Verdict::Doubtful),
            (2998, Verdict::Clear),
        ] {
            of.candidate.served = served;
            assert_eq!(judge(&[of]), expected, "{served}");
        }
    }

    /// Behind one address, a fleet looks like one device.
    #[test]
    fn one_device_that_cannot_verify_holds_a_trial_and_does_not_end_it() {
        for unable_devices in [1, 2] {
            let mut of = OfShare {
                unable: 1000,
                unable_devices,
                ..OfShare::default()
            };
            assert_eq!(judge(&[of]), Verdict::Doubtful);
            of.candidate.served = 999_000;
            assert_eq!(judge(&[of]), Verdict::Doubtful);
            of.candidate.served += 1;
            assert_eq!(judge(&[of]), Verdict::Clear);
        }
    }

    /// Scanners: aborts in each arm by its share, none of them confirmed.
    fn scanned(share: u16, number: u64) -> OfShare {
        let part = number * u64::from(share) / u64::from(ALL);
        let mut of = OfShare {
            share,
            ..OfShare::default()
        };
        (of.candidate.aborted, of.current.aborted) = (part, number - part);
        of
    }

    #[test]
    fn attackers_that_abort_everything_neither_matter_nor_hide_devices() {
        for share in [100, 500, 2500] {
            for power in 0..16 {
                assert_eq!(judge(&[scanned(share, 10_u64.pow(power))]), Verdict::Clear);
            }
            let mut of = scanned(share, 100_000);
            of.candidate.aborted += 10;
            of.candidate.confirmed = 10;
            assert_eq!(judge(&[of]), Verdict::Worse, "{share}");
        }
    }

    #[test]
    fn the_bound_of_a_mean_is_that_of_chernoff() {
        for (seen, bound) in [
            (0.0, 6.907_755_279),
            (1.0, 10.233_413_476),
            (10.0, 26.745_606_528),
            (100.0, 141.910_142_434),
        ] {
            assert!((mean_at_most(seen) - bound).abs() < 1e-6, "{seen}");
        }
        assert!(mean_at_most(1e19) > 1e19);
    }

    /// A trial that came to 100 %: 36,000 connections were drawn for the current certificate.
    fn at_all(before: u64, confirmed: u64, shown: u64) -> [OfShare; 2] {
        let mut counts = [aborts(100, 0, before), aborts(ALL, confirmed, 0)];
        counts[0].current.served = 36_000 - before;
        counts[1].candidate.served = shown - confirmed;
        counts
    }

    #[test]
    fn a_rate_that_rises_at_100_percent_is_doubtful() {
        is_near(by_rate(&at_all(0, 1, 10)), 55.268_722_1);
        is_near(by_rate(&at_all(0, 2, 300)), 39.568_259_5);
        is_near(by_rate(&at_all(360, 12, 300)), 0.780_619_6);
        assert_eq!(judge(&at_all(0, 1, 300)), Verdict::Clear);
        assert_eq!(judge(&at_all(0, 2, 300)), Verdict::Doubtful);
        assert_eq!(judge(&at_all(360, 12, 300)), Verdict::Clear);
        // An outage, and when it is long over.
        assert_eq!(judge(&at_all(360, 100, 600)), Verdict::Doubtful);
        assert_eq!(judge(&at_all(360, 100, 6000)), Verdict::Clear);
        // Nothing to compare with.
        assert_eq!(judge(&at_all(0, 100, 600)[1..]), Verdict::Doubtful);
        assert_eq!(judge(&at_all(0, 2, 600)[1..]), Verdict::Clear);
        assert_eq!(judge(&at_all(0, 5, 6000)[1..]), Verdict::Clear);
        assert_eq!(judge(&at_all(0, 0, 0)[..1]), Verdict::Clear);
    }

    #[test]
    fn no_count_is_too_large() {
        let most = Arm {
            served: u64::MAX,
            aborted: u64::MAX,
            confirmed: u64::MAX,
        };
        let arms = [Arm::default(), most];
        for share in [0, 1, 100, 9999, ALL, u16::MAX] {
            for (current, candidate) in arms.into_iter().flat_map(|one| arms.map(|two| (one, two)))
            {
                let of = OfShare {
                    share,
                    current,
                    candidate,
                    unable: 0,
                    unable_devices: 0,
                };
                for counts in [vec![of], vec![of; 5], vec![of, aborts(ALL, u64::MAX, 1)]] {
                    assert!(by_draw(&counts).is_finite() && by_rate(&counts).is_finite());
                    judge(&counts);
                    assert_eq!(needed(u64::MAX, &counts), u64::MAX);
                }
            }
        }
    }

    #[test]
    fn noise_makes_steps_longer() {
        let of = |served, aborted, confirmed| {
            let current = Arm {
                served,
                aborted,
                confirmed,
            };
            OfShare {
                current,
                ..OfShare::default()
            }
        };
        assert_eq!(needed(300, &[]), 300);
        assert_eq!(needed(300, &[of(1000, 0, 0)]), 300);
        assert_eq!(needed(300, &[of(9999, 1, 1)]), 303);
        assert_eq!(needed(300, &[of(990, 10, 10)]), 600);
        assert_eq!(needed(300, &[of(500, 0, 0), of(450, 50, 50)]), 1800);
        // Scanners.
        assert_eq!(needed(300, &[of(1000, 1_000_000, 0)]), 300);
        // The candidate's own do not count.
        assert_eq!(needed(300, &[aborts(100, 10, 0)]), 300);
        assert_eq!(needed(300, &[of(0, 1, 1)]), 300 * 101);
    }

    /// Random numbers: xorshift64*.
    struct Chance(u64);

    impl Chance {
        fn new(seed: u64) -> Self {
            let mut chance = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
            (0..16).for_each(|_| _ = chance.is(0.5));
            chance
        }

        fn is(&mut self, probability: f64) -> bool {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
            real(high) < probability * 4_294_967_296.0
        }
    }

    /// Runs a trial with a candidate that is no worse, and returns what was worst: each connection aborts with a probability.
    fn harmless(noise: f64, seed: u64) -> Verdict {
        let mut chance = Chance::new(seed);
        let mut counts = vec![];
        let mut worst = Verdict::Clear;
        for share in [100, 500, 2500, ALL] {
            counts.push(aborts(share, 0, 0));
            while counts.last().expect("it was pushed").candidate.served < needed(10, &counts) {
                let of = counts.last_mut().expect("it was pushed");
                let is_candidate = chance.is(f64::from(share) / f64::from(ALL));
                let arm = if is_candidate {
                    &mut of.candidate
                } else {
                    &mut of.current
                };
                if chance.is(noise) {
                    arm.aborted += 1;
                    // Every third one is a scanner.
                    arm.confirmed += u64::from(!chance.is(0.33));
                    worst = worst.max(judge(&counts));
                } else {
                    arm.served += 1;
                }
            }
        }
        worst
    }

    fn found_worse(noise: f64) -> usize {
        (0..1000)
            .filter(|seed| harmless(noise, *seed) == Verdict::Worse)
            .count()
    }

    /// At most 2 are expected of 1,000, so more than 8 have a probability below 1 in 4,000.
    #[test]
    fn a_candidate_that_is_no_worse_is_hardly_ever_found_worse() {
        let seen = [0.0, 0.001, 0.01, 0.05].map(found_worse);
        println!("found worse, of 1,000: {seen:?}");
        assert_eq!(seen[0], 0);
        assert!(seen.iter().all(|seen| *seen <= 8), "{seen:?}");
    }

    /// Returns how many handshakes with the candidate a trial at 1 % takes until it is found worse. 500 devices connect by
    /// turns, and the first ones do not take it.
    fn until_worse(bad: usize, noise: f64, seed: u64) -> u64 {
        let mut chance = Chance::new(seed);
        let mut of = aborts(100, 0, 0);
        let mut apart = [false; 500];
        for number in (0..500).cycle().take(1_000_000) {
            if apart[number] {
                continue;
            }
            let is_candidate = chance.is(0.01);
            let arm = if is_candidate {
                &mut of.candidate
            } else {
                &mut of.current
            };
            if (is_candidate && number < bad) || chance.is(noise) {
                arm.aborted += 1;
                arm.confirmed += 1;
                apart[number] = true;
                if judge(&[of]) == Verdict::Worse {
                    return of.candidate.served + of.candidate.aborted;
                }
            } else {
                arm.served += 1;
            }
        }
        u64::MAX
    }

    #[test]
    fn devices_that_do_not_take_it_are_found() {
        // Devices of 500 that do not take it, noise, and handshakes with the candidate of which so many trials need no more.
        for (bad, noise, half, most) in [
            (15, 0.0, 75, 250),
            (50, 0.0, 25, 75),
            (250, 0.0, 5, 15),
            (50, 0.005, 60, 180),
            (250, 0.05, 15, 40),
        ] {
            let mut trials: Vec<_> = (0..201).map(|seed| until_worse(bad, noise, seed)).collect();
            trials.sort_unstable();
            println!(
                "{bad} of 500, noise {noise}: {} and {}",
                trials[100], trials[190]
            );
            assert!(trials[100] <= half && trials[190] <= most, "{bad}, {noise}");
        }
    }
}
