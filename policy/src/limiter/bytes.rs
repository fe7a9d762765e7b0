//! Bytes that are held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts bytes that somebody holds.
///
/// ```
/// use bulkhead_policy::limiter::ByteCount;
/// let count = ByteCount::default();
/// assert!(count.take(60, 100) && !count.take(60, 100));
/// count.give_back(60);
/// assert_eq!(count.held(), 0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ByteCount {
    held: Arc<AtomicU64>,
}

impl ByteCount {
    /// Takes `bytes` unless more than `max` would be held then.
    #[must_use]
    pub fn take(&self, bytes: u64, max: u64) -> bool {
        let step = |held: u64| held.checked_add(bytes).filter(|after| *after <= max);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    /// Gives back what was taken.
    pub fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Returns how many are held.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }
}
