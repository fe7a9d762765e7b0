//! Asks for what the counts of a node may hold, and goes by the answers.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use chrono::{DateTime, TimeDelta, Utc};

use super::account::Account;
use super::lease::{LeaseAnswer, LeaseAsk};
use super::window::{Totals, WindowCount};

/// How long before a window begins something of it is asked for.
const BEFORE_IT_BEGINS: TimeDelta = TimeDelta::seconds(5);

/// The counts of a process that hold leases or wait for one; made with [`super::LedgerBook::leased`].
///
/// One round at a time: [`asks`](Self::asks), the database's answers, [`PendingAsk::answered`] for each. An ask that gets no
/// answer is dropped; what is needed is in the next round's.
#[derive(Debug)]
pub struct Lessee {
    pub(super) arriving: Receiver<Arc<Account>>,
    pub(super) active: Vec<Arc<Account>>,
}

/// An ask under way.
#[derive(Debug)]
pub struct PendingAsk {
    /// What to ask.
    pub ask: LeaseAsk,
    count: Arc<WindowCount>,
}

impl Lessee {
    /// Returns what to ask for now: for what waits, for what runs low, for windows about to begin, to give back what is not needed,
    /// and to prolong the rest.
    pub fn asks(&mut self, now: DateTime<Utc>) -> Vec<PendingAsk> {
        self.active.extend(self.arriving.try_iter());
        self.active.retain(|account| !account.deactivate());
        let mut asks = Vec::new();
        for account in &self.active {
            let count = account.window_at(now);
            let ends_soon = count.bounds().end.is_some_and(|end| end - now < BEFORE_IT_BEGINS);
            let next = if ends_soon { account.window_after(&count) } else { None };
            let ahead = next.and_then(|next| {
                let totals = next.ask_ahead(count.slice(), now)?;
                Some(pending(account, next, totals))
            });
            asks.extend(ahead);
            if let Some(totals) = count.ask(now) {
                asks.push(pending(account, count, totals));
            }
        }
        asks
    }

    /// Returns what gives back everything that is free: for a process that ends, when nothing is admitted any more.
    pub fn give_back(&mut self, now: DateTime<Utc>) -> Vec<PendingAsk> {
        self.active.extend(self.arriving.try_iter());
        let asks = self.active.iter().flat_map(|account| {
            let counts = account.windows(now);
            counts.into_iter().map(|count| {
                let totals = count.ask_nothing(now);
                pending(account, count, totals)
            })
        });
        asks.collect()
    }

    /// Returns how many counts hold something or wait.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.len()
    }
}

fn pending(account: &Account, count: Arc<WindowCount>, totals: Totals) -> PendingAsk {
    let Totals { have, need, want, number } = totals;
    let (key, unit, window_start) = (account.key.clone(), account.unit, count.bounds().start);
    let (limit, opening) = (account.limit(), count.opening());
    let ask = LeaseAsk { key, unit, window_start, limit, have, need, want, opening, number };
    PendingAsk { ask, count }
}

impl PendingAsk {
    /// Goes by the answer.
    pub fn answered(&self, answer: &LeaseAnswer, now: DateTime<Utc>) {
        self.count.answered(self.ask.need, answer, now);
    }
}
