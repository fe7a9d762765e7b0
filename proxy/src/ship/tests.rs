//! The shipper ends between any two of its steps, and the next one goes on: every trace is where it belongs, once, and every
//! charge is counted once.

use super::*;
use crate::config::SpoolLimits;
use crate::metrics::Metrics;
use crate::spool::{Envelope, SpooledTrace, TraceSender, open_spool, spooled_id};
use bulkhead_policy::compile::{CompileOptions, TraceSettings};
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::{BudgetId, DatabaseName, TenantId, TraceId};
use bulkhead_policy::ledger::{AlertLines, BudgetUnit, LedgerDelta, LedgerKey, Subject};
use bulkhead_policy::snapshot::{Builder, SnapshotHandle};
use bulkhead_policy::trace::{TraceBodies, TraceRecord};
use bulkhead_spool::{DeadLetterRequest, Folder, Origin, Owner, Record, Settings, Writer};
use bulkhead_store::placement::{admit_tenant, claim_database, place_tenant};
use bulkhead_store::system::{create_tenant, load_snapshot};
use bulkhead_store::tenant::TraceFilter;
use bulkhead_store::{Actor, Role, testing};
use chrono::{DateTime, TimeDelta};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;

pub(super) const MASTER_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
pub(super) const DATABASE: &str = "own";
/// What the spool calls a record without sealed bodies.
const CLEAR: u8 = 1;

/// A tenant and the database that its traces belong in, with what was shipped so far.
pub(super) struct Client {
    pub(super) tenant: TenantId,
    home: String,
    elsewhere: String,
    ids: BTreeSet<TraceId>,
}

pub(super) struct World {
    pub(super) shared: String,
    pub(super) own: String,
    pub(super) clients: [Client; 2],
    pub(super) snapshot: SnapshotHandle,
    pub(super) folder: PathBuf,
    /// The master key of nodes.
    key: String,
}

/// A process, as far as its spool goes.
struct Node {
    shipper: Shipper,
    /// The request path: the shipper goes on as long as there is one.
    sender: TraceSender,
    ledgers: Arc<LedgerBook>,
    metrics: Arc<Metrics>,
}

impl Drop for World {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.folder);
    }
}

impl World {
    /// A tenant that shares a database and one that has its own; `name` is the test's own.
    pub(super) async fn new(name: &str) -> Self {
        let (shared, own) = (testing::database().await.unwrap(), testing::database().await.unwrap());
        let (actor, database): (_, DatabaseName) = (Actor::new("test"), DATABASE.parse().unwrap());
        let here = Store::connect(&shared, Role::Migrator, 1).await.unwrap();
        let there = Store::connect(&own, Role::Migrator, 1).await.unwrap();
        claim_database(&there, &actor, &database).await.unwrap();
        let sharing = create_tenant(&here, &actor, "sharing").await.unwrap();
        let placed = create_tenant(&here, &actor, "placed").await.unwrap();
        admit_tenant(&there, &actor, &placed, &database).await.unwrap();
        place_tenant(&here, &actor, placed.id, &database).await.unwrap();

        let master_key = MasterKey::parse(MASTER_KEY).unwrap();
        let builder = Builder::new(&master_key, Arc::default(), CompileOptions::default()).unwrap();
        let raw = load_snapshot(&Store::connect(&shared, Role::Sync, 1).await.unwrap()).await.unwrap();
        let snapshot = SnapshotHandle::default();
        snapshot.publish(Arc::new(builder.build(&raw, None, Utc::now()).snapshot));
        let client = |tenant, home: &String, elsewhere: &String| Client {
            tenant,
            home: home.clone(),
            elsewhere: elsewhere.clone(),
            ids: BTreeSet::new(),
        };
        let clients = [client(sharing.id, &shared, &own), client(placed.id, &own, &shared)];
        let folder = std::env::temp_dir().join(format!("bulkhead-ship-{}-{name}", std::process::id()));
        Self { shared, own, clients, snapshot, folder, key: MASTER_KEY.to_owned() }
    }

    /// The spool as a process opens it.
    fn write(&self) -> Writer<Folder> {
        let origin = Origin { id: *uuid::Uuid::now_v7().as_bytes(), segment: 1 };
        let folder = Folder::open(&self.folder).unwrap();
        bulkhead_spool::open(folder, Settings::default(), origin).unwrap().0
    }

    /// Leaves two segments with traces of both tenants behind, as a killed process does.
    fn leave_behind(&mut self) {
        let mut writer = self.write();
        for number in 0..6 {
            let client = &mut self.clients[number % 2];
            let spooled = spooled(client.tenant);
            client.ids.insert(spooled.trace.id);
            writer.push(&record(&spooled)).unwrap();
            writer.commit().unwrap();
            if number == 2 {
                writer.seal();
            }
        }
    }

    /// A process that has just begun.
    async fn node(&self) -> Node {
        let keys = MasterKey::parse(&self.key).unwrap().spool_keys();
        let (ledgers, metrics) = (Arc::new(LedgerBook::default()), Arc::new(Metrics::new().unwrap()));
        let limits = SpoolLimits::default();
        let (sender, source) =
            open_spool(&self.folder, limits, keys, Arc::clone(&ledgers), Arc::clone(&metrics)).unwrap();
        let writer = Store::connect(&self.shared, Role::Writer, 2).await.unwrap();
        let own = Store::connect(&self.own, Role::Writer, 2).await.unwrap();
        let placed = [(DATABASE.parse().unwrap(), own)].into();
        let placements = Placements::new(self.snapshot.clone(), writer.clone(), placed);
        let shipper = Shipper::new(writer, source, Arc::clone(&ledgers), placements);
        Node { shipper, sender, ledgers, metrics }
    }

    /// A process that ends when its shipper was polled so often, or has nothing left to do: then this is true.
    async fn ship(&self, polls: usize) -> bool {
        let Node { shipper, sender, .. } = self.node().await;
        drop(sender);
        let mut left = polls;
        let is_over = run_until(shipper, || {
            left = left.saturating_sub(1);
            left == 0
        });
        is_over.await
    }

    /// Waits until nothing that a process has begun is under way any more: the death of a real one ends that at once.
    async fn until_unlocked(&self) {
        let placed = self.folder.join("placed").join(self.clients[1].tenant.to_string());
        for folder in [&self.folder, &placed] {
            while folder.exists() && Folder::open(folder).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn check(&self, polls: usize) {
        for Client { tenant, home, elsewhere, ids } in &self.clients {
            assert_eq!(traces(home, *tenant).await, ids.iter().copied().collect::<Vec<_>>(), "{polls} polls");
            assert_eq!(traces(elsewhere, *tenant).await, [], "{polls} polls: in the wrong database");
            assert_eq!(charged(&self.shared, *tenant).await, ids.len() as u64, "{polls} polls: charges");
        }
        assert_eq!(segments(&self.folder), [""; 0], "{polls} polls");
    }
}

/// Runs a shipper until it has nothing left to do, and then this is true, or until it is to stop, which is asked whenever it
/// waits for something.
async fn run_until(shipper: Shipper, mut is_to_stop: impl FnMut() -> bool) -> bool {
    let mut run = pin!(shipper.run());
    std::future::poll_fn(|context| match run.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending if is_to_stop() => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Ids of a tenant's traces in a database, sorted.
pub(super) async fn traces(url: &str, tenant: TenantId) -> Vec<TraceId> {
    let mut tx = Store::connect(url, Role::Api, 1).await.unwrap().tenant(tenant).await.unwrap();
    let page = tx.traces(&TraceFilter { limit: 100_000, ..TraceFilter::default() }).await.unwrap();
    let mut ids: Vec<TraceId> = page.traces.into_iter().map(|trace| trace.id).collect();
    ids.sort_unstable();
    ids
}

async fn charged(url: &str, tenant: TenantId) -> u64 {
    let mut tx = Store::connect(url, Role::Api, 1).await.unwrap().tenant(tenant).await.unwrap();
    let used = tx.budget_usage(DateTime::UNIX_EPOCH).await.unwrap();
    used.iter().map(|used| used.usage.amount).sum()
}

/// Segments that are left, of the node's spool and of placed tenants'.
fn segments(folder: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            left.extend(segments(&entry.path()));
        }
        left.extend(entry.file_name().into_string().ok().filter(|name| name.ends_with(".segment")));
    }
    left
}

fn charge(tenant: TenantId) -> LedgerDelta {
    let key = LedgerKey { tenant, budget: BudgetId::new("all"), subject: Subject::Tenant };
    let (window_start, unit) = (DateTime::UNIX_EPOCH + TimeDelta::days(1), BudgetUnit::Requests);
    LedgerDelta { key, window_start, unit, amount: 1, alerts: AlertLines::default() }
}

pub(super) fn spooled(tenant: TenantId) -> SpooledTrace {
    let text = r#"{"id":"018f3a52-7c00-7000-8000-000000000002","at":"2026-01-02T03:04:05.000006Z",
        "tenant":"018f3a52-7c00-7000-8000-000000000001","agent":null,"key":null,"policy_revision":3,"dialect":"openai",
        "operation":"chat","model_asked":"m","model_served":null,"upstream":"u","status":200,"outcome":"allowed",
        "reason":null,"streamed":true,
        "tokens":{"input":1,"cached_input":0,"output":2,"reasoning":0,"estimated":false},"cost":5,
        "timings":{"overhead_micros":1,"first_byte_micros":2,"total_micros":3},"attempts":1,"request_bytes":9,
        "response_bytes":8,"findings":[],"findings_total":0,"uninspected":false,"bodies":null}"#;
    let at = DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).unwrap();
    let trace: TraceRecord = serde_json::from_str(text).unwrap();
    let trace = TraceRecord { id: TraceId::fresh(at), at, tenant, ..trace };
    SpooledTrace { trace, charges: vec![charge(tenant)], term: None }
}

pub(super) fn record(spooled: &SpooledTrace) -> Record {
    let at_millis = u64::try_from(spooled.trace.at.timestamp_millis()).unwrap();
    let owner = Owner(spooled.trace.tenant.as_uuid().into_bytes());
    Record { owner, at_millis, kind: CLEAR, payload: serde_json::to_vec(spooled).unwrap() }
}

#[tokio::test]
async fn wherever_a_shipper_ends_the_next_one_loses_and_doubles_nothing() {
    let mut world = World::new("ends").await;
    for polls in 1.. {
        world.leave_behind();
        let is_over = world.ship(polls).await;
        world.until_unlocked().await;
        if !is_over {
            assert!(world.ship(usize::MAX).await);
            world.until_unlocked().await;
        }
        world.check(polls).await;
        if is_over {
            // How often it waits depends on how fast the database answers: on a slow machine 18 times, on others 30.
            assert!(polls > 8, "{polls} polls are too few to have ended everywhere");
            return;
        }
    }
}

#[tokio::test]
async fn a_node_that_catches_up_shows_it_and_pays_what_it_owes() {
    let world = World::new("catches-up").await;
    let tenant = world.clients[0].tenant;
    // A segment each, so a batch each, and each of them waits for company: together longer than from one look to the next.
    let batches = 2 * FLUSH_EVERY.as_millis() / QUIET_WAIT.as_millis();
    let mut writer = world.write();
    for _ in 0..batches {
        writer.push(&record(&spooled(tenant))).unwrap();
        writer.commit().unwrap();
        writer.seal();
    }
    drop(writer);
    let Node { shipper, sender, ledgers, metrics } = world.node().await;
    ledgers.owe(vec![charge(tenant)]);
    let left = || u128::try_from(metrics.spool.records.get()).unwrap();
    let is_over = run_until(shipper, || {
        let is_stored = u128::from(metrics.traces_written.get()) == batches;
        is_stored || (1..batches).contains(&left())
    });
    assert!(!is_over.await, "the request path is there");
    assert!((1..batches).contains(&left()), "nobody looked before all was stored");
    assert_eq!(ledgers.take_owed(), []);
    drop(sender);
}

/// What the folder of dead letters holds, as ids; `None` for what has none.
pub(super) fn dead_letters(folder: &Path) -> Vec<Option<TraceId>> {
    let letters = bulkhead_spool::read_dead_letters(folder).unwrap();
    letters.iter().map(|letter| spooled_id(&letter.record)).collect()
}

/// A record that nobody can read, one that no database takes, and one that it takes; and the ids of these.
pub(super) fn mixed(tenant: TenantId) -> ([Record; 3], [TraceId; 2]) {
    let (mut refused, good) = (spooled(tenant), spooled(tenant));
    let at_millis = u64::try_from(good.trace.at.timestamp_millis()).unwrap();
    // Earlier than any time that PostgreSQL knows.
    refused.trace.at = "-10000-01-01T00:00:00Z".parse().unwrap();
    let payload = serde_json::to_vec(&refused).unwrap();
    let records =
        [Record { kind: 99, ..record(&good) }, Record { at_millis, payload, ..record(&good) }, record(&good)];
    (records, [refused.trace.id, good.trace.id])
}

#[tokio::test]
async fn what_is_set_aside_is_set_aside_once_however_often_its_batch_is_tried() {
    let world = World::new("set-aside").await;
    let tenant = world.clients[0].tenant;
    let (records, [refused, good]) = mixed(tenant);
    let mut writer = world.write();
    records.iter().for_each(|record| writer.push(record).unwrap());
    writer.commit().unwrap();
    drop(writer);
    let Node { mut shipper, sender: _sender, metrics, .. } = world.node().await;
    // The database says that the tenant's traces belong elsewhere, and this node has not heard of it.
    let here = Store::connect(&world.shared, Role::Migrator, 1).await.unwrap();
    place_tenant(&here, &Actor::new("test"), tenant, &DATABASE.parse().unwrap()).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(shipper.ship_next().await, Attempt::NotNow));
        assert_eq!(dead_letters(&world.folder), [None, Some(refused)]);
    }
    place_tenant(&here, &Actor::new("test"), tenant, &DatabaseName::default()).await.unwrap();
    assert!(matches!(shipper.ship_next().await, Attempt::Shipped { waiting: 0 }));
    assert_eq!(dead_letters(&world.folder), [None, Some(refused)]);
    assert_eq!((metrics.spool.dead_letters.get(), metrics.traces_written.get()), (2, 1));
    assert_eq!(traces(&world.shared, tenant).await, [good]);
    assert_eq!(charged(&world.shared, tenant).await, 2, "of the one that was refused, too");
}

#[tokio::test]
async fn a_dead_letter_that_is_asked_back_is_stored_once_and_charged_once() {
    let mut world = World::new("asked-back").await;
    let tenant = world.clients[0].tenant;
    // What one node sealed another has no key for.
    let Node { shipper, sender, .. } = world.node().await;
    let mut sealed = spooled(tenant);
    sealed.trace.bodies = Some(TraceBodies { request: Some("hi".to_owned()), ..TraceBodies::default() });
    let id = sealed.trace.id;
    sender.send(Envelope::new(sealed, None, None, TraceSettings::default()));
    drop((sender, shipper));
    world.until_unlocked().await;
    let ([_, refused, _], [refused_id, _]) = mixed(tenant);
    let mut writer = world.write();
    writer.push(&refused).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let (key, other) = (world.key.clone(), "a5".repeat(32));
    world.key = other;
    assert!(world.ship(usize::MAX).await);
    world.until_unlocked().await;
    assert_eq!(dead_letters(&world.folder), [Some(refused_id), Some(id)]);
    assert_eq!(charged(&world.shared, tenant).await, 1, "what nobody could read has charged nothing");

    world.key = key;
    for _ in 0..2 {
        DeadLetterRequest::Retry.leave(&world.folder).unwrap();
        assert!(world.ship(usize::MAX).await);
        world.until_unlocked().await;
        assert_eq!(dead_letters(&world.folder), [Some(refused_id)], "no database takes it");
        assert_eq!(traces(&world.shared, tenant).await, [id]);
        assert_eq!(charged(&world.shared, tenant).await, 2);
    }
    DeadLetterRequest::Clear.leave(&world.folder).unwrap();
    assert!(world.ship(usize::MAX).await);
    assert_eq!(dead_letters(&world.folder), []);
}

#[tokio::test]
async fn who_waits_for_the_database_is_told_all_that_it_says() {
    let silent = in_time(Duration::ZERO, std::future::pending::<Result<(), StoreError>>());
    assert_eq!(silent.await.unwrap_err(), "the database does not answer");
    let url = "postgres:///none?host=/nowhere";
    let refused = in_time(DATABASE_PATIENCE, Store::connect(url, Role::Writer, 1)).await.unwrap_err();
    let (attempt, cause) = refused.split_once(": ").expect("a cause");
    assert!(attempt.starts_with("connect to the database") && !cause.is_empty(), "{refused}");
}
