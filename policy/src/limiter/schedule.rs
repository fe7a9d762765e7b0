//! The state of one rate on this node: how far its schedule is, and which part of the rate the node has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::nodes::{Nodes, RateKey};
use super::sharing::WHOLE;

/// The state of a [`super::Gcra`].
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// When the next unit is on schedule, in nanoseconds since the epoch.
    pub(super) next_nanos: AtomicU64,
    /// Whose rate it is, where nodes share it.
    owner: Option<(Nodes, RateKey)>,
    /// In parts of [`WHOLE`]; 0: nobody has said, and it is an equal one.
    part: AtomicU32,
    /// What was asked for since somebody looked, had or not: as time at the whole rate.
    wanted_nanos: AtomicU64,
    is_noted: AtomicBool,
}

impl Schedule {
    pub(super) fn shared(nodes: Nodes, key: RateKey) -> Self {
        Self { owner: Some((nodes, key)), ..Self::default() }
    }

    pub(super) fn key(&self) -> Option<RateKey> {
        self.owner.as_ref().map(|(_, key)| *key)
    }

    /// The part of the rate that this node has.
    pub(super) fn part(&self) -> u32 {
        let nodes = self.owner.as_ref().map_or(1, |(nodes, _)| nodes.get());
        match self.part.load(Ordering::Relaxed) {
            _ if nodes == 1 => WHOLE,
            0 => (WHOLE / nodes).max(1),
            part => part,
        }
    }

    /// How long at this node's part takes what takes so long at the whole rate.
    pub(super) fn stretched(&self, nanos: u64) -> u64 {
        match self.part() {
            WHOLE => nanos,
            part => nanos.saturating_mul(WHOLE.into()) / u64::from(part),
        }
    }

    /// Takes over the part that the nodes have agreed on, 0 where they have not. What was taken ahead stays as many units.
    ///
    /// A unit that is taken at the same moment may be counted at the old part.
    pub(super) fn set_part(&self, part: u32, now: u64) {
        let before = self.part();
        self.part.store(part, Ordering::Relaxed);
        let after = self.part();
        let step = |next: u64| {
            let lead = u128::from(next.saturating_sub(now)) * u128::from(before) / u128::from(after);
            (before != after && lead > 0).then(|| now.saturating_add(u64::try_from(lead).unwrap_or(u64::MAX)))
        };
        let _changed = self.next_nanos.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
    }

    /// Notes that somebody wants what takes so long at the whole rate.
    pub(super) fn want(self: &Arc<Self>, nanos: u64) {
        let Some((nodes, _)) = self.owner.as_ref().filter(|(nodes, _)| nodes.get() > 1) else { return };
        self.wanted_nanos.fetch_add(nanos, Ordering::Relaxed);
        if !self.is_noted.load(Ordering::Relaxed) && !self.is_noted.swap(true, Ordering::Relaxed) {
            nodes.note(Arc::clone(self));
        }
    }

    /// Notes that what was wanted was not needed.
    pub(super) fn want_less(&self, nanos: u64) {
        let less = |wanted: u64| Some(wanted.saturating_sub(nanos));
        let _always = self.wanted_nanos.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// What was wanted since the last time.
    pub(super) fn take_wanted(&self) -> u64 {
        self.wanted_nanos.swap(0, Ordering::Relaxed)
    }

    /// Whether nothing is taken ahead.
    pub(super) fn is_on_time(&self, now: u64) -> bool {
        self.next_nanos.load(Ordering::Relaxed) <= now
    }

    /// Nobody looks at it any more until it is wanted again.
    pub(super) fn retire(&self, now: u64) {
        self.set_part(0, now);
        self.is_noted.store(false, Ordering::Relaxed);
    }
}
