//! `bulkhead dev`: everything on one machine, for trying it and for tests.
//!
//! A private PostgreSQL, a demo tenant with key and policy, a built-in demo model, proxy and metrics. All of it lives in
//! the data dir; started again there, after whatever end, it goes on with the same tenant and key.

mod beside;
mod paste;
mod tenant;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bulkhead_policy::address::Reach;
use bulkhead_policy::api_key::ApiKey;
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::document::PolicyDocument;
use bulkhead_policy::snapshot::Refusal;
use bulkhead_proxy::Addresses;
use bulkhead_store::tenant::Actor;
use chrono::Utc;
use clap::Args;
use ring::rand::SecureRandom as _;
use tokio::time::Instant;

use crate::config::{self, KeepDays, default_node_name};
use crate::context::block_on;
use crate::demo_model::DemoModel;
use crate::dev_state::{DATA_DIR_DEFAULT, DataDir, DevState, SPOOL};
use crate::failure::Failure;
use crate::logs::{self, LogFormat};
use crate::master_key::{SealingKeyArgs, read_master_key};
use crate::node::{Node, NodeSettings};
use crate::output::{Format, print, print_json};
use crate::policy_file;
use crate::postgres::{Postgres, StartError};
use crate::signals::StopSignal;

/// Who stops a demo does not want to wait for its streams for long.
const DRAIN: Duration = Duration::from_secs(10);
const WATCH_EVERY: Duration = Duration::from_millis(500);
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Who makes what a demo needs, for the audit trail.
const ACTOR: &str = "bulkhead dev";
const DEMO_POLICY: &str = include_str!("../../demo-policy.yaml");

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// One base URL for all dialects, instead of the built-in demo model; plain http and loopback are allowed here
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The demo tenant's policy, instead of the built-in one; where it names no upstreams and routes, dev adds its own
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where agents connect; port 0: the system chooses
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where metrics and probes are; port 0: the system chooses
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDR")]
    metrics_listen: SocketAddr,
    #[command(flatten)]
    sealing: SealingKeyArgs,
    /// Worker threads of the proxy; one per core if left out
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroU16>,
    /// Run one more node beside the `bulkhead dev` whose data dir this is: the same database, tenant and key
    #[arg(long, value_name = "DIR", conflicts_with_all = ["upstream", "policy"])]
    beside: Option<PathBuf>,
    /// Where everything is kept; a node beside another needs one of its own
    #[arg(long, default_value = DATA_DIR_DEFAULT, value_name = "DIR")]
    data_dir: PathBuf,
}

pub(crate) fn run(args: &DevArgs, format: Format) -> Result<(), Failure> {
    logs::install(
        LogFormat::Text,
        if format == Format::Machines { "info,sqlx=warn" } else { "warn,sqlx=error" },
    )?;
    if let Some(first) = &args.beside {
        return beside::run(args, &DataDir::new(first), format);
    }
    // Before anything is created: a mistake in the policy or the URL changes nothing.
    let document = source_document(args)?;
    let proxy = proxy_config(args)?;
    let stop = StopSignal::install()?;
    let data_dir = DataDir::new(&args.data_dir);
    data_dir.create()?;
    let _lock = data_dir.lock()?;
    let previous = data_dir.state()?;
    let master_key = args.sealing.over(master_key(&data_dir)?)?;

    say(format, "starting PostgreSQL");
    let postgres = Postgres::start(data_dir.path()).map_err(start_failure)?;
    let result = if stop.is_set() {
        Ok(())
    } else {
        with_database(
            Plan { args, proxy, document, previous, master_key },
            format,
            &stop,
            &data_dir,
            &postgres,
        )
    };
    say(format, "stopping PostgreSQL");
    postgres.stop()?;
    result
}

/// What is known before PostgreSQL runs.
struct Plan<'a> {
    args: &'a DevArgs,
    proxy: bulkhead_proxy::Config,
    document: PolicyDocument,
    previous: Option<DevState>,
    master_key: MasterKey,
}

fn with_database(
    plan: Plan<'_>,
    format: Format,
    stop: &StopSignal,
    data_dir: &DataDir,
    postgres: &Postgres,
) -> Result<(), Failure> {
    let Plan { args, proxy, document, previous, master_key } = plan;
    let database_url = postgres.url();
    say(format, "preparing the database and the demo tenant");
    block_on(async { Ok(bulkhead_store::migrate(&database_url, &Actor::new(ACTOR)).await?) })?;

    let wanted = previous.as_ref().and_then(|state| state.demo_model);
    let model = if args.upstream.is_none() { Some(DemoModel::start(wanted)?) } else { None };
    let upstream_url = match (&args.upstream, &model) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, Some(model)) => model.url(),
        (None, None) => String::new(),
    };
    let demo = block_on(tenant::set_up(tenant::Wanted {
        database_url: &database_url,
        master_key: &master_key,
        previous: previous.as_ref(),
        document,
        upstream_url: &upstream_url,
    }))?;
    if stop.is_set() {
        return Ok(());
    }

    let node = Node::start(NodeSettings {
        proxy,
        sync_url: database_url.clone(),
        writer_url: database_url.clone(),
        retention_url: database_url.clone(),
        databases: config::databases_from_environment()?,
        keep: KeepDays::default(),
        master_key,
        snapshot_file: Some(data_dir.file("snapshot")),
        spool_folder: data_dir.file(SPOOL),
        name: default_node_name(args.listen),
    })?;
    let Addresses { proxy, metrics } = node.addresses();
    let state = DevState {
        proxy_url: format!("http://{proxy}"),
        metrics_url: format!("http://{metrics}"),
        database_url,
        tenant: demo.tenant,
        agent: demo.agent,
        api_key: demo.api_key,
        demo_model: model.as_ref().map(DemoModel::address).or(wanted),
        upstream_url: Some(upstream_url),
        policy_sha256: Some(demo.policy_sha256),
    };
    data_dir.save(&state)?;
    if node.wait_for(until_ready(&node, &state.api_key, stop))? {
        match format {
            Format::Machines => print_json(&state.announcement())?,
            Format::People => print(&paste::text(&state, data_dir.path(), model.is_some()))?,
        }
    }
    while_watching(postgres, || node.serve(stop))
}

/// Runs `work` and meanwhile starts PostgreSQL again whenever it has died.
fn while_watching<T>(postgres: &Postgres, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                std::thread::park_timeout(WATCH_EVERY);
                if done.load(Ordering::Acquire) {
                    return;
                }
                match postgres.revive() {
                    Ok(false) => {}
                    Ok(true) => tracing::warn!("PostgreSQL had died and was started again"),
                    Err(error) => tracing::warn!(%error, "PostgreSQL has died and does not start"),
                }
            }
        });
        let result = work();
        done.store(true, Ordering::Release);
        watch.thread().unpark();
        result
    })
}

/// Waits until the demo tenant's key opens the door; false if a signal came first.
async fn until_ready(node: &Node, api_key: &str, stop: &StopSignal) -> Result<bool, Failure> {
    let key = ApiKey::parse(api_key)?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let refusal = match node.snapshot().load() {
            None => "no policies arrived from the database".to_owned(),
            Some(snapshot) => match snapshot.resolve(&key, Utc::now()) {
                Ok(_) => return Ok(true),
                Err(unresolved) if unresolved.refusal == Refusal::NoPolicy => {
                    "the policy in force is not valid: see `bulkhead policy status`".to_owned()
                }
                Err(unresolved) => unresolved.to_string(),
            },
        };
        if Instant::now() >= deadline {
            return Err(Failure::failed(format!("not ready after {} s: {refusal}", READY_WITHIN.as_secs())));
        }
        tokio::select! {
            () = stop.wait() => return Ok(false),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
}

fn source_document(args: &DevArgs) -> Result<PolicyDocument, Failure> {
    let document = match &args.policy {
        Some(path) => policy_file::read(path, &Reach::Anywhere)?,
        None => policy_file::parse(DEMO_POLICY, &Reach::Anywhere, "the demo policy")?,
    };
    // Completed and read again, a wrong --upstream is found by the policy's own rules for addresses.
    if let Some(url) = &args.upstream {
        let completed = policy_file::complete_for_dev(PolicyDocument::default(), url.trim_end_matches('/'));
        policy_file::parse(&completed.to_json(), &Reach::Anywhere, &format!("--upstream {url:?}"))?;
    }
    Ok(document)
}

/// The flags over the environment over the defaults.
fn proxy_config(args: &DevArgs) -> Result<bulkhead_proxy::Config, Failure> {
    let mut config = config::proxy_from_environment()?;
    config.listen = args.listen;
    config.metrics_listen = args.metrics_listen;
    config.upstreams = Reach::Anywhere;
    config.threads = args.threads.map_or(config.threads, |threads| usize::from(threads.get()));
    config.timeouts.drain = config.timeouts.drain.min(DRAIN);
    Ok(config)
}

/// The data dir's key; the first time makes one.
fn master_key(data_dir: &DataDir) -> Result<MasterKey, Failure> {
    if !data_dir.master_key().exists() {
        let mut bytes = [0; 32];
        ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| Failure::failed("no random numbers"))?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        data_dir.write_secret("master.key", &format!("{text}\n"))?;
    }
    read_master_key(&data_dir.master_key())
}

/// A missing program is for the caller to install; everything else failed.
fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::NotInstalled => Failure::Usage(error.to_string()),
        other => Failure::from(other).context("PostgreSQL"),
    }
}

/// Progress for people, on standard error.
fn say(format: Format, what: &str) {
    match format {
        Format::People => eprintln!("bulkhead dev: {what}"),
        Format::Machines => tracing::info!("{what}"),
    }
}
