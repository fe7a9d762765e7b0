//! All limits that one caller is held to, in one place.

use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::fair::{ActiveAgents, BURST_KEPT_PART, Share, places_for};
use super::gcra::{Gcra, Standing};
use super::{
    ByteCount, Counted, InFlight, InFlightGuard, Limits, NoTokens, Nodes, RateKey, RetryAfter, Scope,
    Throttled,
};
use crate::ids::{AgentId, KeyId, TenantId};
use crate::ledger::Subject;

/// Limits with their state.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    pub(super) limits: Limits,
    requests: Option<Gcra>,
    tokens: Option<Gcra>,
    in_flight: InFlight,
}

impl Limiter {
    /// Goes on where `known` is; its guards and holds give back to both.
    fn new(
        (tenant, subject): (TenantId, Subject),
        limits: Limits,
        known: Option<&Self>,
        nodes: &Nodes,
    ) -> Self {
        let Limits { requests_per_minute, tokens_per_minute, .. } = limits;
        let key = |counted| RateKey { tenant, subject, counted };
        let requests =
            requests_per_minute.map(|rate| Gcra::of_requests(rate).among(nodes, key(Counted::Requests)));
        let tokens = tokens_per_minute.map(|rate| Gcra::of_tokens(rate).among(nodes, key(Counted::Tokens)));
        Self {
            limits,
            requests: requests.map(|gcra| gcra.continuing(known.and_then(|known| known.requests.as_ref()))),
            tokens: tokens.map(|gcra| gcra.continuing(known.and_then(|known| known.tokens.as_ref()))),
            in_flight: known.map(|known| known.in_flight.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn rate(&self, counted: Counted) -> Option<&Gcra> {
        match counted {
            Counted::Requests => self.requests.as_ref(),
            Counted::Tokens => self.tokens.as_ref(),
            Counted::Concurrency => None,
        }
    }
}

/// A tenant's limits, how many of its agents are active, and what its requests hold in memory.
#[derive(Debug, Default)]
pub struct TenantLimiter {
    own: Limiter,
    active: Arc<ActiveAgents>,
    bytes: ByteCount,
}

/// An agent's limits, and what it has had of its tenant's.
#[derive(Debug, Default)]
pub struct AgentLimiter {
    own: Limiter,
    share: Arc<Share>,
}

impl TenantLimiter {
    /// Makes a limiter that goes on where `known` is; the rates are those of all `nodes` together.
    #[must_use]
    pub fn new(tenant: TenantId, limits: Limits, known: Option<&Self>, nodes: &Nodes) -> Arc<Self> {
        let own = Limiter::new((tenant, Subject::Tenant), limits, known.map(|known| &known.own), nodes);
        let (active, bytes) = match known {
            Some(known) => (Arc::clone(&known.active), known.bytes.clone()),
            None => Default::default(),
        };
        Arc::new(Self { own, active, bytes })
    }
}

impl AgentLimiter {
    /// Makes a limiter that goes on where `known` is; the rates are those of all `nodes` together.
    #[must_use]
    pub fn new(
        (tenant, agent): (TenantId, AgentId),
        limits: Limits,
        known: Option<&Self>,
        nodes: &Nodes,
    ) -> Arc<Self> {
        let share = known.map(|known| Arc::clone(&known.share)).unwrap_or_default();
        let owner = (tenant, Subject::Agent(agent));
        Arc::new(Self { own: Limiter::new(owner, limits, known.map(|known| &known.own), nodes), share })
    }
}

/// The limits of a key, its agent and its tenant.
///
/// Where the tenant's are short, an agent that has had more than its share (one `n`-th for `n` active agents) is refused
/// first: it gets neither the last quarter of the tenant's places nor the last half of a rate's burst, so the others find
/// their share. Where only one agent is active it may take everything.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::sync::Arc;
/// use bulkhead_policy::ids::TenantId;
/// use bulkhead_policy::limiter::{CallerLimits, Limits, Nodes, TenantLimiter};
/// use chrono::DateTime;
/// let (now, node_max) = (DateTime::UNIX_EPOCH, NonZeroU32::MAX);
/// let limits = Limits { concurrent_requests: NonZeroU32::new(2), ..Limits::default() };
/// let tenant = TenantLimiter::new(TenantId::fresh(now), limits, None, &Nodes::default());
/// let caller = CallerLimits::new(tenant, Arc::default(), None);
/// let first = caller.admit(node_max, now)?;
/// let second = caller.admit(node_max, now)?;
/// assert!(caller.admit(node_max, now).is_err());
/// drop(first);
/// assert!(caller.admit(node_max, now).is_ok());
/// # Ok::<(), bulkhead_policy::limiter::Throttled>(())
/// ```
#[derive(Debug)]
pub struct CallerLimits {
    tenant: Arc<TenantLimiter>,
    agent: Arc<AgentLimiter>,
    /// Only where keys have limits.
    key: Option<Arc<KeyLimiter>>,
}

/// A key's limits.
#[derive(Debug, Default)]
pub struct KeyLimiter(Limiter);

impl KeyLimiter {
    /// Makes a limiter that goes on where `known` is; the rates are those of all `nodes` together.
    #[must_use]
    pub fn new(
        (tenant, key): (TenantId, KeyId),
        limits: Limits,
        known: Option<&Self>,
        nodes: &Nodes,
    ) -> Arc<Self> {
        let owner = (tenant, Subject::Key(key));
        Arc::new(Self(Limiter::new(owner, limits, known.map(|known| &known.0), nodes)))
    }
}

/// The places that a running request takes; dropping it gives them back.
#[derive(Debug)]
pub struct Admission {
    _places: [Option<InFlightGuard>; 3],
}

/// What is left of the tightest limit of each kind; `None` where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standings {
    /// Requests.
    pub requests: Option<Standing>,
    /// Tokens.
    pub tokens: Option<Standing>,
}

impl CallerLimits {
    /// Puts together what one key is held to.
    #[must_use]
    pub fn new(tenant: Arc<TenantLimiter>, agent: Arc<AgentLimiter>, key: Option<Arc<KeyLimiter>>) -> Self {
        Self { tenant, agent, key }
    }

    /// From the narrowest to the widest.
    pub(super) fn all(&self) -> [Option<(Scope, &Limiter)>; 3] {
        let key = self.key.as_ref().map(|key| (Scope::Key, &key.0));
        [key, Some((Scope::Agent, &self.agent.own)), Some((Scope::Tenant, &self.tenant.own))]
    }

    /// Admits one request; it counts as running until the value is dropped. No tenant gets more than
    /// `tenant_places_max` places, whatever its policy says.
    ///
    /// Concurrency is looked at first: a request that finds no place does not use up rate.
    ///
    /// # Errors
    /// [`Throttled`] with the limit that stood in the way; then nothing was taken of any.
    pub fn admit(&self, tenant_places_max: NonZeroU32, now: DateTime<Utc>) -> Result<Admission, Throttled> {
        let active = self.tenant.active.note(&self.agent.share, now);
        // Before its own place is taken.
        let running = self.agent.own.in_flight.running();
        let mut places = [None, None, None];
        for (place, limiter) in places.iter_mut().zip(self.all()) {
            let Some((scope, limiter)) = limiter else { continue };
            let limit = limiter.limits.concurrent_requests.unwrap_or(NonZeroU32::MAX);
            let (limit, below) = match scope {
                Scope::Tenant => {
                    let limit = limit.min(tenant_places_max);
                    (limit, places_for(limit.get(), active, running))
                }
                Scope::Key | Scope::Agent => (limit, limit.get()),
            };
            let is_kept_for_others = below < limit.get() && limiter.in_flight.running() < limit.get();
            let refused = Throttled {
                scope,
                counted: Counted::Concurrency,
                limit,
                is_kept_for_others,
                retry_after: RetryAfter::SOON,
            };
            *place = Some(limiter.in_flight.acquire_below(below).ok_or(refused)?);
        }
        self.take(Counted::Requests, 1, active, now)?.keep();
        Ok(Admission { _places: places })
    }

    /// Returns how many tokens one request may take at most; `None`: any number.
    #[must_use]
    pub fn tokens_at_once(&self) -> Option<u64> {
        let rates = self.all().into_iter().flatten().filter_map(|(_, limiter)| limiter.tokens.as_ref());
        rates.map(Gcra::burst).min()
    }

    /// Takes the tokens that an admitted request may need.
    ///
    /// # Errors
    /// [`NoTokens`] with the limit that stood in the way; then nothing was taken of any.
    pub fn take_tokens(&self, tokens: u64, now: DateTime<Utc>) -> Result<Hold, NoTokens> {
        for (scope, limiter) in self.all().into_iter().flatten() {
            if let Some(gcra) = limiter.tokens.as_ref().filter(|gcra| tokens > gcra.burst()) {
                return Err(NoTokens::TooLarge { asked: tokens, scope, limit: gcra.per_minute() });
            }
        }
        let active = self.tenant.active.note(&self.agent.share, now);
        Ok(self.take(Counted::Tokens, tokens, active, now)?)
    }

    /// Takes `units` of each rate, or of none.
    fn take(
        &self,
        counted: Counted,
        units: u64,
        active: NonZeroU32,
        now: DateTime<Utc>,
    ) -> Result<Hold, Throttled> {
        let mut hold = Hold { counted, units, rates: [None, None, None], share: None };
        let share = self.agent.share.schedule(counted);
        for (place, limiter) in hold.rates.iter_mut().zip(self.all()) {
            let rate = limiter.and_then(|(scope, limiter)| Some((scope, limiter.rate(counted)?)));
            let Some((scope, rate)) = rate else { continue };
            let is_shared = scope == Scope::Tenant;
            let is_beyond = is_shared && share.is_beyond(rate, active, now);
            let kept_part = if is_beyond { BURST_KEPT_PART } else { 0 };
            rate.take_leaving(kept_part, units, now).map_err(|retry_after| Throttled {
                scope,
                counted,
                limit: rate.per_minute(),
                is_kept_for_others: is_beyond && rate.standing(now).remaining >= units,
                retry_after,
            })?;
            if is_shared {
                hold.share = Some((Arc::clone(&self.agent.share), active));
                share.take(rate, active, units, now);
            }
            *place = Some(rate.clone());
        }
        Ok(hold)
    }

    /// Says what is left of the tightest limits.
    #[must_use]
    pub fn standings(&self, now: DateTime<Utc>) -> Standings {
        let tightest = |counted| {
            let rates = self.all().into_iter().flatten().filter_map(|(_, limiter)| limiter.rate(counted));
            rates.map(|rate| rate.standing(now)).min_by_key(|standing| (standing.remaining, standing.limit))
        };
        Standings { requests: tightest(Counted::Requests), tokens: tightest(Counted::Tokens) }
    }

    /// Returns the count of the bytes that the tenant's requests hold on this node.
    #[must_use]
    pub fn tenant_bytes(&self) -> &ByteCount {
        &self.tenant.bytes
    }

    /// Returns how many requests of the tenant are running.
    #[cfg(test)]
    pub(super) fn tenant_running(&self) -> u32 {
        self.tenant.own.in_flight.running()
    }
}

/// Units that were taken of some rates. Dropping it gives back all of them.
#[derive(Debug, Default)]
pub struct Hold {
    counted: Counted,
    units: u64,
    rates: [Option<Gcra>; 3],
    /// Whose share of the tenant's rate they came out of, and among how many.
    share: Option<(Arc<Share>, NonZeroU32)>,
}

impl Hold {
    /// Keeps what was used: the rest is given back, and what was used beyond it is owed.
    pub fn settle(mut self, used: u64, now: DateTime<Utc>) {
        let (unused, beyond) = (self.units.saturating_sub(used), used.saturating_sub(self.units));
        if beyond > 0 {
            let [_, _, shared] = &self.rates;
            for rate in self.rates.iter().flatten() {
                rate.owe(beyond, now);
            }
            if let (Some((share, active)), Some(rate)) = (&self.share, shared) {
                share.schedule(self.counted).take(rate, *active, beyond, now);
            }
        }
        self.units = unused;
    }

    /// Keeps all of it.
    fn keep(mut self) {
        self.units = 0;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.units == 0 {
            return;
        }
        let [_, _, shared] = &self.rates;
        for rate in self.rates.iter().flatten() {
            rate.give_back(self.units);
        }
        if let (Some((share, active)), Some(rate)) = (&self.share, shared) {
            share.schedule(self.counted).give_back(rate, *active, self.units);
        }
    }
}
