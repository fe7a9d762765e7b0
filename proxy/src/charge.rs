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

mod rate;

use crate::leases::{Leases, Short};
use crate::rejection::Rejection;
use bulkhead_dialect::request::RequestHead;
use bulkhead_dialect::{Dialect, Operation, Usage};
use bulkhead_policy::ledger::{Amount, AtLimit, BudgetUnit, Charged, Exhausted, Ledger, Reservation};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::prices::{Asked, DearestPrice, Price, TokenCounts, cost};
use bulkhead_policy::trace::TraceTokens;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of a request body per input token, at least: ordinary prose and code have 3.5 to 4.5, JSON around
/// them included. An estimate that is too high only reserves more; settling uses the provider's count.
const INPUT_BYTES_PER_TOKEN: u64 = 3;
/// Bytes of answer text per output token, on average over prose and code.
const OUTPUT_BYTES_PER_TOKEN: u64 = 4;
/// Ceiling where neither the request nor the price table names one.
const OUTPUT_TOKENS_UNKNOWN: u64 = 32_768;
/// An answer shorter than this is no use, and providers refuse a smaller ceiling.
const OUTPUT_TOKENS_MIN: u64 = 16;
/// What the fastest models produce. Bounds what may have been produced where nobody can say: a request whose
/// caller left, or whose upstream broke off, before any of the answer was seen.
const OUTPUT_TOKENS_PER_SECOND: u64 = 250;
/// How much more is reserved at a time when an answer runs past its line.
const EXTENSION_TOKENS: u64 = 256;

/// What one request may cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    price: Option<Price>,
    dearest: Option<DearestPrice>,
    input_tokens: u64,
    /// All answers together.
    output_tokens: u64,
    choices: u64,
    /// The caller named the ceiling.
    ceiling_is_asked: bool,
}

impl Estimate {
    /// Estimates a request from its head and the size of its body.
    pub(crate) fn new(
        operation: Operation,
        head: &RequestHead,
        body_len: usize,
        price: Option<Price>,
    ) -> Self {
        let input_tokens = (body_len as u64).div_ceil(INPUT_BYTES_PER_TOKEN);
        let choices = head.choices.max(1);
        let ceiling = || {
            let asked = head.max_output_tokens;
            let of_model = price.and_then(|price| price.max_output_tokens);
            asked.or(of_model).unwrap_or(OUTPUT_TOKENS_UNKNOWN)
        };
        let ceiling_is_asked = head.max_output_tokens.is_some();
        let (price, input_tokens, output_tokens) = match operation {
            Operation::Models | Operation::CountTokens | Operation::Moderations => (None, 0, 0),
            Operation::Embeddings => (price, input_tokens, 0),
            Operation::Chat
            | Operation::Completions
            | Operation::Responses
            | Operation::Messages
            | Operation::GenerateContent => (price, input_tokens, ceiling().saturating_mul(choices)),
        };
        let dearest = price.map(|price| price.dearest(Asked::default()));
        Self { price, dearest, input_tokens, output_tokens, choices, ceiling_is_asked }
    }

    fn amount(&self, output_tokens: u64, requests: u64) -> Amount {
        Amount {
            cost: self
                .dearest
                .map_or(NanoUsd::ZERO, |price| price.worst_case(self.input_tokens, output_tokens)),
            tokens: self.input_tokens.saturating_add(output_tokens),
            requests,
        }
    }

    /// How many output tokens a reservation that may have been granted in part covers.
    fn covered(&self, reservation: &Reservation) -> u64 {
        let by_tokens =
            reservation.granted(BudgetUnit::Tokens).map(|all| all.saturating_sub(self.input_tokens));
        let by_money = match (reservation.granted(BudgetUnit::Usd), self.dearest) {
            (Some(nano), Some(price)) => price.affordable_output(NanoUsd::new(nano), self.input_tokens),
            _ => None,
        };
        self.output_tokens.min(by_tokens.unwrap_or(u64::MAX)).min(by_money.unwrap_or(u64::MAX))
    }
}

/// One request's hold on its budgets, from admission to settlement. By default, before admission, there is none.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    reservation: Option<Reservation>,
    estimate: Estimate,
    /// Output tokens that the reservation covers.
    line: u64,
    /// The ceiling per answer that must be written into the request.
    ceiling: Option<u64>,
    text_bytes: u64,
    /// When an upstream got the request that it may have worked on since.
    sent_at: Option<Instant>,
}

/// What was charged.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    pub(crate) tokens: TraceTokens,
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
        Ok(Self { reservation: Some(reservation), estimate, line, ceiling, text_bytes: 0, sent_at: None })
    }

    /// The ceiling per answer that the budget imposes, if it is lower than what was asked for.
    pub(crate) fn ceiling(&self) -> Option<u64> {
        self.ceiling
    }

    /// The request went to an upstream: from now on it is charged, whatever becomes of it.
    pub(crate) fn sent(&mut self, at: Instant) {
        self.sent_at = Some(at);
    }

    /// Counts answer text (all of it so far) and keeps it under the line.
    ///
    /// # Errors
    /// The budget at whose line the stream must end.
    pub(crate) fn count(&mut self, text_bytes: u64) -> Result<(), Exhausted> {
        if self.estimate.output_tokens == 0 {
            // Vectors, verdicts and lists are no text that a model wrote.
            return Ok(());
        }
        self.text_bytes = text_bytes;
        while self.counted() > self.line {
            let needed = output_tokens(text_bytes) - self.line;
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

    fn extend(&mut self, more: u64) -> Result<(), Exhausted> {
        let cost = self.estimate.dearest.map_or(NanoUsd::ZERO, |price| price.worst_case(0, more));
        if let Some(reservation) = &mut self.reservation {
            reservation.extend(Amount { cost, tokens: more, requests: 0 })?;
        }
        self.line = self.line.saturating_add(more);
        Ok(())
    }

    /// What was counted; where nothing could be, what the time since sending allows, within the reservation.
    fn produced(&self) -> u64 {
        let most = self.estimate.output_tokens.max(self.line);
        match (self.text_bytes, self.sent_at) {
            (0, Some(sent_at)) => {
                let millis = u64::try_from(sent_at.elapsed().as_millis()).unwrap_or(u64::MAX);
                (millis.saturating_mul(OUTPUT_TOKENS_PER_SECOND) / 1_000).min(self.line).min(most)
            }
            _ => self.counted().min(most),
        }
    }

    fn counted(&self) -> u64 {
        output_tokens(self.text_bytes)
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
        let Some(reservation) = self.reservation.take() else { return Settlement::default() };
        let tokens = match usage {
            Some(usage) => TraceTokens {
                input: usage.input,
                cached_input: usage.cached_input,
                output: if complete { usage.output } else { usage.output.max(self.produced()) },
                reasoning: usage.reasoning,
                estimated: !complete,
            },
            None => TraceTokens {
                input: self.estimate.input_tokens,
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
        let amount = Amount { cost, tokens: tokens.input.saturating_add(tokens.output), requests: 1 };
        Settlement { tokens, cost, charged: reservation.settle(amount) }
    }

    /// Settles a request that ends without a reply: what it may have cost if an upstream had it, nothing otherwise.
    pub(crate) fn settle_unanswered(&mut self) -> Option<Settlement> {
        if self.sent_at.is_none() {
            self.release();
        }
        self.is_open().then(|| self.settle(None, false, None))
    }

    /// Whether it was neither settled nor released.
    pub(crate) fn is_open(&self) -> bool {
        self.reservation.is_some()
    }

    /// Charges nothing: the upstream never answered, or answered with an error of its own.
    pub(crate) fn release(&mut self) {
        self.reservation = None;
    }
}

/// Our own count of the tokens in an answer's text.
fn output_tokens(text_bytes: u64) -> u64 {
    text_bytes.div_ceil(OUTPUT_BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests;
