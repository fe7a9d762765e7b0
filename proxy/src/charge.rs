//! Steps 6, 10 and 11, money: reserve before, count while it streams, settle what was used.
//!
//! 1. Nothing is forwarded before the worst case is reserved in every budget the request falls under.
//! 2. Where a budget cannot take the worst case, the answer's ceiling is lowered to what it can, and that
//!    ceiling is written into the request: the provider itself stops there. Only a ceiling that the caller
//!    named is refused instead, if the budget's `at_limit` is `refuse`.
//! 3. While an answer streams, our own count is watched. Past the reserved line more is reserved; where a
//!    `cut` budget has no more, the stream ends at the line.
//! 4. A request that went to an upstream is charged, also where its caller left before the answer: leaving
//!    early must not be a way around a budget. One that the upstream refused or never got costs nothing.
//! 5. The [`Recorder`](crate::record::Recorder) owns the charge: whatever ends a request, its record says what was charged, and
//!    both reach the database together.

mod estimate;
mod rate;

use crate::leases::{Leases, Short};
use crate::rejection::Rejection;
use bulkhead_dialect::tokens::Counter;
use bulkhead_dialect::{Dialect, Usage};
use bulkhead_policy::ledger::{Amount, AtLimit, Charged, Exhausted, Ledger, Reservation};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::prices::{Price, TokenCounts, cost};
use bulkhead_policy::trace::{BudgetRecord, TraceTokens};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use estimate::{Estimate, Question};

/// An answer shorter than this is no use, and providers refuse a smaller ceiling.
const OUTPUT_TOKENS_MIN: u64 = 16;
/// What the fastest models produce. Bounds what may have been produced where nobody can say: a request whose
/// caller left, or whose upstream broke off, before any of the answer was seen.
const OUTPUT_TOKENS_PER_SECOND: u64 = 250;
/// How much more is reserved at a time when an answer runs past its line.
const EXTENSION_TOKENS: u64 = 256;
/// More of a body is not counted byte by byte: this takes 0.4 ms.
const COUNTED_BODY_BYTES: usize = 128 << 10;

/// One request's hold on its budgets, from admission to settlement. By default, before admission, there is none.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    reservation: Option<Reservation>,
    /// How its budgets stood when it was released.
    released: Vec<BudgetRecord>,
    estimate: Estimate,
    /// Output tokens that the reservation covers.
    line: u64,
    /// The ceiling per answer that must be written into the request.
    ceiling: Option<u64>,
    /// Output tokens that were seen, by our own count.
    counted: u64,
    first_seen_at: Option<Instant>,
    /// When an upstream got the request that it may have worked on since.
    sent_at: Option<Instant>,
}

/// What was charged.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    pub(crate) tokens: TraceTokens,
    /// How many of them budgets and rates count.
    pub(crate) counted: u64,
    pub(crate) cost: NanoUsd,
    pub(crate) charged: Charged,
}

impl Charge {
    /// Reserves the worst case of `estimate` in every ledger, or as much as leads to a useful answer.
    ///
    /// # Errors
    /// The rejection that names the exhausted budget.
    pub(crate) async fn reserve(
        ledgers: &[Arc<Ledger>],
        leases: &Leases,
        estimate: Estimate,
        now: DateTime<Utc>,
        dialect: Dialect,
    ) -> Result<Self, Rejection> {
        let wanted = estimate.amount(estimate.output_tokens, 1);
        let exhausted = |error: &Exhausted| Rejection::budget_exhausted(dialect, error.budget.as_str());
        let useful = OUTPUT_TOKENS_MIN.saturating_mul(estimate.choices).min(estimate.output_tokens);
        let least = estimate.amount(useful, 1);
        let mut reservation = match leases.take(ledgers, wanted, now).await {
            Ok(reservation) => reservation,
            Err(Short::Unknown(budget)) => return Err(Rejection::budget_unknown(budget.as_str())),
            // What the caller asked for in numbers is refused rather than shortened, if the budget says so.
            Err(Short::Exhausted(error))
                if estimate.ceiling_is_asked && error.at_limit == AtLimit::Refuse =>
            {
                return Err(exhausted(&error));
            }
            Err(Short::Exhausted(_)) => {
                Reservation::take_up_to(ledgers, least, wanted, now).map_err(|error| exhausted(&error))?
            }
        };
        let line = estimate.covered(&reservation);
        let mut ceiling = None;
        if line < estimate.output_tokens {
            // The budgets may have granted different parts: keep only what the tightest one allows.
            let per_answer = line / estimate.choices;
            ceiling = Some(per_answer);
            reservation.shrink(estimate.amount(per_answer.saturating_mul(estimate.choices), 1));
        }
        Ok(Self { reservation: Some(reservation), estimate, line, ceiling, ..Self::default() })
    }

    /// The ceiling per answer that the budget imposes, if it is lower than what was asked for.
    pub(crate) fn ceiling(&self) -> Option<u64> {
        self.ceiling
    }

    /// The request went to an upstream: from now on it is charged, whatever becomes of it.
    pub(crate) fn sent(&mut self, at: Instant) {
        self.sent_at = Some(at);
    }

    /// Takes the count of all output tokens so far and keeps it under the line.
    ///
    /// # Errors
    /// The budget at whose line the stream must end.
    pub(crate) fn count(&mut self, tokens: u64) -> Result<(), Exhausted> {
        if self.estimate.output_tokens == 0 {
            // Vectors, verdicts and lists are no text that a model wrote.
            return Ok(());
        }
        if self.counted == 0 && tokens > 0 {
            self.first_seen_at = Some(Instant::now());
        }
        self.counted = tokens;
        while self.counted > self.line {
            let needed = self.counted - self.line;
            // More than is needed, so that the next events need not ask; if that is too much, only what is.
            let extended = match self.extend(needed.max(EXTENSION_TOKENS)) {
                Err(_) => self.extend(needed),
                extended => extended,
            };
            match extended {
                Err(exhausted) if exhausted.at_limit == AtLimit::Cut => return Err(exhausted),
                // A `refuse` budget lets running answers end; what they use beyond is settled.
                Err(_) => self.line = u64::MAX,
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Takes the count of an answer that was read whole: it cannot be cut any more, and all of it was seen.
    pub(crate) fn count_whole(&mut self, tokens: u64) {
        let _too_late_to_cut = self.count(tokens);
        self.first_seen_at = self.sent_at.filter(|_| tokens > 0);
    }

    fn extend(&mut self, more: u64) -> Result<(), Exhausted> {
        let cost = self.estimate.dearest.map_or(NanoUsd::ZERO, |price| price.worst_case(0, more));
        if let Some(reservation) = &mut self.reservation {
            reservation.extend(Amount { cost, tokens: more, requests: 0 })?;
        }
        self.line = self.line.saturating_add(more);
        Ok(())
    }

    /// What was counted, and what may have been produced unseen before it; within the reservation.
    fn produced(&self) -> u64 {
        let most = self.estimate.output_tokens.max(self.line);
        let since_sent = |until: Option<Instant>| {
            let spent =
                self.sent_at.map(|sent_at| until.map_or_else(|| sent_at.elapsed(), |at| at - sent_at));
            producible(spent.unwrap_or_default()).min(self.line)
        };
        let unseen = match self.first_seen_at {
            None => since_sent(None),
            Some(first) if self.estimate.may_reason_unseen => since_sent(Some(first)),
            Some(_) => 0,
        };
        self.counted.saturating_add(unseen).min(most)
    }

    /// Settles with the provider's usage, or with our own count where it reported none.
    ///
    /// `complete` says that the usage is the final one. That of an answer which broke off counts less than
    /// was produced, so our own count stands beside it.
    pub(crate) fn settle(
        &mut self,
        usage: Option<Usage>,
        complete: bool,
        price: Option<Price>,
    ) -> Settlement {
        let Some(reservation) = self.reservation.take() else {
            let budgets = std::mem::take(&mut self.released);
            return Settlement {
                charged: Charged { budgets, ..Charged::default() },
                ..Settlement::default()
            };
        };
        let tokens = match usage {
            Some(usage) => TraceTokens {
                input: usage.input,
                cached_input: usage.cached_input,
                output: if complete { usage.output } else { usage.output.max(self.produced()) },
                reasoning: usage.reasoning,
                estimated: !complete,
            },
            None => TraceTokens {
                input: self.estimate.likely_input(),
                output: self.produced(),
                estimated: self.estimate.input_tokens > 0,
                ..TraceTokens::default()
            },
        };
        let Usage { cache_write, long_cache_write, audio_input, audio_output, .. } =
            usage.unwrap_or_default();
        let counts = TokenCounts {
            input: tokens.input,
            cached_input: tokens.cached_input,
            cache_write,
            long_cache_write,
            audio_input,
            output: tokens.output,
            audio_output,
        };
        let price = price.or(self.estimate.price);
        let cost = price.map_or(NanoUsd::ZERO, |price| cost(&price, &counts));
        let counted = if self.estimate.is_free { 0 } else { tokens.input.saturating_add(tokens.output) };
        let charged = reservation.settle(Amount { cost, tokens: counted, requests: 1 });
        Settlement { tokens, counted, cost, charged }
    }

    /// Settles a request that ends without a reply: what it may have cost if an upstream had it, nothing otherwise.
    pub(crate) fn settle_unanswered(&mut self) -> Option<Settlement> {
        if !self.is_open() {
            return None;
        }
        if self.sent_at.is_none() {
            self.release();
        }
        Some(self.settle(None, false, None))
    }

    /// Whether it was neither settled nor released.
    pub(crate) fn is_open(&self) -> bool {
        self.reservation.is_some()
    }

    /// Charges nothing: the upstream never answered, or answered with an error of its own.
    pub(crate) fn release(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            self.released = reservation.records();
        }
    }
}

/// What the fastest models produce in a time.
fn producible(time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    millis.saturating_mul(OUTPUT_TOKENS_PER_SECOND) / 1_000
}

/// Our own count of the tokens in an answer that was read whole and names no usage.
pub(crate) fn body_tokens(body: &[u8]) -> u64 {
    let counted = body.get(..COUNTED_BODY_BYTES).unwrap_or(body);
    let mut counter = Counter::default();
    counter.push(counted);
    let (all, counted) = (body.len() as u64, counted.len().max(1) as u64);
    counter.tokens().saturating_mul(all).div_ceil(counted)
}

#[cfg(test)]
pub(crate) mod tests;
