//! `bulkhead agent`: the programs of a tenant.

use bulkhead_store::tenant::Agent;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::wait::WaitArgs;
use crate::context::{TenantArgs, actor, block_on, confirm, named};
use crate::failure::Failure;
use crate::output::{Format, Table, moment, print_list, print_one};

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Create an agent
    Create {
        /// Its name, unique in the tenant
        name: String,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// List the tenant's agents
    List {
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Refuse all keys of an agent, until it is enabled
    Disable(ChangeArgs),
    /// Accept the keys of a disabled agent again
    Enable(ChangeArgs),
    /// Delete an agent with its keys and its policies; its traces stay
    Delete {
        #[command(flatten)]
        change: ChangeArgs,
        /// Its name once more: nothing brings its keys back
        #[arg(long, value_name = "NAME")]
        yes_delete: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The agent's name
    name: String,
    #[command(flatten)]
    tenant: TenantArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// What becomes of an agent.
#[derive(Clone, Copy, Debug)]
enum Change {
    Disable,
    Enable,
    Delete,
}

pub(crate) fn run(command: AgentCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            AgentCommand::Create { name, tenant } => create(&name, &tenant, format).await,
            AgentCommand::List { tenant } => list(&tenant, format).await,
            AgentCommand::Disable(args) => change(&args, Change::Disable, format).await,
            AgentCommand::Enable(args) => change(&args, Change::Enable, format).await,
            AgentCommand::Delete { change: args, yes_delete } => {
                confirm("--yes-delete", "agent to delete", &args.name, &yes_delete)?;
                change(&args, Change::Delete, format).await
            }
        }
    })
}

async fn create(name: &str, tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let mut tx = tenant.begin().await?;
    let agent = tx.create_agent(&actor(), name).await.map_err(|error| named(error, name))?;
    tx.commit().await?;
    print_one(format, &format!("created agent {} ({})", agent.name, agent.id), &to_json(&agent))
}

async fn list(tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let agents = tenant.begin().await?.agents().await?;
    let mut table = Table::new(&["NAME", "ID", "STATE", "CREATED"]);
    for agent in &agents {
        let state = if agent.disabled { "disabled" } else { "active" };
        table.row([agent.name.clone(), agent.id.to_string(), state.to_owned(), moment(agent.created_at)]);
    }
    print_list(format, &table, &agents.iter().map(to_json).collect::<Vec<_>>())
}

async fn change(args: &ChangeArgs, change: Change, format: Format) -> Result<(), Failure> {
    let name = &args.name;
    let mut tx = args.tenant.begin().await?;
    let agent = tx.agent_by_name(name).await.map_err(|error| named(error, name))?.id;
    let done = match change {
        Change::Disable => tx.set_agent_disabled(&actor(), agent, true).await.map(|()| "disabled"),
        Change::Enable => tx.set_agent_disabled(&actor(), agent, false).await.map(|()| "enabled"),
        Change::Delete => tx.delete_agent(&actor(), agent).await.map(|()| "deleted"),
    };
    let done = done.map_err(|error| named(error, name))?;
    let revision = tx.revision().await?;
    tx.commit().await?;
    let text = format!("{done} agent {name} from revision {revision} on");
    print_one(format, &text, &json!({"id": agent, "name": name, "state": done, "revision": revision}))?;
    args.wait.wait_for_keys(&args.tenant, revision).await
}

fn to_json(agent: &Agent) -> Value {
    json!({"id": agent.id, "name": agent.name, "disabled": agent.disabled, "created_at": agent.created_at})
}
