//! Policies that take long to compile, aside from the road that all others take.
//!
//! 1. Compiling a tenant's own detectors is what takes long. Where they are compiled already, as with every change of keys, limits
//!    or rules, a change is applied at once. Otherwise they are compiled here first, on the blocking pool, and the rest follows.
//! 2. One at a time, in the order in which they are due; each tenant once, however often it published meanwhile: what is
//!    compiled then is its newest document.
//! 3. After a compilation a tenant pauses for four times as long as it took, so that it takes a fifth of this at most and the
//!    others' turn comes.

use std::collections::HashMap;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_policy::ids::TenantId;
use bulkhead_policy::raw::RawTenant;
use bulkhead_policy::snapshot::{Builder, Prepared};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

/// The pause after a compilation, as a multiple of what it took.
const PAUSE: u32 = 4;

/// What is being compiled, and what waits for it.
#[derive(Debug, Default)]
pub(crate) struct Workshop {
    running: JoinSet<Ready>,
    /// Whose detectors are being compiled.
    busy: Option<TenantId>,
    /// Since when each waits.
    waiting: HashMap<TenantId, Instant>,
    /// Until when each pauses.
    pauses: HashMap<TenantId, Instant>,
}

/// A tenant whose detectors are compiled.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) raw: RawTenant,
    took: Duration,
    /// Kept until the policies that use the detectors are.
    pub(crate) prepared: Prepared,
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Load this tenant: its turn has come.
    Load(TenantId),
    /// Apply what is ready.
    Apply(Box<Ready>),
}

/// Splits rows into those that are applied at once and those whose detectors are compiled first.
pub(crate) async fn split(
    builder: &Arc<Builder>,
    loaded: Vec<RawTenant>,
) -> (Vec<RawTenant>, Vec<RawTenant>) {
    let builder = Arc::clone(builder);
    let split = move || loaded.into_iter().partition(|raw| builder.is_prepared(raw));
    spawn_blocking(split).await.unwrap_or_default()
}

impl Workshop {
    /// Lets a tenant wait for its turn.
    pub(crate) fn wait(&mut self, tenant: TenantId) {
        self.waiting.entry(tenant).or_insert_with(Instant::now);
    }

    /// A tenant need not wait any more.
    pub(crate) fn forget(&mut self, tenant: TenantId) {
        self.waiting.remove(&tenant);
    }

    /// Says whether a tenant waits for its turn.
    pub(crate) fn waits(&self, tenant: TenantId) -> bool {
        self.waiting.contains_key(&tenant)
    }

    /// Says whether a change of a tenant is under way here.
    pub(crate) fn has(&self, tenant: TenantId) -> bool {
        self.busy == Some(tenant) || self.waits(tenant)
    }

    /// Returns how many tenants wait or are being compiled.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.busy.is_some())
    }

    /// Begins to compile; nothing else may be compiling.
    pub(crate) fn start(&mut self, builder: &Arc<Builder>, raw: RawTenant) {
        self.waiting.remove(&raw.id);
        self.busy = Some(raw.id);
        let builder = Arc::clone(builder);
        self.running.spawn_blocking(move || {
            let started = Instant::now();
            let prepared = builder.prepare(&raw);
            Ready { raw, took: started.elapsed(), prepared }
        });
    }

    /// Waits for what is to be done next. Loses nothing when it is dropped.
    pub(crate) async fn next(&mut self) -> Step {
        while self.busy.is_some() {
            let ended = self.running.join_next().await;
            self.busy = None;
            // One that panicked is found again by the next comparison.
            if let Some(Ok(ready)) = ended {
                self.pauses.insert(ready.raw.id, Instant::now() + ready.took * PAUSE);
                return Step::Apply(Box::new(ready));
            }
        }
        let now = Instant::now();
        self.pauses.retain(|_, until| *until > now);
        let due = |(tenant, since): (&TenantId, &Instant)| {
            (self.pauses.get(tenant).copied().unwrap_or(now), *since, *tenant)
        };
        match self.waiting.iter().map(due).min() {
            Some((at, _, tenant)) => {
                sleep_until(at).await;
                Step::Load(tenant)
            }
            None => future::pending().await,
        }
    }
}
