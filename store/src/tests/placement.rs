//! Tenants in databases of their own: each row in its place, whatever breaks off.

use std::time::Duration;

use bulkhead_policy::ids::{DatabaseName, TenantId};
use bulkhead_policy::trace::TraceRecord;
use chrono::TimeDelta;
use sqlx::{AssertSqlSafe, Connection as _};

use super::{World, actor, bodies, finding, minutes_ago, now, sealed, trace};
use crate::connect::connect_options;
use crate::placement::{
    Custody, Mover, admit_tenant, check_database, claim_database, dismiss_tenant, finish_move, place_tenant,
    settle,
};
use crate::system::{self, Tenant};
use crate::tenant::TraceFilter;
use crate::{StoreError, writer};

const TABLES: [&str; 3] = ["traces", "trace_bodies", "trace_detectors"];

fn name(text: &str) -> DatabaseName {
    text.parse().unwrap()
}

/// The shared database and a placed one.
async fn worlds() -> (World, World) {
    let (shared, placed) = (World::new().await, World::new().await);
    claim_database(&placed.migrator, &actor(), &name("acme-eu")).await.unwrap();
    (shared, placed)
}

/// What `bulkhead tenant place` does before anything moves.
async fn place(shared: &World, placed: &World, tenant: &Tenant) {
    admit_tenant(&placed.migrator, &actor(), tenant, &name("acme-eu")).await.unwrap();
    place_tenant(&shared.migrator, &actor(), tenant.id, &name("acme-eu")).await.unwrap();
    settle(&shared.migrator).await.unwrap();
}

async fn mover(shared: &World, from: &World, to: &World, tenant: TenantId) -> Result<Mover, StoreError> {
    Mover::begin(&shared.migrator, tenant, from.migrator.clone(), to.migrator.clone()).await
}

fn full(tenant: TenantId, at: chrono::DateTime<chrono::Utc>) -> TraceRecord {
    let findings = vec![finding("EMAIL_ADDRESS"), finding("IBAN_CODE")];
    TraceRecord {
        bodies: bodies("{\"a\": \"\u{1F600} \\ \u{0}\"}"),
        sealed: sealed(),
        findings,
        ..trace(tenant, at)
    }
}

/// A tenant's rows as text, as a superuser reads them.
async fn rows(world: &World, tenant: TenantId) -> Vec<String> {
    let mut connection =
        sqlx::PgConnection::connect_with(&connect_options(&world.url).unwrap()).await.unwrap();
    let mut found = Vec::new();
    for table in TABLES {
        let statement = format!(
            "select '{table} ' || stored::text from bulkhead.{table} as stored where tenant_id = '{tenant}' order by 1"
        );
        let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(statement));
        found.extend(rows.fetch_all(&mut connection).await.unwrap());
    }
    found
}

#[tokio::test]
async fn a_database_takes_traces_of_those_who_belong_there_and_of_nobody_else() {
    let (shared, placed) = worlds().await;
    let (ours, theirs) = (shared.tenant("ours").await, shared.tenant("theirs").await);
    let insert = async |world: &World, tenant: &Tenant| {
        writer::insert_placed(&world.writer, &[full(tenant.id, now())]).await
    };
    insert(&shared, &ours).await.unwrap();
    for tenant in [&ours, &theirs] {
        assert!(insert(&placed, tenant).await.unwrap_err().is_transient(), "nobody was admitted");
    }

    place(&shared, &placed, &ours).await;
    insert(&placed, &ours).await.unwrap();
    insert(&shared, &theirs).await.unwrap();
    for (world, tenant) in [(&shared, &ours), (&placed, &theirs)] {
        assert!(insert(world, tenant).await.unwrap_err().is_transient());
    }
    // Nor in a batch with somebody who does belong there.
    let both = [full(theirs.id, now()), full(ours.id, now())];
    assert!(writer::insert_traces(&shared.writer, &both).await.is_err());
    // What arrives when its tenant is gone stops nobody.
    writer::insert_traces(&shared.writer, &[full(TenantId::fresh(now()), now())]).await.unwrap();

    place_tenant(&shared.migrator, &actor(), ours.id, &DatabaseName::default()).await.unwrap();
    dismiss_tenant(&placed.migrator, &actor(), &ours).await.unwrap();
    insert(&shared, &ours).await.unwrap();
    assert!(insert(&placed, &ours).await.unwrap_err().is_transient());
    assert_eq!(rows(&placed, ours.id).await.len(), 1 + 2 + 2, "those of before stay until they are moved");
    assert_eq!(rows(&placed, theirs.id).await, [""; 0]);
}

#[tokio::test]
async fn nodes_hear_of_a_placement_and_of_nothing_else_about_it() {
    let (shared, placed) = worlds().await;
    let tenant = shared.tenant("acme").await;
    assert!(shared.load(tenant.id).await.placement.is_shared());
    place(&shared, &placed, &tenant).await;
    let heard = shared.load(tenant.id).await;
    assert_eq!((heard.placement, heard.revision.get()), (name("acme-eu"), tenant.revision.get() + 1));
    let again = place_tenant(&shared.migrator, &actor(), tenant.id, &name("acme-eu")).await.unwrap();
    assert_eq!(again, heard.revision);
    finish_move(&shared.migrator, &actor(), tenant.id, 0).await.unwrap();
    assert_eq!(shared.load(tenant.id).await.revision, heard.revision);
}

#[tokio::test]
async fn a_move_takes_everything_along_and_may_break_off_anywhere() {
    let (shared, placed) = worlds().await;
    let (tenant, other) = (shared.tenant("acme").await, shared.tenant("other").await);
    let records: Vec<_> = (0..150)
        .map(|number| full(tenant.id, minutes_ago(60 * 24 * 40) + TimeDelta::hours(6 * number)))
        .collect();
    writer::insert_traces(&shared.writer, &records).await.unwrap();
    writer::insert_traces(&shared.writer, &[full(other.id, now())]).await.unwrap();
    let (all, others) = (rows(&shared, tenant.id).await, rows(&shared, other.id).await);

    place(&shared, &placed, &tenant).await;
    // A node goes on meanwhile.
    writer::insert_placed(&placed.writer, &[full(tenant.id, now())]).await.unwrap();
    let fresh = rows(&placed, tenant.id).await;
    let mut first = mover(&shared, &shared, &placed, tenant.id).await.unwrap();
    assert!(matches!(mover(&shared, &shared, &placed, tenant.id).await, Err(StoreError::Busy { .. })));
    assert!(!first.step().await.unwrap().is_last);
    drop(first);
    // What a kill between the two commits leaves: rows that are in both.
    let (there, here) = (rows(&placed, tenant.id).await, rows(&shared, tenant.id).await);
    assert_eq!(there.len() + here.len(), all.len() + fresh.len());
    writer::insert_placed(&placed.writer, &records[60..90]).await.unwrap();

    let moved = move_all(&shared, &shared, &placed, tenant.id).await;
    assert_eq!(moved, 150 - 64);
    assert_eq!(rows(&shared, tenant.id).await, [""; 0]);
    let mut expected = [all.clone(), fresh].concat();
    expected.sort();
    assert_eq!(sorted(rows(&placed, tenant.id).await), expected);
    assert_eq!(rows(&shared, other.id).await, others);
    finish_move(&shared.migrator, &actor(), tenant.id, moved).await.unwrap();
    let now = system::tenant_by_name(&shared.migrator, "acme").await.unwrap();
    assert_eq!((now.placement, now.leaving), (name("acme-eu"), None));

    // And back.
    place_tenant(&shared.migrator, &actor(), tenant.id, &DatabaseName::default()).await.unwrap();
    dismiss_tenant(&placed.migrator, &actor(), &tenant).await.unwrap();
    settle(&placed.migrator).await.unwrap();
    assert_eq!(move_all(&shared, &placed, &shared, tenant.id).await, 151);
    assert_eq!(sorted(rows(&shared, tenant.id).await), expected);
    assert_eq!(rows(&placed, tenant.id).await, [""; 0]);
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

async fn move_all(shared: &World, from: &World, to: &World, tenant: TenantId) -> u64 {
    // The lock of a move that broke off goes with its session, a moment later.
    let mut mover = loop {
        match mover(shared, from, to, tenant).await {
            Ok(mover) => break mover,
            Err(StoreError::Busy { .. }) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    };
    let mut moved = 0;
    loop {
        let step = mover.step().await.unwrap();
        moved += step.traces;
        if step.is_last {
            return moved;
        }
    }
}

#[tokio::test]
async fn settling_waits_for_a_batch_that_began_before() {
    let (shared, placed) = worlds().await;
    let tenant = shared.tenant("acme").await;
    let admin = sqlx::PgPool::connect(&shared.url).await.unwrap();
    let mut batch = shared.writer.connections().begin().await.unwrap();
    let insert = format!(
        "set local bulkhead.tenant_ids = '{{{}}}'; insert into trace_bodies (tenant_id, at, id, form, truncated)
           values ('{0}', now(), gen_random_uuid(), 'masked', false); lock table only traces in row exclusive mode",
        tenant.id
    );
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut *batch).await.unwrap();

    admit_tenant(&placed.migrator, &actor(), &tenant, &name("acme-eu")).await.unwrap();
    place_tenant(&shared.migrator, &actor(), tenant.id, &name("acme-eu")).await.unwrap();
    let waiting = "select exists (select from pg_locks where not granted and mode = 'ShareLock'
        and database = (select oid from pg_database where datname = current_database()))";
    let end_batch = async {
        while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&admin).await.unwrap() {
            tokio::task::yield_now().await;
        }
        batch.commit().await.unwrap();
    };
    let both = async { tokio::join!(settle(&shared.migrator), end_batch) };
    let (settled, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("it waits");
    settled.unwrap();
    assert_eq!(rows(&shared, tenant.id).await.len(), 1, "and the batch is there to be moved");
}

#[tokio::test]
async fn a_name_leads_to_the_database_that_has_it() {
    let (shared, placed) = worlds().await;
    shared.tenant("acme").await;
    check_database(&placed.api, &name("acme-eu")).await.unwrap();
    check_database(&shared.revealer, &DatabaseName::default()).await.unwrap();
    for (world, wrong) in [(&shared, "acme-eu"), (&placed, "acme-us"), (&placed, "shared")] {
        let told = check_database(&world.retention, &name(wrong)).await;
        assert!(matches!(told, Err(StoreError::OtherDatabase { .. })), "{wrong}: {told:?}");
        let told = claim_database(&world.migrator, &actor(), &name(wrong)).await;
        assert!(matches!(told, Err(StoreError::OtherDatabase { .. })), "{wrong}: {told:?}");
    }
    claim_database(&placed.migrator, &actor(), &name("acme-eu")).await.unwrap();
}

#[tokio::test]
async fn a_move_between_two_places_ends_before_a_third() {
    let (shared, placed) = worlds().await;
    let tenant = shared.tenant("acme").await;
    place(&shared, &placed, &tenant).await;
    let third = place_tenant(&shared.migrator, &actor(), tenant.id, &name("acme-us")).await;
    assert!(matches!(third, Err(StoreError::Busy { .. })), "{third:?}");
    // Back, and there again.
    for to in ["shared", "acme-eu"] {
        place_tenant(&shared.migrator, &actor(), tenant.id, &name(to)).await.unwrap();
    }
    finish_move(&shared.migrator, &actor(), tenant.id, 0).await.unwrap();
    assert!(finish_move(&shared.migrator, &actor(), tenant.id, 0).await.is_err());
    place_tenant(&shared.migrator, &actor(), tenant.id, &name("acme-us")).await.unwrap();
}

#[tokio::test]
async fn a_tenant_is_not_moved_while_it_is_erased_nor_erased_while_it_is_moved() {
    let (shared, placed) = worlds().await;
    let tenant = shared.tenant("acme").await;
    let other = shared.tenant("other").await;
    let claim = || Custody::claim(&shared.migrator, tenant.id);
    let moving = mover(&shared, &shared, &placed, tenant.id).await.unwrap();
    assert!(matches!(claim().await, Err(StoreError::Busy { .. })));
    drop(moving);
    // The connection that held it closes by itself.
    let erasing = loop {
        match claim().await {
            Ok(custody) => break custody,
            Err(StoreError::Busy { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(matches!(mover(&shared, &shared, &placed, tenant.id).await, Err(StoreError::Busy { .. })));
    assert!(mover(&shared, &shared, &placed, other.id).await.is_ok(), "another tenant's");
    drop(erasing);
}

#[tokio::test]
async fn both_walls_stand_in_a_placed_database_too() {
    let (shared, placed) = worlds().await;
    let (ours, theirs) = (shared.tenant("ours").await, shared.tenant("theirs").await);
    for tenant in [&ours, &theirs] {
        place(&shared, &placed, tenant).await;
    }
    let record = full(theirs.id, now());
    writer::insert_placed(&placed.writer, std::slice::from_ref(&record)).await.unwrap();
    let mut tx = placed.api.tenant(ours.id).await.unwrap();
    let list = TraceFilter { limit: 10, ..TraceFilter::default() };
    assert!(tx.traces(&list).await.unwrap().traces.is_empty());
    assert!(matches!(tx.trace(record.id).await, Err(StoreError::NotFound { .. })));
    let mut tx = placed.api.tenant(theirs.id).await.unwrap();
    assert_eq!(tx.traces(&list).await.unwrap().traces.len(), 1);
}
