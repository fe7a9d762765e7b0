//! `bulkhead tenant`: the units of isolation.

mod archive;
mod erase;
mod place;

use bulkhead_store::Role;
use bulkhead_store::system::{self, Tenant};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::wait::WaitArgs;
use crate::context::{DatabaseArgs, actor, block_on, named};
use crate::failure::Failure;
use crate::output::{Format, Table, moment, print_list, print_one};

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Create a tenant
    Create {
        /// Its name: a-z, 0-9 and -
        name: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List all tenants
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Refuse whatever a tenant's agents ask for, until it is resumed; what is under way is finished
    Suspend(SuspensionArgs),
    /// Let a suspended tenant go on
    Resume(SuspensionArgs),
    /// Write all that is held of a tenant into one file
    ///
    /// API keys are hashed and credentials sealed under the master key, and stay so. Captured bodies are in it as they are
    /// stored: keep it like a backup. What a node has not shipped yet is not in it.
    Export(archive::ExportArgs),
    /// Take a tenant out of an archive into this database: whole, or not at all
    Import(archive::ImportArgs),
    /// Move a tenant's traces to a database of their own, or back
    ///
    /// Nodes and other commands find the database by its name in their configuration. New traces go there at once, those of
    /// before are moved. May be run again if it was interrupted.
    Place(place::PlaceArgs),
    /// Erase a tenant with all it has, except its audit trail
    /// Its data keys are destroyed first, so that its sealed originals open never again. May be run again if it was
    /// interrupted.
    Erase(erase::EraseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SuspensionArgs {
    /// The tenant
    name: String,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(crate) fn run(command: TenantCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            TenantCommand::Create { name, database } => create(&name, &database, format).await,
            TenantCommand::List { database } => list(&database, format).await,
            TenantCommand::Suspend(args) => set_suspended(&args, true, format).await,
            TenantCommand::Resume(args) => set_suspended(&args, false, format).await,
            TenantCommand::Export(args) => archive::export(&args, format).await,
            TenantCommand::Import(args) => archive::import(&args, format).await,
            TenantCommand::Place(args) => place::run(&args, format).await,
            TenantCommand::Erase(args) => erase::run(&args, format).await,
        }
    })
}

async fn create(name: &str, database: &DatabaseArgs, format: Format) -> Result<(), Failure> {
    let store = database.connect(Role::Migrator).await?;
    let tenant = system::create_tenant(&store, &actor(), name).await.map_err(|error| named(error, name))?;
    print_one(format, &format!("created tenant {} ({})", tenant.name, tenant.id), &to_json(&tenant))
}

async fn list(database: &DatabaseArgs, format: Format) -> Result<(), Failure> {
    let store = database.connect(Role::Migrator).await?;
    let tenants = system::tenants(&store).await?;
    let mut table = Table::new(&["NAME", "ID", "STATE", "DATABASE", "REVISION", "CREATED"]);
    for tenant in &tenants {
        let state = if tenant.suspended { "suspended" } else { "active" };
        table.row([
            tenant.name.clone(),
            tenant.id.to_string(),
            state.to_owned(),
            match &tenant.leaving {
                Some(leaving) => format!("{} (moving from {leaving})", tenant.placement),
                None => tenant.placement.to_string(),
            },
            tenant.revision.to_string(),
            moment(tenant.created_at),
        ]);
    }
    print_list(format, &table, &tenants.iter().map(to_json).collect::<Vec<_>>())
}

async fn set_suspended(args: &SuspensionArgs, suspended: bool, format: Format) -> Result<(), Failure> {
    let name = &args.name;
    let store = args.database.connect(Role::Migrator).await?;
    let tenant = system::tenant_by_name(&store, name).await.map_err(|error| named(error, name))?;
    let revision = system::set_tenant_suspended(&store, &actor(), tenant.id, suspended)
        .await
        .map_err(|error| named(error, name))?;
    let done = if suspended { "suspended" } else { "resumed" };
    let text = format!("{done} tenant {name} from revision {revision} on");
    let value = json!({"id": tenant.id, "name": name, "suspended": suspended, "revision": revision});
    print_one(format, &text, &value)?;
    args.wait.wait_for_keys(&args.database.tenant(name), revision).await
}

fn to_json(tenant: &Tenant) -> Value {
    json!({
        "id": tenant.id, "name": tenant.name, "suspended": tenant.suspended, "revision": tenant.revision,
        "created_at": tenant.created_at, "database": tenant.placement, "moving_from": tenant.leaving,
    })
}
