//! `bulkhead tenant erase`: what opens a tenant's originals goes first, then all that it has.

use bulkhead_store::{Role, system};
use clap::Args;
use serde_json::json;

use crate::context::{DatabaseArgs, actor, named};
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
    if args.yes_erase != *name {
        return Err(Failure::Usage(format!(
            "--yes-erase: {:?} is not the name of the tenant to erase, {name:?}",
            args.yes_erase
        )));
    }
    let store = args.database.connect(Role::Migrator).await?;
    let actor = actor();
    let tenant = system::tenant_by_name(&store, name).await.map_err(|error| named(error, name))?;
    let interrupted = |error, kept| Failure::from(error).context(&format!("{kept}; run the command again"));
    let keys = system::destroy_data_keys(&store, &actor, tenant.id)
        .await
        .map_err(|error| interrupted(error, "nothing was erased"))?;
    system::remove_tenant(&store, &actor, tenant.id)
        .await
        .map_err(|error| interrupted(error, "the data keys are destroyed, but not every row is removed"))?;
    let text = format!("erased tenant {name} ({}); its audit trail stays", tenant.id);
    print_one(format, &text, &json!({ "id": tenant.id, "name": name, "data_keys_destroyed": keys }))
}
