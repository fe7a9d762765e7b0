//! Where a tenant's traces go, as the newest policies say and the configuration resolves.
//!
//! Nothing is ever sent to a place because another one is not known: what has no place waits.

use bulkhead_policy::ids::{DatabaseName, TenantId};
use bulkhead_policy::snapshot::{Snapshot, SnapshotHandle};
use bulkhead_store::Store;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::sync::Arc;

/// For so long after its start a node waits for news of a tenant that nobody knows: where it was led to the wrong database, all
/// of them are unknown, and nothing shall be lost by that.
const GONE_AFTER: TimeDelta = TimeDelta::hours(1);

/// The databases that this node knows, and the policies that say whose traces go to which.
#[derive(Debug)]
pub struct Placements {
    snapshot: SnapshotHandle,
    shared: Store,
    placed: HashMap<DatabaseName, Store>,
    /// When this node began.
    since: DateTime<Utc>,
}

/// Where a tenant's traces go now.
#[derive(Debug)]
pub(super) enum Route {
    To(Store),
    /// To a database that the configuration does not know.
    Unknown(DatabaseName),
    /// Perhaps there is news of the tenant that this node has not heard.
    Unheard,
    /// Nowhere: the tenant was deleted.
    Gone,
}

impl Placements {
    /// All stores act as [`bulkhead_store::Role::Writer`].
    #[must_use]
    pub fn new(snapshot: SnapshotHandle, shared: Store, placed: HashMap<DatabaseName, Store>) -> Self {
        Self { snapshot, shared, placed, since: Utc::now() }
    }

    /// What is known; nothing may be shipped before.
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(super) fn route(&self, tenant: TenantId, now: DateTime<Utc>) -> Route {
        let Some(snapshot) = self.snapshot.load() else { return Route::Unheard };
        let Some(tenant) = snapshot.tenant(tenant) else {
            let age = now - self.since;
            // The snapshot may be from the file, and older than the tenant.
            let is_confirmed = age.to_std().is_ok_and(|age| self.snapshot.staleness(now) < age);
            return if is_confirmed && age > GONE_AFTER { Route::Gone } else { Route::Unheard };
        };
        let name = tenant.placement();
        let store = if name.is_shared() { Some(&self.shared) } else { self.placed.get(name) };
        store.map_or_else(|| Route::Unknown(name.clone()), |store| Route::To(store.clone()))
    }
}

#[cfg(test)]
mod tests;
