//! What budgets cost a request: bounding and reserving, counting event by event, settling; and counting a body's tokens, for
//! the few requests whose budget is nearly used up.
//!
//! `cargo bench -p bulkhead-benches --bench budget`. Every run's result is checked.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bulkhead_benches::agent_body::{agent_request, history_text};
use bulkhead_benches::clock::{Timing, time};
use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dialect::request::input::{self, Reading};
use bulkhead_dialect::request::{self, RequestHead};
use bulkhead_dialect::tokens::{Counter, Encoding};
use bulkhead_dialect::{Dialect, Endpoint, classify};
use bulkhead_policy::ids::{BudgetId, TenantId};
use bulkhead_policy::ledger::{
    Amount, AtLimit, BudgetScope, BudgetSpec, BudgetUnit, Ledger, LedgerKey, Reservation, Subject,
    WhenUnreachable, Window,
};
use bulkhead_policy::prices::{Asked, PriceTable, TokenCounts, cost};
use chrono::{DateTime, Utc};

const MODEL: &str = "gpt-4o";
const PATH: &str = "/v1/chat/completions";
const BODY_BYTES: usize = 60_000;
const HOSTILE_BYTES: usize = 1 << 20;
const ANSWER_TOKENS: u64 = 500;

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let endpoint = classify("POST", PATH, None).map_err(|_| anyhow::anyhow!("a known path"))?;
    let body = agent_request(MODEL, BODY_BYTES, true);
    let document = Document::parse(&body, &Limits::REQUEST)?;
    let head = request::read(endpoint, PATH, &document)?;
    requests(&mut out, &head, body.len())?;
    events(&mut out)?;
    bodies(&mut out, endpoint, &document)
}

fn ledger(id: &str, unit: BudgetUnit, now: DateTime<Utc>) -> anyhow::Result<Arc<Ledger>> {
    let id = BudgetId::new(id);
    let spec = BudgetSpec {
        id: id.clone(),
        scope: BudgetScope::Tenant,
        unit,
        limit: u64::MAX,
        window: Window::Month,
        time_zone: "Europe/Berlin".parse()?,
        models: Vec::new(),
        at_limit: AtLimit::Cut,
        when_unreachable: WhenUnreachable::Refuse,
        alert_at: vec![u64::MAX / 2],
    };
    Ok(Ledger::new(
        LedgerKey { tenant: TenantId::fresh(now), budget: id, subject: Subject::Tenant },
        spec,
        now,
    ))
}

/// Reserves the worst case in three budgets and settles what a provider reported.
fn requests(out: &mut impl Write, head: &RequestHead, body_len: usize) -> anyhow::Result<()> {
    let now = Utc::now();
    let ledgers = [
        ledger("money", BudgetUnit::Usd, now)?,
        ledger("tokens", BudgetUnit::Tokens, now)?,
        ledger("requests", BudgetUnit::Requests, now)?,
    ];
    let counts =
        TokenCounts { input: 15_000, cached_input: 12_000, output: ANSWER_TOKENS, ..TokenCounts::default() };
    let run = || {
        let price = PriceTable::builtin().lookup(black_box(MODEL)).context("a price")?;
        let input = input::bound(&head.parts, Dialect::OpenAi, MODEL, black_box(body_len));
        let output = head.max_output_tokens.or(price.max_output_tokens).context("a ceiling")?;
        let worst = price.dearest(Asked::default()).worst_case(input, output);
        let wanted = Amount { cost: worst, tokens: input + output, requests: 1 };
        let has_room =
            ledgers.iter().all(|ledger| ledger.state(now).limit / 16 > ledger.state(now).committed);
        let reservation = Reservation::take(&ledgers, wanted, now)?;
        let spent = cost(price, &counts);
        let charged =
            reservation.settle(Amount { cost: spent, tokens: counts.input + counts.output, requests: 1 });
        Ok((has_room, spent.get(), charged.deltas.len()))
    };
    // 3,000 at 2.5, 12,000 at 1.25, 500 at 10 dollars per million.
    let timing = time(1, &(true, 7_500_000 + 15_000_000 + 5_000_000, 3), run)?;
    writeln!(out, "a request in three budgets, reserved and settled   {:>8.2} us", timing.seconds * 1e6)?;
    Ok(())
}

/// An answer's tokens one by one, each counted and held against the line.
fn events(out: &mut impl Write) -> anyhow::Result<()> {
    let text = history_text(20_000);
    let pieces = words(&text);
    let stream = |pieces: &[&str]| {
        let mut counter = Counter::default();
        let crossed = pieces.iter().filter(|piece| {
            counter.push(black_box(piece.as_bytes()));
            black_box(counter.tokens()) > u64::from(u32::MAX)
        });
        (crossed.count(), counter.tokens())
    };
    let expected = stream(&pieces);
    ensure!(expected.0 == 0, "nothing crosses the line");
    let timing = time(text.len(), &expected, || Ok(stream(&pieces)))?;
    let per_event = timing.seconds * 1e9 / f64::from(u32::try_from(pieces.len())?);
    writeln!(
        out,
        "an event of {} bytes, counted and watched          {per_event:>8.1} ns",
        text.len() / pieces.len()
    )?;
    let exact = Encoding::O200k.count(text.as_bytes());
    let per_cent = i64::try_from(expected.1)? * 100 / i64::try_from(exact)? - 100;
    writeln!(out, "  off by {per_cent:+} % of {exact} tokens")?;
    Ok(())
}

/// The text in pieces as models produce them: each word with the space before it.
fn words(text: &str) -> Vec<&str> {
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let next = rest.char_indices().skip(1).find(|(_, letter)| *letter == ' ' || *letter == '\n');
        let (piece, after) = rest.split_at(next.map_or(rest.len(), |(at, _)| at));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// What it takes to know a request's input better than by its size.
fn bodies(out: &mut impl Write, endpoint: Endpoint, document: &Document<'_>) -> anyhow::Result<()> {
    let bytes = document.raw().len();
    for (name, reading) in [("likely", Reading::Likely), ("ceiling", Reading::Ceiling)] {
        let tokens = input::count(endpoint, MODEL, document, reading);
        let timing =
            time(bytes, &tokens, || Ok(input::count(endpoint, MODEL, black_box(document), reading)))?;
        line(out, &format!("{name}, a body of {bytes} bytes: {tokens} tokens"), timing)?;
    }
    for (name, text) in [
        ("one letter", "a".repeat(HOSTILE_BYTES)),
        ("spaces", " ".repeat(HOSTILE_BYTES)),
        ("line ends", "\n".repeat(HOSTILE_BYTES)),
    ] {
        let tokens = Encoding::O200k.count(text.as_bytes());
        let timing = time(text.len(), &tokens, || Ok(Encoding::O200k.count(black_box(text.as_bytes()))))?;
        line(out, &format!("exact, a megabyte of {name}"), timing)?;
    }
    Ok(())
}

fn line(out: &mut impl Write, name: &str, timing: Timing) -> anyhow::Result<()> {
    writeln!(out, "{name:<48} {timing}")?;
    Ok(())
}
