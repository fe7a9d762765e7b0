//! Leases: granted once, reported once, and never more together than the limit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bulkhead_policy::ids::{BudgetId, TenantId};
use bulkhead_policy::ledger::{
    AlertLines, BudgetUnit, Holder, LeaseAnswer, LeaseAsk, LedgerDelta, LedgerKey, Subject,
};
use chrono::{DateTime, Utc};
use tokio::time::timeout;
use uuid::Uuid;

use super::World;
use super::archive::superuser;
use crate::Store;
use crate::writer::{Shipment, Shipped, Spent, SpoolPlace, UsageBatch, add_budget_usage, lease, ship};

const LIMIT: u64 = 1_000;

fn holder(spool: u128, term: u64) -> Holder {
    Holder { spool: Uuid::from_u128(spool), term }
}

fn key(tenant: TenantId) -> LedgerKey {
    LedgerKey { tenant, budget: BudgetId::new("wall"), subject: Subject::Tenant }
}

fn ask(tenant: TenantId, number: u64, (have, need, want): (u64, u64, u64)) -> LeaseAsk {
    let (unit, window_start) = (BudgetUnit::Tokens, DateTime::UNIX_EPOCH);
    LeaseAsk { key: key(tenant), unit, window_start, limit: LIMIT, have, need, want, opening: 0, number }
}

async fn one(store: &Store, holder: Holder, ask: LeaseAsk) -> Option<LeaseAnswer> {
    lease(store, holder, &[ask]).await.unwrap()[0]
}

fn spent(tenant: TenantId, amount: u64) -> LedgerDelta {
    let (window_start, unit) = (DateTime::UNIX_EPOCH, BudgetUnit::Tokens);
    LedgerDelta { key: key(tenant), window_start, unit, amount, alerts: AlertLines::default() }
}

/// Ships what was spent from a segment; each call ships once.
async fn report(store: &Store, tenant: TenantId, spool: u128, segment: u64, from: u64, amount: u64) {
    let place = SpoolPlace { spool: Uuid::from_u128(spool), segment, from, to: from + 1 };
    let charges = [Spent { delta: spent(tenant, amount), trace: None, term: None }];
    assert_eq!(
        ship(store, &Shipment { place, traces: &[], placed: &[], charges: &charges }).await.unwrap(),
        Shipped::Stored(vec![])
    );
}

/// What every holder was granted and has reported, by spool and term.
async fn leases(world: &World) -> Vec<(i64, i64, i64)> {
    let all = sqlx::query_as("select term, granted, reported from budget_leases order by spool, term");
    all.fetch_all(&mut superuser(world).await).await.unwrap()
}

#[tokio::test]
async fn nodes_are_granted_what_is_left_and_reports_make_no_room() {
    let world = World::new().await;
    let (store, tenant) = (&world.writer, world.tenant("acme").await.id);
    let (first, second) = (holder(1, 10), holder(2, 10));
    let granted = |granted, others_settled| Some(LeaseAnswer { granted, others_settled });
    assert_eq!(one(store, first, ask(tenant, 1, (0, 100, 900))).await, granted(250, 0), "a quarter");
    assert_eq!(one(store, second, ask(tenant, 1, (0, 100, 900))).await, granted(100, 0), "an eighth is less");
    report(store, tenant, 1, 10, 0, 250).await;
    assert_eq!(
        one(store, second, ask(tenant, 2, (100, 900, 900))).await,
        granted(750, 250),
        "all that is left"
    );
    assert_eq!(one(store, first, ask(tenant, 2, (250, 251, 300))).await, granted(250, 0), "nothing");
    // Given back by one, granted to the other.
    assert_eq!(one(store, second, ask(tenant, 3, (600, 0, 0))).await, granted(600, 250));
    assert_eq!(one(store, first, ask(tenant, 3, (250, 390, 400))).await, granted(390, 0));
    assert_eq!(leases(&world).await, [(10, 390, 250), (10, 600, 0)]);
}

#[tokio::test]
async fn an_ask_that_was_overtaken_changes_nothing() {
    let world = World::new().await;
    let (store, tenant) = (&world.writer, world.tenant("acme").await.id);
    let node = holder(1, 10);
    one(store, node, ask(tenant, 2, (0, 500, 500))).await.unwrap();
    for late in [1, 2] {
        assert_eq!(one(store, node, ask(tenant, late, (0, 0, 0))).await, None, "{late}");
    }
    assert_eq!(leases(&world).await, [(10, 500, 0)]);
}

#[tokio::test]
async fn what_a_dead_process_left_is_reported_by_its_segments_and_the_rest_stays_counted() {
    let world = World::new().await;
    let (store, tenant) = (&world.writer, world.tenant("acme").await.id);
    one(store, holder(1, 10), ask(tenant, 1, (0, 400, 400))).await.unwrap();
    // The next process over the same spool, and what the first one left, reported late.
    one(store, holder(1, 20), ask(tenant, 1, (0, 100, 100))).await.unwrap();
    report(store, tenant, 1, 12, 0, 30).await;
    report(store, tenant, 1, 20, 0, 7).await;
    report(store, tenant, 1, 21, 0, 1).await;
    // A segment older than any lease counts, and is nobody's.
    report(store, tenant, 1, 9, 0, 2).await;
    assert_eq!(leases(&world).await, [(10, 400, 30), (20, 100, 8)]);
    let answer = one(store, holder(2, 1), ask(tenant, 1, (0, 1_000, 1_000))).await.unwrap();
    assert_eq!(answer, LeaseAnswer { granted: 1_000 - 400 - 100 - 2, others_settled: 40 });

    let usage =
        UsageBatch { id: Uuid::now_v7(), deltas: vec![spent(tenant, 5)], holder: Some(holder(1, 20)) };
    add_budget_usage(store, &usage).await.unwrap();
    add_budget_usage(store, &usage).await.unwrap();
    assert_eq!(leases(&world).await[1], (20, 100, 13), "without a record, and once");
}

#[tokio::test]
async fn a_process_that_never_held_a_lease_spends_nothing_of_its_predecessors() {
    let world = World::new().await;
    let (store, tenant) = (&world.writer, world.tenant("acme").await.id);
    one(store, holder(1, 10), ask(tenant, 1, (0, 400, 400))).await.unwrap();
    let place = SpoolPlace { spool: Uuid::from_u128(1), segment: 20, from: 0, to: 1 };
    // One batch of both, as the third process ships what they left.
    let charges = [(70, 10), (300, 20), (5, 10)].map(|(amount, term)| Spent {
        delta: spent(tenant, amount),
        trace: None,
        term: Some(term),
    });
    let shipment = Shipment { place, traces: &[], placed: &[], charges: &charges };
    assert_eq!(ship(store, &shipment).await.unwrap(), Shipped::Stored(vec![]));
    assert_eq!(leases(&world).await, [(10, 400, 75)]);
    let answer = one(store, holder(2, 1), ask(tenant, 1, (0, 1_000, 1_000))).await.unwrap();
    assert_eq!(answer, LeaseAnswer { granted: 1_000 - 375 - 325, others_settled: 375 });
}

#[tokio::test]
async fn a_count_that_is_opened_anew_is_granted_nothing_of_what_was_spent_before() {
    let world = World::new().await;
    let (store, tenant) = (&world.writer, world.tenant("acme").await.id);
    let anew = |number, wish| LeaseAsk { opening: 7, ..ask(tenant, number, wish) };
    one(store, holder(1, 10), ask(tenant, 1, (0, 500, 500))).await.unwrap();
    report(store, tenant, 1, 10, 0, 300).await;
    // The old count may still spend 200, the new one 450, another node the rest.
    assert_eq!(one(store, holder(1, 10), anew(1, (0, 450, 450))).await.unwrap().granted, 450);
    assert_eq!(one(store, holder(2, 10), ask(tenant, 1, (0, 900, 900))).await.unwrap().granted, 50);
    report(store, tenant, 1, 10, 1, 450).await;
    report(store, tenant, 1, 11, 0, 200).await;
    assert_eq!(one(store, holder(2, 10), ask(tenant, 2, (50, 900, 900))).await.unwrap().granted, 50);
}

#[tokio::test]
async fn one_round_answers_for_many_counts_and_tenants_in_order() {
    let world = World::new().await;
    let (one, two) = (world.tenant("one").await.id, world.tenant("two").await.id);
    let asks = [ask(two, 1, (0, 5, 5)), ask(one, 1, (0, 2_000, 2_000)), ask(two, 1, (0, 7, 7))];
    let asks = [asks[0].clone(), asks[1].clone(), LeaseAsk { window_start: Utc::now(), ..asks[2].clone() }];
    let answers = lease(&world.writer, holder(1, 1), &asks).await.unwrap();
    let granted: Vec<u64> = answers.into_iter().map(|answer| answer.unwrap().granted).collect();
    assert_eq!(granted, [5, LIMIT, 7]);
}

#[tokio::test]
async fn a_limit_beyond_what_can_be_counted_is_as_much_as_can_be() {
    let world = World::new().await;
    let (store, tenant) = (&world.writer, world.tenant("acme").await.id);
    let most = i64::MAX.unsigned_abs();
    let endless = |number| LeaseAsk { limit: u64::MAX, ..ask(tenant, number, (0, u64::MAX, u64::MAX)) };
    for (spool, granted) in [(1, most), (2, 0), (3, 0)] {
        assert_eq!(one(store, holder(spool, 1), endless(1)).await.unwrap().granted, granted, "{spool}");
    }
}

#[tokio::test]
async fn a_count_that_is_asked_for_twice_in_one_round_is_answered_once() {
    let world = World::new().await;
    let (store, tenant) = (&world.writer, world.tenant("acme").await.id);
    let asks = [ask(tenant, 1, (0, 600, 600)), ask(tenant, 2, (0, 600, 600))];
    let answers = lease(store, holder(1, 1), &asks).await.unwrap();
    assert_eq!(answers, [Some(LeaseAnswer { granted: 600, others_settled: 0 }), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_ask_report_and_give_back_at_once_never_hold_more_than_the_limit() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let spent = AtomicU64::new(0);
    let node = async |spool: u128| {
        let (mut granted, mut settled) = (0, 0);
        let mut all = superuser(&world).await;
        for number in 1..40 {
            // By turns for what it needs, for more, and to give back half of what is free.
            let have = if number % 5 == 0 { settled + (granted - settled) / 2 } else { granted };
            let wish = (have, settled + 5 * number % 25, settled + 60);
            let answer = one(&world.writer, holder(spool, 1), ask(tenant, number, wish)).await.unwrap();
            granted = answer.granted;
            let amount = (granted - settled) / 2;
            spent.fetch_add(amount, Ordering::SeqCst);
            settled += amount;
            if amount > 0 {
                report(&world.writer, tenant, spool, 1, number, amount).await;
            }
            let (held, used): (i64, i64) = sqlx::query_as(
                "select coalesce(sum(greatest(granted - reported, 0)), 0)::bigint, max(amount) from budget_usage
                 left join budget_leases using (tenant_id, budget, subject, unit, window_start)",
            )
            .fetch_one(&mut all)
            .await
            .unwrap();
            assert!(held + used <= i64::try_from(LIMIT).unwrap(), "{held} held and {used} used");
        }
    };
    tokio::join!(node(1), node(2), node(3));
    let spent = spent.load(Ordering::SeqCst);
    assert!((LIMIT - 30..=LIMIT).contains(&spent), "{spent} of {LIMIT}");
}

#[tokio::test]
async fn a_count_that_somebody_holds_for_long_keeps_no_other_waiting() {
    let world = World::new().await;
    let (first, second) = (world.tenant("first").await.id, world.tenant("second").await.id);
    let asks = |number| [first, second].map(|tenant| ask(tenant, number, (0, 10 * number, 10 * number)));
    lease(&world.writer, holder(1, 1), &asks(1)).await.unwrap();
    let mut busy = superuser(&world).await;
    sqlx::raw_sql("begin").execute(&mut busy).await.unwrap();
    let hold = sqlx::query("select from budget_usage where tenant_id = $1 for update").bind(second.as_uuid());
    hold.execute(&mut busy).await.unwrap();
    // As long as a node waits for its answers.
    let patience = Duration::from_millis(1_500);
    for number in [2, 3] {
        let [known, held] = asks(number);
        let begins = LeaseAsk { window_start: Utc::now(), ..known.clone() };
        let asks = [begins, held, known];
        let answers = timeout(patience, lease(&world.writer, holder(1, 1), &asks)).await.unwrap().unwrap();
        let granted = answers.iter().map(|answer| answer.map(|answer| answer.granted));
        assert_eq!(granted.collect::<Vec<_>>(), [None, None, Some(10 * number)]);
    }
}
