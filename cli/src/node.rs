//! One node: the data plane, and beside it, on a runtime of their own, what feeds it policies and carries its traces away.
//!
//! Stopping goes in the order of dependence: the data plane drains, then its traces and spend are shipped, then its shares of
//! budgets are given back and the policy feed ends.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_policy::compile::CompileOptions;
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::{DatabaseName, Revision, TenantId};
use bulkhead_policy::ledger::LedgerBook;
use bulkhead_policy::snapshot::{Snapshot, SnapshotHandle, Tenant};
use bulkhead_policy_sync::{Observer, PolicySync, SyncConfig};
use bulkhead_proxy::{Addresses, Metrics, Parts, Placements, Service, Shipper};
use bulkhead_store::writer::{ensure_partitions, forget_old_usage};
use bulkhead_store::{Role, Store};
use chrono::Utc;
use tokio::sync::watch;

use crate::config::{Databases, KeepDays};
use crate::failure::Failure;
use crate::retention::Retention;
use crate::signals::StopSignal;
use crate::tasks::Tasks;

const WRITER_CONNECTIONS_MAX: u32 = 4;
const BACKGROUND_THREADS: usize = 2;
const PARTITIONS_EVERY: Duration = Duration::from_secs(6 * 3600);
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// What a node is made of.
pub(crate) struct NodeSettings {
    pub(crate) proxy: bulkhead_proxy::Config,
    pub(crate) sync_url: String,
    pub(crate) writer_url: String,
    pub(crate) retention_url: String,
    /// Those that tenants may be placed in.
    pub(crate) databases: Databases,
    /// What nobody's traces outlast.
    pub(crate) keep: KeepDays,
    pub(crate) master_key: MasterKey,
    pub(crate) snapshot_file: Option<PathBuf>,
    /// Where traces wait for the database.
    pub(crate) spool_folder: PathBuf,
    pub(crate) name: String,
}

/// A node whose listeners are bound and whose background work runs; requests are answered once [`Node::serve`] runs.
pub(crate) struct Node {
    runtime: tokio::runtime::Runtime,
    service: Service,
    snapshot: SnapshotHandle,
    shipper: tokio::task::JoinHandle<()>,
    feed: tokio::task::JoinHandle<()>,
    partitions: tokio::task::JoinHandle<()>,
    retention: tokio::task::JoinHandle<()>,
    leaser: tokio::task::JoinHandle<()>,
    rates: tokio::task::JoinHandle<()>,
    /// Hears of those that end too early.
    tasks: Tasks,
    /// Ends what runs until nothing is admitted any more.
    stop: watch::Sender<bool>,
}

impl Node {
    /// Binds the listeners and starts what runs beside the data plane. The database may be away.
    pub(crate) fn start(settings: NodeSettings) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(BACKGROUND_THREADS)
            .thread_name("bulkhead-background")
            .enable_all()
            .build()?;
        let metrics = Arc::new(Metrics::new()?);
        let (ledgers, lessee) = LedgerBook::leased();
        let ledgers = Arc::new(ledgers);
        let snapshot = SnapshotHandle::default();
        let (traces, spool) = bulkhead_proxy::open_spool(
            &settings.spool_folder,
            settings.proxy.spool,
            settings.master_key.spool_keys(),
            Arc::clone(&ledgers),
            Arc::clone(&metrics),
        )?;
        let (writer, placed, retention) = {
            let _entered = runtime.enter();
            (
                Store::lazy(&settings.writer_url, Role::Writer, WRITER_CONNECTIONS_MAX)?,
                settings.databases.stores(Role::Writer, WRITER_CONNECTIONS_MAX)?,
                Retention {
                    store: Store::lazy(&settings.retention_url, Role::Retention, 1)?,
                    placed: settings.databases.stores(Role::Retention, 1)?,
                    snapshot: snapshot.clone(),
                    metrics: Arc::clone(&metrics),
                    keep: settings.keep,
                },
            )
        };
        let holder = spool.holder();
        let (leases, leaser) = bulkhead_proxy::leases(writer.clone(), holder, lessee, Arc::clone(&metrics));
        let parts = Parts { snapshot: snapshot.clone(), traces, leases, metrics: Arc::clone(&metrics) };
        let upstreams = settings.proxy.upstreams.clone();
        let service = Service::bind(settings.proxy, parts)?;

        let placements = Placements::new(snapshot.clone(), writer.clone(), placed.clone());
        let shipper = Shipper::new(writer.clone(), spool, Arc::clone(&ledgers), placements);
        let (stop, stopped) = watch::channel(false);
        let sync = {
            let _entered = runtime.enter();
            PolicySync::new(
                SyncConfig {
                    node: settings.name,
                    poll: SyncConfig::POLL_DEFAULT,
                    snapshot_file: settings.snapshot_file,
                    compile: CompileOptions { upstreams, ..CompileOptions::default() },
                },
                &settings.sync_url,
                &settings.master_key,
                snapshot.clone(),
                ledgers,
                Arc::new(FeedMetrics(Arc::clone(&metrics))),
            )?
        };
        let (tasks, on) = (Tasks::new(), runtime.handle().clone());
        let rates = bulkhead_proxy::share_rates(writer.clone(), holder.spool, sync.nodes(), metrics);
        let partitions = keep_partitions(writer, placed, snapshot.clone());
        Ok(Self {
            service,
            snapshot,
            rates: tasks.start(&on, "sharing of rates", rates),
            leaser: tasks.start(&on, "leases of budgets", leaser.run(stopped.clone())),
            feed: tasks.start(&on, "policy feed", sync.run(stopped)),
            shipper: tasks.start(&on, "shipper of traces", shipper.run()),
            partitions: tasks.start(&on, "partitions of traces", partitions),
            retention: tasks.start(&on, "retention of traces", retention.run()),
            tasks,
            stop,
            runtime,
        })
    }

    /// Where the listeners are.
    pub(crate) fn addresses(&self) -> Addresses {
        self.service.addresses()
    }

    /// The policies in force.
    pub(crate) fn snapshot(&self) -> &SnapshotHandle {
        &self.snapshot
    }

    /// Runs something on the background runtime and waits for it.
    pub(crate) fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Serves until the signal, then drains, ships what is left and returns. The end of a task that should have gone on is like
    /// a signal, and an error: whoever started this node starts it again.
    pub(crate) fn serve(self, stop: &StopSignal) -> Result<(), Failure> {
        let (end, ended) = watch::channel(false);
        let (stop, mut tasks) = (stop.clone(), self.tasks);
        let watch = self.runtime.spawn(async move {
            let ended_early = tokio::select! {
                () = stop.wait() => None,
                task = tasks.first_ended() => Some(task),
            };
            if let Some(task) = ended_early {
                tracing::error!(task, "ended on its own; this node drains and ends");
            }
            end.send_replace(true);
            ended_early
        });
        let served = self.service.run(ended);
        self.partitions.abort();
        self.rates.abort();
        self.retention.abort();
        // The data plane is gone and with it every sender of traces: the shipper ends when the spool is empty.
        let shipped = self.runtime.block_on(self.shipper);
        self.stop.send_replace(true);
        let gave_back = self.runtime.block_on(self.leaser);
        let fed = self.runtime.block_on(self.feed);
        watch.abort();
        let ended_early = self.runtime.block_on(watch).ok().flatten();
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        if let Some(task) = ended_early {
            return Err(Failure::failed(format!("the {task} ended on its own; the log says why")));
        }
        served?;
        shipped?;
        gave_back?;
        fed?;
        Ok(())
    }
}

/// What the policy feed tells, as metrics.
struct FeedMetrics(Arc<Metrics>);

impl Observer for FeedMetrics {
    fn connected(&self, up: bool) {
        self.0.policy.connected.set(i64::from(up));
        if up {
            self.0.policy.from_file.set(0);
        }
    }

    fn told(&self, yes: bool) {
        self.0.policy.notified.set(i64::from(yes));
    }

    fn published(&self, snapshot: &Snapshot) {
        let newest = snapshot.tenants().map(|tenant| tenant.revision().get()).max().unwrap_or(0);
        self.0.policy.revision.set(i64::try_from(newest).unwrap_or(i64::MAX));
    }

    fn applied(&self, _: TenantId, _: Revision, propagation: Duration) {
        self.0.policy.propagation_seconds.observe(propagation.as_secs_f64());
    }

    fn compiling(&self, tenants: usize) {
        self.0.policy.compiling.set(i64::try_from(tenants).unwrap_or(i64::MAX));
    }

    fn rejected(&self, _: Option<TenantId>, _: Revision, _: &str) {
        self.0.policy.rejected.inc();
    }

    fn started_from_file(&self, _: Duration) {
        self.0.policy.from_file.set(1);
    }

    fn snapshot_file_refused(&self, _: &str) {
        self.0.policy.file_refused.inc();
    }
}

/// Makes the partitions for the days to come, in every database that a tenant is placed in, and forgets what counts towards
/// nothing any more, for as long as it is not aborted.
async fn keep_partitions(writer: Store, placed: HashMap<DatabaseName, Store>, snapshot: SnapshotHandle) {
    loop {
        // Without policies nobody knows yet which databases are in use.
        let mut pause = if snapshot.load().is_some() { PARTITIONS_EVERY } else { RETRY_AFTER };
        for store in [&writer].into_iter().chain(in_use(&placed, &snapshot)) {
            if let Err(error) = ensure_partitions(store, Utc::now().date_naive()).await {
                tracing::error!(%error, "partitions for traces could not be made or checked");
                pause = RETRY_AFTER;
            }
        }
        if let Err(error) = forget_old_usage(&writer).await {
            tracing::warn!(%error, "old budget usage could not be removed");
        }
        tokio::time::sleep(pause).await;
    }
}

/// The databases that a tenant is placed in, of those that are known.
pub(crate) fn in_use<'a>(
    placed: &'a HashMap<DatabaseName, Store>,
    snapshot: &SnapshotHandle,
) -> Vec<&'a Store> {
    let Some(snapshot) = snapshot.load() else { return Vec::new() };
    let names: BTreeSet<_> = snapshot.tenants().map(Tenant::placement).collect();
    names.into_iter().filter_map(|name| placed.get(name)).collect()
}
