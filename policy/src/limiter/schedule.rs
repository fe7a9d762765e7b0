//! The state of one rate on this node: how far its schedule is, and which part of the rate the node has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::nodes::{Nodes, RateKey};
use super::sharing::WHOLE;

/// The state of a [`super::Gcra`].
///
/// Its time passes at the part: whoever changes that changes how far the schedule is ahead, too, so that it stays as many units.
#[derive(Debug)]
pub(super) struct Schedule {
    /// When the next unit is on schedule, in nanoseconds since the epoch.
    pub(super) next_nanos: AtomicU64,
    /// Whose rate it is, where nodes share it.
    owner: Option<(Nodes, RateKey)>,
    /// What this node has of the rate, of [`WHOLE`].
    part: AtomicU32,
    /// What was asked for since somebody looked, had or not: as time at the whole rate.
    wanted_nanos: AtomicU64,
    /// [`super::Sharing`] says what the part is; else it is an equal one.
    is_noted: AtomicBool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            next_nanos: AtomicU64::default(),
            owner: None,
            part: AtomicU32::new(WHOLE),
            wanted_nanos: AtomicU64::default(),
            is_noted: AtomicBool::default(),
        }
    }
}

impl Schedule {
    pub(super) fn shared(nodes: Nodes, key: RateKey) -> Self {
        let part = AtomicU32::new(nodes.equal_part());
        Self { owner: Some((nodes, key)), part, ..Self::default() }
    }

    pub(super) fn key(&self) -> Option<RateKey> {
        self.owner.as_ref().map(|(_, key)| *key)
    }

    fn part(&self) -> u32 {
        self.part.load(Ordering::Relaxed)
    }

    /// What this node has, or would have of equal parts, if that is more.
    fn usual_part(&self) -> u32 {
        self.owner.as_ref().map_or(WHOLE, |(nodes, _)| self.part().max(nodes.equal_part()))
    }

    /// How long at this node's part takes what takes so long at the whole rate.
    pub(super) fn stretched(&self, nanos: u64) -> u64 {
        stretch(nanos, WHOLE, self.part())
    }

    /// The same for what is not to swing with the part: a small one is another's for a few seconds only.
    pub(super) fn usually_stretched(&self, nanos: u64) -> u64 {
        stretch(nanos, WHOLE, self.usual_part())
    }

    /// How long at the usual part takes what takes so long at this node's.
    pub(super) fn usually(&self, nanos: u64) -> u64 {
        stretch(nanos, self.part(), self.usual_part())
    }

    /// Takes over a part.
    ///
    /// A unit that is taken at the same moment may be counted at the old one.
    pub(super) fn set_part(&self, part: u32, now: u64) {
        let before = self.part.swap(part.max(1), Ordering::Relaxed);
        let after = self.part();
        let step = |next: u64| {
            let lead = next.checked_sub(now).filter(|lead| *lead > 0 && before != after)?;
            Some(now.saturating_add(stretch(lead, before, after)))
        };
        let _changed = self.next_nanos.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
    }

    /// Takes an equal part.
    pub(super) fn set_equal_part(&self, now: u64) {
        let Some((nodes, _)) = &self.owner else { return };
        self.set_part(nodes.equal_part(), now);
    }

    /// Notes that somebody wants what takes so long at the whole rate.
    pub(super) fn want(self: &Arc<Self>, nanos: u64, now: u64) {
        let Some((nodes, _)) = &self.owner else { return };
        let is_noted = self.is_noted.load(Ordering::Relaxed);
        if !is_noted && self.part() != nodes.equal_part() {
            self.set_equal_part(now);
        }
        if nodes.get() == 1 {
            return;
        }
        self.wanted_nanos.fetch_add(nanos, Ordering::Relaxed);
        if !is_noted && !self.is_noted.swap(true, Ordering::Relaxed) {
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

    /// Nothing is taken ahead any more.
    pub(super) fn start_over(&self) {
        self.next_nanos.store(0, Ordering::Release);
    }

    /// Goes on where another one of the same rate is: its limit was removed and has come back.
    pub(super) fn go_on_from(&self, other: &Self, now: u64) {
        self.set_part(other.part(), now);
        self.next_nanos.fetch_max(other.next_nanos.load(Ordering::Acquire), Ordering::AcqRel);
    }

    /// Nobody looks at it any more until it is wanted again.
    pub(super) fn retire(&self, now: u64) {
        self.set_equal_part(now);
        self.is_noted.store(false, Ordering::Relaxed);
    }
}

/// How long at one part takes what takes so long at another.
fn stretch(nanos: u64, from: u32, to: u32) -> u64 {
    if from == to {
        return nanos;
    }
    let stretched = u128::from(nanos) * u128::from(from) / u128::from(to.max(1));
    u64::try_from(stretched).unwrap_or(u64::MAX)
}
