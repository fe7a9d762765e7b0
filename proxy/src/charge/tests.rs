mod invoices;

use super::*;
use bulkhead_dialect::request::RequestHead;
use bulkhead_dialect::request::input::Parts;
use bulkhead_dialect::{Endpoint, Operation};
use bulkhead_policy::ids::{BudgetId, TenantId};
use bulkhead_policy::ledger::{
    BudgetScope, BudgetSpec, BudgetUnit, LedgerKey, Subject, WhenUnreachable, Window,
};
use bulkhead_policy::prices::Stated;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub(crate) fn ledger(unit: BudgetUnit, limit: u64, at_limit: AtLimit) -> Arc<Ledger> {
    let now = DateTime::UNIX_EPOCH;
    let id = BudgetId::new("day");
    let spec = BudgetSpec {
        id: id.clone(),
        scope: BudgetScope::Tenant,
        unit,
        limit,
        window: Window::Day,
        time_zone: "UTC".parse().unwrap(),
        models: vec![],
        at_limit,
        when_unreachable: WhenUnreachable::Refuse,
        alert_at: vec![],
    };
    Ledger::new(LedgerKey { tenant: TenantId::fresh(now), budget: id, subject: Subject::Tenant }, spec, now)
}

fn price() -> Price {
    Price::of(&Stated {
        input: 1_000_000_000,
        cached_input: Some(100_000_000),
        output: 4_000_000_000,
        max_output_tokens: Some(1_000),
        ..Stated::default()
    })
}

/// A body of 100 bytes, which are 100 tokens at most.
fn question(operation: Operation) -> Question {
    let endpoint = Endpoint { dialect: Dialect::OpenAi, operation };
    let body = format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}", "far away ".repeat(6));
    Question { endpoint, model: "gpt-4o".into(), body: format!("{body:<100}").into() }
}

pub(crate) fn chat(max_output_tokens: Option<u64>) -> Estimate {
    let head = RequestHead { max_output_tokens, choices: 1, ..RequestHead::default() };
    Estimate::new(question(Operation::Chat), &head, Some(price()))
}

pub(crate) fn reserve(ledger: &Arc<Ledger>, estimate: Estimate) -> Result<Charge, Rejection> {
    let (ledgers, now) = (std::slice::from_ref(ledger), DateTime::UNIX_EPOCH);
    let leases = Leases::alone();
    let mut reserved = pin!(Charge::reserve(ledgers, &leases, estimate, now, Dialect::OpenAi));
    match reserved.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reserved) => reserved,
        Poll::Pending => panic!("nothing to wait for"),
    }
}

fn committed(ledger: &Ledger) -> u64 {
    ledger.state(DateTime::UNIX_EPOCH).committed
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

#[test]
fn counting_tokens_uses_none() {
    let (tokens, requests) = (
        ledger(BudgetUnit::Tokens, 10_000, AtLimit::Refuse),
        ledger(BudgetUnit::Requests, 5, AtLimit::Refuse),
    );
    for operation in [Operation::CountTokens, Operation::Moderations] {
        for ledger in [&tokens, &requests] {
            let estimate = Estimate::new(question(operation), &RequestHead::default(), None);
            let mut charge = reserve(ledger, estimate).unwrap();
            charge.sent(Instant::now());
            let settlement = charge.settle(Some(usage(9_000, 0)), true, None);
            // The trace says what the answer says.
            assert_eq!((settlement.tokens.input, settlement.counted), (9_000, 0), "{operation:?}");
        }
    }
    assert_eq!((committed(&tokens), committed(&requests)), (0, 2));
}

#[test]
fn the_worst_case_is_reserved_and_the_real_one_settled() {
    let tokens = ledger(BudgetUnit::Tokens, 10_000, AtLimit::Refuse);
    let mut charge = reserve(&tokens, chat(Some(500))).unwrap();
    assert_eq!((committed(&tokens), charge.ceiling()), (600, None));
    charge.sent(Instant::now());
    let settlement = charge.settle(Some(usage(90, 40)), true, None);
    assert_eq!(settlement.cost.get(), 90 * 1_000 + 40 * 4_000);
    assert!(!settlement.tokens.estimated);
    assert_eq!(committed(&tokens), 130);
}

#[test]
fn the_models_own_ceiling_stands_in_for_a_missing_one() {
    let tokens = ledger(BudgetUnit::Tokens, 10_000, AtLimit::Refuse);
    let _charge = reserve(&tokens, chat(None)).unwrap();
    assert_eq!(committed(&tokens), 1_100);
}

#[test]
fn a_budget_that_cannot_take_the_worst_case_lowers_the_ceiling() {
    let tokens = ledger(BudgetUnit::Tokens, 300, AtLimit::Refuse);
    let charge = reserve(&tokens, chat(None)).unwrap();
    assert_eq!((committed(&tokens), charge.ceiling()), (300, Some(200)));
    drop(charge);
    assert_eq!(reserve(&tokens, chat(Some(500))).unwrap_err().code(), "insufficient_quota");
    let money = ledger(BudgetUnit::Usd, 100 * 1_000 + 200 * 4_000, AtLimit::Cut);
    let charge = reserve(&money, chat(Some(500))).unwrap();
    assert_eq!(charge.ceiling(), Some(200));
    assert!(committed(&money) <= 900_000);
}

#[test]
fn too_little_for_a_useful_answer_is_refused() {
    let tokens = ledger(BudgetUnit::Tokens, 110, AtLimit::Cut);
    let rejection = reserve(&tokens, chat(Some(500))).unwrap_err();
    assert_eq!((rejection.status(), rejection.code()), (429, "insufficient_quota"));
    assert_eq!(committed(&tokens), 0);
    // A short answer is what was asked for here.
    assert!(reserve(&tokens, chat(Some(10))).is_ok());
}

#[test]
fn a_cut_budget_ends_the_stream_at_the_line_and_a_refuse_budget_does_not() {
    for (at_limit, ends) in [(AtLimit::Cut, true), (AtLimit::Refuse, false)] {
        let tokens = ledger(BudgetUnit::Tokens, 300, at_limit);
        let mut charge = reserve(&tokens, chat(None)).unwrap();
        charge.sent(Instant::now());
        assert!(charge.count(200).is_ok());
        assert_eq!(charge.count(200 + 1).is_err(), ends);
    }
}

#[test]
fn past_the_line_more_is_reserved_while_there_is_some() {
    let tokens = ledger(BudgetUnit::Tokens, 1_000, AtLimit::Cut);
    let mut charge = reserve(&tokens, chat(Some(100))).unwrap();
    charge.sent(Instant::now());
    assert!(charge.count(150).is_ok());
    assert_eq!(committed(&tokens), 200 + EXTENSION_TOKENS);
    assert!(charge.count(2_000).is_err());
}

#[test]
fn without_a_reply_a_charge_is_released_or_what_was_counted() {
    let likely = chat(None).likely_input();
    let tokens = ledger(BudgetUnit::Tokens, 1_000, AtLimit::Cut);
    drop(reserve(&tokens, chat(Some(100))).unwrap());
    let unsent = reserve(&tokens, chat(Some(100))).unwrap().settle_unanswered().unwrap();
    assert_eq!((unsent.charged.deltas.len(), unsent.charged.budgets.len()), (0, 1), "nobody got it");
    assert_eq!(committed(&tokens), 0);
    assert!(Charge::default().settle_unanswered().is_none(), "nothing was reserved");

    let mut charge = reserve(&tokens, chat(Some(100))).unwrap();
    charge.sent(Instant::now());
    charge.count(40).unwrap();
    let charged = charge.settle_unanswered().unwrap().charged;
    assert_eq!(charged.deltas.iter().map(|delta| delta.amount).collect::<Vec<_>>(), [likely + 40]);
    assert_eq!(committed(&tokens), likely + 40);
    assert!(charge.settle_unanswered().is_none(), "once");

    let mut charge = reserve(&tokens, chat(Some(100))).unwrap();
    charge.sent(Instant::now());
    charge.release();
    assert_eq!(committed(&tokens), likely + 40);
}

#[test]
fn no_usage_is_settled_as_an_estimate() {
    let tokens = ledger(BudgetUnit::Tokens, 1_000, AtLimit::Cut);
    let mut charge = reserve(&tokens, chat(Some(100))).unwrap();
    charge.sent(Instant::now());
    charge.count(40).unwrap();
    let settlement = charge.settle(None, false, None);
    let likely = chat(None).likely_input();
    assert_eq!((settlement.tokens.input, settlement.tokens.output), (likely, 40));
    assert!((30..=60).contains(&likely), "a bound is no estimate: {likely}");
    assert!(settlement.tokens.estimated);
}

#[test]
fn the_usage_of_a_broken_answer_never_counts_less_than_was_produced() {
    let tokens = ledger(BudgetUnit::Tokens, 1_000, AtLimit::Cut);
    let mut charge = reserve(&tokens, chat(Some(100))).unwrap();
    charge.sent(Instant::now());
    charge.count(40).unwrap();
    let settlement = charge.settle(Some(usage(11, 1)), false, None);
    assert_eq!((settlement.tokens.input, settlement.tokens.output), (11, 40));
    assert!(settlement.tokens.estimated);
}

#[test]
fn leaving_before_the_answer_costs_what_the_time_allows() {
    let tokens = ledger(BudgetUnit::Tokens, 1_000, AtLimit::Cut);
    let mut charge = reserve(&tokens, chat(Some(600))).unwrap();
    charge.sent(Instant::now().checked_sub(Duration::from_secs(1)).unwrap());
    let output = charge.settle(None, false, None).tokens.output;
    assert!((250..300).contains(&output), "{output}");

    let mut charge = reserve(&tokens, chat(Some(100))).unwrap();
    charge.sent(Instant::now().checked_sub(Duration::from_secs(60)).unwrap());
    assert_eq!(charge.settle(None, false, None).tokens.output, 100, "never more than was reserved");
}

#[test]
fn reasoning_that_nobody_saw_is_charged_by_the_time_it_took() {
    for (model, expected) in [("gpt-4o", 40..=40), ("o3", 290..=340)] {
        let tokens = ledger(BudgetUnit::Tokens, 10_000, AtLimit::Cut);
        let head = RequestHead { max_output_tokens: Some(600), choices: 1, ..RequestHead::default() };
        let question = Question { model: model.into(), ..question(Operation::Chat) };
        let mut charge = reserve(&tokens, Estimate::new(question, &head, Some(price()))).unwrap();
        charge.sent(Instant::now().checked_sub(Duration::from_secs(1)).unwrap());
        charge.count(40).unwrap();
        let output = charge.settle(None, false, None).tokens.output;
        assert!(expected.contains(&output), "{model}: {output}");
    }
    let tokens = ledger(BudgetUnit::Tokens, 10_000, AtLimit::Cut);
    let question = Question { model: "o3".into(), ..question(Operation::Chat) };
    let mut charge = reserve(&tokens, Estimate::new(question, &RequestHead::default(), None)).unwrap();
    charge.sent(Instant::now().checked_sub(Duration::from_secs(1)).unwrap());
    charge.count_whole(40);
    assert_eq!(charge.settle(None, true, None).tokens.output, 40, "all of it was seen");
}

#[tokio::test]
async fn the_text_is_counted_only_where_it_matters() {
    let (short, estimate) = (chat(Some(100)), chat(Some(500)));
    let now = DateTime::UNIX_EPOCH;
    let easily =
        |estimate: &Estimate, unit, limit| estimate.fits_easily(&[ledger(unit, limit, AtLimit::Refuse)], now);
    assert!(estimate.fits_easily(&[], now) && easily(&estimate, BudgetUnit::Requests, 1));
    for (unit, estimate, enough) in [
        (BudgetUnit::Tokens, &estimate, 16 * 100),
        (BudgetUnit::Usd, &short, 16 * 100 * 1_000),
        (BudgetUnit::Usd, &estimate, 100 * 1_000 + 500 * 4_000),
    ] {
        assert!(easily(estimate, unit, enough) && !easily(estimate, unit, enough - 1), "{unit} {enough}");
    }
    let free = Estimate::new(question(Operation::Models), &RequestHead::default(), None);
    assert!(free.fits_easily(&[ledger(BudgetUnit::Tokens, 1, AtLimit::Refuse)], now));

    let mut counted = estimate.clone();
    counted.measure().await;
    assert!((25..60).contains(&counted.input_tokens), "{}", counted.input_tokens);
    let tokens = ledger(BudgetUnit::Tokens, 580, AtLimit::Refuse);
    assert!(reserve(&tokens, estimate).is_err() && reserve(&tokens, counted).is_ok());
}

#[test]
fn a_request_reserves_at_the_price_of_what_it_asks_for() {
    let reserved = |parts: Parts| {
        let money = ledger(BudgetUnit::Usd, u64::MAX, AtLimit::Refuse);
        let head = RequestHead { max_output_tokens: Some(10), choices: 2, parts, ..RequestHead::default() };
        let price = Price { long_cache_write_nano_per_mtok: 2_000_000_000, ..price() };
        let charge = reserve(&money, Estimate::new(question(Operation::Chat), &head, Some(price)));
        let reserved = committed(&money);
        drop(charge);
        reserved
    };
    let none = Parts::default();
    assert_eq!(reserved(none), 100 * 1_000 + 20 * 4_000);
    assert_eq!(reserved(Parts { long_cache: true, ..none }), 100 * 2_000 + 20 * 4_000);
    assert_eq!(reserved(Parts { audio_bytes: 160, ..none }), 110 * 8_000 + 20 * 4_000);
    assert_eq!(reserved(Parts { speaks: true, ..none }), 100 * 1_000 + 20 * 32_000);
    assert_eq!(reserved(Parts { images: 1, base64_bytes: 90, ..none }), 10_010 * 1_000 + 20 * 4_000);
}

#[test]
fn an_answer_without_usage_is_counted_in_proportion() {
    let (small, large) = ("word ".repeat(1_000), "word ".repeat(200_000));
    let tokens = body_tokens(small.as_bytes());
    assert!((900..1_400).contains(&tokens), "{tokens}");
    let ratio = body_tokens(large.as_bytes()) / tokens;
    assert!((198..=202).contains(&ratio), "{ratio}");
    assert_eq!(body_tokens(b""), 0);
}

#[test]
fn operations_without_a_model_answer_cost_one_request() {
    let requests = ledger(BudgetUnit::Requests, 1, AtLimit::Refuse);
    let estimate = Estimate::new(question(Operation::Models), &RequestHead::default(), None);
    let mut charge = reserve(&requests, estimate.clone()).unwrap();
    assert!(reserve(&requests, estimate).is_err());
    charge.sent(Instant::now());
    let settlement = charge.settle(None, false, None);
    assert!(!settlement.tokens.estimated);
    assert_eq!(committed(&requests), 1);
}

/// What a request costs whose provider reports `usage`.
fn settled(usage: Usage, price: Price) -> NanoUsd {
    let tokens = ledger(BudgetUnit::Tokens, u64::MAX, AtLimit::Refuse);
    let mut charge = reserve(&tokens, chat(None)).unwrap();
    charge.sent(Instant::now());
    charge.settle(Some(usage), true, Some(price)).cost
}
