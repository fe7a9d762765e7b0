//! `bulkhead tenant erase`: what opens a tenant's originals goes first, then all that it has.

use bulkhead_policy::ids::DatabaseName;
use bulkhead_store::placement::{Custody, dismiss_tenant, settle};
use bulkhead_store::system::Tenant;
use bulkhead_store::{Role, system};
use chrono::Utc;
use clap::Args;
use serde_json::json;

use crate::context::{DatabaseArgs, actor, confirm, named};
use crate::failure::Failure;
use crate::output::{Format, print_one};

#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    /// The tenant
    name: String,
    /// Its name once more: nothing brings it back
    #[arg(long, value_name = "NAME")]
    yes_erase: String,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: &EraseArgs, format: Format) -> Result<(), Failure> {
    let name = &args.name;
    confirm("--yes-erase", "tenant to erase", name, &args.yes_erase)?;
    let store = args.database.connect(Role::Migrator).await?;
    let actor = actor();
    let tenant = system::tenant_by_name(&store, name).await.map_err(|error| named(error, name))?;
    // Where its traces may be. A name that is not known here is refused before anything is gone.
    let databases = args.database.databases()?;
    let placed: Vec<&DatabaseName> =
        tenant.leaving.iter().chain([&tenant.placement]).filter(|name| !name.is_shared()).collect();
    for name in &placed {
        databases.url(name, Role::Migrator)?;
    }
    // A move that went on meanwhile would carry rows to where they were removed already.
    let _custody = Custody::claim(&store, tenant.id).await.map_err(|error| named(error, name))?;
    let interrupted = |error, kept| Failure::from(error).context(&format!("{kept}; run the command again"));
    let keys = system::destroy_data_keys(&store, &actor, tenant.id)
        .await
        .map_err(|error| interrupted(error, "nothing was erased"))?;
    for name in placed {
        erase_traces(args, &tenant, name).await.map_err(|error| {
            error.context("the data keys are destroyed, but not every row is removed; run the command again")
        })?;
    }
    system::remove_tenant(&store, &actor, tenant.id)
        .await
        .map_err(|error| interrupted(error, "the data keys are destroyed, but not every row is removed"))?;
    let text = format!("erased tenant {name} ({}); its audit trail stays", tenant.id);
    print_one(format, &text, &json!({ "id": tenant.id, "name": name, "data_keys_destroyed": keys }))
}

async fn erase_traces(args: &EraseArgs, tenant: &Tenant, name: &DatabaseName) -> Result<(), Failure> {
    let store = args.database.connect_to(name, Role::Migrator).await?;
    dismiss_tenant(&store, &actor(), tenant).await?;
    // Nothing arrives any more once this returns.
    settle(&store).await?;
    system::expire_traces(&store, tenant.id, Utc::now()).await?;
    Ok(())
}
