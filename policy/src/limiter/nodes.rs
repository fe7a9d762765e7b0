//! How many nodes share the rates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of nodes that serve, as this one knows it; 1 until somebody says otherwise.
///
/// A rate that is divided by it is never exceeded by all together, beyond a burst each and the seconds in which not all have
/// heard of a new one. It is not reached where callers are spread unevenly.
///
/// ```
/// use bulkhead_policy::limiter::Nodes;
/// let nodes = Nodes::default();
/// let same = nodes.clone();
/// nodes.set(3);
/// assert_eq!(same.get(), 3);
/// ```
#[derive(Debug, Clone)]
pub struct Nodes(Arc<AtomicU32>);

impl Default for Nodes {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl Nodes {
    /// Returns the number, at least 1.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes it for all that share it; 0 counts as 1: this one serves.
    pub fn set(&self, nodes: u32) {
        self.0.store(nodes.max(1), Ordering::Relaxed);
    }
}
