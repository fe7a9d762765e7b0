//! From rows to a snapshot: compile what changed, keep what did not, never let a bad policy in.

mod prepare;
mod seat;

pub use prepare::Prepared;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bulkhead_dlp::ValueKey;
use chrono::{DateTime, Utc};

use super::data_keys::DataKeys;
use super::{Key, Platform, Policies, Snapshot, Tenant};
use crate::compile::{CompileInput, CompileOptions, Credential, DetectorCache, Layer, TenantPolicy, compile};
use crate::crypto::{CryptoError, MasterKey, Pepper, Sealer, ValueKeys, credential_aad};
use crate::data_key::{DataKey, KeyProvider};
use crate::document::{Capture, CheckOptions, PolicyDocument};
use crate::ids::{KeyId, Revision, TenantId};
use crate::ledger::LedgerBook;
use crate::limiter::Nodes;
use crate::raw::{RawPolicy, RawSnapshot, RawTenant};

/// Builds snapshots; one per process, for it holds what outlives them.
///
/// ```
/// use std::sync::Arc;
/// use bulkhead_policy::compile::CompileOptions;
/// use bulkhead_policy::crypto::MasterKey;
/// use bulkhead_policy::ledger::LedgerBook;
/// use bulkhead_policy::raw::RawSnapshot;
/// use bulkhead_policy::snapshot::{Builder, SnapshotHandle};
/// let master = MasterKey::parse(&"5a".repeat(32))?;
/// let builder = Builder::new(&master, Arc::new(LedgerBook::default()), CompileOptions::default())?;
/// let built = builder.build(&RawSnapshot::default(), None, chrono::DateTime::UNIX_EPOCH);
/// assert!(built.rejected.is_empty());
/// let handle = SnapshotHandle::default();
/// handle.publish(Arc::new(built.snapshot));
/// assert_eq!(handle.load().map(|snapshot| snapshot.sequence()), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    pepper: Arc<Pepper>,
    sealer: Sealer,
    value_keys: ValueKeys,
    key_provider: Box<dyn KeyProvider>,
    ledgers: Arc<LedgerBook>,
    options: CompileOptions,
    detectors: DetectorCache,
    nodes: Nodes,
}

/// A snapshot, and what did not make it in.
#[derive(Debug)]
pub struct Built {
    /// What to publish.
    pub snapshot: Snapshot,
    /// What was looked at in this build and refused; those tenants go on with their last good policy.
    pub rejected: Vec<Rejected>,
}

/// Says that a revision is not in force, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The tenant; `None`: the platform's policy.
    pub tenant: Option<TenantId>,
    /// The revision that was refused.
    pub revision: Revision,
    /// Why, for people; no secret, bounded.
    pub reason: String,
}

/// The platform's policy for one build.
struct Floor {
    platform: Option<Arc<Platform>>,
    /// Set where there is a document but none of its versions ever compiled: then nothing may be judged
    /// without it.
    missing: Option<String>,
}

/// What of a tenant's keys its policies are compiled with; none where no request will be judged.
#[derive(Clone, Copy, Default)]
struct Keys<'a> {
    value: Option<&'a ValueKey>,
    data: Option<&'a Result<Arc<DataKey>, String>>,
}

impl Builder {
    /// Makes a builder with the subkeys it needs.
    ///
    /// # Errors
    /// [`CryptoError`] if the cipher refuses its key, which does not happen.
    pub fn new(
        master: &MasterKey,
        ledgers: Arc<LedgerBook>,
        options: CompileOptions,
    ) -> Result<Self, CryptoError> {
        Ok(Self {
            pepper: Arc::new(master.pepper()),
            sealer: master.credential_sealer()?,
            value_keys: master.value_keys(),
            key_provider: Box::new(master.local_keys()?),
            ledgers,
            options,
            detectors: DetectorCache::default(),
            nodes: Nodes::default(),
        })
    }

    /// Returns among how many nodes the rates of all snapshots are divided; what it is set to counts at once.
    #[must_use]
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Builds from everything there is. Tenants whose revision is the one in `previous` are taken over as
    /// they are.
    #[must_use]
    pub fn build(&self, raw: &RawSnapshot, previous: Option<&Snapshot>, now: DateTime<Utc>) -> Built {
        let mut rejected = Vec::new();
        let floor = self.floor(raw.platform.as_ref(), previous, &mut rejected);
        let mut tenants = HashMap::with_capacity(raw.tenants.len());
        for raw in &raw.tenants {
            let before = previous.and_then(|previous| previous.tenants.get(&raw.id));
            tenants.insert(raw.id, self.tenant(raw, &floor, before, now, &mut rejected));
        }
        self.assemble(previous, floor, tenants, rejected)
    }

    /// Builds from the last snapshot and the tenants that changed since; nothing else is compiled or looked
    /// at.
    #[must_use]
    pub fn update(
        &self,
        previous: &Snapshot,
        changed: &[RawTenant],
        removed: &[TenantId],
        now: DateTime<Utc>,
    ) -> Built {
        let mut rejected = Vec::new();
        let floor = Floor { platform: previous.platform.clone(), missing: previous.floor_missing.clone() };
        let mut tenants = previous.tenants.clone();
        for raw in changed {
            let tenant = self.tenant(raw, &floor, previous.tenants.get(&raw.id), now, &mut rejected);
            tenants.insert(raw.id, tenant);
        }
        for id in removed {
            tenants.remove(id);
        }
        self.assemble(Some(previous), floor, tenants, rejected)
    }

    fn assemble(
        &self,
        previous: Option<&Snapshot>,
        floor: Floor,
        tenants: HashMap<TenantId, Arc<Tenant>>,
        mut rejected: Vec<Rejected>,
    ) -> Built {
        let mut keys: HashMap<KeyId, Arc<Key>> = HashMap::new();
        for key in tenants.values().flat_map(|tenant| &tenant.keys) {
            let loser = match keys.entry(key.id) {
                Entry::Vacant(entry) => {
                    entry.insert(Arc::clone(key));
                    continue;
                }
                Entry::Occupied(mut entry) => {
                    // Ids are random; two alike mean that rows were copied. The owner of before stays the
                    // owner.
                    let owner_before =
                        previous.and_then(|previous| previous.keys.get(&key.id)).map(|key| key.tenant);
                    let first = entry.get().tenant;
                    let owner = owner_before.unwrap_or_else(|| first.min(key.tenant));
                    if owner == key.tenant { entry.insert(Arc::clone(key)).tenant } else { key.tenant }
                }
            };
            let revision = tenants.get(&loser).map_or(Revision::default(), |tenant| tenant.revision);
            let reason = format!("api key {} belongs to another tenant", key.id);
            rejected.push(Rejected { tenant: Some(loser), revision, reason });
        }
        let sequence = previous.map_or(0, |previous| previous.sequence).saturating_add(1);
        let Floor { platform, missing } = floor;
        let pepper = Arc::clone(&self.pepper);
        Built {
            snapshot: Snapshot { sequence, platform, floor_missing: missing, tenants, keys, pepper },
            rejected,
        }
    }

    fn floor(
        &self,
        raw: Option<&RawPolicy>,
        previous: Option<&Snapshot>,
        rejected: &mut Vec<Rejected>,
    ) -> Floor {
        let Some(raw) = raw else { return Floor { platform: None, missing: None } };
        let before = previous.and_then(|previous| previous.platform.clone());
        if let Some(same) = before.as_ref().filter(|before| before.revision == raw.revision) {
            return Floor { platform: Some(Arc::clone(same)), missing: None };
        }
        match self.platform_document(raw) {
            Ok(document) => Floor {
                platform: Some(Arc::new(Platform { revision: raw.revision, document })),
                missing: None,
            },
            Err(reason) => {
                rejected.push(Rejected { tenant: None, revision: raw.revision, reason: reason.clone() });
                // A snapshot that was built without a floor shows that none was needed before.
                let was_optional = previous.is_some_and(|previous| previous.floor_missing.is_none());
                Floor { platform: before, missing: (!was_optional).then_some(reason) }
            }
        }
    }

    fn platform_document(&self, raw: &RawPolicy) -> Result<PolicyDocument, String> {
        let document = self.parse(raw)?;
        // Compiled alone it shows its own mistakes, which would otherwise be every tenant's.
        self.compile(raw.revision, &[(Layer::Platform, &document)], &HashMap::new(), Keys::default())?;
        Ok(document)
    }

    fn parse(&self, raw: &RawPolicy) -> Result<PolicyDocument, String> {
        let options = CheckOptions { upstreams: self.options.upstreams.clone() };
        PolicyDocument::parse(&raw.document, &options).map_err(|error| error.to_string())
    }

    fn compile(
        &self,
        revision: Revision,
        layers: &[(Layer, &PolicyDocument)],
        credentials: &HashMap<String, Credential>,
        keys: Keys<'_>,
    ) -> Result<Arc<TenantPolicy>, String> {
        let input = CompileInput {
            revision,
            layers,
            credentials,
            options: &self.options,
            detectors: &self.detectors,
            value_key: keys.value,
            data_key: keys.data.and_then(|data| data.as_ref().ok()),
        };
        let policy = compile(&input).map_err(|error| error.to_string())?;
        match keys.data {
            Some(Err(reason)) if policy.capture() == Capture::Sealed => {
                Err(format!("capture: sealed: {reason}"))
            }
            _ => Ok(Arc::new(policy)),
        }
    }

    fn tenant(
        &self,
        raw: &RawTenant,
        floor: &Floor,
        before: Option<&Arc<Tenant>>,
        now: DateTime<Utc>,
        rejected: &mut Vec<Rejected>,
    ) -> Arc<Tenant> {
        if let Some(before) = before {
            if raw.revision < before.revision {
                let reason = format!("revision goes back from {}", before.revision);
                rejected.push(Rejected { tenant: Some(raw.id), revision: raw.revision, reason });
                return Arc::clone(before);
            }
            let same_floor = match (&before.platform, &floor.platform) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                (before, now) => before.is_none() && now.is_none(),
            };
            if raw.revision == before.revision && same_floor && before.lacks_floor == floor.missing.is_some()
            {
                return Arc::clone(before);
            }
        }
        let data_keys = DataKeys::unwrap(raw, before.map(|before| &before.data_keys), &*self.key_provider);
        let compiled = self.policies(raw, floor, &data_keys.newest());
        let rejection = compiled.as_ref().err().cloned();
        if let Some(reason) = &rejection {
            rejected.push(Rejected { tenant: Some(raw.id), revision: raw.revision, reason: reason.clone() });
        }
        // A policy that seals with a key which is destroyed by now is no good one any more.
        let policies = compiled.ok().or_else(|| {
            let last_good = before.and_then(|before| before.policies.clone());
            last_good.filter(|policies| policies.body_keys().all(|key| data_keys.holds(key)))
        });
        let mut tenant = self.seat(raw, floor, before, policies, rejection, now);
        tenant.data_keys = data_keys;
        Arc::new(tenant)
    }

    /// Compiles the tenant's policy and those of its agents: all of them or none.
    fn policies(
        &self,
        raw: &RawTenant,
        floor: &Floor,
        data_key: &Result<Arc<DataKey>, String>,
    ) -> Result<Arc<Policies>, String> {
        if let Some(reason) = &floor.missing {
            return Err(format!("platform policy: {reason}"));
        }
        let credentials = self.credentials(raw)?;
        let own = raw.policy.as_ref().map(|policy| self.parse(policy)).transpose()?.unwrap_or_default();
        let mut layers: Vec<(Layer, &PolicyDocument)> = vec![(Layer::Tenant, &own)];
        layers.extend(floor.platform.as_ref().map(|platform| (Layer::Platform, &platform.document)));
        let value_key = self.value_keys.of(raw.id);
        let keys = Keys { value: Some(&value_key), data: Some(data_key) };
        let tenant = self.compile(raw.revision, &layers, &credentials, keys)?;
        let mut agents = HashMap::with_capacity(raw.agent_policies.len());
        for (agent, policy) in &raw.agent_policies {
            let in_agent = |reason| format!("agent {agent}: {reason}");
            let document = self.parse(policy).map_err(in_agent)?;
            let layers = [layers.as_slice(), &[(Layer::Agent, &document)]].concat();
            let policy = self.compile(raw.revision, &layers, &credentials, keys);
            agents.insert(*agent, policy.map_err(in_agent)?);
        }
        Ok(Arc::new(Policies { tenant, agents }))
    }

    fn credentials(&self, raw: &RawTenant) -> Result<HashMap<String, Credential>, String> {
        let opened = raw.credentials.iter().map(|credential| {
            let place = credential_aad(raw.id, credential.id, credential.version);
            let secret = self.sealer.open(&place, &credential.sealed).map_err(|_| {
                format!(
                    "credential {:?} cannot be opened: another master key, or a damaged row",
                    credential.name
                )
            })?;
            let opened =
                Credential { id: credential.id, version: credential.version, secret: Arc::new(secret) };
            Ok((credential.name.clone(), opened))
        });
        opened.collect()
    }
}
