//! What one request may cost, before anybody knows.
//!
//! - Input: the body's size bounds it for nothing. That bound is three or four times what it really is, which harms nobody while a
//!   budget has room for many such inputs; only where it has not ([`PLENTY`]) the text is counted.
//! - Output: the ceiling that the request names, else the model's own, for each answer that is asked for. Reasoning is
//!   within that ceiling at every provider.

use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dialect::request::RequestHead;
use bulkhead_dialect::request::input::{self, Reading};
use bulkhead_dialect::tokens::{Encoding, may_reason_unseen};
use bulkhead_dialect::{Endpoint, Operation};
use bulkhead_policy::ledger::{Amount, BudgetUnit, Ledger, Reservation};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::prices::{Asked, DearestPrice, Price};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Ceiling where neither the request nor the price table names one.
const OUTPUT_TOKENS_UNKNOWN: u64 = 32_768;
/// Ordinary prose and code have 3.5 to 4.5, JSON around them included.
const USUAL_BYTES_PER_TOKEN: u64 = 3;
/// A budget with room for so many inputs does not need to know how much exactly one takes.
const PLENTY: u64 = 16;
/// Larger bodies are not counted: a megabyte takes up to 200 ms of a thread.
const COUNTED_BYTES_MAX: usize = 1 << 20;
/// Smaller ones are counted where they are: these take half a millisecond at worst.
const INLINE_BYTES_MAX: usize = 4 << 10;
/// How many are counted at a time beside the event loop: a burst must not take its processors away.
static COUNTING: Semaphore = Semaphore::const_new(4);
/// Larger bodies are not looked at where nobody can wait: this one takes half a millisecond.
const LIKELY_BYTES_MAX: usize = 128 << 10;

/// A request as it goes upstream, as far as it decides what its input costs.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) endpoint: Endpoint,
    pub(crate) model: String,
    pub(crate) body: Bytes,
}

impl Question {
    fn count(&self, reading: Reading) -> Option<u64> {
        let document = Document::parse(&self.body, &Limits::REQUEST).ok()?;
        Some(input::count(self.endpoint, &self.model, &document, reading))
    }
}

/// What one request may cost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Estimate {
    pub(super) price: Option<Price>,
    pub(super) dearest: Option<DearestPrice>,
    /// At most.
    pub(super) input_tokens: u64,
    /// As many as it usually is, for rates, where too much would keep others waiting.
    pub(super) usual_input: u64,
    /// All answers together, at most.
    pub(super) output_tokens: u64,
    pub(super) choices: u64,
    /// The caller named the ceiling.
    pub(super) ceiling_is_asked: bool,
    /// Nobody charges for it.
    pub(super) is_free: bool,
    /// The answer may have cost tokens before its first text.
    pub(super) may_reason_unseen: bool,
    question: Option<Question>,
}

impl Estimate {
    /// Bounds what a request takes from its head and the size of its body.
    pub(crate) fn new(question: Question, head: &RequestHead, price: Option<Price>) -> Self {
        let Endpoint { dialect, operation } = question.endpoint;
        let choices = head.choices.max(1);
        let ceiling = || {
            let asked = head.max_output_tokens;
            let of_model = price.and_then(|price| price.max_output_tokens);
            asked.or(of_model).unwrap_or(OUTPUT_TOKENS_UNKNOWN).saturating_mul(choices)
        };
        if operation.is_free() {
            return Self { choices, is_free: true, ..Self::default() };
        }
        let output_tokens = if operation == Operation::Embeddings { 0 } else { ceiling() };
        let asked = Asked {
            audio_input: head.parts.has_audio(),
            audio_output: head.parts.speaks,
            long_cache: head.parts.long_cache,
        };
        let input_tokens = input::bound(&head.parts, dialect, &question.model, question.body.len());
        Self {
            price,
            dearest: price.map(|price| price.dearest(asked)),
            input_tokens,
            usual_input: input_tokens.div_ceil(USUAL_BYTES_PER_TOKEN),
            output_tokens,
            choices,
            ceiling_is_asked: head.max_output_tokens.is_some(),
            is_free: false,
            may_reason_unseen: may_reason_unseen(&question.model),
            question: Some(question),
        }
    }

    /// Whether every budget has so much room that the input's bound need not be any closer.
    pub(crate) fn fits_easily(&self, ledgers: &[Arc<Ledger>], now: DateTime<Utc>) -> bool {
        let (input, all) = (self.amount(0, 1), self.amount(self.output_tokens, 1));
        ledgers.iter().filter(|ledger| ledger.spec().unit != BudgetUnit::Requests).all(|ledger| {
            let state = ledger.state(now);
            let room = state.limit.saturating_sub(state.committed);
            let unit = ledger.spec().unit;
            all.in_unit(unit) <= room && input.in_unit(unit).saturating_mul(PLENTY) <= room
        })
    }

    /// Counts the input's text.
    pub(crate) async fn measure(&mut self) {
        let counted = self.question.as_ref().filter(|question| question.body.len() <= COUNTED_BYTES_MAX);
        let Some(question) = counted else { return };
        let is_quick = Encoding::of(&question.model).is_none_or(Encoding::is_ready);
        let count = if is_quick && question.body.len() <= INLINE_BYTES_MAX {
            question.count(Reading::Ceiling)
        } else {
            let question = question.clone();
            // It is never closed.
            let _turn = COUNTING.acquire().await;
            tokio::task::spawn_blocking(move || question.count(Reading::Ceiling)).await.ok().flatten()
        };
        // What cannot be counted is what its bound says.
        if let Some(tokens) = count {
            self.input_tokens = self.input_tokens.min(tokens);
            self.usual_input = self.input_tokens;
        }
    }

    /// What the input was most likely, for a request of which the provider never said.
    pub(super) fn likely_input(&self) -> u64 {
        let Some(question) = &self.question else { return self.input_tokens };
        let counted = Some(question).filter(|question| question.body.len() <= LIKELY_BYTES_MAX);
        let likely = counted.and_then(|question| question.count(Reading::Likely));
        likely.unwrap_or(self.input_tokens / 2).min(self.input_tokens)
    }

    pub(super) fn amount(&self, output_tokens: u64, requests: u64) -> Amount {
        let cost = self.dearest.map(|price| price.worst_case(self.input_tokens, output_tokens));
        Amount {
            cost: cost.unwrap_or(NanoUsd::ZERO),
            tokens: self.input_tokens.saturating_add(output_tokens),
            requests,
        }
    }

    /// How many output tokens a reservation that may have been granted in part covers.
    pub(super) fn covered(&self, reservation: &Reservation) -> u64 {
        let by_tokens =
            reservation.granted(BudgetUnit::Tokens).map(|all| all.saturating_sub(self.input_tokens));
        let by_money = match (reservation.granted(BudgetUnit::Usd), self.dearest) {
            (Some(nano), Some(price)) => price.affordable_output(NanoUsd::new(nano), self.input_tokens),
            _ => None,
        };
        self.output_tokens.min(by_tokens.unwrap_or(u64::MAX)).min(by_money.unwrap_or(u64::MAX))
    }
}
