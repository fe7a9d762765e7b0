//! How many nodes serve, and which rates are in use on this one.

use std::mem::take;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Counted;
use super::schedule::Schedule;
use super::sharing::WHOLE;
use crate::ids::TenantId;
use crate::ledger::Subject;

/// The number of nodes that serve, as this one knows it; 1 until somebody says otherwise.
///
/// ```
/// use bulkhead_policy::limiter::Nodes;
/// let nodes = Nodes::default();
/// let same = nodes.clone();
/// nodes.set(3);
/// assert_eq!(same.get(), 3);
/// ```
#[derive(Debug, Clone)]
pub struct Nodes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    count: AtomicU32,
    /// Rates that are in use and that [`super::Sharing`] does not know of yet.
    arriving: Mutex<Vec<Arc<Schedule>>>,
}

/// Names one rate on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateKey {
    /// Whose policy.
    pub tenant: TenantId,
    /// Who is held to it.
    pub subject: Subject,
    /// What it counts: [`Counted::Requests`] or [`Counted::Tokens`].
    pub counted: Counted,
}

impl Default for Nodes {
    fn default() -> Self {
        Self(Arc::new(Inner { count: AtomicU32::new(1), arriving: Mutex::default() }))
    }
}

impl Nodes {
    /// Returns the number, at least 1.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// What each has of a rate where nobody says otherwise.
    pub(super) fn equal_part(&self) -> u32 {
        (WHOLE / self.get()).max(1)
    }

    /// Changes it for all that share it; 0 counts as 1: this one serves.
    pub fn set(&self, nodes: u32) {
        self.0.count.store(nodes.max(1), Ordering::Relaxed);
    }

    /// Notes that a rate is in use; called once while it is.
    pub(super) fn note(&self, rate: Arc<Schedule>) {
        self.0.arriving.lock().unwrap_or_else(PoisonError::into_inner).push(rate);
    }

    pub(super) fn take_arriving(&self) -> Vec<Arc<Schedule>> {
        take(&mut *self.0.arriving.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
