//! What traces cost in PostgreSQL: how long a page of the list takes for each filter, and how fast rows are appended.
//!
//! `cargo bench -p bulkhead-benches --bench traces -- 10000000`. The number of rows is that of the list and may be left out;
//! ten million take about 9 GB in `/tmp`, which are removed at the end, and about five minutes to make. The list's server
//! syncs nothing, because nothing of what is measured there writes; the appender's does, as in production.

mod sample;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bulkhead_policy::ids::{AgentId, TenantId, TraceId};
use bulkhead_policy::trace::{Outcome, TraceRecord};
use bulkhead_store::tenant::{TraceCursor, TraceFilter};
use bulkhead_store::testing::{Filled, Server, fill_traces};
use bulkhead_store::{Role, Store, writer};
use chrono::{Days, NaiveTime, Utc};
use uuid::Uuid;

const ROWS_DEFAULT: u64 = 10_000_000;
const DAYS: u32 = 30;
const PAGE: u32 = 20;
const RUNS: usize = 15;
const BATCH_ROWS: u64 = 1_000;
const BATCHES: u64 = 60;
/// As a small production server has it; the rest of the memory is the system's cache.
const LIST_SETTINGS: &str = "-c fsync=off -c shared_buffers=2GB -c max_wal_size=8GB";
const APPEND_SETTINGS: &str = "-c fsync=on -c synchronous_commit=on -c shared_buffers=512MB";

fn main() -> anyhow::Result<()> {
    let rows = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(ROWS_DEFAULT);
    ensure!(rows >= 200_000, "with fewer than 200000 rows some filters find less than a page");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        append().await?;
        list(rows).await
    })
}

/// One filter, and how many rows its first page and its page in the middle have for the largest tenant.
struct Case {
    name: &'static str,
    filter: TraceFilter,
    first: usize,
    middle: usize,
}

async fn list(rows: u64) -> anyhow::Result<()> {
    let server = Server::start_with(LIST_SETTINGS).await?;
    let url = server.database().await?;
    let today = Utc::now().date_naive();
    let first_day = today - Days::new(DAYS.into());
    let start = Instant::now();
    let filled = fill_traces(&url, rows, first_day, DAYS).await?;
    say(&format!("{rows} traces of {DAYS} days, made in {} s; pages of {PAGE}", start.elapsed().as_secs()))?;
    say(&format!("{:34} {:>10} {:>8} {:>10} {:>8}  ms", "filter", "first p50", "max", "middle p50", "max"))?;
    let store = Store::connect(&url, Role::Api, 1).await?;
    // Later than the row that is there once.
    let middle = (first_day + Days::new(u64::from(DAYS) / 2 + 2)).and_time(NaiveTime::MIN).and_utc();
    let middle = TraceCursor { at: middle, id: TraceId::from_uuid(Uuid::max()) };
    let largest = *filled.tenants.first().context("tenants were made")?;
    for case in cases(&filled) {
        let first = page(&store, largest, &case.filter, case.first).await.context(case.name)?;
        let filter = TraceFilter { after: Some(middle), ..case.filter.clone() };
        let middle = page(&store, largest, &filter, case.middle).await.context(case.name)?;
        print_case(case.name, first, middle)?;
    }
    let smallest = *filled.tenants.last().context("tenants were made")?;
    let all = TraceFilter { limit: PAGE, ..TraceFilter::default() };
    let first = page(&store, smallest, &all, PAGE as usize).await?;
    let filter = TraceFilter { after: Some(middle), ..all };
    print_case("none, smallest tenant", first, page(&store, smallest, &filter, PAGE as usize).await?)
}

fn cases(filled: &Filled) -> Vec<Case> {
    let page = PAGE as usize;
    let [common, other, once, never] = filled.agents;
    let filter = |agent: Option<AgentId>, outcome, detector: Option<&str>, model: Option<&str>| TraceFilter {
        agent,
        outcome,
        detector: detector.map(str::to_owned),
        model: model.map(str::to_owned),
        limit: PAGE,
        ..TraceFilter::default()
    };
    let case = |name, filter, rows| Case { name, filter, first: rows, middle: rows };
    let (blocked, cut) = (Some(Outcome::Blocked), Some(Outcome::Cut));
    let (email, card) = (Some("EMAIL_ADDRESS"), Some("CREDIT_CARD"));
    vec![
        case("none", filter(None, None, None, None), page),
        case("agent", filter(Some(common), None, None, None), page),
        case("agent, one row", filter(Some(once), None, None, None), 1),
        case("agent, no row", filter(Some(never), None, None, None), 0),
        case("outcome allowed", filter(None, Some(Outcome::Allowed), None, None), page),
        case("outcome blocked", filter(None, blocked, None, None), page),
        case("outcome, one row", filter(None, cut, None, None), 1),
        case("detector", filter(None, None, email, None), page),
        case("detector, one row", filter(None, None, Some("RARE"), None), 1),
        case("detector, no row", filter(None, None, Some("NONE"), None), 0),
        case("model", filter(None, None, None, Some("model-0")), page),
        case("model, one row", filter(None, None, None, Some("model-rare")), 1),
        case("model, no row", filter(None, None, None, Some("none")), 0),
        case("agent and outcome", filter(Some(common), blocked, None, None), page),
        case("agent and outcome, no row", filter(Some(common), cut, None, None), 0),
        case("agent and model", filter(Some(common), None, None, Some("model-2")), page),
        case("agent and model, never together", filter(Some(other), None, None, Some("model-2")), 0),
        case("agent and detector", filter(Some(common), None, email, None), page),
        case("model and outcome", filter(None, blocked, None, Some("model-0")), page),
        case("model and detector", filter(None, None, email, Some("model-0")), page),
        case("outcome and detector", filter(None, blocked, card, None), page),
        case("outcome and detector, no row", filter(None, blocked, email, None), 0),
        case("all four", filter(Some(common), blocked, card, Some("model-0")), page),
    ]
}

/// Reads a page again and again, each time in a transaction of its own, and returns the median and the longest time.
async fn page(
    store: &Store,
    tenant: TenantId,
    filter: &TraceFilter,
    rows: usize,
) -> anyhow::Result<(Duration, Duration)> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        let page = store.tenant(tenant).await?.traces(filter).await?;
        times.push(start.elapsed());
        ensure!(page.traces.len() == rows, "{} rows instead of {rows}", page.traces.len());
    }
    times.sort_unstable();
    let median = times.get(RUNS / 2).copied().unwrap_or_default();
    Ok((median, times.last().copied().unwrap_or_default()))
}

async fn append() -> anyhow::Result<()> {
    let server = Server::start_with(APPEND_SETTINGS).await?;
    let url = server.database().await?;
    let store = Store::connect(&url, Role::Writer, 1).await?;
    let tenants: Vec<TenantId> = (0..20).map(|n| TenantId::from_uuid(Uuid::from_u128(n))).collect();
    for with_bodies in [false, true] {
        let mut times = Vec::new();
        for _ in 0..BATCHES {
            let batch: Vec<TraceRecord> = (0..BATCH_ROWS)
                .map(|n| sample::trace(&tenants, n, with_bodies))
                .collect::<anyhow::Result<_>>()?;
            let start = Instant::now();
            writer::insert_traces(&store, &batch).await?;
            times.push(start.elapsed());
            if times.len() == 1 {
                // Sent again it changes nothing; the count below would tell.
                writer::insert_traces(&store, &batch).await?;
            }
        }
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let what = if with_bodies { "with 2 KB of bodies" } else { "without bodies" };
        say(&format!(
            "shipper rows/s: {:.0} on one connection, {what}: {:.1} ms for {BATCH_ROWS} rows",
            BATCH_ROWS as f64 / median.as_secs_f64(),
            milliseconds(median)
        ))?;
    }
    let stored = sample::stored(&url, &tenants).await?;
    ensure!(stored == 2 * BATCHES * BATCH_ROWS, "{stored} rows were stored");
    Ok(())
}

fn print_case(
    name: &str,
    (first, first_max): (Duration, Duration),
    (middle, middle_max): (Duration, Duration),
) -> anyhow::Result<()> {
    let [first, first_max, middle, middle_max] = [first, first_max, middle, middle_max].map(milliseconds);
    say(&format!("{name:34} {first:>10.1} {first_max:>8.1} {middle:>10.1} {middle_max:>8.1}"))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
