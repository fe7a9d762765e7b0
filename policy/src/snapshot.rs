//! All tenants at one moment, found by API key; swapped whole under running requests.
//!
//! - A snapshot never changes. A request takes one [`KeyContext`] out of it and is judged by that to its end.
//! - Resolving a key is one hash lookup and one HMAC, however many tenants there are and whether the key
//!   exists or not.
//! - Unknown, revoked and expired keys are one error to the caller; only the trace learns more, and only of a
//!   key whose secret was right.
//! - A policy that does not compile never replaces a good one; keys, agents and suspensions change all the
//!   same.

mod build;
mod data_keys;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};

pub use build::{Builder, Built, Prepared, Rejected};

use data_keys::DataKeys;

use crate::api_key::{ApiKey, KeyHash};
use crate::compile::{AllowList, NotAllowed, TenantPolicy};
use crate::crypto::Pepper;
use crate::data_key::DataKey;
use crate::document::PolicyDocument;
use crate::ids::{AgentId, DatabaseName, KeyId, Revision, TenantId};
use crate::ledger::Ledger;
use crate::limiter::{AgentLimiter, CallerLimits, KeyLimiter, TenantLimiter};

/// Everything a node serves from.
#[derive(Debug)]
pub struct Snapshot {
    sequence: u64,
    platform: Option<Arc<Platform>>,
    /// Why tenants cannot be judged where the platform's first policy does not compile.
    floor_missing: Option<String>,
    tenants: HashMap<TenantId, Arc<Tenant>>,
    keys: HashMap<KeyId, Arc<Key>>,
    pepper: Arc<Pepper>,
}

/// The platform's document, which lies under every tenant's.
#[derive(Debug)]
struct Platform {
    revision: Revision,
    document: PolicyDocument,
}

/// A tenant as it stands in a snapshot.
#[derive(Debug)]
pub struct Tenant {
    id: TenantId,
    name: Arc<str>,
    revision: Revision,
    changed_at: DateTime<Utc>,
    placement: DatabaseName,
    /// What the policies were compiled with, to see whether they still hold.
    platform: Option<Arc<Platform>>,
    lacks_floor: bool,
    /// `None` until the first document that compiles.
    policies: Option<Arc<Policies>>,
    rejection: Option<String>,
    data_keys: DataKeys,
    agents: Vec<AgentId>,
    limiter: Arc<TenantLimiter>,
    agent_limiters: HashMap<AgentId, Arc<AgentLimiter>>,
    /// Only where keys have limits.
    key_limiters: HashMap<KeyId, Arc<KeyLimiter>>,
    keys: Vec<Arc<Key>>,
}

/// A tenant's policy and those of agents with a document of their own.
#[derive(Debug)]
struct Policies {
    tenant: Arc<TenantPolicy>,
    agents: HashMap<AgentId, Arc<TenantPolicy>>,
}

impl Policies {
    /// The data keys that they seal original bodies with.
    fn body_keys(&self) -> impl Iterator<Item = &DataKey> {
        let policies = std::iter::once(&self.tenant).chain(self.agents.values());
        policies.filter_map(|policy| policy.body_key().map(AsRef::as_ref))
    }

    fn of(&self, agent: AgentId) -> &Arc<TenantPolicy> {
        self.agents.get(&agent).unwrap_or(&self.tenant)
    }
}

#[derive(Debug)]
struct Key {
    id: KeyId,
    agent: AgentId,
    tenant: TenantId,
    hash: KeyHash,
    expires_at: Option<DateTime<Utc>>,
    standing: Result<Arc<KeyContext>, Refusal>,
}

/// All that a request needs to know about its caller.
#[derive(Debug)]
pub struct KeyContext {
    tenant: TenantId,
    tenant_name: Arc<str>,
    agent: AgentId,
    agent_name: Arc<str>,
    key_id: KeyId,
    policy: Arc<TenantPolicy>,
    ledgers: Vec<Arc<Ledger>>,
    limits: CallerLimits,
    scopes: AllowList,
}

/// Says that a key gives no right to call anything.
///
/// To the caller all of these are one and the same, except that [`Refusal::NoPolicy`] is our failing and not
/// the key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("api key does not resolve: {refusal}")]
pub struct Unresolved {
    /// Whose key it is, where the secret was right; for the trace.
    pub known: Option<(TenantId, AgentId, KeyId)>,
    /// Why; for the trace and the log.
    pub refusal: Refusal,
}

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such key, or a wrong secret.
    #[error("unknown")]
    Unknown,
    /// It was revoked.
    #[error("revoked")]
    Revoked,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its agent is disabled or gone.
    #[error("agent disabled")]
    AgentDisabled,
    /// Its tenant is suspended.
    #[error("tenant suspended")]
    TenantSuspended,
    /// No policy of the tenant has compiled yet, so nothing can be judged.
    #[error("no valid policy")]
    NoPolicy,
}

impl Snapshot {
    /// Finds who a key speaks for.
    ///
    /// # Errors
    /// [`Unresolved`] unless the key is known, proven, in force, and its tenant can be served.
    pub fn resolve(&self, key: &ApiKey, now: DateTime<Utc>) -> Result<&Arc<KeyContext>, Unresolved> {
        let entry = self.keys.get(&key.id());
        // An unknown id is compared with something too, so that time does not tell which ids exist.
        let hash = entry.map_or(KeyHash::NONE, |entry| entry.hash);
        let is_proven = hash.verify(key, &self.pepper);
        let Some(entry) = entry.filter(|_| is_proven) else {
            return Err(Unresolved { known: None, refusal: Refusal::Unknown });
        };
        let refused = |refusal| Unresolved { known: Some((entry.tenant, entry.agent, entry.id)), refusal };
        let context = entry.standing.as_ref().map_err(|refusal| refused(*refusal))?;
        if entry.expires_at.is_some_and(|end| now >= end) {
            return Err(refused(Refusal::Expired));
        }
        Ok(context)
    }

    /// Returns how many snapshots this process had published when this one was built; for logs and metrics.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the revision of the platform's policy in force.
    #[cfg(test)]
    fn platform_revision(&self) -> Option<Revision> {
        self.platform.as_ref().map(|platform| platform.revision)
    }

    /// Returns a tenant.
    #[must_use]
    pub fn tenant(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.get(&id).map(AsRef::as_ref)
    }

    /// Returns all tenants, in no order.
    pub fn tenants(&self) -> impl ExactSizeIterator<Item = &Tenant> {
        self.tenants.values().map(AsRef::as_ref)
    }
}

impl Tenant {
    /// Returns the tenant's id.
    #[must_use]
    pub fn id(&self) -> TenantId {
        self.id
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the revision of its rows; the policy may be older if the newest was rejected.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns when that revision was committed.
    #[must_use]
    pub fn changed_at(&self) -> DateTime<Utc> {
        self.changed_at
    }

    /// Returns the database that its traces go to.
    #[must_use]
    pub fn placement(&self) -> &DatabaseName {
        &self.placement
    }

    /// Returns the policy of its agents without a document of their own; `None` if none has compiled yet.
    #[must_use]
    pub fn policy(&self) -> Option<&Arc<TenantPolicy>> {
        self.policies.as_ref().map(|policies| &policies.tenant)
    }

    /// Returns why the newest policy is not in force.
    #[must_use]
    pub fn rejection(&self) -> Option<&str> {
        self.rejection.as_deref()
    }
}

impl KeyContext {
    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Returns the tenant's name.
    #[must_use]
    pub fn tenant_name(&self) -> &Arc<str> {
        &self.tenant_name
    }

    /// Returns the agent.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// Returns the agent's name.
    #[must_use]
    pub fn agent_name(&self) -> &Arc<str> {
        &self.agent_name
    }

    /// Returns the public part of the key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Returns the policy to judge by.
    #[must_use]
    pub fn policy(&self) -> &Arc<TenantPolicy> {
        &self.policy
    }

    /// Returns all the budgets, in the order of the policy's.
    #[must_use]
    pub fn ledgers(&self) -> &[Arc<Ledger>] {
        &self.ledgers
    }

    /// Returns the budgets that a request draws on; `model` is `None` where it names none, or none yet.
    ///
    /// Allocates only where some budget concerns other models.
    #[must_use]
    pub fn ledgers_for(&self, model: Option<&str>) -> Cow<'_, [Arc<Ledger>]> {
        let concerned = |ledger: &&Arc<Ledger>| ledger.spec().concerns(model);
        if self.ledgers.iter().all(|ledger| concerned(&ledger)) {
            return Cow::Borrowed(&self.ledgers);
        }
        Cow::Owned(self.ledgers.iter().filter(concerned).cloned().collect())
    }

    /// Says whether policy and key both allow a call; `model` is `None` where the operation has none.
    ///
    /// # Errors
    /// [`NotAllowed`] with what is missing.
    pub fn allows(&self, operation: &str, model: Option<&str>) -> Result<(), NotAllowed> {
        self.policy.allows(operation, model)?;
        self.scopes.check(operation, model)
    }

    /// Returns what the request is held to: the limits of key, agent and tenant.
    #[must_use]
    pub fn limits(&self) -> &CallerLimits {
        &self.limits
    }
}

/// Where the newest snapshot is found; empty until the first one.
#[derive(Clone, Default)]
pub struct SnapshotHandle {
    current: Arc<ArcSwapOption<Snapshot>>,
    /// Milliseconds of the Unix epoch; 0: never.
    confirmed_at: Arc<AtomicI64>,
}

impl SnapshotHandle {
    /// Returns the newest snapshot; load it once per request.
    #[must_use]
    pub fn load(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Says that the newest snapshot is what the database held at `at`.
    pub fn confirm(&self, at: DateTime<Utc>) {
        self.confirmed_at.store(at.timestamp_millis(), Ordering::Release);
    }

    /// Returns how long ago the newest snapshot was last known to be what the database holds.
    #[must_use]
    pub fn staleness(&self, now: DateTime<Utc>) -> Duration {
        let millis = now.timestamp_millis().saturating_sub(self.confirmed_at.load(Ordering::Acquire));
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// Puts a snapshot in place for all requests that load from now on.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.current.store(Some(snapshot));
    }
}

impl fmt::Debug for SnapshotHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sequence = self.current.load().as_ref().map(|snapshot| snapshot.sequence);
        f.debug_struct("SnapshotHandle").field("sequence", &sequence).finish()
    }
}

#[cfg(test)]
mod tests;
