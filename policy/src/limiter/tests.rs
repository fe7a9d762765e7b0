use chrono::TimeDelta;

use super::*;

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
}

fn rate(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

#[test]
fn bursts_are_ten_seconds_worth_and_at_least_one() {
    for (per_minute, burst) in [(1, 1), (5, 1), (6, 1), (12, 2), (60, 10), (600, 100)] {
        let gcra = Gcra::new(rate(per_minute));
        let passed = (0..1000).filter(|_| gcra.check(at(0)).is_ok()).count();
        assert_eq!(passed, burst, "{per_minute} per minute");
    }
}

#[test]
fn the_rate_holds_over_ten_minutes_of_pressure() {
    for per_minute in [1, 7, 60, 600] {
        let gcra = Gcra::new(rate(per_minute));
        let passed = (0..600_000).step_by(20).filter(|millis| gcra.check(at(*millis)).is_ok()).count();
        let most = 10 * per_minute + (per_minute / BURST_PART).max(1);
        assert!(passed <= usize::try_from(most).unwrap(), "{per_minute} per minute: {passed}");
        assert!(passed >= usize::try_from(10 * per_minute - 1).unwrap(), "{per_minute} per minute: {passed}");
    }
}

#[test]
fn a_refused_request_passes_after_the_wait_it_was_told() {
    for per_minute in [1, 2, 7, 59, 60, 600, 6_000] {
        let gcra = Gcra::new(rate(per_minute));
        let told = (0..).find_map(|_| gcra.check(at(0)).err()).unwrap();
        assert!((1..=60).contains(&told.seconds()), "{per_minute} per minute: {told:?}");
        assert_eq!(gcra.check(at(0) + TimeDelta::seconds(i64::from(told.seconds()))), Ok(()));
    }
}

#[test]
fn a_clock_set_back_locks_nobody_out() {
    let gcra = Gcra::new(rate(60));
    while gcra.check(at(0)).is_ok() {}
    let hour_before = at(-3_600_000);
    assert_eq!(gcra.check(hour_before), Ok(()));
}

#[test]
fn times_before_the_epoch_and_far_rates_do_not_panic() {
    let _ = Gcra::new(NonZeroU32::MAX).check(DateTime::<Utc>::MIN_UTC);
    let _ = Gcra::new(NonZeroU32::MAX).check(DateTime::<Utc>::MAX_UTC);
    let _ = Gcra::new(rate(1)).check(DateTime::<Utc>::MAX_UTC);
}

#[test]
fn many_threads_pass_no_more_than_the_burst() {
    let gcra = Gcra::new(rate(600));
    let passed = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..100 {
                    if gcra.check(at(0)).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 100);
}

#[test]
fn places_come_back_on_every_path() {
    let limiter = TenantLimiter::new(Some(rate(6)), Some(rate(2)));
    let first = limiter.admit(at(0)).unwrap();
    // The rate refuses after the place was taken; the place must come back.
    assert!(matches!(limiter.admit(at(0)), Err(Throttled::Rate { .. })));
    assert_eq!(limiter.running(), 1);
    drop(first);
    assert_eq!(limiter.running(), 0);
}

#[test]
fn concurrency_is_refused_without_using_up_rate() {
    let limiter = TenantLimiter::new(Some(rate(12)), Some(rate(1)));
    let guard = limiter.admit(at(0)).unwrap();
    for _ in 0..5 {
        let refused = limiter.admit(at(0)).unwrap_err();
        assert_eq!(refused, Throttled::Concurrency { limit: rate(1) });
        assert_eq!(refused.retry_after_seconds(), 1);
    }
    drop(guard);
    assert!(limiter.admit(at(0)).is_ok());
}

#[test]
fn changed_limits_keep_what_is_running_and_the_schedule() {
    let limiter = TenantLimiter::new(Some(rate(6)), Some(rate(5)));
    let _guard = limiter.admit(at(0)).unwrap();
    let narrower = limiter.with_limits(Some(rate(6)), Some(rate(1)));
    assert_eq!(narrower.running(), 1);
    assert!(matches!(narrower.admit(at(60_000)), Err(Throttled::Concurrency { .. })));
    let slower = limiter.with_limits(Some(rate(1)), None);
    assert!(matches!(slower.admit(at(0)), Err(Throttled::Rate { .. })));
    assert!(Arc::ptr_eq(&limiter, &limiter.with_limits(Some(rate(6)), Some(rate(5)))));
}

#[test]
fn no_limits_admit_everything() {
    let limiter = TenantLimiter::new(None, None);
    let guards: Vec<_> = (0..10_000).map(|_| limiter.admit(at(0)).unwrap()).collect();
    assert_eq!(limiter.running(), 10_000);
    drop(guards);
    assert_eq!(limiter.running(), 0);
}
