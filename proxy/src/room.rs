//! What one node has room for, and how much of it one tenant may take.
//!
//! 1. Bodies that are read and events that wait for a verdict are counted while they are in memory, for the node and for their
//!    tenant. What finds no room is refused before it is read: beyond a tenant's part with 429, beyond the node's with 503.
//! 2. A tenant has no more requests running than its part of the node's connections, also where its policy names no limit.
//! 3. [`Held`] belongs to one request and gives back what it took when it is dropped, whatever ends the request.
//!
//! Counted are the bytes as they came or were unpacked; what is made of them on the way is a small multiple.

use crate::config::Limits;
use crate::metrics::Metrics;
use crate::rejection::Rejection;
use bulkhead_policy::limiter::{ByteCount, CallerLimits};
use prometheus::IntGauge;
use std::num::NonZeroU32;

/// Counts change by so many bytes at least: small events come and go without a word.
const GRANULE_BYTES: u64 = 4 << 10;

/// The room of this node.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: ByteCount,
    bytes_max: u64,
    tenant_bytes_max: u64,
    tenant_places_max: NonZeroU32,
    gauge: IntGauge,
}

/// What one request holds.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    room: &'a Room,
    tenant: ByteCount,
    /// Until the request ends.
    kept: u64,
    /// Until the next change.
    waiting: u64,
    /// What the counts say.
    counted: u64,
}

impl Room {
    pub(crate) fn new(limits: &Limits, metrics: &Metrics) -> Self {
        let part = |of: usize| of as u64 / 100 * u64::from(limits.tenant_percent);
        let places = u32::try_from(limits.connections * usize::from(limits.tenant_percent) / 100);
        Self {
            bytes: ByteCount::default(),
            bytes_max: limits.body_memory_bytes as u64,
            tenant_bytes_max: part(limits.body_memory_bytes),
            tenant_places_max: NonZeroU32::new(places.unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN),
            gauge: metrics.held_bytes.clone(),
        }
    }

    /// How many requests of one tenant may run at once.
    pub(crate) fn tenant_places_max(&self) -> NonZeroU32 {
        self.tenant_places_max
    }

    /// Nothing yet, for a request of this caller.
    pub(crate) fn hold(&self, caller: &CallerLimits) -> Held<'_> {
        Held { room: self, tenant: caller.tenant_bytes().clone(), kept: 0, waiting: 0, counted: 0 }
    }

    fn take(&self, tenant: &ByteCount, bytes: u64) -> Result<(), Rejection> {
        if !tenant.take(bytes, self.tenant_bytes_max) {
            return Err(Rejection::tenant_memory_full(self.tenant_bytes_max));
        }
        if !self.bytes.take(bytes, self.bytes_max) {
            tenant.give_back(bytes);
            return Err(Rejection::memory_full());
        }
        self.gauge.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(())
    }

    fn give_back(&self, tenant: &ByteCount, bytes: u64) {
        tenant.give_back(bytes);
        self.bytes.give_back(bytes);
        self.gauge.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

impl Held<'_> {
    /// Adds bytes that stay until the request ends.
    ///
    /// # Errors
    /// 429 if the tenant holds too much, 503 if all together do. Then nothing was added.
    pub(crate) fn keep(&mut self, more: usize) -> Result<(), Rejection> {
        self.count(self.kept.saturating_add(more as u64), self.waiting)
    }

    /// Says that of what was kept only `bytes` are there still.
    pub(crate) fn keep_only(&mut self, bytes: usize) {
        // Less than before always fits.
        let _fits = self.count(self.kept.min(bytes as u64), self.waiting);
    }

    /// Says how many bytes wait, in place of what was said before.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub(crate) fn wait_with(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.count(self.kept, bytes as u64)
    }

    fn count(&mut self, kept: u64, waiting: u64) -> Result<(), Rejection> {
        let bytes = kept.saturating_add(waiting).checked_next_multiple_of(GRANULE_BYTES).unwrap_or(u64::MAX);
        if bytes > self.counted {
            self.room.take(&self.tenant, bytes - self.counted)?;
        } else if bytes < self.counted {
            self.room.give_back(&self.tenant, self.counted - bytes);
        }
        (self.kept, self.waiting, self.counted) = (kept, waiting, bytes);
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.counted > 0 {
            self.room.give_back(&self.tenant, self.counted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_policy::limiter::{AgentLimiter, TenantLimiter};

    const KIB: usize = 1024;

    fn room() -> Room {
        let limits =
            Limits { body_memory_bytes: 400 * KIB, tenant_percent: 25, connections: 10, ..Limits::default() };
        Room::new(&limits, &Metrics::new().unwrap())
    }

    fn caller() -> CallerLimits {
        let (tenant, agent) = (TenantLimiter::default(), AgentLimiter::default());
        CallerLimits::new(tenant.into(), agent.into(), None)
    }

    #[test]
    fn a_tenant_has_its_part_and_all_together_have_the_nodes() {
        let (room, callers) = (room(), [(); 6].map(|()| caller()));
        assert_eq!(room.tenant_places_max().get(), 2);
        let mut first = room.hold(&callers[0]);
        first.keep(60 * KIB).unwrap();
        let mut second = room.hold(&callers[0]);
        let refused = second.keep(60 * KIB).unwrap_err();
        assert_eq!((refused.status(), refused.code()), (429, "memory_limit_exceeded"));
        second.keep(36 * KIB).unwrap();
        let mut others: Vec<_> = callers[1..].iter().map(|caller| room.hold(caller)).collect();
        let refused: Vec<_> = others.iter_mut().map(|held| held.keep(96 * KIB).err()).collect();
        let refused: Vec<_> =
            refused.iter().flatten().map(|refused| (refused.status(), refused.code())).collect();
        assert_eq!(refused, [(503, "overloaded"); 2], "four tenants fill the node");
        assert_eq!(callers[5].tenant_bytes().held(), 0, "what the node refused the tenant does not hold");
        drop((first, second, others));
        assert_eq!((room.bytes.held(), room.gauge.get(), callers[0].tenant_bytes().held()), (0, 0, 0));
    }

    #[test]
    fn what_waits_replaces_what_waited_and_small_changes_are_not_counted() {
        let (room, caller) = (room(), caller());
        let mut held = room.hold(&caller);
        held.keep(10 * KIB).unwrap();
        assert_eq!(room.bytes.held(), 12 * KIB as u64);
        for waiting in [0, 100, 2 * KIB] {
            held.wait_with(waiting).unwrap();
            assert_eq!(room.bytes.held(), 12 * KIB as u64);
        }
        held.wait_with(30 * KIB).unwrap();
        assert_eq!(room.bytes.held(), 40 * KIB as u64);
        assert!(held.wait_with(200 * KIB).is_err());
        assert_eq!(room.bytes.held(), 40 * KIB as u64, "a refusal changes nothing");
        held.wait_with(0).unwrap();
        held.keep_only(KIB);
        assert_eq!(room.bytes.held(), 4 * KIB as u64);
    }
}
