use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;
use chrono_tz::{Africa, America, Asia, Europe, Pacific, UTC};
use proptest::prelude::*;

use super::*;

mod leases;
mod protocol;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn noon() -> DateTime<Utc> {
    at("2026-03-10T12:00:00Z")
}

fn spec(limit: u64) -> BudgetSpec {
    BudgetSpec {
        id: BudgetId::new("b"),
        scope: BudgetScope::Tenant,
        unit: BudgetUnit::Tokens,
        limit,
        window: Window::Day,
        time_zone: UTC,
        models: vec![],
        at_limit: AtLimit::Refuse,
        when_unreachable: WhenUnreachable::Refuse,
        alert_at: vec![],
    }
}

fn key() -> LedgerKey {
    let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(1));
    LedgerKey { tenant, budget: BudgetId::new("b"), subject: Subject::Tenant }
}

fn ledger(limit: u64) -> Arc<Ledger> {
    Ledger::new(key(), spec(limit), noon())
}

fn tokens(tokens: u64) -> Amount {
    Amount { tokens, ..Amount::default() }
}

fn numbers(ledger: &Ledger, now: DateTime<Utc>) -> (u64, u64) {
    let state = ledger.state(now);
    (state.settled, state.committed)
}

#[test]
fn admission_stops_at_the_limit_and_drops_give_back() {
    let ledger = ledger(100);
    let first = ledger.reserve(tokens(60), noon()).unwrap();
    let error = ledger.reserve(tokens(41), noon()).unwrap_err();
    assert_eq!((error.left, error.limit, error.resets_at), (40, 100, Some(at("2026-03-11T00:00:00Z"))));
    assert_eq!(error.to_string(), "budget b: 40 tokens left of 100");
    let second = ledger.reserve(tokens(40), noon()).unwrap();
    assert!(ledger.check(noon()).is_err(), "all reserved");
    drop(first);
    assert_eq!(numbers(&ledger, noon()), (0, 40));
    let settled = second.settle(tokens(10));
    assert_eq!((settled.used_before, settled.used_after), (0, 10));
    assert_eq!(numbers(&ledger, noon()), (10, 10));
}

#[test]
fn more_than_reserved_is_counted_and_then_nothing_is_admitted() {
    let ledger = ledger(100);
    let hold = ledger.reserve(tokens(50), noon()).unwrap();
    hold.settle(tokens(130));
    assert_eq!(numbers(&ledger, noon()), (130, 130));
    assert!(ledger.check(noon()).is_err());
    for wanted in [0, 1, u64::MAX] {
        assert!(ledger.reserve(tokens(wanted), noon()).is_err(), "{wanted}");
    }
}

#[test]
fn up_to_takes_what_is_left_but_not_less_than_the_least() {
    let ledger = ledger(100);
    let hold = ledger.reserve_up_to(tokens(10), tokens(70), noon()).unwrap();
    assert_eq!(hold.reserved(), 70);
    let rest = ledger.reserve_up_to(tokens(10), tokens(70), noon()).unwrap();
    assert_eq!(rest.reserved(), 30);
    drop(rest);
    assert_eq!(ledger.reserve_up_to(tokens(31), tokens(70), noon()).unwrap_err().left, 30);
}

#[test]
fn holds_grow_while_there_is_room_and_shrink() {
    let ledger = ledger(100);
    let mut hold = ledger.reserve(tokens(50), noon()).unwrap();
    assert!(hold.extend(tokens(50)));
    assert!(!hold.extend(tokens(1)));
    assert!(hold.extend(tokens(0)), "nothing more always fits");
    hold.shrink(tokens(20));
    hold.shrink(tokens(90));
    assert_eq!((hold.reserved(), numbers(&ledger, noon())), (20, (0, 20)));
}

#[test]
fn a_hold_belongs_to_the_window_it_began_in() {
    let ledger = [ledger(100)];
    let tomorrow = noon() + TimeDelta::days(1);
    let first = Reservation::take(&ledger, tokens(60), noon()).unwrap();
    let next = Reservation::take(&ledger, tokens(100), tomorrow).unwrap();
    let deltas = |reservation: Reservation, used| {
        let deltas = reservation.settle(tokens(used)).deltas.into_iter();
        deltas.map(|delta| (delta.window_start, delta.unit, delta.amount)).collect::<Vec<_>>()
    };
    assert_eq!(deltas(first, 70), [(at("2026-03-10T00:00:00Z"), BudgetUnit::Tokens, 70)]);
    assert_eq!(numbers(&ledger[0], tomorrow), (0, 100), "the new window knows nothing of it");
    assert_eq!(deltas(next, 5), [(at("2026-03-11T00:00:00Z"), BudgetUnit::Tokens, 5)]);
    let unused = Reservation::take(&ledger, tokens(1), tomorrow).unwrap();
    assert_eq!(deltas(unused, 0), []);
}

#[test]
fn a_clock_set_back_stays_in_the_window() {
    let ledger = ledger(100);
    let tomorrow = noon() + TimeDelta::days(1);
    ledger.reserve(tokens(40), tomorrow).unwrap().settle(tokens(40));
    assert_eq!(numbers(&ledger, noon()), (40, 40));
}

#[test]
fn five_hundred_threads_never_exceed_room_for_fifty() {
    for _ in 0..5 {
        let ledger = ledger(50);
        let running = AtomicU64::new(0);
        let admitted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..500 {
                scope.spawn(|| {
                    let Ok(hold) = ledger.reserve(tokens(1), noon()) else { return };
                    assert!(running.fetch_add(1, Ordering::SeqCst) < 50);
                    admitted.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    hold.settle(tokens(1));
                });
            }
        });
        assert_eq!(admitted.into_inner(), 50);
        assert_eq!(numbers(&ledger, noon()), (50, 50));
    }
}

#[test]
fn threads_that_settle_release_and_roll_windows_lose_nothing() {
    let book = LedgerBook::default();
    let ledger = [book.open(key(), &BudgetSpec { window: Window::Minute, ..spec(u64::MAX) }, noon())];
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (ledger, book) = (&ledger, &book);
            scope.spawn(move || {
                for round in 0..2_000i64 {
                    // Windows roll under the threads' feet.
                    let now = noon() + TimeDelta::seconds(round);
                    let reservation = Reservation::take(ledger, tokens(3), now).unwrap();
                    if (round + thread) % 4 != 0 {
                        book.owe(reservation.settle(tokens(2)).deltas);
                    }
                }
            });
        }
        scope.spawn(|| (0..500).for_each(|round| book.forget_closed(noon() + TimeDelta::seconds(round))));
    });
    let owed = book.take_owed();
    assert_eq!(owed.iter().map(|delta| delta.amount).sum::<u64>(), 8 * 1_500 * 2);
    assert!(owed.is_sorted_by_key(|delta| delta.window_start) && owed.len() <= 34, "one delta per window");
    assert_eq!(book.take_owed(), []);
}

#[derive(Debug, Clone)]
enum Step {
    Reserve { min: u64, wanted: u64 },
    Extend { hold: usize, more: u64 },
    Shrink { hold: usize, to: u64 },
    Settle { hold: usize, actual: u64 },
    Drop { hold: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hold = 0usize..6;
    let amount = 0u64..80;
    let step = prop_oneof![
        (amount.clone(), amount.clone()).prop_map(|(min, wanted)| Step::Reserve { min, wanted }),
        (hold.clone(), amount.clone()).prop_map(|(hold, more)| Step::Extend { hold, more }),
        (hold.clone(), amount.clone()).prop_map(|(hold, to)| Step::Shrink { hold, to }),
        (hold.clone(), amount).prop_map(|(hold, actual)| Step::Settle { hold, actual }),
        hold.prop_map(|hold| Step::Drop { hold }),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn the_ledger_does_what_a_plain_sum_would(limit in 1u64..200, steps in steps()) {
        let ledger = ledger(limit);
        let (mut holds, mut model, mut settled, mut excess) = (Vec::new(), Vec::<u64>::new(), 0u64, 0u64);
        for step in steps {
            let committed = settled + model.iter().sum::<u64>();
            let room = limit.saturating_sub(committed);
            let pick = |hold: usize| (!model.is_empty()).then(|| hold % model.len());
            match step {
                Step::Reserve { min, wanted } => {
                    let result = ledger.reserve_up_to(tokens(min), tokens(wanted), noon());
                    prop_assert_eq!(result.is_ok(), room > 0 && min <= room);
                    if let Ok(hold) = result {
                        prop_assert_eq!(hold.reserved(), wanted.max(min).min(room));
                        model.push(hold.reserved());
                        holds.push(hold);
                    }
                }
                Step::Extend { hold, more } => if let Some(index) = pick(hold) {
                    let fits = more == 0 || more <= room;
                    prop_assert_eq!(holds[index].extend(tokens(more)), fits);
                    if fits { model[index] += more; }
                },
                Step::Shrink { hold, to } => if let Some(index) = pick(hold) {
                    holds[index].shrink(tokens(to));
                    model[index] = model[index].min(to);
                },
                Step::Settle { hold, actual } => if let Some(index) = pick(hold) {
                    let reserved = model.remove(index);
                    excess += actual.saturating_sub(reserved);
                    let record = holds.remove(index).settle(tokens(actual));
                    prop_assert_eq!((record.used_before, record.used_after), (settled, settled + actual));
                    settled += actual;
                },
                Step::Drop { hold } => if let Some(index) = pick(hold) {
                    model.remove(index);
                    drop(holds.remove(index));
                },
            }
            let now = (settled, settled + model.iter().sum::<u64>());
            prop_assert_eq!(numbers(&ledger, noon()), now);
            prop_assert!(now.1 <= limit + excess, "only settlements above their reservation pass the limit");
        }
    }
}

#[test]
fn windows_follow_the_calendar() {
    for (window, zone, now, start, end) in [
        (Window::Minute, UTC, "2026-03-10T12:34:56.789Z", "2026-03-10T12:34:00Z", "2026-03-10T12:35:00Z"),
        (Window::Hour, Asia::Kolkata, "2026-03-10T12:34:56Z", "2026-03-10T12:30:00Z", "2026-03-10T13:30:00Z"),
        (Window::Day, Europe::Berlin, "2026-03-10T23:30:00Z", "2026-03-10T23:00:00Z", "2026-03-11T23:00:00Z"),
        // 23 and 25 hours.
        (Window::Day, Europe::Berlin, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        (Window::Day, Europe::Berlin, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        // Monday; the week of a change of clocks is an hour short.
        (
            Window::Week,
            Europe::Berlin,
            "2026-03-29T12:00:00Z",
            "2026-03-22T23:00:00Z",
            "2026-03-29T22:00:00Z",
        ),
        (Window::Week, UTC, "2026-03-09T00:00:00Z", "2026-03-09T00:00:00Z", "2026-03-16T00:00:00Z"),
        (Window::Month, UTC, "2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        (
            Window::Month,
            Europe::Berlin,
            "2026-12-31T23:30:00Z",
            "2026-12-31T23:00:00Z",
            "2027-01-31T23:00:00Z",
        ),
        // Midnight that does not exist: clocks jump from 24:00 to 1:00.
        (Window::Day, Africa::Cairo, "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"),
        (
            Window::Day,
            America::Sao_Paulo,
            "2018-11-04T12:00:00Z",
            "2018-11-04T03:00:00Z",
            "2018-11-05T02:00:00Z",
        ),
        // Midnight that happens twice: clocks fall back from 1:00 to 0:00.
        (
            Window::Day,
            America::Havana,
            "2026-11-01T12:00:00Z",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        ),
        // A date that was left out.
        (Window::Day, Pacific::Apia, "2011-12-30T09:00:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"),
        (Window::Day, Pacific::Apia, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
    ] {
        let expected = Bounds { start: at(start), end: Some(at(end)) };
        assert_eq!(window.bounds(zone, at(now)), expected, "{window:?} {zone} {now}");
    }
    assert_eq!(Window::Total.bounds(UTC, noon()), Bounds { start: DateTime::UNIX_EPOCH, end: None });
}

proptest! {
    #[test]
    fn every_moment_lies_in_its_window_and_days_join_without_gaps(seconds in 0i64..4_000_000_000, zone in 0usize..chrono_tz::TZ_VARIANTS.len()) {
        let zone = chrono_tz::TZ_VARIANTS[zone];
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        for window in [Window::Minute, Window::Hour, Window::Day, Window::Week, Window::Month] {
            let bounds = window.bounds(zone, now);
            let end = bounds.end.unwrap();
            prop_assert!(bounds.start <= now && now < end, "{:?} {} {}", window, zone, now);
            if matches!(window, Window::Day | Window::Week | Window::Month) {
                prop_assert_eq!(window.bounds(zone, end).start, end, "{:?} {} {}", window, zone, now);
            }
        }
    }
}

#[test]
fn counts_survive_policy_updates_and_limits_follow_them() {
    let book = LedgerBook::default();
    let first = book.open(key(), &spec(100), noon());
    first.reserve(tokens(60), noon()).unwrap().settle(tokens(60));
    let narrower = book.open(key(), &spec(50), noon());
    assert!(narrower.shares_count_with(&first));
    assert!(narrower.check(noon()).is_err());
    let wider = book.open(key(), &spec(70), noon());
    assert_eq!(wider.reserve(tokens(11), noon()).unwrap_err().left, 10);
    for other in [
        BudgetSpec { window: Window::Month, ..spec(100) },
        BudgetSpec { time_zone: Europe::Berlin, ..spec(100) },
        BudgetSpec { unit: BudgetUnit::Requests, ..spec(100) },
    ] {
        assert!(!book.open(key(), &other, noon()).shares_count_with(&first), "{other:?}");
    }
    let other_key = LedgerKey { subject: Subject::Agent(AgentId::fresh(noon())), ..key() };
    assert!(!book.open(other_key, &spec(100), noon()).shares_count_with(&first));
}

#[test]
fn counts_are_forgotten_when_nobody_uses_them_and_their_window_is_over() {
    let book = LedgerBook::default();
    let ledger = book.open(key(), &spec(100), noon());
    let hold = ledger.reserve(tokens(10), noon()).unwrap();
    drop(ledger);
    let tomorrow = noon() + TimeDelta::days(1);
    book.forget_closed(tomorrow);
    assert_eq!(book.len(), 1, "a hold is open");
    hold.settle(tokens(10));
    book.forget_closed(noon());
    assert_eq!(book.len(), 1, "the window goes on");
    book.forget_closed(tomorrow);
    assert!(book.is_empty());
}

fn mixed() -> [Arc<Ledger>; 3] {
    let unit = |unit, limit| {
        let id = BudgetId::new(&format!("{unit}"));
        let key = LedgerKey { budget: id.clone(), ..key() };
        let alert_at = vec![limit / 2, limit];
        Ledger::new(key, BudgetSpec { id, unit, alert_at, ..spec(limit) }, noon())
    };
    [unit(BudgetUnit::Usd, 1_000), unit(BudgetUnit::Tokens, 100), unit(BudgetUnit::Requests, 2)]
}

#[test]
fn a_reservation_takes_all_budgets_or_none() {
    let ledgers = mixed();
    let amount = |cost, tokens| Amount { cost: NanoUsd::new(cost), tokens, requests: 1 };
    assert_eq!(Reservation::take(&ledgers, amount(10, 101), noon()).unwrap_err().budget.as_str(), "tokens");
    assert_eq!(numbers(&ledgers[0], noon()), (0, 0), "the first was given back");
    let mut reservation =
        Reservation::take_up_to(&ledgers, amount(10, 1), amount(5_000, 40), noon()).unwrap();
    assert_eq!(reservation.granted(BudgetUnit::Usd), Some(1_000));
    assert_eq!(reservation.granted(BudgetUnit::Tokens), Some(40));
    reservation.shrink(amount(400, 40));
    assert_eq!(reservation.granted(BudgetUnit::Usd), Some(400));
    let more = |cost, tokens| Amount { cost: NanoUsd::new(cost), tokens, requests: 0 };
    assert_eq!(reservation.extend(more(100, 61)).unwrap_err().budget.as_str(), "tokens");
    assert_eq!(reservation.granted(BudgetUnit::Usd), Some(400), "nothing changed");
    assert!(reservation.extend(more(100, 60)).is_ok());
    assert_eq!(numbers(&ledgers[2], noon()), (0, 1));
    drop(reservation);
    assert!(ledgers.iter().all(|ledger| numbers(ledger, noon()) == (0, 0)));
    assert!(Reservation::take(&[], amount(u64::MAX, u64::MAX), noon()).is_ok());
}

#[test]
fn a_charge_carries_the_lines_that_it_may_pass() {
    let ledgers = mixed();
    let amount = Amount { cost: NanoUsd::new(7), tokens: 0, requests: 1 };
    let deltas = Reservation::take(&ledgers, Amount::default(), noon()).unwrap().settle(amount).deltas;
    let carried: Vec<_> =
        deltas.iter().map(|delta| (delta.amount, &*delta.alerts.at, delta.alerts.limit)).collect();
    assert_eq!(
        carried,
        [(7, &[500, 1_000][..], 1_000), (1, &[1, 2], 2)],
        "nothing was charged to the tokens"
    );
    assert_eq!(merge([deltas.clone(), deltas].concat())[1].alerts.at, [500, 1_000]);
}

#[test]
fn charges_of_a_spool_from_before_have_no_lines() {
    let delta = LedgerDelta {
        key: key(),
        window_start: noon(),
        unit: BudgetUnit::Tokens,
        amount: 5,
        alerts: AlertLines::default(),
    };
    let text = serde_json::to_string(&delta).unwrap();
    assert!(!text.contains("alerts"), "{text}");
    assert_eq!(serde_json::from_str::<LedgerDelta>(&text).unwrap(), delta);
}

#[test]
fn subjects_and_units_are_read_back() {
    let agent = AgentId::fresh(noon());
    for subject in [Subject::Tenant, Subject::Agent(agent), Subject::Key("0123456789abcdef".parse().unwrap())]
    {
        assert_eq!(subject.to_string().parse(), Ok(subject));
        let text = serde_json::to_string(&subject).unwrap();
        assert_eq!(serde_json::from_str::<Subject>(&text).unwrap(), subject);
    }
    for junk in ["", "agent", "agent:", "key:x", "tenant:1", "Tenant"] {
        assert!(junk.parse::<Subject>().is_err(), "{junk}");
    }
    assert_eq!("usd".parse(), Ok(BudgetUnit::Usd));
    assert!("eur".parse::<BudgetUnit>().is_err());
}
