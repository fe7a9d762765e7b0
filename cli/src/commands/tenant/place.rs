//! `bulkhead tenant place`: moves a tenant's traces to a database of their own, or back.
//!
//! Every step may be done again, so a command that was interrupted is simply run again. `bulkhead_store::placement` says why
//! no trace is lost or doubled by it, and why no node has to be waited for.

use bulkhead_policy::ids::DatabaseName;
use bulkhead_store::placement::{
    Mover, admit_tenant, claim_database, dismiss_tenant, finish_move, place_tenant, settle,
};
use bulkhead_store::system::Tenant;
use bulkhead_store::{Role, Store, StoreError, migrate, system};
use clap::Args;
use serde_json::json;

use crate::context::{DatabaseArgs, actor, named};
use crate::failure::Failure;
use crate::output::{Format, print_one};

#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The tenant
    name: String,
    #[command(flatten)]
    to: Target,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The database that its traces shall be in, as [databases.NAME] of the configuration calls it
    #[arg(long = "database", value_name = "NAME")]
    placed: Option<DatabaseName>,
    /// Back to the database of all tenants
    #[arg(long)]
    shared: bool,
}

pub(super) async fn run(args: &PlaceArgs, format: Format) -> Result<(), Failure> {
    let to = args.to.placed.clone().filter(|_| !args.to.shared).unwrap_or_default();
    if to.is_shared() && !args.to.shared {
        return Err(Failure::Usage("--database shared: that is what --shared is for".to_owned()));
    }
    let shared = args.database.connect(Role::Migrator).await?;
    let find =
        async || system::tenant_by_name(&shared, &args.name).await.map_err(|error| named(error, &args.name));
    let before = find().await?;
    let target = prepare(args, &before, &to).await?;
    place_tenant(&shared, &actor(), before.id, &to).await?;
    let tenant = find().await?;
    let Some(from) = &tenant.leaving else {
        let text = format!("tenant {} is in database {to}", tenant.name);
        return print_one(format, &text, &json!({ "id": tenant.id, "database": to, "moved": 0 }));
    };
    let source = args.database.connect_to(from, Role::Migrator).await?;
    let moved = move_traces(&shared, &tenant, source, target)
        .await
        .map_err(|error| error.context("not every trace is moved; run the command again"))?;
    let text = format!("placed tenant {} in database {to}: {moved} traces moved from {from}", tenant.name);
    print_one(format, &text, &json!({ "id": tenant.id, "database": to, "from": from, "moved": moved }))
}

/// Makes the database ready to take the tenant's traces.
async fn prepare(args: &PlaceArgs, tenant: &Tenant, to: &DatabaseName) -> Result<Store, Failure> {
    if to.is_shared() {
        return args.database.connect(Role::Migrator).await;
    }
    let store = claim(&args.database, to).await?;
    let admitted = admit_tenant(&store, &actor(), tenant, to).await;
    admitted.map_err(|error| named(error, &tenant.name).context(&format!("database {to}")))?;
    Ok(store)
}

/// Makes a database one that tenants can be placed in, and connects to it.
pub(super) async fn claim(database: &DatabaseArgs, name: &DatabaseName) -> Result<Store, Failure> {
    let databases = database.databases()?;
    let url = databases.url(name, Role::Migrator)?;
    let claimed = async {
        migrate(url, &actor()).await?;
        let store = Store::connect(url, Role::Migrator, 1).await?;
        claim_database(&store, &actor(), name).await?;
        store.close().await;
        Ok(())
    };
    claimed.await.map_err(|error: StoreError| Failure::from(error).context(&format!("database {name}")))?;
    database.connect_to(name, Role::Migrator).await
}

async fn move_traces(shared: &Store, tenant: &Tenant, from: Store, to: Store) -> Result<u64, Failure> {
    let mut mover = Mover::begin(shared, tenant.id, from.clone(), to).await?;
    if tenant.leaving.as_ref().is_some_and(|leaving| !leaving.is_shared()) {
        dismiss_tenant(&from, &actor(), tenant).await?;
    }
    // From here on nothing arrives in the old place.
    settle(&from).await?;
    let mut moved = 0;
    loop {
        let step = mover.step().await?;
        moved += step.traces;
        if step.is_last {
            break;
        }
    }
    finish_move(shared, &actor(), tenant.id, moved).await?;
    Ok(moved)
}
