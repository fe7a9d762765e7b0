//! Fairness between the agents of one tenant, where what they share is short.
//!
//! 1. An agent counts as active for ten to twenty seconds after a request, refused ones included. Where only one is
//!    active it may take everything.
//! 2. With `n` active, an agent's share is one `n`-th of the tenant's places, and of its rate a schedule at one `n`-th
//!    with half the tenant's burst. An agent beyond its share is served as long as the tenant is not short, and is the
//!    first to be refused when it is: it never takes the last quarter of the places nor the last half of the burst.
//! 3. So who asks for no more than its share of a rate is not refused because of the others, but for the moments in which
//!    an agent has just become active and for one request of each agent that was let in before it went beyond. Of the
//!    places it finds what is left of the last quarter at once, and all of its share when those who are beyond theirs have
//!    ended what they run: nothing that runs is ever stopped, and nothing is queued.
//!
//! Two atomics for each agent and one for each tenant, no lock, and no list of agents to walk along.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use super::Counted;
use super::gcra::{Gcra, nanos};

/// An agent that asks counts until the end of the next slice.
const SLICE_SECONDS: i64 = 10;
/// Requests that began a little earlier are counted late; a clock that is set back further starts a new count.
const SLICES_LATE_MAX: u32 = 2;
/// Which part of the places is not for agents beyond their share.
const PLACES_KEPT_PART: u32 = 4;
/// Which part of a burst is not for agents beyond their share, and how much of it a share may be ahead.
pub(super) const BURST_KEPT_PART: u64 = 2;
/// What an agent took while there was enough for all is held against it for five minutes at most.
const HELD_AGAINST_NANOS_MAX: u64 = 300_000_000_000;

/// How many agents of a tenant have asked of late.
///
/// One word: the slice, the agents seen in it, and those seen in the slice before but not yet in it.
#[derive(Debug, Default)]
pub(super) struct ActiveAgents(AtomicU64);

#[derive(Clone, Copy)]
struct Count {
    slice: u32,
    seen: u16,
    before: u16,
}

/// What one agent has had of what it shares with the others.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// The slice in which it asked last.
    slice: AtomicU32,
    requests: ShareSchedule,
    tokens: ShareSchedule,
}

/// When an agent would be on schedule if it had only its share, in nanoseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct ShareSchedule(AtomicU64);

impl ActiveAgents {
    /// Notes that an agent asks, and returns how many do.
    pub(super) fn note(&self, agent: &Share, now: DateTime<Utc>) -> NonZeroU32 {
        let count = Count::unpack(self.0.load(Ordering::Acquire));
        let slice = u32::try_from(now.timestamp() / SLICE_SECONDS).unwrap_or(0);
        let is_late = (slice..=slice.saturating_add(SLICES_LATE_MAX)).contains(&count.slice);
        let slice = if is_late { count.slice } else { slice };
        let last = agent.slice.load(Ordering::Acquire);
        let is_new = last != slice
            && agent.slice.compare_exchange(last, slice, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !is_new {
            return count.at(slice).active();
        }
        let step = |packed| {
            let mut count = Count::unpack(packed).at(slice);
            if last.checked_add(1) == Some(slice) {
                count.before = count.before.saturating_sub(1);
            }
            count.seen = count.seen.saturating_add(1);
            Some(count.pack())
        };
        let _always = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        Count::unpack(self.0.load(Ordering::Acquire)).at(slice).active()
    }
}

impl Count {
    fn unpack(packed: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
        Self {
            slice: u32::from_be_bytes([a, b, c, d]),
            seen: u16::from_be_bytes([e, f]),
            before: u16::from_be_bytes([g, h]),
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.slice) << 32 | u64::from(self.seen) << 16 | u64::from(self.before)
    }

    /// The count as it stands in `slice`.
    fn at(self, slice: u32) -> Self {
        if self.slice == slice {
            return self;
        }
        let follows = self.slice.checked_add(1) == Some(slice);
        Self { slice, seen: 0, before: if follows { self.seen } else { 0 } }
    }

    fn active(self) -> NonZeroU32 {
        NonZeroU32::new(u32::from(self.seen) + u32::from(self.before)).unwrap_or(NonZeroU32::MIN)
    }
}

impl Share {
    pub(super) fn schedule(&self, counted: Counted) -> &ShareSchedule {
        if counted == Counted::Tokens { &self.tokens } else { &self.requests }
    }
}

impl ShareSchedule {
    /// Says whether an agent has had more than one `active`-th of a rate.
    pub(super) fn is_beyond(&self, rate: &Gcra, active: NonZeroU32, now: DateTime<Utc>) -> bool {
        let lead = self.0.load(Ordering::Acquire).saturating_sub(nanos(now));
        active.get() > 1 && lead > rate.usual_costs(0).1 / BURST_KEPT_PART
    }

    /// Counts what an agent has taken.
    pub(super) fn take(&self, rate: &Gcra, active: NonZeroU32, units: u64, now: DateTime<Utc>) {
        let now = nanos(now);
        let cost = rate.usual_costs(units).0.saturating_mul(u64::from(active.get()));
        let most = now.saturating_add(HELD_AGAINST_NANOS_MAX);
        let step = |next: u64| Some(next.min(most).max(now).saturating_add(cost).min(most));
        let _always = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
    }

    /// Counts what an agent has given back.
    pub(super) fn give_back(&self, rate: &Gcra, active: NonZeroU32, units: u64) {
        let cost = rate.usual_costs(units).0.saturating_mul(u64::from(active.get()));
        let step = |next: u64| Some(next.saturating_sub(cost));
        let _always = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
    }
}

/// How many of a tenant's places may be taken for an agent with `running` requests to get one more.
pub(super) fn places_for(places: u32, active: NonZeroU32, running: u32) -> u32 {
    let share = (places / active).max(1);
    if active.get() == 1 || running < share {
        return places;
    }
    places - places.div_ceil(PLACES_KEPT_PART).min(places)
}
