//! How fast three nodes admit requests under one hot budget, and how much of the database that takes.
//!
//! `cargo bench -p bulkhead-benches --bench leases`. Each node is what a proxy has of it: a ledger, a lessee that asks a real
//! PostgreSQL, and reports of what was settled; requests are a reservation and a settlement. Whatever happens, the sum that was
//! spent is checked against the limit.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bulkhead_policy::ids::{BudgetId, TenantId};
use bulkhead_policy::ledger::{
    Amount, AtLimit, BudgetScope, BudgetSpec, BudgetUnit, Holder, Ledger, LedgerBook, LedgerKey, Lessee,
    Reservation, Subject, WhenUnreachable, Window, merge,
};
use bulkhead_store::testing::Server;
use bulkhead_store::writer::{Shipment, Shipped, Spent, SpoolPlace, lease, ship};
use bulkhead_store::{Role, Store};
use chrono::{DateTime, Utc};
use uuid::Uuid;

const NODES: u64 = 3;
const FOR: Duration = Duration::from_secs(5);
const REPORT_EVERY: Duration = Duration::from_millis(50);
const RESERVED: u64 = 100;
const SPENT: u64 = 60;

/// What a node did.
#[derive(Default)]
struct Done {
    admitted: AtomicU64,
    /// Times that what the node held was not enough.
    waited: AtomicU64,
    rounds: AtomicU64,
    reports: AtomicU64,
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for (what, limit) in [("never used up", 1 << 50), ("used up within the run", 200_000_000)] {
        runtime.block_on(run(what, limit))?;
    }
    Ok(())
}

async fn run(what: &str, limit: u64) -> anyhow::Result<()> {
    let server = Server::start_with("-c fsync=on -c synchronous_commit=on").await?;
    let url = server.database().await?;
    let now = Utc::now();
    let spec = BudgetSpec {
        id: BudgetId::new("hot"),
        scope: BudgetScope::Tenant,
        unit: BudgetUnit::Tokens,
        limit,
        window: Window::Total,
        time_zone: "UTC".parse()?,
        models: Vec::new(),
        at_limit: AtLimit::Refuse,
        when_unreachable: WhenUnreachable::Refuse,
        alert_at: Vec::new(),
    };
    let key = LedgerKey { tenant: TenantId::fresh(now), budget: spec.id.clone(), subject: Subject::Tenant };
    let done = Arc::new(Done::default());
    let mut nodes = Vec::new();
    for number in 0..NODES {
        let (book, lessee) = LedgerBook::leased();
        let book = Arc::new(book);
        let ledger = book.open(key.clone(), &spec, now);
        let store = Store::connect(&url, Role::Writer, 2).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let holder = Holder { spool: Uuid::from_u128(u128::from(number) + 1), term: 1 };
        let node = Node { book, store, holder, done: Arc::clone(&done), stop: Arc::clone(&stop) };
        let requests = {
            let (book, done) = (Arc::clone(&node.book), Arc::clone(&done));
            std::thread::spawn(move || request(&ledger, &book, &done))
        };
        nodes.push((tokio::runtime::Handle::current().spawn(node.run(lessee)), requests, stop));
    }
    for (background, requests, stop) in nodes {
        tokio::task::spawn_blocking(move || requests.join())
            .await?
            .map_err(|_| anyhow::anyhow!("a node broke"))?;
        stop.store(true, Ordering::Release);
        background.await??;
    }
    let [admitted, waited, rounds, reports] = [&done.admitted, &done.waited, &done.rounds, &done.reports]
        .map(|count| count.load(Ordering::Acquire));
    ensure!(admitted * SPENT <= limit, "{} spent of {limit}", admitted * SPENT);
    let per_second = |count: u64| count / FOR.as_secs();
    let percent = admitted * SPENT * 100 / limit;
    writeln!(
        std::io::stdout(),
        "{NODES} nodes, a budget that is {what}: {} requests/s admitted, {waited} waits of a millisecond, {} rounds/s and {} reports/s \
         with the database, {percent} % spent",
        per_second(admitted),
        per_second(rounds),
        per_second(reports),
    )?;
    Ok(())
}

/// One core's worth of requests.
fn request(ledger: &Arc<Ledger>, book: &LedgerBook, done: &Done) {
    let amount = |tokens| Amount { tokens, ..Amount::default() };
    let ledgers = [Arc::clone(ledger)];
    let begun = Instant::now();
    let mut now = DateTime::<Utc>::from(std::time::SystemTime::now());
    let mut charged = Vec::new();
    while begun.elapsed() < FOR {
        match Reservation::take(&ledgers, amount(RESERVED), now) {
            Ok(reservation) => {
                charged.extend(reservation.settle(amount(SPENT)).deltas);
                done.admitted.fetch_add(1, Ordering::Relaxed);
                if charged.len() == 1_000 {
                    book.owe(merge(charged.drain(..)));
                }
            }
            Err(_) => {
                now = Utc::now();
                done.waited.fetch_add(1, Ordering::Relaxed);
                let _waiting = ledger.wait_for(amount(RESERVED), now, now);
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }
    book.owe(merge(charged));
}

/// What runs beside a node's requests.
struct Node {
    book: Arc<LedgerBook>,
    store: Store,
    holder: Holder,
    done: Arc<Done>,
    stop: Arc<AtomicBool>,
}

impl Node {
    async fn run(self, mut lessee: Lessee) -> anyhow::Result<()> {
        let mut position = 0;
        let mut reported = Instant::now();
        loop {
            let is_last = self.stop.load(Ordering::Acquire);
            self.ask(&mut lessee).await?;
            if is_last || reported.elapsed() > REPORT_EVERY {
                reported = Instant::now();
                self.report(&mut position).await?;
            }
            if is_last {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn ask(&self, lessee: &mut Lessee) -> anyhow::Result<()> {
        let asks = lessee.asks(Utc::now());
        if asks.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = asks.iter().map(|pending| pending.ask.clone()).collect();
        let answers = lease(&self.store, self.holder, &asked).await?;
        for (pending, answer) in asks.iter().zip(answers) {
            if let Some(answer) = answer {
                pending.answered(&answer, Utc::now());
            }
        }
        self.done.rounds.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn report(&self, position: &mut u64) -> anyhow::Result<()> {
        let charges: Vec<_> =
            self.book.take_owed().into_iter().map(|delta| Spent { delta, trace: None, term: None }).collect();
        let place = SpoolPlace { spool: self.holder.spool, segment: 1, from: *position, to: *position + 1 };
        *position += 1;
        let shipped =
            ship(&self.store, &Shipment { place, traces: &[], placed: &[], charges: &charges }).await?;
        ensure!(matches!(shipped, Shipped::Stored(_)), "each report is new");
        self.done.reports.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
