//! Which part of a rate each node has.
//!
//! A rate is shared through one row in the database, which holds what each node has of it and how much it wanted of late. A node
//! asks every two seconds for each rate that is in use on it, never while a request waits; [`fitting_part`] is the answer.
//!
//! 1. The row is locked while a node is answered, and no answer is more than what the others leave: all parts together are at
//!    most the rate (but for one in 720,720 for each node: time at no part would never pass). A part counts for ten seconds; its node gives up on it after eight, if it cannot ask.
//! 2. Every node wants its part of what is wanted, so a caller whose requests all come to one node gets the whole rate there
//!    within seconds, and where more is wanted than there is, all get the same, or what they want if that is less.
//! 3. A node that has not been answered yet, or cannot ask, goes by an equal part. So in the moments in which a node joins, begins
//!    to use a rate, or loses the database while others do not, all together may have up to twice the rate, for less than ten seconds.
//! 4. Each node has the whole burst, beyond its part.

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
    active: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    rate: Arc<Schedule>,
    key: RateKey,
    wanted: u32,
    /// When it was asked for, or came into use.
    asked_at: DateTime<Utc>,
    is_asked: bool,
    last_wanted_at: DateTime<Utc>,
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
        Self { nodes, active: Vec::new() }
    }

    /// Returns among how many nodes rates are shared.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        self.nodes.get()
    }

    /// Returns what to ask now; nothing where this node is alone.
    pub fn asks(&mut self, now: DateTime<Utc>) -> Vec<PartAsk> {
        let arriving = self.nodes.take_arriving().into_iter().filter_map(|rate| Active::new(rate, now));
        self.active.extend(arriving);
        let is_alone = self.nodes.get() == 1;
        self.active.retain_mut(|active| {
            // What it took ahead must come out of its part, not out of an equal one that the others have.
            let is_idle = now - active.last_wanted_at > IDLE_AFTER && active.rate.is_on_time(nanos(now));
            let is_over = is_alone || is_idle;
            if is_over {
                active.rate.retire(nanos(now));
            }
            !is_over
        });
        self.active.iter_mut().filter_map(|active| active.ask(now)).collect()
    }

    /// Goes by the answers to what was asked at `asked_at`.
    pub fn answered(&mut self, asks: &[PartAsk], parts: &[u32], asked_at: DateTime<Utc>, now: DateTime<Utc>) {
        for (ask, part) in asks.iter().zip(parts) {
            for active in self.active.iter_mut().filter(|active| active.key == ask.key) {
                active.answered_at = Some(asked_at);
                active.rate.set_part(*part, nanos(now));
            }
        }
    }
}

impl Active {
    fn new(rate: Arc<Schedule>, now: DateTime<Utc>) -> Option<Self> {
        let key = rate.key()?;
        Some(Self {
            rate,
            key,
            wanted: 0,
            asked_at: now,
            is_asked: false,
            last_wanted_at: now,
            answered_at: None,
        })
    }

    fn ask(&mut self, now: DateTime<Utc>) -> Option<PartAsk> {
        if self.answered_at.is_some_and(|at| now - at > TRUSTED_FOR) {
            self.answered_at = None;
            self.rate.set_part(0, nanos(now));
        }
        // A clock that was set back asks at once.
        let since = now - self.asked_at;
        if self.is_asked && (TimeDelta::zero()..ASK_EVERY).contains(&since) {
            return None;
        }
        let wanted = self.rate.take_wanted();
        if wanted > 0 {
            self.last_wanted_at = now;
        }
        let span = since.max(ASK_EVERY).num_nanoseconds().and_then(|span| u64::try_from(span).ok());
        let wanted = u128::from(wanted) * u128::from(WHOLE) / u128::from(span.unwrap_or(u64::MAX).max(1));
        // Quick to want more, slow to want less: requests come in bursts.
        self.wanted = u32::try_from(wanted).unwrap_or(WHOLE).min(WHOLE).max(self.wanted / 2);
        (self.asked_at, self.is_asked) = (now, true);
        Some(PartAsk { key: self.key, wanted: self.wanted })
    }
}
