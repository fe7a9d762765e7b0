//! Against a real PostgreSQL: the walls between tenants, and that nothing is lost, doubled or silently changed.

mod alerts;
mod archive;
mod audit;
mod catalog;
mod entries;
mod erase;
mod leases;
mod placement;
mod policies;
mod rates;
mod reseal;
mod retention;
mod reveal;
mod revisions;
mod roles;
mod traces;
mod usage;
mod walls;

use bulkhead_policy::api_key::KeyHash;
use bulkhead_policy::ids::{AgentId, BudgetId, KeyId, Revision, TenantId, TraceId};
use bulkhead_policy::ledger::{BudgetUnit, Subject};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::raw::{RawDataKey, RawScopes, RawTenant};
use bulkhead_policy::trace::{
    BudgetRecord, Direction, FindingRecord, Outcome, SealedBodies, SealedBody, Timings, TraceBodies,
    TraceRecord, TraceTokens,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

use crate::system::{self, Tenant};
use crate::tenant::NewKey;
use crate::testing::database;
use crate::{Actor, Role, Store};

/// How long a test waits for what must come; only failures take so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A migrated database with a store per role.
struct World {
    url: String,
    api: Store,
    sync: Store,
    writer: Store,
    retention: Store,
    revealer: Store,
    migrator: Store,
    auditor: Store,
}

impl World {
    async fn new() -> Self {
        let url = database().await.unwrap();
        let connect = async |role| Store::connect(&url, role, 3).await.unwrap();
        Self {
            api: connect(Role::Api).await,
            sync: connect(Role::Sync).await,
            writer: connect(Role::Writer).await,
            retention: connect(Role::Retention).await,
            revealer: connect(Role::Revealer).await,
            migrator: connect(Role::Migrator).await,
            auditor: connect(Role::Auditor).await,
            url,
        }
    }

    fn stores(&self) -> [(&'static str, &Store); 7] {
        [
            ("api", &self.api),
            ("sync", &self.sync),
            ("writer", &self.writer),
            ("retention", &self.retention),
            ("revealer", &self.revealer),
            ("migrator", &self.migrator),
            ("auditor", &self.auditor),
        ]
    }

    async fn tenant(&self, name: &str) -> Tenant {
        system::create_tenant(&self.migrator, &actor(), name).await.unwrap()
    }

    /// What a node loads of a tenant.
    async fn load(&self, tenant: TenantId) -> RawTenant {
        system::load_tenants(&self.sync, &[tenant]).await.unwrap().pop().unwrap()
    }

    /// An agent with a key in a tenant.
    async fn agent(&self, tenant: TenantId, name: &str, key: &str) -> (AgentId, KeyId) {
        let mut tx = self.api.tenant(tenant).await.unwrap();
        let agent = tx.create_agent(&actor(), name).await.unwrap();
        let key = new_key(agent.id, key);
        tx.add_key(&actor(), &key).await.unwrap();
        tx.commit().await.unwrap();
        (agent.id, key.id)
    }
}

/// Waits until so many sessions of the database wait for a lock that another holds.
async fn until_waiting(admin: &sqlx::PgPool, sessions: i64) {
    let waiting = "select count(*) from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'";
    let wait = async {
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(admin).await.unwrap() < sessions {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("nobody waits");
}

fn actor() -> Actor {
    Actor::new("tester")
}

fn new_key(agent: AgentId, id: &str) -> NewKey {
    NewKey {
        id: id.parse().unwrap(),
        agent,
        hash: KeyHash::from_bytes([7; 32]),
        scopes: RawScopes::default(),
        expires_at: None,
    }
}

/// Now, as PostgreSQL can hold it.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).unwrap()
}

fn trace(tenant: TenantId, at: DateTime<Utc>) -> TraceRecord {
    TraceRecord {
        id: TraceId::fresh(at),
        at,
        tenant,
        agent: None,
        key: None,
        policy_revision: Revision::new(3),
        dialect: "openai".into(),
        operation: "chat".into(),
        model_asked: Some("gpt-test".into()),
        model_served: None,
        upstream: Some("openai".into()),
        status: 200,
        outcome: Outcome::Allowed,
        reason: None,
        streamed: true,
        tokens: TraceTokens { input: 10, output: 5, ..TraceTokens::default() },
        cost: NanoUsd::new(42),
        timings: Timings { overhead_micros: 300, first_byte_micros: Some(900), total_micros: 2_000 },
        attempts: 1,
        request_bytes: 100,
        response_bytes: 200,
        findings: Vec::new(),
        findings_total: 0,
        uninspected: false,
        budgets: vec![BudgetRecord {
            budget: BudgetId::new("month"),
            subject: Subject::Tenant,
            unit: BudgetUnit::Usd,
            window_start: at,
            limit: 1_000,
            used_before: 7,
            used_after: 49,
            unreachable: true,
        }],
        bodies: None,
        sealed: None,
    }
}

fn finding(detector: &str) -> FindingRecord {
    FindingRecord {
        detector: detector.into(),
        category: "pii".into(),
        direction: Direction::Request,
        channel: "choice 0 content".into(),
        start: 4,
        end: 20,
        action: "mask".parse().unwrap(),
        fingerprint: Some("0123456789abcdef01234567".into()),
    }
}

fn bodies(request: &str) -> Option<TraceBodies> {
    Some(TraceBodies { request: Some(request.to_owned()), response: None, truncated: true })
}

fn sealed() -> Option<SealedBodies> {
    let body = |text: &[u8]| Some(SealedBody(text.to_vec()));
    let (request, response) = (body(b"sealed request"), body(b"sealed answer"));
    Some(SealedBodies { key_version: 1, request, response, truncated: false })
}

fn data_key(version: u32) -> RawDataKey {
    RawDataKey { version, key_id: "0123456789abcdef".into(), wrapped: b"wrapped".to_vec() }
}

fn minutes_ago(minutes: i64) -> DateTime<Utc> {
    now() - TimeDelta::minutes(minutes)
}
