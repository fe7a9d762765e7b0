//! A tenant with its limits, and what each of its keys may do.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Builder, DataKeys, Floor};
use crate::compile::{AllowList, Limits};
use crate::ids::AgentId;
use crate::ledger::{BudgetScope, LedgerKey, Subject};
use crate::limiter::TenantLimiter;
use crate::raw::{RawAgent, RawKey, RawTenant};
use crate::snapshot::{Key, KeyContext, Policies, Refusal, Tenant};

impl Builder {
    /// Gives every key of the tenant its place under the policies in force.
    pub(super) fn seat(
        &self,
        raw: &RawTenant,
        floor: &Floor,
        before: Option<&Arc<Tenant>>,
        policies: Option<Arc<Policies>>,
        rejection: Option<String>,
        now: DateTime<Utc>,
    ) -> Tenant {
        let limits = policies.as_ref().map_or(Limits::default(), |policies| policies.tenant.limits());
        let mut tenant = Tenant {
            id: raw.id,
            name: raw.name.as_str().into(),
            revision: raw.revision,
            changed_at: raw.changed_at,
            placement: raw.placement.clone(),
            platform: floor.platform.clone(),
            lacks_floor: floor.missing.is_some(),
            limiter: limiter(before.map(|before| &before.limiter), limits),
            agent_limiters: HashMap::new(),
            agents: raw.agents.iter().map(|agent| agent.id).collect(),
            keys: Vec::with_capacity(raw.keys.len()),
            policies,
            rejection,
            data_keys: DataKeys::default(),
        };
        for (agent, policy) in tenant.policies.iter().flat_map(|policies| &policies.agents) {
            if policy.agent_limits() != Limits::default() {
                let known = before.and_then(|before| before.agent_limiters.get(agent));
                tenant.agent_limiters.insert(*agent, limiter(known, policy.agent_limits()));
            }
        }
        let agents = raw.agents.iter().map(|agent| (agent.id, agent)).collect();
        let keys = raw.keys.iter().map(|key| {
            let (id, agent, hash, expires_at) = (key.id, key.agent, key.hash, key.expires_at);
            let standing = self.standing(key, (raw, &agents), &tenant, before, now);
            Arc::new(Key { id, agent, tenant: raw.id, hash, expires_at, standing })
        });
        tenant.keys = keys.collect();
        tenant
    }

    fn standing(
        &self,
        key: &RawKey,
        (raw, agents): (&RawTenant, &HashMap<AgentId, &RawAgent>),
        tenant: &Tenant,
        before: Option<&Arc<Tenant>>,
        now: DateTime<Utc>,
    ) -> Result<Arc<KeyContext>, Refusal> {
        if raw.suspended {
            return Err(Refusal::TenantSuspended);
        }
        if key.revoked_at.is_some() {
            return Err(Refusal::Revoked);
        }
        let agent = agents.get(&key.agent).filter(|agent| !agent.disabled);
        let agent = agent.ok_or(Refusal::AgentDisabled)?;
        let policies = tenant.policies.as_ref().ok_or(Refusal::NoPolicy)?;
        // Where the newest policies were refused, the last good ones know nothing of an agent that came with
        // them; it may be meant to get less than the tenant's policy gives.
        let is_narrowed = raw.agent_policies.iter().any(|(id, _)| *id == agent.id);
        let was_there = before.is_some_and(|before| before.agents.contains(&agent.id));
        if tenant.rejection.is_some() && is_narrowed && !was_there {
            return Err(Refusal::NoPolicy);
        }
        let scopes = AllowList::new(key.scopes.operations.as_deref(), key.scopes.models.as_deref());
        let policy = Arc::clone(policies.of(agent.id));
        let ledgers = policy.budgets().iter().map(|spec| {
            let subject = match spec.scope {
                BudgetScope::Tenant => Subject::Tenant,
                BudgetScope::Agent => Subject::Agent(agent.id),
                BudgetScope::Key => Subject::Key(key.id),
            };
            self.ledgers.open(LedgerKey { tenant: raw.id, budget: spec.id.clone(), subject }, spec, now)
        });
        Ok(Arc::new(KeyContext {
            tenant: raw.id,
            tenant_name: Arc::clone(&tenant.name),
            agent: agent.id,
            agent_name: agent.name.as_str().into(),
            key_id: key.id,
            ledgers: ledgers.collect(),
            limiter: Arc::clone(&tenant.limiter),
            agent_limiter: tenant.agent_limiters.get(&agent.id).cloned(),
            // Scopes that cannot be read must not turn into no scopes at all.
            scopes: scopes.map_err(|_| Refusal::NoPolicy)?,
            policy,
        }))
    }
}

fn limiter(known: Option<&Arc<TenantLimiter>>, limits: Limits) -> Arc<TenantLimiter> {
    let Limits { requests_per_minute, concurrent_requests } = limits;
    match known {
        Some(known) => known.with_limits(requests_per_minute, concurrent_requests),
        None => TenantLimiter::new(requests_per_minute, concurrent_requests),
    }
}
