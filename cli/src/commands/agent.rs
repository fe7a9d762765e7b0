//! `bulkhead agent`: the programs of a tenant.

use bulkhead_store::tenant::Agent;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::context::{TenantArgs, actor, block_on, named};
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
}

pub(crate) fn run(command: AgentCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            AgentCommand::Create { name, tenant } => create(&name, &tenant, format).await,
            AgentCommand::List { tenant } => list(&tenant, format).await,
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

fn to_json(agent: &Agent) -> Value {
    json!({"id": agent.id, "name": agent.name, "disabled": agent.disabled, "created_at": agent.created_at})
}
