mod fair;
mod law;
mod sharing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use uuid::Uuid;

use crate::ids::{AgentId, TenantId};
use crate::ledger::Subject;

const ANY: NonZeroU32 = NonZeroU32::MAX;
const TENANT: TenantId = TenantId::from_uuid(Uuid::nil());

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
}

fn rate(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

#[test]
fn bursts_are_ten_seconds_worth_and_at_least_one() {
    for (per_minute, burst) in [(1, 1), (5, 1), (6, 1), (12, 2), (60, 10), (600, 100)] {
        let gcra = Gcra::of_requests(rate(per_minute));
        let passed = (0..1000).filter(|_| gcra.take(1, at(0)).is_ok()).count();
        assert_eq!(passed, burst, "{per_minute} per minute");
    }
}

#[test]
fn the_rate_holds_over_ten_minutes_of_pressure() {
    for per_minute in [1, 7, 60, 600] {
        let gcra = Gcra::of_requests(rate(per_minute));
        let passed = (0..600_000).step_by(20).filter(|millis| gcra.take(1, at(*millis)).is_ok()).count();
        let most = 10 * per_minute + (per_minute / 6).max(1);
        assert!(passed <= usize::try_from(most).unwrap(), "{per_minute} per minute: {passed}");
        assert!(passed >= usize::try_from(10 * per_minute - 1).unwrap(), "{per_minute} per minute: {passed}");
    }
}

#[test]
fn a_refused_request_passes_after_the_wait_it_was_told() {
    for per_minute in [1, 2, 7, 59, 60, 600, 6_000] {
        let gcra = Gcra::of_requests(rate(per_minute));
        let told = (0..).find_map(|_| gcra.take(1, at(0)).err()).unwrap();
        assert!((1..=60).contains(&told.seconds()), "{per_minute} per minute: {told:?}");
        assert_eq!(gcra.take(1, at(0) + TimeDelta::seconds(i64::from(told.seconds()))), Ok(()));
    }
}

#[test]
fn a_clock_set_back_locks_nobody_out() {
    let gcra = Gcra::of_requests(rate(60));
    while gcra.take(1, at(0)).is_ok() {}
    let hour_before = at(-3_600_000);
    assert_eq!(gcra.take(1, hour_before), Ok(()));
}

#[test]
fn times_before_the_epoch_and_far_rates_do_not_panic() {
    let _ = Gcra::of_requests(NonZeroU32::MAX).take(1, DateTime::<Utc>::MIN_UTC);
    let _ = Gcra::of_requests(NonZeroU32::MAX).take(1, DateTime::<Utc>::MAX_UTC);
    let _ = Gcra::of_requests(rate(1)).take(1, DateTime::<Utc>::MAX_UTC);
}

#[test]
fn many_threads_pass_no_more_than_the_burst() {
    let gcra = Gcra::of_requests(rate(600));
    let passed = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..100 {
                    if gcra.take(1, at(0)).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 100);
}

fn limits(requests: u32, tokens: u32, concurrent: u32) -> Limits {
    Limits {
        requests_per_minute: NonZeroU32::new(requests),
        tokens_per_minute: NonZeroU32::new(tokens),
        concurrent_requests: NonZeroU32::new(concurrent),
    }
}

/// A key of an agent of its own, with the limits of tenant, agent and key.
fn caller(tenant: Limits, agent: Limits, key: Limits) -> CallerLimits {
    let nodes = Nodes::default();
    CallerLimits::new(
        TenantLimiter::new(TENANT, tenant, None, &nodes),
        AgentLimiter::new((TENANT, AgentId::from_uuid(Uuid::nil())), agent, None, &nodes),
        Some(KeyLimiter::new((TENANT, "0aZ9bcdefghijklm".parse().unwrap()), key, None, &nodes)),
    )
}

fn alone(tenant: Limits) -> CallerLimits {
    caller(tenant, Limits::default(), Limits::default())
}

#[test]
fn places_come_back_on_every_path() {
    let caller = alone(limits(6, 0, 2));
    let first = caller.admit(ANY, at(0)).unwrap();
    // The rate refuses after the place was taken; the place must come back.
    assert_eq!(caller.admit(ANY, at(0)).unwrap_err().counted, Counted::Requests);
    assert_eq!(caller.tenant_running(), 1);
    drop(first);
    assert_eq!(caller.tenant_running(), 0);
}

#[test]
fn concurrency_is_refused_without_using_up_rate() {
    let caller = alone(limits(12, 0, 1));
    let guard = caller.admit(ANY, at(0)).unwrap();
    for _ in 0..5 {
        let refused = caller.admit(ANY, at(0)).unwrap_err();
        assert_eq!(
            (refused.scope, refused.counted, refused.limit),
            (Scope::Tenant, Counted::Concurrency, rate(1))
        );
        assert_eq!(refused.retry_after.seconds(), 1);
    }
    drop(guard);
    assert!(caller.admit(ANY, at(0)).is_ok());
}

#[test]
fn every_scope_is_a_limit_and_the_refused_takes_nothing_of_the_others() {
    let (wide, narrow) = (limits(600, 10_000, 50), limits(6, 100, 1));
    for (scope, caller) in [
        (Scope::Tenant, caller(narrow, wide, wide)),
        (Scope::Agent, caller(wide, narrow, wide)),
        (Scope::Key, caller(wide, wide, narrow)),
    ] {
        let place = caller.admit(ANY, at(0)).unwrap();
        let refused = caller.admit(ANY, at(0)).unwrap_err();
        assert_eq!((refused.scope, refused.counted), (scope, Counted::Concurrency));
        drop(place);
        let refused = caller.admit(ANY, at(0)).unwrap_err();
        assert_eq!((refused.scope, refused.counted), (scope, Counted::Requests));
        assert_eq!(caller.tenant_running(), 0);

        let hold = caller.take_tokens(60, at(0)).unwrap();
        let Err(NoTokens::Throttled(refused)) = caller.take_tokens(60, at(0)) else { panic!("{scope:?}") };
        assert_eq!((refused.scope, refused.counted, refused.limit), (scope, Counted::Tokens, rate(100)));
        assert_eq!(
            refused.to_string(),
            format!("more than the 100 tokens per minute of the {}", scope.as_str())
        );
        drop(hold);
        for (_, limiter) in caller.all().into_iter().flatten() {
            let limit = limiter.limits.tokens_per_minute.unwrap();
            let left = limiter.rate(Counted::Tokens).unwrap().standing(at(0)).remaining;
            assert_eq!(left, u64::from(limit.get()), "{scope:?}");
            let requests = limiter.rate(Counted::Requests).unwrap();
            assert_eq!(
                requests.standing(at(0)).remaining,
                requests.burst() - 1,
                "{scope:?}: one was admitted"
            );
        }
    }
}

#[test]
fn a_node_gives_no_tenant_more_places_than_it_may() {
    let caller = alone(limits(0, 0, 50));
    let _place = caller.admit(rate(1), at(0)).unwrap();
    let refused = caller.admit(rate(1), at(0)).unwrap_err();
    assert_eq!((refused.scope, refused.limit), (Scope::Tenant, rate(1)));
}

#[test]
fn changed_limits_keep_what_is_running_and_the_schedule() {
    let known = TenantLimiter::new(TENANT, limits(6, 100, 5), None, &Nodes::default());
    let of = |tenant: &Arc<TenantLimiter>| CallerLimits::new(Arc::clone(tenant), Arc::default(), None);
    let (_guard, hold) = (of(&known).admit(ANY, at(0)).unwrap(), of(&known).take_tokens(80, at(0)).unwrap());
    let narrower = of(&TenantLimiter::new(TENANT, limits(6, 100, 1), Some(&known), &Nodes::default()));
    assert_eq!(narrower.tenant_running(), 1);
    assert_eq!(narrower.admit(ANY, at(60_000)).unwrap_err().counted, Counted::Concurrency);
    let slower = of(&TenantLimiter::new(TENANT, limits(1, 50, 0), Some(&known), &Nodes::default()));
    assert_eq!(slower.admit(ANY, at(0)).unwrap_err().counted, Counted::Requests);
    assert!(slower.take_tokens(20, at(0)).is_err());
    drop(hold);
    assert!(slower.take_tokens(50, at(0)).is_ok(), "given back to the limit of before");
}

#[test]
fn no_limits_admit_everything() {
    let caller = alone(Limits::default());
    let guards: Vec<_> = (0..10_000).map(|_| caller.admit(ANY, at(0)).unwrap()).collect();
    assert_eq!(caller.tenant_running(), 10_000);
    drop(guards);
    assert_eq!(caller.tenant_running(), 0);
    assert_eq!((caller.standings(at(0)), caller.tokens_at_once()), (Standings::default(), None));
    caller.take_tokens(u64::MAX, at(0)).unwrap().settle(u64::MAX, at(0));
}

#[test]
fn a_request_as_large_as_the_limit_passes_and_a_larger_one_never_waits() {
    let caller = alone(limits(0, 1_000, 0));
    assert_eq!(caller.tokens_at_once(), Some(1_000));
    assert_eq!(
        caller.take_tokens(1_001, at(0)).unwrap_err(),
        NoTokens::TooLarge { asked: 1_001, scope: Scope::Tenant, limit: rate(1_000) }
    );
    caller.take_tokens(1_000, at(0)).unwrap().settle(1_000, at(0));
    let Err(NoTokens::Throttled(told)) = caller.take_tokens(1_000, at(0)) else {
        panic!("a full minute is taken")
    };
    assert_eq!(told.retry_after.seconds(), 60);
    assert!(caller.take_tokens(1_000, at(60_000)).is_ok());
}

#[test]
fn what_was_used_beyond_the_hold_is_paid_afterwards_for_ten_minutes_at_most() {
    let caller = alone(limits(0, 600, 0));
    let left = |caller: &CallerLimits, now| caller.standings(now).tokens.unwrap();
    caller.take_tokens(100, at(0)).unwrap().settle(400, at(0));
    assert_eq!(left(&caller, at(0)).remaining, 200);
    caller.take_tokens(100, at(0)).unwrap().settle(900, at(0));
    let standing = left(&caller, at(0));
    assert_eq!((standing.remaining, standing.reset.as_secs()), (0, 130));
    caller.take_tokens(100, at(70_000 + 10_000)).unwrap().settle(1_000_000, at(80_000));
    assert_eq!(left(&caller, at(80_000)).reset.as_secs(), 660);
    assert!(caller.take_tokens(600, at(80_000 + 660_000)).is_ok());
}

#[test]
fn the_tightest_limit_is_the_one_that_is_told() {
    let caller = caller(limits(600, 5_000, 0), limits(60, 50_000, 0), limits(6_000, 0, 0));
    let standings = caller.standings(at(0));
    assert_eq!(standings.requests.map(|standing| (standing.limit, standing.remaining)), Some((rate(60), 10)));
    assert_eq!(
        standings.tokens.map(|standing| (standing.limit, standing.remaining)),
        Some((rate(5_000), 5_000))
    );
    let _place = caller.admit(ANY, at(0)).unwrap();
    assert_eq!(caller.standings(at(0)).requests.unwrap().reset, std::time::Duration::from_secs(1));
}

#[test]
fn nodes_divide_a_rate_and_each_has_the_burst() {
    let nodes = Nodes::default();
    let key = RateKey { tenant: TENANT, subject: Subject::Tenant, counted: Counted::Requests };
    let shared = || Gcra::of_requests(rate(60)).among(&nodes, key);
    let gcra = shared();
    let took = |gcra: &Gcra, seconds: i64| {
        let now = at(0) + TimeDelta::seconds(seconds);
        (0..1_000).filter(|_| gcra.take(1, now).is_ok()).count()
    };
    assert_eq!((took(&gcra, 0), took(&gcra, 30)), (10, 10));
    nodes.set(3);
    let each = [gcra, shared(), shared()];
    // A burst each, and from then on what one would have had.
    let first: usize = each.iter().map(|gcra| took(gcra, 1_000)).sum();
    assert_eq!(first, 30);
    let later: usize =
        (1..=60).flat_map(|second| each.iter().map(move |gcra| took(gcra, 1_000 + second))).sum();
    assert_eq!(later, 60);
    assert_eq!(each[0].standing(at(0) + TimeDelta::seconds(2_000)).remaining, 10);
}
