//! How fast a node's backlog reaches PostgreSQL: traces of tenants that share a database, and of tenants that are placed in another
//! one, whose records are written to the disk twice on their way.
//!
//! Both databases are on one server, which syncs as in production, so what differs is the node's second spool. The spool is in
//! `TMPDIR` or the system's: name one on the disk that counts.

mod sample;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bulkhead_policy::compile::CompileOptions;
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::{DatabaseName, TenantId};
use bulkhead_policy::ledger::LedgerBook;
use bulkhead_policy::snapshot::{Builder, SnapshotHandle};
use bulkhead_proxy::{Metrics, Placements, Shipper, SpoolLimits, SpooledTrace, open_spool};
use bulkhead_spool::{Folder, Origin, Owner, Record, Settings};
use bulkhead_store::placement::{admit_tenant, claim_database, place_tenant};
use bulkhead_store::system::{create_tenant, load_snapshot};
use bulkhead_store::testing::Server;
use bulkhead_store::{Actor, Role, Store};
use chrono::Utc;

const TRACES: u64 = 40_000;
const TENANTS: usize = 8;
const SERVER_SETTINGS: &str = "-c fsync=on -c synchronous_commit=on -c shared_buffers=512MB";
/// What the spool calls a record without sealed bodies.
const CLEAR: u8 = 1;
const MASTER_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        say(&format!("{TRACES} traces of {TENANTS} tenants from the spool{:>12}{:>12}", "rows/s", "s/GiB"))?;
        for with_bodies in [false, true] {
            let bodies = if with_bodies { "with 2 KB of bodies" } else { "without bodies" };
            for (name, placed) in [("shared", 0), ("half of them placed", TENANTS / 2), ("placed", TENANTS)] {
                let Shipped { took, bytes } = ship(placed, with_bodies).await?;
                let seconds = took.as_secs_f64();
                say(&format!(
                    "{:<44}{:>12.0}{:>12.1}",
                    format!("{name}, {bodies}"),
                    TRACES as f64 / seconds,
                    seconds * (1_u64 << 30) as f64 / bytes as f64
                ))?;
            }
        }
        Ok(())
    })
}

struct Shipped {
    took: Duration,
    /// Of the node's spool.
    bytes: u64,
}

/// Carries away what a node left whose last `placed` tenants are in a database of their own.
async fn ship(placed: usize, with_bodies: bool) -> anyhow::Result<Shipped> {
    let server = Server::start_with(SERVER_SETTINGS).await?;
    let (shared_url, placed_url) = (server.database().await?, server.database().await?);
    let name: DatabaseName = "own".parse()?;
    let tenants = tenants(&shared_url, &placed_url, &name, placed).await?;
    let folder = Place::new()?;
    let bytes = leave_behind(&folder.0, &tenants, with_bodies)?;

    let master_key = MasterKey::parse(MASTER_KEY)?;
    let snapshot = SnapshotHandle::default();
    let builder = Builder::new(&master_key, Arc::default(), CompileOptions::default())?;
    let raw = load_snapshot(&Store::connect(&shared_url, Role::Sync, 1).await?).await?;
    snapshot.publish(Arc::new(builder.build(&raw, None, Utc::now()).snapshot));
    let (ledgers, metrics) = (Arc::new(LedgerBook::default()), Arc::new(Metrics::new()?));
    let limits = SpoolLimits { quota_bytes: 8 << 30, tenant_percent: 100 };
    let (sender, source) =
        open_spool(&folder.0, limits, master_key.spool_keys(), Arc::clone(&ledgers), metrics)?;
    let writer = Store::connect(&shared_url, Role::Writer, 2).await?;
    let own = HashMap::from([(name, Store::connect(&placed_url, Role::Writer, 2).await?)]);
    let shipper = Shipper::new(writer.clone(), source, ledgers, Placements::new(snapshot, writer, own));
    // Nothing comes any more: the shipper ends when all is where it belongs.
    drop(sender);
    let started = Instant::now();
    shipper.run().await;
    let took = started.elapsed();

    let (here, there) = tenants.split_at(TENANTS - placed);
    let found = [
        sample::stored(&shared_url, here).await? + sample::stored(&placed_url, there).await?,
        sample::stored(&shared_url, there).await? + sample::stored(&placed_url, here).await?,
    ];
    ensure!(found == [TRACES, 0], "{found:?} traces are where they belong and elsewhere");
    Ok(Shipped { took, bytes })
}

async fn tenants(
    shared_url: &str,
    placed_url: &str,
    name: &DatabaseName,
    placed: usize,
) -> anyhow::Result<Vec<TenantId>> {
    let actor = Actor::new("bench");
    let shared = Store::connect(shared_url, Role::Migrator, 1).await?;
    let own = Store::connect(placed_url, Role::Migrator, 1).await?;
    claim_database(&own, &actor, name).await?;
    let mut tenants = Vec::new();
    for number in 0..TENANTS {
        let tenant = create_tenant(&shared, &actor, &format!("tenant-{number}")).await?;
        if number >= TENANTS - placed {
            admit_tenant(&own, &actor, &tenant, name).await?;
            place_tenant(&shared, &actor, tenant.id, name).await?;
        }
        tenants.push(tenant.id);
    }
    Ok(tenants)
}

/// Writes a spool as a process leaves it that was killed, and returns its size.
fn leave_behind(folder: &std::path::Path, tenants: &[TenantId], with_bodies: bool) -> anyhow::Result<u64> {
    let origin = Origin { id: [7; 16], segment: 1 };
    let (mut writer, reader) =
        bulkhead_spool::open(Folder::open(folder)?, Settings::from_quota(8 << 30, 100), origin)?;
    for n in 0..TRACES {
        let trace = sample::trace(tenants, n, with_bodies)?;
        let (owner, at) = (Owner(trace.tenant.as_uuid().into_bytes()), trace.at.timestamp_millis());
        let payload = serde_json::to_vec(&SpooledTrace { trace, charges: Vec::new(), term: None })?;
        writer.push(&Record { owner, at_millis: u64::try_from(at)?, kind: CLEAR, payload })?;
        if n % 256 == 255 {
            writer.commit()?;
        }
    }
    writer.commit()?;
    writer.sync()?;
    ensure!(reader.usage().records == TRACES, "all of them wait");
    Ok(reader.usage().waiting_bytes)
}

/// A folder that goes with its bench.
struct Place(PathBuf);

impl Place {
    fn new() -> std::io::Result<Self> {
        let place = std::env::temp_dir().join(format!("bulkhead-bench-shipper-{}", std::process::id()));
        std::fs::create_dir(&place)?;
        Ok(Self(place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
