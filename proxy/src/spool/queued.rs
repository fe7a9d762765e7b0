//! Bytes of bodies that wait for the spool's thread.

use bulkhead_policy::ids::TenantId;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts for tenants. Two may share one, and then its part: which only makes it smaller.
const PARTS: usize = 64;
/// One tenant's part of the room.
const TENANT_PART: usize = 4;

/// Counts what waits, of all and of each tenant.
#[derive(Debug)]
pub(super) struct QueuedBytes {
    max: usize,
    all: AtomicUsize,
    parts: [AtomicUsize; PARTS],
}

impl QueuedBytes {
    pub(super) fn new(max: usize) -> Self {
        Self { max, all: AtomicUsize::new(0), parts: [const { AtomicUsize::new(0) }; PARTS] }
    }

    /// Takes room for `bytes`; false if there is none.
    pub(super) fn take(&self, tenant: TenantId, bytes: usize) -> bool {
        let below = |count: &AtomicUsize, max: usize| {
            let step = |waiting: usize| waiting.checked_add(bytes).filter(|after| *after <= max);
            count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
        };
        let Some(part) = self.part(tenant) else { return false };
        if !below(part, self.max / TENANT_PART) {
            return false;
        }
        let fits = below(&self.all, self.max);
        if !fits {
            part.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    pub(super) fn give_back(&self, tenant: TenantId, bytes: usize) {
        if let Some(part) = self.part(tenant) {
            part.fetch_sub(bytes, Ordering::Relaxed);
            self.all.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn part(&self, tenant: TenantId) -> Option<&AtomicUsize> {
        let mut hasher = DefaultHasher::new();
        tenant.hash(&mut hasher);
        self.parts.get(usize::try_from(hasher.finish() % PARTS as u64).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn one_tenant_fills_a_quarter_and_all_together_the_rest() {
        let queued = QueuedBytes::new(400);
        let tenants: Vec<_> = (0..40).map(|id| TenantId::from_uuid(Uuid::from_u128(id))).collect();
        assert!(queued.take(tenants[0], 100) && !queued.take(tenants[0], 1));
        let others = tenants[1..].iter().filter(|tenant| queued.take(**tenant, 100)).count();
        assert_eq!(others, 3);
        queued.give_back(tenants[0], 100);
        assert!(queued.take(tenants[0], 60));
        assert_eq!(queued.all.load(Ordering::Relaxed), 360);
    }
}
