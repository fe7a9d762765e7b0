//! A tenant with its limits, and what each of its keys may do.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Builder, DataKeys, Floor};
use crate::compile::AllowList;
use crate::ids::AgentId;
use crate::ledger::{BudgetScope, LedgerKey, Subject};
use crate::limiter::{AgentLimiter, CallerLimits, KeyLimiter, Limits, Nodes, TenantLimiter};
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
            limiter: TenantLimiter::new(raw.id, limits, before.map(|before| &*before.limiter), &self.nodes),
            agent_limiters: HashMap::with_capacity(raw.agents.len()),
            key_limiters: HashMap::new(),
            agents: raw.agents.iter().map(|agent| agent.id).collect(),
            keys: Vec::with_capacity(raw.keys.len()),
            policies,
            rejection,
            data_keys: DataKeys::default(),
        };
        tenant.limit_each(raw, before.map(AsRef::as_ref), &self.nodes);
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
            limits: CallerLimits::new(
                Arc::clone(&tenant.limiter),
                tenant.agent_limiters.get(&agent.id).cloned().unwrap_or_default(),
                tenant.key_limiters.get(&key.id).cloned(),
            ),
            // Scopes that cannot be read must not turn into no scopes at all.
            scopes: scopes.map_err(|_| Refusal::NoPolicy)?,
            policy,
        }))
    }
}

impl Tenant {
    /// Gives every agent its limiter, and every key that has limits.
    fn limit_each(&mut self, raw: &RawTenant, before: Option<&Self>, nodes: &Nodes) {
        let Some(policies) = self.policies.as_ref() else { return };
        for agent in &raw.agents {
            let known = before.and_then(|before| before.agent_limiters.get(&agent.id));
            let limiter = AgentLimiter::new(
                (raw.id, agent.id),
                policies.of(agent.id).agent_limits(),
                known.map(AsRef::as_ref),
                nodes,
            );
            self.agent_limiters.insert(agent.id, limiter);
        }
        for key in &raw.keys {
            let limits = policies.of(key.agent).key_limits();
            if limits != Limits::default() {
                let known = before.and_then(|before| before.key_limiters.get(&key.id));
                self.key_limiters.insert(
                    key.id,
                    KeyLimiter::new((raw.id, key.id), limits, known.map(AsRef::as_ref), nodes),
                );
            }
        }
    }
}
