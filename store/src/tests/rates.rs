//! Parts of rates: each node's own, together never more than the rate.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead_policy::ids::TenantId;
use bulkhead_policy::ledger::Subject;
use bulkhead_policy::limiter::{Counted, PartAsk, RateKey, WHOLE};
use sqlx::types::Json;
use sqlx::{Executor as _, Row as _};
use tokio::time::timeout;
use uuid::Uuid;

use super::World;
use super::archive::superuser;
use crate::writer::{forget_old_usage, share_rates};

fn ask(tenant: TenantId, counted: Counted, wanted: u32) -> PartAsk {
    PartAsk { key: RateKey { tenant, subject: Subject::Tenant, counted }, wanted }
}

fn node(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[tokio::test]
async fn each_node_gets_what_the_others_leave_of_each_rate() {
    let world = World::new().await;
    let (first, second) = (world.tenant("first").await.id, world.tenant("second").await.id);
    let asks = |wanted| {
        [
            ask(first, Counted::Requests, wanted),
            ask(second, Counted::Requests, 0),
            ask(first, Counted::Tokens, WHOLE),
        ]
    };
    let parts = async |node, wanted| {
        share_rates(&world.writer, node, 2, &asks(wanted))
            .await
            .unwrap()
            .into_iter()
            .map(Option::unwrap)
            .collect::<Vec<_>>()
    };
    assert_eq!(parts(node(1), WHOLE).await, [WHOLE, WHOLE / 2, WHOLE]);
    assert_eq!(parts(node(2), WHOLE).await, [1, WHOLE / 2, 1], "the other has not given anything back yet");
    assert_eq!(parts(node(1), 0).await[0], 1, "what is not wanted is left to who wants all of it");
    assert_eq!(parts(node(2), WHOLE).await, [WHOLE - 1, WHOLE / 2, WHOLE / 2]);

    let aged = "update rate_shares set nodes = '{\"00000000-0000-0000-0000-000000000001\": \
                {\"wanted\": 720720, \"part\": 720720, \"until\": 1}}'";
    superuser(&world).await.execute(aged).await.unwrap();
    assert_eq!(parts(node(2), WHOLE).await[0], WHOLE, "a node that has not asked for long has nothing");
}

#[tokio::test]
async fn nodes_that_ask_at_once_never_have_more_than_the_rate() {
    let world = World::new().await;
    let tenant = world.tenant("first").await.id;
    let asks = async |number: u32| {
        for round in 0..25 {
            let wanted = WHOLE / 7 * ((number + round) % 9);
            let ask = [ask(tenant, Counted::Requests, wanted)];
            share_rates(&world.writer, node(number.into()), 3, &ask).await.unwrap();
            let row = superuser(&world).await.fetch_one("select nodes from rate_shares").await.unwrap();
            let Json(shares): Json<BTreeMap<Uuid, BTreeMap<String, i64>>> = row.get(0);
            let sum: i64 = shares.values().map(|share| share["part"]).sum();
            assert!(sum <= i64::from(WHOLE) + 3, "{shares:?}");
        }
    };
    tokio::join!(asks(1), asks(2), asks(3));
}

#[tokio::test]
async fn a_rate_that_somebody_holds_for_long_keeps_no_other_waiting() {
    let world = World::new().await;
    let (first, second) = (world.tenant("first").await.id, world.tenant("second").await.id);
    let asks = [first, second].map(|tenant| ask(tenant, Counted::Requests, WHOLE));
    share_rates(&world.writer, node(1), 2, &asks).await.unwrap();
    let mut busy = superuser(&world).await;
    busy.execute("begin").await.unwrap();
    let hold = sqlx::query("select from rate_shares where tenant_id = $1 for update").bind(first.as_uuid());
    hold.execute(&mut busy).await.unwrap();
    // As long as a node waits for its answers.
    let answers = timeout(Duration::from_secs(2), share_rates(&world.writer, node(1), 2, &asks));
    assert_eq!(answers.await.unwrap().unwrap(), [None, Some(WHOLE)]);
}

#[tokio::test]
async fn rates_that_nobody_shares_any_more_are_forgotten_after_a_day() {
    let world = World::new().await;
    let tenant = world.tenant("first").await.id;
    let asks = [ask(tenant, Counted::Requests, 1), ask(tenant, Counted::Tokens, 1)];
    share_rates(&world.writer, node(1), 1, &asks).await.unwrap();
    let aged =
        "update rate_shares set changed_at = changed_at - interval '25 hours' where counted = 'tokens'";
    superuser(&world).await.execute(aged).await.unwrap();
    forget_old_usage(&world.writer).await.unwrap();
    let left = superuser(&world).await.fetch_all("select counted from rate_shares").await.unwrap();
    assert_eq!(left.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["requests"]);
}
