//! `bulkhead policy`: publish, look back, go back, and see what nodes enforce.

mod apply;
mod remove;
mod status;

use std::path::PathBuf;

use bulkhead_policy::compile::DetectorCache;
use bulkhead_store::tenant::{Layer, TenantTx};
use bulkhead_store::{Role, system};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::check::{KindArgs, check_policies, print_valid};
use super::wait::WaitArgs;
use crate::context::{MasterKeyArgs, TenantArgs, actor, block_on, named};
use crate::data_key;
use crate::failure::Failure;
use crate::output::{Format, Table, moment, or_dash, print, print_list, print_one};
use crate::policy_file;
use crate::policy_in_force::{self, Documents};

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Publish a document and put it in force
    Apply {
        /// YAML or JSON; - for standard input
        file: PathBuf,
        #[command(flatten)]
        layer: LayerArgs,
        /// Needed for a tenant's first policy with `capture: sealed`, which comes with a data key
        #[command(flatten)]
        master_key: MasterKeyArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Print the document in force, or another version
    Show {
        /// This version instead
        #[arg(long, value_name = "N", conflicts_with_all = ["agent", "platform"])]
        version: Option<u64>,
        #[command(flatten)]
        layer: LayerArgs,
    },
    /// List the tenant's versions, newest first
    History {
        /// At most this many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Put an older version in force again
    Rollback {
        /// The version; without it, the one before the version in force
        #[arg(long, value_name = "N")]
        to: Option<u64>,
        /// Go back in this agent's policy
        #[arg(long, value_name = "NAME", conflicts_with = "to")]
        agent: Option<String>,
        #[command(flatten)]
        tenant: TenantArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Take a document out of force: an agent's with --agent, the platform's with --platform, else the tenant's
    ///
    /// Its versions stay: `policy rollback --to N` puts one in force again, of the platform's `policy apply`.
    Remove {
        #[command(flatten)]
        layer: LayerArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Validate files without a database: a tenant's policies, unless told otherwise
    Check {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        kind: KindArgs,
        /// A configuration file of `bulkhead proxy`: its `proxy.private_upstreams` says where upstreams may be
        #[arg(long, env = "BULKHEAD_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Show which revision every node enforces
    Status {
        #[command(flatten)]
        tenant: TenantArgs,
    },
}

/// Which document: the tenant's, an agent's, or the platform's.
#[derive(Debug, Args)]
pub(crate) struct LayerArgs {
    /// The policy that narrows the tenant's for this agent
    #[arg(long, value_name = "NAME", conflicts_with = "platform")]
    agent: Option<String>,
    /// The floor that no tenant can weaken
    #[arg(long)]
    platform: bool,
    #[command(flatten)]
    tenant: TenantArgs,
}

pub(crate) fn run(command: PolicyCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            PolicyCommand::Apply { file, layer, master_key, wait } => {
                apply::run(&file, &layer, &master_key, &wait, format).await
            }
            PolicyCommand::Show { version, layer } => show(version, &layer).await,
            PolicyCommand::History { limit, tenant } => history(limit, &tenant, format).await,
            PolicyCommand::Rollback { to, agent, tenant, wait } => {
                rollback(to, agent.as_deref(), &tenant, &wait, format).await
            }
            PolicyCommand::Remove { layer, wait } => remove::run(&layer, &wait, format).await,
            PolicyCommand::Check { files, kind, config } => {
                check_policies(&files, &kind, config.as_deref())?;
                print_valid(files.iter(), format)
            }
            PolicyCommand::Status { tenant } => status::run(&tenant, format).await,
        }
    })
}

async fn show(version: Option<u64>, layer: &LayerArgs) -> Result<(), Failure> {
    let none = || Failure::failed("no policy is in force there");
    let document = if layer.platform {
        let store = layer.tenant.database.connect(Role::Migrator).await?;
        system::platform_policy(&store).await?.ok_or_else(none)?.document
    } else {
        let mut tx = layer.tenant.begin().await?;
        let version = match version {
            Some(version) => version,
            None => {
                let layer = store_layer(&mut tx, layer.agent.as_deref()).await?;
                tx.active_policy(layer).await?.ok_or_else(none)?
            }
        };
        tx.policy_document(version).await.map_err(|error| named(error, &version.to_string()))?
    };
    let value: Value = serde_json::from_str(&document)?;
    print(&format!("{}\n", serde_json::to_string_pretty(&value)?))
}

async fn history(limit: u32, tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let mut tx = tenant.begin().await?;
    let agents = tx.agents().await?;
    let policies = tx.policies(limit).await?;
    let layer_name = |layer| match layer {
        Layer::Tenant => None,
        Layer::Agent(id) => Some(
            agents
                .iter()
                .find(|agent| agent.id == id)
                .map_or_else(|| id.to_string(), |agent| agent.name.clone()),
        ),
    };
    let mut table = Table::new(&["VERSION", "AGENT", "IN FORCE", "AUTHOR", "PUBLISHED"]);
    for policy in &policies {
        table.row([
            policy.version.to_string(),
            or_dash(layer_name(policy.layer)),
            if policy.active { "yes" } else { "" }.to_owned(),
            policy.author.clone(),
            moment(policy.created_at),
        ]);
    }
    let values: Vec<Value> = policies
        .iter()
        .map(|policy| {
            json!({
                "version": policy.version, "agent": layer_name(policy.layer), "active": policy.active,
                "author": policy.author, "created_at": policy.created_at,
            })
        })
        .collect();
    print_list(format, &table, &values)
}

async fn rollback(
    to: Option<u64>,
    agent: Option<&str>,
    tenant: &TenantArgs,
    wait: &WaitArgs,
    format: Format,
) -> Result<(), Failure> {
    let floor = policy_in_force::platform(&tenant.database).await?;
    let mut tx = tenant.begin().await?;
    let version = match to {
        Some(version) => version,
        None => {
            let layer = store_layer(&mut tx, agent).await?;
            previous(&mut tx, layer).await?
        }
    };
    let published =
        tx.activate_policy(&actor(), version).await.map_err(|error| named(error, &version.to_string()))?;
    let (upstreams, source) = (policy_file::reach(&tenant.database)?, format!("version {version}"));
    let documents = Documents::read(&mut tx, &upstreams).await?;
    documents.check(floor.as_ref(), Some(published.layer), &DetectorCache::default(), &source)?;
    let document = policy_file::parse(&tx.policy_document(version).await?, &upstreams, &source)?;
    data_key::check(&mut tx, &document, &source).await?;
    tx.commit().await?;
    let text = format!("version {} is in force from revision {} on", published.version, published.revision);
    print_one(format, &text, &json!({"version": published.version, "revision": published.revision}))?;
    wait.wait(tenant, published.revision).await
}

/// The version before the one in force, in the same layer.
async fn previous(tx: &mut TenantTx, layer: Layer) -> Result<u64, Failure> {
    const LOOK_BACK: u32 = 1000;
    let policies = tx.policies(LOOK_BACK).await?;
    let mut versions = policies.iter().filter(|policy| policy.layer == layer);
    if !versions.any(|policy| policy.active) {
        return Err(Failure::failed(
            "no policy is in force there to go back from: give a version of `bulkhead policy history` with --to",
        ));
    }
    let before = versions.next().map(|policy| policy.version);
    before.ok_or_else(|| Failure::failed("there is no older version to go back to"))
}

async fn store_layer(tx: &mut TenantTx, agent: Option<&str>) -> Result<Layer, Failure> {
    match agent {
        None => Ok(Layer::Tenant),
        Some(name) => Ok(Layer::Agent(tx.agent_by_name(name).await.map_err(|error| named(error, name))?.id)),
    }
}
