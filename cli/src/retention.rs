//! What is too old goes: everybody's traces after the days that the configuration says, a tenant's after those that its policy
//! says, if they are fewer.
//!
//! Every node does it; what another has removed is no longer there, and removing nothing costs nothing. Nothing depends on
//! the hour: what one round leaves, because the database is away or the process ends, the next one finds. Without days to
//! keep, no connection is made, so only who wants retention has to grant its role to a login.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_policy::ids::TenantId;
use bulkhead_policy::snapshot::SnapshotHandle;
use bulkhead_proxy::Metrics;
use bulkhead_store::{Store, StoreError, system};
use chrono::{DateTime, Days, Utc};

use crate::config::KeepDays;

/// Days are what is counted; more often only makes up for rounds that failed.
const ROUND_EVERY: Duration = Duration::from_secs(6 * 3600);
/// Until the policies are there, or the database is back.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Removes what is too old.
pub(crate) struct Retention {
    /// Acts as [`bulkhead_store::Role::Retention`].
    pub(crate) store: Store,
    pub(crate) snapshot: SnapshotHandle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) keep: KeepDays,
}

impl Retention {
    /// Goes on for as long as it is not aborted.
    pub(crate) async fn run(self) {
        loop {
            let pause = if self.round(Utc::now()).await { ROUND_EVERY } else { RETRY_AFTER };
            tokio::time::sleep(pause).await;
        }
    }

    /// Removes what is too old at `now`. What fails for one tenant keeps nothing of another; false if anything failed, or
    /// if the policies are not known yet.
    async fn round(&self, now: DateTime<Utc>) -> bool {
        let before = |days: u32| now - Days::new(days.into());
        let mut complete = true;
        if let Some(before) = self.keep.traces.map(before) {
            complete &= self.dropped("traces", system::expire_days(&self.store, before.date_naive()).await);
        }
        if let Some(before) = self.keep.bodies.map(before) {
            complete &=
                self.dropped("bodies", system::expire_body_days(&self.store, before.date_naive()).await);
        }
        let Some(snapshot) = self.snapshot.load() else { return false };
        for tenant in snapshot.tenants() {
            let Some(settings) = tenant.policy().map(|policy| policy.traces()) else { continue };
            let id = tenant.id();
            if let Some(before) = settings.keep_days.map(NonZeroU32::get).map(before) {
                complete &= self.removed("traces", id, system::expire_traces(&self.store, id, before).await);
            }
            if let Some(before) = settings.keep_body_days.map(NonZeroU32::get).map(before) {
                complete &= self.removed("bodies", id, system::expire_bodies(&self.store, id, before).await);
            }
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
