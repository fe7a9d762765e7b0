//! Which part of a rate each node has.
//!
//! A rate is shared through one row in the database, which holds what each node has of it and how much it wanted of late. A node
//! asks every two seconds for each rate that is in use on it, never while a request waits; [`fitting_part`] is the answer.
//!
//! 1. The row is locked while a node is answered, and no answer is more than what the others leave: all parts together are at
//!    most the rate (but for one in 720,720 for each node: time at no part would never pass). A part counts for ten seconds; its
//!    node gives up on it after eight, if it cannot ask.
//! 2. Every node wants its part of what is wanted, so a caller whose requests all come to one node gets the whole rate there
//!    within seconds, and where more is wanted than there is, all get the same, or what they want if that is less.
//! 3. A node that has not been answered yet, or cannot ask, goes by an equal part. So in the seconds in which a node joins or begins
//!    to use a rate, and as long as some nodes reach the database and others do not, all together may have up to twice the rate.
//! 4. Each node has the whole burst, beyond its part.
//! 5. What a node has that is gone is nobody's for ten seconds.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::gcra::nanos;
use super::nodes::{Nodes, RateKey};
use super::schedule::Schedule;

/// All of a rate: parts are whole numbers of it, and equal parts of up to sixteen nodes are.
pub const WHOLE: u32 = 720_720;

/// How often a node asks.
const ASK_EVERY: TimeDelta = TimeDelta::seconds(2);

/// How long an answer is gone by.
const TRUSTED_FOR: TimeDelta = TimeDelta::seconds(8);

/// How long a part counts for the others.
pub const COUNTS_FOR: TimeDelta = TimeDelta::seconds(10);

/// A rate that nobody wants for so long, and of which nothing is taken ahead, is not shared any more.
const IDLE_AFTER: TimeDelta = TimeDelta::seconds(10);

/// What a node says and gets of one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// How much it wants, of [`WHOLE`].
    pub wanted: u32,
    /// What it has, of [`WHOLE`].
    pub part: u32,
}

/// Returns the part of a node that wants so much, where `nodes` serve and others have these.
///
/// Where less is wanted than there is, what is left is for all that serve, also for those that have not asked yet.
#[must_use]
pub fn fitting_part(wanted: u32, others: &[Portion], nodes: u32) -> u32 {
    let nodes = nodes.max(u32::try_from(others.len() + 1).unwrap_or(u32::MAX));
    let all = others.iter().fold(wanted, |sum, other| sum.saturating_add(other.wanted));
    let fair = match WHOLE.checked_sub(all) {
        Some(left) => wanted + left / nodes,
        None => wanted.min(level(wanted, others)),
    };
    let taken = others.iter().fold(0_u32, |sum, other| sum.saturating_add(other.part));
    fair.min(WHOLE.saturating_sub(taken)).max(1)
}

/// What everybody gets who wants more than that, where not all can have what they want.
fn level(wanted: u32, others: &[Portion]) -> u32 {
    let mut all: Vec<u32> = others.iter().map(|other| other.wanted).chain([wanted]).collect();
    all.sort_unstable();
    let mut left = WHOLE;
    for (wanted, sharers) in all.iter().zip((1..=u32::try_from(all.len()).unwrap_or(u32::MAX)).rev()) {
        let each = left / sharers;
        if *wanted >= each {
            return each;
        }
        left -= wanted;
    }
    left
}

/// The rates that this node shares with others.
#[derive(Debug)]
pub struct Sharing {
    nodes: Nodes,
    /// For how many nodes the parts are that nobody has granted.
    known_nodes: u32,
    active: HashMap<RateKey, Active>,
}

#[derive(Debug)]
struct Active {
    rate: Arc<Schedule>,
    wanted: u32,
    came_at: DateTime<Utc>,
    last_wanted_at: DateTime<Utc>,
    asked_at: Option<DateTime<Utc>>,
    /// When its answer was asked for.
    answered_at: Option<DateTime<Utc>>,
}

/// A question about one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartAsk {
    /// The rate.
    pub key: RateKey,
    /// How much of it this node wants, of [`WHOLE`].
    pub wanted: u32,
}

impl Sharing {
    /// Shares what is in use among `nodes`.
    #[must_use]
    pub fn new(nodes: Nodes) -> Self {
        Self { known_nodes: nodes.get(), nodes, active: HashMap::new() }
    }

    /// Returns among how many nodes rates are shared.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        self.nodes.get()
    }

    /// Returns what to ask now; nothing where this node is alone.
    pub fn asks(&mut self, now: DateTime<Utc>) -> Vec<PartAsk> {
        for rate in self.nodes.take_arriving() {
            let Some(key) = rate.key() else { continue };
            let mut active = Active::new(rate, now);
            if let Some(before) = self.active.remove(&key) {
                active.rate.go_on_from(&before.rate, nanos(now));
                active.answered_at = before.answered_at;
            }
            self.active.insert(key, active);
        }
        self.expire(now);
        let is_alone = self.nodes.get() == 1;
        self.active.retain(|_, active| {
            // What it took ahead must come out of its part, not out of an equal one that the others have.
            let is_idle = now - active.last_wanted_at > IDLE_AFTER && active.rate.is_on_time(nanos(now));
            if is_alone || is_idle {
                active.rate.retire(nanos(now));
            }
            !(is_alone || is_idle)
        });
        let asks = self.active.iter_mut().filter_map(|(key, active)| {
            let wanted = active.ask(now)?;
            Some(PartAsk { key: *key, wanted })
        });
        asks.collect()
    }

    /// Goes by equal parts where no answer is new enough.
    pub fn expire(&mut self, now: DateTime<Utc>) {
        let has_changed = std::mem::replace(&mut self.known_nodes, self.nodes.get()) != self.known_nodes;
        for active in self.active.values_mut() {
            let age = active.answered_at.map(|at| now - at);
            if age.is_some_and(|age| age < TimeDelta::zero()) {
                // By a clock that was set back since, and so is its schedule.
                active.rate.start_over();
            }
            let is_over = age.is_some_and(|age| !(TimeDelta::zero()..=TRUSTED_FOR).contains(&age));
            if is_over || has_changed && age.is_none() {
                active.answered_at = None;
                active.rate.set_equal_part(nanos(now));
            }
        }
    }

    /// Goes by the answers to what was asked at `asked_at`; `None` for a rate that somebody else holds.
    pub fn answered(
        &mut self,
        asks: &[PartAsk],
        parts: &[Option<u32>],
        asked_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        for (ask, part) in asks.iter().zip(parts) {
            if let (Some(active), Some(part)) = (self.active.get_mut(&ask.key), part) {
                active.answered_at = Some(asked_at);
                active.rate.set_part(*part, nanos(now));
            }
        }
    }
}

impl Active {
    fn new(rate: Arc<Schedule>, now: DateTime<Utc>) -> Self {
        Self { rate, wanted: 0, came_at: now, last_wanted_at: now, asked_at: None, answered_at: None }
    }

    /// How much of the rate to ask for, if it is time to.
    fn ask(&mut self, now: DateTime<Utc>) -> Option<u32> {
        let since = now - self.asked_at.unwrap_or(self.came_at);
        // A clock that was set back asks at once.
        if self.asked_at.is_some() && (TimeDelta::zero()..ASK_EVERY).contains(&since) {
            return None;
        }
        let wanted = self.rate.take_wanted();
        self.last_wanted_at = if wanted > 0 { now } else { self.last_wanted_at.min(now) };
        let span = since.max(ASK_EVERY).num_nanoseconds().and_then(|span| u64::try_from(span).ok());
        let wanted = u128::from(wanted) * u128::from(WHOLE) / u128::from(span.unwrap_or(u64::MAX).max(1));
        // Quick to want more, slow to want less: requests come in bursts.
        self.wanted = u32::try_from(wanted).unwrap_or(WHOLE).min(WHOLE).max(self.wanted / 2);
        self.asked_at = Some(now);
        Some(self.wanted)
    }
}
