//! What is too old goes: everybody's traces after the days that the configuration says, a tenant's after those that its policy
//! says, if they are fewer.
//!
//! Every node does it; what another has removed is no longer there, and removing nothing costs nothing. Nothing depends on
//! the hour: what one round leaves, because the database is away or the process ends, the next one finds. Without days to
//! keep, no connection is made, so only who wants retention has to grant its role to a login.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_policy::ids::{DatabaseName, TenantId};
use bulkhead_policy::snapshot::{SnapshotHandle, Tenant};
use bulkhead_proxy::Metrics;
use bulkhead_store::placement::check_database;
use bulkhead_store::{Store, StoreError, system};
use chrono::{DateTime, Days, Utc};

use crate::config::KeepDays;

/// Days are what is counted; more often only makes up for rounds that failed.
const ROUND_EVERY: Duration = Duration::from_secs(6 * 3600);
/// How often the first policies are looked for.
const POLICIES_EVERY: Duration = Duration::from_millis(500);
/// Until the database is back.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Removes what is too old.
pub(crate) struct Retention {
    /// Acts as [`bulkhead_store::Role::Retention`].
    pub(crate) store: Store,
    /// The same for the databases that tenants may be placed in.
    pub(crate) placed: HashMap<DatabaseName, Store>,
    pub(crate) snapshot: SnapshotHandle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) keep: KeepDays,
}

impl Retention {
    /// Goes on for as long as it is not aborted.
    pub(crate) async fn run(self) {
        // They come within a moment, or there is nobody's policy to go by.
        while self.snapshot.load().is_none() {
            tokio::time::sleep(POLICIES_EVERY).await;
        }
        loop {
            let pause = if self.round(Utc::now()).await { ROUND_EVERY } else { RETRY_AFTER };
            tokio::time::sleep(pause).await;
        }
    }

    /// Removes what is too old at `now`. What fails for one tenant keeps nothing of another; false if anything failed, or
    /// if the policies are not known yet.
    async fn round(&self, now: DateTime<Utc>) -> bool {
        let mut complete = self.drop_days(&self.store, now).await;
        let Some(snapshot) = self.snapshot.load() else { return false };
        let mut by_place: BTreeMap<&DatabaseName, Vec<&Tenant>> = BTreeMap::new();
        for tenant in snapshot.tenants() {
            by_place.entry(tenant.placement()).or_default().push(tenant);
        }
        for (name, mut tenants) in by_place {
            tenants.retain(|tenant| keeps(tenant).is_some());
            if tenants.is_empty() && (name.is_shared() || self.keep == KeepDays::default()) {
                continue;
            }
            let store = match self.store_of(name).await {
                Ok(store) => store,
                Err(reason) => {
                    self.metrics.retention.failures.inc();
                    tracing::warn!(database = %name, reason, "what is too old could not be removed");
                    complete = false;
                    continue;
                }
            };
            complete &= name.is_shared() || self.drop_days(store, now).await;
            for tenant in tenants {
                complete &= self.expire(store, tenant, now).await;
            }
        }
        complete
    }

    /// The database of that name, and no other one: what a name leads to by mistake must not lose its days.
    async fn store_of(&self, name: &DatabaseName) -> Result<&Store, String> {
        if name.is_shared() {
            return Ok(&self.store);
        }
        let store = self.placed.get(name).ok_or("it is not configured here")?;
        check_database(store, name).await.map_err(|error| error.to_string())?;
        Ok(store)
    }

    /// Drops the days of everybody that nobody's traces outlast.
    async fn drop_days(&self, store: &Store, now: DateTime<Utc>) -> bool {
        let mut complete = true;
        if let Some(before) = self.keep.traces.map(|days| days_before(now, days)) {
            complete &= self.dropped("traces", system::expire_days(store, before.date_naive()).await);
        }
        if let Some(before) = self.keep.bodies.map(|days| days_before(now, days)) {
            complete &= self.dropped("bodies", system::expire_body_days(store, before.date_naive()).await);
        }
        complete
    }

    /// Removes what one tenant keeps no longer.
    async fn expire(&self, store: &Store, tenant: &Tenant, now: DateTime<Utc>) -> bool {
        let Some((traces, bodies)) = keeps(tenant) else { return true };
        let before = |days: Option<NonZeroU32>| days.map(|days| days_before(now, days.get()));
        let id = tenant.id();
        let mut complete = true;
        if let Some(before) = before(traces) {
            complete &= self.removed("traces", id, system::expire_traces(store, id, before).await);
        }
        if let Some(before) = before(bodies) {
            complete &= self.removed("bodies", id, system::expire_bodies(store, id, before).await);
        }
        complete
    }

    fn dropped(&self, kind: &str, days: Result<u32, StoreError>) -> bool {
        match days {
            Ok(0) => true,
            Ok(days) => {
                tracing::info!(kind, days, "dropped days that are kept no longer");
                true
            }
            Err(error) => self.failed(kind, None, &error),
        }
    }

    fn removed(&self, kind: &str, tenant: TenantId, rows: Result<u64, StoreError>) -> bool {
        match rows {
            Ok(0) => true,
            Ok(rows) => {
                self.metrics.retention.expired_rows.with_label_values(&[kind]).inc_by(rows);
                tracing::info!(%tenant, kind, rows, "removed what the tenant's policy keeps no longer");
                true
            }
            Err(error) => self.failed(kind, Some(tenant), &error),
        }
    }

    fn failed(&self, kind: &str, tenant: Option<TenantId>, error: &StoreError) -> bool {
        self.metrics.retention.failures.inc();
        tracing::warn!(kind, ?tenant, %error, "what is too old could not be removed");
        false
    }
}

/// How long a tenant's policy keeps traces and bodies, if it says so.
fn keeps(tenant: &Tenant) -> Option<(Option<NonZeroU32>, Option<NonZeroU32>)> {
    let settings = tenant.policy()?.traces();
    let days = (settings.keep_days, settings.keep_body_days);
    (days != (None, None)).then_some(days)
}

fn days_before(now: DateTime<Utc>, days: u32) -> DateTime<Utc> {
    now - Days::new(days.into())
}
