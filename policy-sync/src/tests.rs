//! Against a real PostgreSQL: changes arrive, bad ones do not, and nothing stays unnoticed.

mod neighbours;
mod pooler;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_policy::api_key::ApiKey;
use bulkhead_policy::compile::CompileOptions;
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::{Revision, TenantId};
use bulkhead_policy::ledger::LedgerBook;
use bulkhead_policy::raw::RawScopes;
use bulkhead_policy::snapshot::{Refusal, Snapshot, SnapshotHandle};
use bulkhead_store::tenant::{Layer, NewKey, NodeStatus};
use bulkhead_store::testing::{Server, database};
use bulkhead_store::{Actor, Role, Store, system};
use chrono::{TimeDelta, Utc};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{Observer, PolicySync, SyncConfig, SyncError};
use pooler::Pooler;

const PATIENCE: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Connected(bool),
    Told(bool),
    Applied(TenantId, Revision),
    Rejected(Option<TenantId>, Revision),
    StartedFromFile,
    FileRefused,
    Published,
}

#[derive(Debug)]
struct Recorder(mpsc::UnboundedSender<Event>);

impl Observer for Recorder {
    fn connected(&self, up: bool) {
        let _ = self.0.send(Event::Connected(up));
    }
    fn told(&self, yes: bool) {
        let _ = self.0.send(Event::Told(yes));
    }
    fn published(&self, _: &Snapshot) {
        let _ = self.0.send(Event::Published);
    }
    fn applied(&self, tenant: TenantId, revision: Revision, _: Duration) {
        let _ = self.0.send(Event::Applied(tenant, revision));
    }
    fn rejected(&self, tenant: Option<TenantId>, revision: Revision, reason: &str) {
        assert!(!reason.is_empty());
        let _ = self.0.send(Event::Rejected(tenant, revision));
    }
    fn started_from_file(&self, _: Duration) {
        let _ = self.0.send(Event::StartedFromFile);
    }
    fn snapshot_file_refused(&self, _: &str) {
        let _ = self.0.send(Event::FileRefused);
    }
}

/// A running node.
struct Node {
    handle: SnapshotHandle,
    events: mpsc::UnboundedReceiver<Event>,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

fn master() -> MasterKey {
    MasterKey::parse(&"5a".repeat(32)).unwrap()
}

impl Node {
    fn start(url: &str, name: &str, poll: Duration, snapshot_file: Option<PathBuf>) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let (shutdown, stop) = watch::channel(false);
        let handle = SnapshotHandle::default();
        let config =
            SyncConfig { node: name.into(), poll, snapshot_file, compile: CompileOptions::default() };
        let ledgers = Arc::new(LedgerBook::default());
        let observer = Arc::new(Recorder(sender));
        let sync = PolicySync::new(config, url, &master(), handle.clone(), ledgers, observer).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(sync.run(stop));
        Self { handle, events, shutdown, tasks }
    }

    /// Starts a node and waits until it knows everything.
    async fn ready(url: &str, name: &str, poll: Duration, snapshot_file: Option<PathBuf>) -> Self {
        let mut node = Self::start(url, name, poll, snapshot_file);
        node.until(&Event::Connected(true)).await;
        node
    }

    /// Waits for an event; returns what came before it.
    async fn until(&mut self, wanted: &Event) -> Vec<Event> {
        let mut before = Vec::new();
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("no {wanted:?} after {before:?}")).unwrap();
            if event == *wanted {
                return before;
            }
            before.push(event);
        }
    }

    async fn stop(mut self) {
        self.shutdown.send(true).unwrap();
        timeout(PATIENCE, self.tasks.join_next()).await.unwrap().unwrap().unwrap();
    }

    fn requests_per_minute(&self, tenant: TenantId) -> Option<u32> {
        let snapshot = self.handle.load().unwrap();
        let limits = snapshot.tenant(tenant).unwrap().policy().unwrap().limits();
        limits.requests_per_minute.map(std::num::NonZeroU32::get)
    }
}

/// The other side: whoever changes policies.
struct Office {
    api: Store,
    migrator: Store,
    tenant: TenantId,
}

impl Office {
    async fn new(url: &str) -> Self {
        let migrator = Store::connect(url, Role::Migrator, 2).await.unwrap();
        let api = Store::connect(url, Role::Api, 2).await.unwrap();
        let tenant = system::create_tenant(&migrator, &by(), "acme").await.unwrap().id;
        Self { api, migrator, tenant }
    }

    async fn publish(&self, document: &str) -> Revision {
        let mut tx = self.api.tenant(self.tenant).await.unwrap();
        let published = tx.publish_policy(&by(), Layer::Tenant, document).await.unwrap();
        tx.commit().await.unwrap();
        published.revision
    }

    /// Publishes a policy that can be told from others.
    async fn limit(&self, requests_per_minute: u32) -> Revision {
        self.publish(&format!(r#"{{"limits":{{"requests_per_minute":{requests_per_minute}}}}}"#)).await
    }

    async fn key(&self) -> (ApiKey, Revision) {
        let key = ApiKey::generate("test", &ring::rand::SystemRandom::new()).unwrap();
        let mut tx = self.api.tenant(self.tenant).await.unwrap();
        let agent = tx.create_agent(&by(), "worker").await.unwrap().id;
        let hash = key.hash(&master().pepper());
        let new = NewKey { id: key.id(), agent, hash, scopes: RawScopes::default(), expires_at: None };
        tx.add_key(&by(), &new).await.unwrap();
        let revision = tx.revision().await.unwrap();
        tx.commit().await.unwrap();
        (key, revision)
    }

    async fn status(&self) -> Vec<NodeStatus> {
        self.api.tenant(self.tenant).await.unwrap().policy_status().await.unwrap()
    }

    /// Waits until a node's word is in the table.
    async fn status_until(&self, is_wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
        let look = async {
            loop {
                if let Some(found) = self.status().await.into_iter().find(|status| is_wanted(status)) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, look).await.unwrap()
    }
}

fn by() -> Actor {
    Actor::new("tester")
}

async fn admin(url: &str, statements: &'static str) {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    sqlx::raw_sql(statements).execute(&pool).await.unwrap();
    pool.close().await;
}

/// A folder that goes with its test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("bulkhead-sync-{}-{name}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_change_is_in_force_at_once_and_acknowledged() {
    let url = database().await.unwrap();
    let office = Office::new(&url).await;
    office.limit(1).await;
    let mut node = Node::ready(&url, "node", NEVER, None).await;
    assert_eq!(node.requests_per_minute(office.tenant), Some(1));
    let mut took = Vec::new();
    for limit in 2..22 {
        let revision = office.limit(limit).await;
        let committed = std::time::Instant::now();
        node.until(&Event::Applied(office.tenant, revision)).await;
        took.push(committed.elapsed());
        assert_eq!(node.requests_per_minute(office.tenant), Some(limit));
        let status = office.status_until(|status| status.live_revision == Some(revision)).await;
        assert_eq!((status.node.as_str(), status.refused), ("node", None));
    }
    took.sort();
    println!("commit to publish: median {:?}, worst {:?}", took[took.len() / 2], took[took.len() - 1]);
    assert!(took[took.len() / 2] < Duration::from_millis(500), "{took:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_revoked_key_stops_working() {
    let url = database().await.unwrap();
    let office = Office::new(&url).await;
    let mut node = Node::ready(&url, "node", NEVER, None).await;
    let (key, revision) = office.key().await;
    node.until(&Event::Applied(office.tenant, revision)).await;
    let snapshot = node.handle.load().unwrap();
    assert_eq!(snapshot.resolve(&key, Utc::now()).unwrap().tenant(), office.tenant);
    let mut tx = office.api.tenant(office.tenant).await.unwrap();
    tx.revoke_key(&by(), key.id()).await.unwrap();
    let revision = tx.revision().await.unwrap();
    tx.commit().await.unwrap();
    node.until(&Event::Applied(office.tenant, revision)).await;
    assert_eq!(node.handle.load().unwrap().resolve(&key, Utc::now()).unwrap_err().refusal, Refusal::Revoked);
    // A request that took the old snapshot is judged by it to its end.
    assert!(snapshot.resolve(&key, Utc::now()).is_ok());
    let suspended = system::set_tenant_suspended(&office.migrator, &by(), office.tenant, true).await.unwrap();
    node.until(&Event::Applied(office.tenant, suspended)).await;
    system::delete_tenant(&office.migrator, &by(), office.tenant).await.unwrap();
    node.until(&Event::Published).await;
    assert!(node.handle.load().unwrap().tenant(office.tenant).is_none());
    node.stop().await;
}

#[tokio::test]
async fn a_bad_document_keeps_the_good_one_and_others_go_on() {
    let url = database().await.unwrap();
    let office = Office::new(&url).await;
    let good = office.limit(7).await;
    let folder = Folder::new("bad");
    let path = folder.0.join("snapshot");
    let mut node = Node::ready(&url, "node", NEVER, Some(path.clone())).await;
    let bad = office.publish(r#"{"no_such_section":{}}"#).await;
    node.until(&Event::Rejected(Some(office.tenant), bad)).await;
    assert_eq!(node.requests_per_minute(office.tenant), Some(7));
    let status = office.status_until(|status| status.refused.is_some()).await;
    assert_eq!(status.live_revision, Some(good));
    let (revision, reason) = status.refused.unwrap();
    assert_eq!(revision, bad);
    assert!(reason.contains("no_such_section"), "{reason}");
    let other = system::create_tenant(&office.migrator, &by(), "other").await.unwrap();
    node.until(&Event::Applied(other.id, other.revision)).await;
    node.stop().await;

    // Not even a restart lets the bad one win: the file remembers the last good.
    let mut node = Node::start(&url, "node", NEVER, Some(path));
    let before = node.until(&Event::Connected(true)).await;
    assert!(before.contains(&Event::Rejected(Some(office.tenant), bad)), "{before:?}");
    assert_eq!(node.requests_per_minute(office.tenant), Some(7));
    let fixed = office.limit(8).await;
    node.until(&Event::Applied(office.tenant, fixed)).await;
    office.status_until(|status| status.live_revision == Some(fixed) && status.refused.is_none()).await;
    node.stop().await;
}

#[tokio::test]
async fn the_platform_s_policy_reaches_every_tenant_and_a_bad_one_none() {
    let url = database().await.unwrap();
    let office = Office::new(&url).await;
    let before = office.limit(10).await;
    let mut node = Node::ready(&url, "node", NEVER, None).await;
    let limits = r#"{"limits":{"requests_per_minute":3}}"#;
    system::publish_platform_policy(&office.migrator, &by(), limits).await.unwrap();
    node.until(&Event::Applied(office.tenant, Revision::new(before.get() + 1))).await;
    assert_eq!(node.requests_per_minute(office.tenant), Some(3));
    let version =
        system::publish_platform_policy(&office.migrator, &by(), r#"{"nonsense":1}"#).await.unwrap();
    node.until(&Event::Rejected(None, Revision::new(version))).await;
    assert_eq!(node.requests_per_minute(office.tenant), Some(3));
    system::remove_platform_policy(&office.migrator, &by()).await.unwrap();
    node.until(&Event::Applied(office.tenant, Revision::new(before.get() + 3))).await;
    assert_eq!(node.requests_per_minute(office.tenant), Some(10));
    node.stop().await;
}

#[tokio::test]
async fn what_no_notification_tells_the_poll_finds() {
    let url = database().await.unwrap();
    let office = Office::new(&url).await;
    admin(&url, "alter table bulkhead.tenants disable trigger announce").await;
    let mut node = Node::ready(&url, "node", Duration::from_millis(100), None).await;
    let revision = office.limit(5).await;
    node.until(&Event::Applied(office.tenant, revision)).await;
    assert_eq!(node.requests_per_minute(office.tenant), Some(5));
    node.stop().await;
}

#[tokio::test]
async fn swallowed_notifications_are_noticed_and_changes_found_all_the_same() {
    let url = database().await.unwrap();
    let office = Office::new(&url).await;
    let pooler = Pooler::before(&url).await;
    let mut node = Node::start(&pooler.url, "node", Duration::from_millis(100), None);
    node.until(&Event::Told(false)).await;
    node.until(&Event::Connected(true)).await;
    let revision = office.limit(5).await;
    node.until(&Event::Applied(office.tenant, revision)).await;
    node.stop().await;
    let mut node = Node::start(&url, "direct", NEVER, None);
    node.until(&Event::Told(true)).await;
    node.stop().await;
}

#[tokio::test]
async fn what_is_known_grows_old_while_the_database_is_away() {
    let url = database().await.unwrap();
    let _office = Office::new(&url).await;
    let folder = Folder::new("stale");
    let file = folder.0.join("snapshot");
    let before = Utc::now();
    let node = Node::ready(&url, "node", Duration::from_millis(50), Some(file.clone())).await;
    assert!(node.handle.staleness(Utc::now()) <= (Utc::now() - before).to_std().unwrap());
    let confirmed =
        |node: &Node| Utc::now() - TimeDelta::from_std(node.handle.staleness(Utc::now())).unwrap();
    let first = confirmed(&node);
    timeout(PATIENCE, async {
        // Each poll confirms it anew.
        while confirmed(&node) <= first + TimeDelta::milliseconds(20) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    node.stop().await;
    let mut node = Node::start("postgres:///none?host=/nowhere", "node", NEVER, Some(file));
    node.until(&Event::StartedFromFile).await;
    let written = node.handle.staleness(Utc::now());
    assert!(written <= (Utc::now() - before).to_std().unwrap(), "as old as the file: {written:?}");
    assert!(written > Duration::ZERO);
    node.stop().await;
}

#[tokio::test]
async fn what_happens_while_the_connection_is_lost_is_found_afterwards() {
    let url = database().await.unwrap();
    let office = Office::new(&url).await;
    let mut node = Node::ready(&url, "node", NEVER, None).await;
    // Nothing is told of this change, and no poll comes: only a new session can find it.
    admin(&url, "alter table bulkhead.tenants disable trigger announce").await;
    admin(&url, "update bulkhead.tenants set name = 'renamed'").await;
    admin(
        &url,
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and query ~* '^(un)?listen' and pid <> pg_backend_pid()",
    )
    .await;
    node.until(&Event::Connected(false)).await;
    node.until(&Event::Connected(true)).await;
    assert_eq!(node.handle.load().unwrap().tenant(office.tenant).unwrap().name(), "renamed");
    node.stop().await;
}

#[tokio::test]
async fn a_revision_that_goes_back_is_refused_once() {
    let url = database().await.unwrap();
    let office = Office::new(&url).await;
    office.limit(4).await;
    let mut node = Node::ready(&url, "node", Duration::from_millis(50), None).await;
    admin(&url, "update bulkhead.tenants set revision = 1").await;
    node.until(&Event::Rejected(Some(office.tenant), Revision::new(1))).await;
    assert_eq!(node.requests_per_minute(office.tenant), Some(4));
    let other = system::create_tenant(&office.migrator, &by(), "other").await.unwrap();
    let before = node.until(&Event::Applied(other.id, other.revision)).await;
    assert!(!before.contains(&Event::Rejected(Some(office.tenant), Revision::new(1))), "{before:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_node_starts_without_the_database_from_its_file_alone() {
    let server = Server::start().await.unwrap();
    let url = server.database().await.unwrap();
    let office = Office::new(&url).await;
    office.limit(9).await;
    let (key, _) = office.key().await;
    let folder = Folder::new("down");
    let path = folder.0.join("snapshot");
    Node::ready(&url, "node", NEVER, Some(path.clone())).await.stop().await;
    server.stop().unwrap();

    let mut with_file = Node::start(&url, "with", NEVER, Some(path.clone()));
    with_file.until(&Event::StartedFromFile).await;
    assert_eq!(with_file.requests_per_minute(office.tenant), Some(9));
    assert!(with_file.handle.load().unwrap().resolve(&key, Utc::now()).is_ok());

    let mut tampered = std::fs::read(&path).unwrap();
    let end = tampered.len() - 20;
    tampered[end] ^= 1;
    let bad = folder.0.join("tampered");
    std::fs::write(&bad, tampered).unwrap();
    let mut with_bad_file = Node::start(&url, "bad", NEVER, Some(bad));
    with_bad_file.until(&Event::FileRefused).await;
    let mut without = Node::start(&url, "without", NEVER, Some(folder.0.join("none")));
    assert!(
        timeout(Duration::from_millis(1500), without.events.recv()).await.is_err(),
        "nothing to serve from"
    );
    assert!(without.handle.load().is_none() && with_bad_file.handle.load().is_none());

    server.start_again().unwrap();
    for node in [&mut with_file, &mut with_bad_file, &mut without] {
        node.until(&Event::Connected(true)).await;
        assert_eq!(node.requests_per_minute(office.tenant), Some(9));
    }
    // Crashed and back: what was published stays, and the nodes go on from there.
    server.stop().unwrap();
    with_file.until(&Event::Connected(false)).await;
    assert_eq!(with_file.requests_per_minute(office.tenant), Some(9));
    server.start_again().unwrap();
    with_file.until(&Event::Connected(true)).await;
    let revision = office.limit(11).await;
    with_file.until(&Event::Applied(office.tenant, revision)).await;
    for node in [with_file, with_bad_file, without] {
        node.stop().await;
    }
}

#[test]
fn arguments_of_no_use_are_refused() {
    let make = |node: &str, url| {
        let config = SyncConfig {
            node: node.into(),
            poll: SyncConfig::POLL_DEFAULT,
            snapshot_file: None,
            compile: CompileOptions::default(),
        };
        let (sender, _) = mpsc::unbounded_channel();
        let parts = (SnapshotHandle::default(), Arc::new(LedgerBook::default()), Arc::new(Recorder(sender)));
        PolicySync::new(config, url, &master(), parts.0, parts.1, parts.2).map(drop)
    };
    assert!(matches!(make("", "postgres:///x"), Err(SyncError::NodeName)));
    assert!(matches!(make(&"n".repeat(129), "postgres:///x"), Err(SyncError::NodeName)));
    assert!(matches!(make("node", "not a url"), Err(SyncError::Store(_))));
}
