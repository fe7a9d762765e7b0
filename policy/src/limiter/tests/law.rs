//! The law of a rate: a bucket, whatever the order of taking, giving back and owing.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait { millis: u16 },
    Take { units: u32 },
    GiveBack { units: u32 },
    Owe { units: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..20_000_u16).prop_map(|millis| Step::Wait { millis }),
        (0..700_u32).prop_map(|units| Step::Take { units }),
        (0..700_u32).prop_map(|units| Step::GiveBack { units }),
        (0..100_u32).prop_map(|units| Step::Owe { units }),
    ];
    prop::collection::vec(step, 1..120)
}

/// A bucket of nanoseconds, said in the plainest way.
struct Bucket {
    level: i64,
    size: i64,
}

impl Bucket {
    fn add(&mut self, nanos: i64) {
        self.level = (self.level + nanos).min(self.size);
    }
}

proptest! {
    #[test]
    fn a_schedule_is_a_bucket(per_minute in 1..=700_u32, steps in steps()) {
        let gcra = Gcra::of_tokens(rate(per_minute));
        let interval = i64::try_from(60_000_000_000_u64.div_ceil(u64::from(per_minute))).unwrap();
        let size = interval * i64::from(per_minute);
        let mut bucket = Bucket { level: size, size };
        let mut millis = 0;
        let mut owed = 0;
        for step in steps {
            match step {
                Step::Wait { millis: more } => {
                    millis += i64::from(more);
                    bucket.add(i64::from(more) * 1_000_000);
                }
                Step::Take { units } => {
                    let cost = i64::from(units) * interval;
                    let expected = cost <= bucket.level;
                    prop_assert_eq!(gcra.take(u64::from(units), at(millis)).is_ok(), expected);
                    bucket.level -= if expected { cost } else { 0 };
                }
                Step::GiveBack { units } => {
                    gcra.give_back(u64::from(units));
                    bucket.add(i64::from(units) * interval);
                }
                // Ten minutes' worth is the most that may be owed; the model knows no such end.
                Step::Owe { units } if owed + units <= per_minute * 10 => {
                    owed += units;
                    gcra.owe(u64::from(units), at(millis));
                    bucket.level -= i64::from(units) * interval;
                }
                Step::Owe { .. } => {}
            }
            let standing = gcra.standing(at(millis));
            prop_assert_eq!(standing.remaining, u64::try_from(bucket.level.max(0) / interval).unwrap());
            prop_assert_eq!(i64::try_from(standing.reset.as_nanos()).unwrap(), size - bucket.level);
        }
    }

    #[test]
    fn over_any_span_no_more_is_taken_than_the_rate_and_a_burst(
        per_minute in 1..=700_u32,
        waits in prop::collection::vec((0..3_000_i64, 1..300_u64, 0..300_u64), 1..80),
    ) {
        let gcra = Gcra::of_tokens(rate(per_minute));
        let mut millis = 0;
        let mut taken: Vec<(i64, i64)> = Vec::new();
        for (wait, units, unused) in waits {
            millis += wait;
            if gcra.take(units, at(millis)).is_ok() {
                let unused = unused.min(units);
                gcra.give_back(unused);
                taken.push((millis, i64::try_from(units - unused).unwrap()));
            }
        }
        for (index, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for (to, units) in &taken[index..] {
                sum += units;
                let most = i64::from(per_minute) * 60_000 + i64::from(per_minute) * (to - from);
                prop_assert!(sum * 60_000 <= most, "{sum} units in {} ms", to - from);
            }
        }
    }

    #[test]
    fn a_refused_taking_passes_after_the_wait_it_was_told(
        per_minute in 1..=1_000_000_u32,
        takes in prop::collection::vec(0.0..1.0_f64, 1..20),
    ) {
        let gcra = Gcra::of_tokens(rate(per_minute));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a limit fits")]
        for part in takes {
            let units = (f64::from(per_minute) * part) as u64;
            if let Err(told) = gcra.take(units, at(0)) {
                prop_assert!((1..=60).contains(&told.seconds()));
                let wait = TimeDelta::seconds(i64::from(told.seconds()));
                let later = at(0) + wait;
                prop_assert!(gcra.standing(later).remaining >= units);
            }
        }
    }

    #[test]
    fn a_hold_settles_to_what_was_used(held in 0..5_000_u64, used in 0..5_000_u64, settle in any::<bool>()) {
        let wide = limits(0, 5_000, 0);
        let caller = caller(wide, wide, wide);
        let hold = caller.take_tokens(held, at(0)).unwrap();
        let used = if settle {
            hold.settle(used, at(0));
            used
        } else {
            drop(hold);
            0
        };
        for (_, limiter) in caller.all().into_iter().flatten() {
            prop_assert_eq!(limiter.rate(Counted::Tokens).unwrap().standing(at(0)).remaining, 5_000 - used);
        }
    }
}

#[test]
fn many_threads_give_back_exactly_what_they_took() {
    let caller = caller(limits(0, 10_000, 0), limits(0, 20_000, 0), limits(0, 30_000, 0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let caller = &caller;
            scope.spawn(move || {
                for turn in 0..500 {
                    if let Ok(hold) = caller.take_tokens(100 + thread * 7 + turn % 13, at(0)) {
                        drop(hold);
                    }
                }
                caller.take_tokens(150, at(0)).unwrap().settle(100, at(0));
            });
        }
    });
    for (_, limiter) in caller.all().into_iter().flatten() {
        let standing = limiter.rate(Counted::Tokens).unwrap().standing(at(0));
        assert_eq!(standing.remaining, u64::from(standing.limit.get()) - 800);
    }
}
