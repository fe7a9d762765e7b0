//! Budgets that other nodes draw on too: what this node holds of them is used without asking, more is asked for beside the
//! requests.
//!
//! In a steady state no request waits: a lease is renewed when half of it is left, for the ten seconds to come
//! ([`bulkhead_policy::ledger::lease`] has the protocol). One that finds too little, the first of a window or one that is unusually
//! large, waits for the next round with the database; all that wait are in one round. Where the database does not answer,
//! the budget's `when_unreachable` decides.

use crate::metrics::Metrics;
use crate::ship::in_time;
use bulkhead_policy::ids::BudgetId;
use bulkhead_policy::ledger::{
    Amount, Exhausted, Holder, Ledger, Lessee, PendingAsk, Reservation, Waiting, WhenUnreachable,
};
use bulkhead_store::Store;
use bulkhead_store::writer::lease;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// How often it is looked at what runs low, is not needed any more, or wants to be prolonged.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the database may take for a round.
const ROUND_PATIENCE: Duration = Duration::from_secs(4);
/// How long a request waits: for the round under way, and for its own. Only the first ones of an outage wait so long.
const REQUEST_PATIENCE: Duration = Duration::from_secs(9);
/// Asks per transaction.
const ASKS_MAX: usize = 500;

/// Why a request got no reservation.
#[derive(Debug)]
pub(crate) enum Short {
    /// There is not enough left.
    Exhausted(Exhausted),
    /// Nobody can say what is left, and the budget's policy refuses then.
    Unknown(BudgetId),
}

/// Which rounds there were.
#[derive(Debug, Clone, Copy, Default)]
struct Rounds {
    begun: u64,
    ended: u64,
    /// The last one had no answer.
    is_away: bool,
}

/// The request path's end.
#[derive(Debug, Clone)]
pub struct Leases {
    wanted: Arc<Notify>,
    rounds: watch::Receiver<Rounds>,
    metrics: Arc<Metrics>,
}

/// The end that talks to the database.
#[derive(Debug)]
pub struct Leaser {
    store: Store,
    holder: Holder,
    lessee: Lessee,
    wanted: Arc<Notify>,
    rounds: watch::Sender<Rounds>,
    metrics: Arc<Metrics>,
}

/// Joins the request path and the database; `store` acts as [`bulkhead_store::Role::Writer`].
#[must_use]
pub fn leases(store: Store, holder: Holder, lessee: Lessee, metrics: Arc<Metrics>) -> (Leases, Leaser) {
    let (rounds, seen) = watch::channel(Rounds::default());
    let wanted = Arc::new(Notify::new());
    let leases = Leases { wanted: Arc::clone(&wanted), rounds: seen, metrics: Arc::clone(&metrics) };
    (leases, Leaser { store, holder, lessee, wanted, rounds, metrics })
}

impl Leases {
    /// For budgets that hold their whole limit.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        Self { wanted: Arc::default(), rounds: watch::channel(Rounds::default()).1, metrics }
    }

    /// Reserves `amount` in every ledger, or nothing; waits for what this node does not hold yet.
    ///
    /// # Errors
    /// [`Short`], with the first budget that stands in the way.
    pub(crate) async fn take(
        &self,
        ledgers: &[Arc<Ledger>],
        amount: Amount,
        now: DateTime<Utc>,
    ) -> Result<Reservation, Short> {
        let give_up_at = Instant::now() + REQUEST_PATIENCE;
        loop {
            if let Ok(reservation) = Reservation::take(ledgers, amount, now) {
                return Ok(reservation);
            }
            // By the clock: what the last answer said is new or old from here, not from when the request came.
            let clock = Utc::now();
            if ledgers.iter().any(|ledger| ledger.is_used_up(amount, now, clock)) {
                return Reservation::take(ledgers, amount, now).map_err(Short::Exhausted);
            }
            let waiting =
                ledgers.iter().filter_map(|ledger| Some((ledger, ledger.wait_for(amount, now, clock)?)));
            let waiting: Vec<_> = waiting.collect();
            if waiting.is_empty() {
                // Enough was given back meanwhile. Who is overtaken at it tries again: that is no reason to refuse.
                tokio::task::yield_now().await;
                continue;
            }
            self.metrics.budgets.waits.inc();
            if !self.next_round(give_up_at).await {
                self.go_without(waiting, amount, now)?;
            }
        }
    }

    /// Waits for a round that begins after the call; false if the database does not answer.
    async fn next_round(&self, give_up_at: Instant) -> bool {
        let mut rounds = self.rounds.clone();
        let Rounds { begun, is_away, .. } = *rounds.borrow_and_update();
        self.wanted.notify_one();
        if is_away {
            return false;
        }
        let ended = rounds.wait_for(|rounds| rounds.ended > begun || rounds.is_away);
        match timeout_at(give_up_at, ended).await {
            Ok(Ok(rounds)) => !rounds.is_away,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn go_without(
        &self,
        waiting: Vec<(&Arc<Ledger>, Waiting)>,
        amount: Amount,
        now: DateTime<Utc>,
    ) -> Result<(), Short> {
        for (ledger, _) in &waiting {
            let may = ledger.spec().when_unreachable == WhenUnreachable::Allow;
            if !may || !ledger.go_without(amount, now) {
                self.metrics.budgets.unreachable.with_label_values(&["refused"]).inc();
                return Err(Short::Unknown(ledger.spec().id.clone()));
            }
        }
        Ok(())
    }
}

impl Leaser {
    /// Answers what the request path needs until `stopped` says so, which is to be when nothing is admitted any more; then gives
    /// back what is free.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                () = self.wanted.notified(), if !self.rounds.borrow().is_away => {}
                // While the database is away too: what waits then is not asked for any faster.
                _ = look.tick() => {}
            }
            self.round().await;
        }
        let asks = self.lessee.give_back(Utc::now());
        if let Err(error) = self.ask(&asks).await {
            tracing::warn!(
                error,
                "shares of budgets could not be given back: they stay charged until their windows end"
            );
        }
    }

    async fn round(&mut self) {
        // Before the look: whoever comes to wait after it waits for the next round.
        self.rounds.send_modify(|rounds| rounds.begun += 1);
        let asks = self.lessee.asks(Utc::now());
        self.metrics.budgets.leases.set(i64::try_from(self.lessee.active()).unwrap_or(i64::MAX));
        let is_away = self.rounds.borrow().is_away;
        let answered = match asks.as_slice() {
            // Who finds the database away does not wait, so nothing is asked for that would show that it is back.
            [] if is_away => Some(in_time(ROUND_PATIENCE, self.store.ping()).await),
            [] => None,
            asks => Some(self.ask(asks).await),
        };
        if let Some(Err(error)) = &answered
            && !is_away
        {
            tracing::warn!(error, "budgets are drawn on as far as this node holds shares of them");
        }
        self.rounds.send_modify(|rounds| {
            rounds.ended = rounds.begun;
            if let Some(answered) = answered {
                rounds.is_away = answered.is_err();
            }
        });
    }

    async fn ask(&mut self, asks: &[PendingAsk]) -> Result<(), String> {
        for asks in asks.chunks(ASKS_MAX) {
            let asked: Vec<_> = asks.iter().map(|pending| pending.ask.clone()).collect();
            let answers = in_time(ROUND_PATIENCE, lease(&self.store, self.holder, &asked)).await;
            let outcome = if answers.is_ok() { "answered" } else { "failed" };
            self.metrics.budgets.lease_rounds.with_label_values(&[outcome]).inc();
            let now = Utc::now();
            for (pending, answer) in asks.iter().zip(answers?) {
                if let Some(answer) = answer {
                    pending.answered(&answer, now);
                }
            }
        }
        Ok(())
    }
}
