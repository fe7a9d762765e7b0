//! What others may want to know about synchronisation: metrics, and a console.

use std::time::Duration;

use bulkhead_policy::ids::{Revision, TenantId};
use bulkhead_policy::snapshot::Snapshot;

/// Is told what happens. Called from the synchronisation's task: must return at once.
///
/// Every function does nothing unless it is overridden.
pub trait Observer: Send + Sync {
    /// The database was reached and everything in it is known, or it was lost.
    fn connected(&self, up: bool) {
        let _ = up;
    }

    /// Whether the database's notifications arrive. Where they do not, changes are found by looking for them every so often.
    fn told(&self, yes: bool) {
        let _ = yes;
    }

    /// A snapshot was published.
    fn published(&self, snapshot: &Snapshot) {
        let _ = snapshot;
    }

    /// A tenant's new revision is in force. `propagation`: from its change in the database until now, by two clocks.
    fn applied(&self, tenant: TenantId, revision: Revision, propagation: Duration) {
        let _ = (tenant, revision, propagation);
    }

    /// So many tenants' newest policies wait to be compiled, or are being compiled, aside.
    fn compiling(&self, tenants: usize) {
        let _ = tenants;
    }

    /// A revision was refused; `tenant` is `None` for the platform's policy.
    fn rejected(&self, tenant: Option<TenantId>, revision: Revision, reason: &str) {
        let _ = (tenant, revision, reason);
    }

    /// The database is away and the snapshot file was published instead.
    fn started_from_file(&self, age: Duration) {
        let _ = age;
    }

    /// The snapshot file is not ours or was changed. Somebody should look.
    fn snapshot_file_refused(&self, reason: &str) {
        let _ = reason;
    }
}
