//! `bulkhead data-key`: what seals the originals of one tenant's requests.

use bulkhead_store::tenant::DataKeySummary;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::context::{MasterKeyArgs, TenantArgs, actor, block_on};
use crate::data_key;
use crate::failure::Failure;
use crate::output::{Format, Table, moment, or_dash, print_list, print_one};

#[derive(Debug, Subcommand)]
pub(crate) enum DataKeyCommand {
    /// Seal new originals with a new data key; those of before open as they did
    ///
    /// Nodes take it over as they do a policy: `bulkhead policy status` says which have it.
    Rotate {
        #[command(flatten)]
        tenant: TenantArgs,
        #[command(flatten)]
        master_key: MasterKeyArgs,
    },
    /// List the tenant's data keys, destroyed ones too; never the keys themselves
    List {
        #[command(flatten)]
        tenant: TenantArgs,
    },
}

pub(crate) fn run(command: DataKeyCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            DataKeyCommand::Rotate { tenant, master_key } => rotate(&tenant, &master_key, format).await,
            DataKeyCommand::List { tenant } => list(&tenant, format).await,
        }
    })
}

async fn rotate(tenant: &TenantArgs, master_key: &MasterKeyArgs, format: Format) -> Result<(), Failure> {
    let provider = master_key.read(&tenant.database)?.local_keys()?;
    let mut tx = tenant.begin().await?;
    let version = data_key::rotate(&mut tx, &actor(), &provider).await?;
    let revision = tx.revision().await?;
    tx.commit().await?;
    let text = format!("data key {version} seals from revision {revision} on");
    print_one(format, &text, &json!({ "version": version, "revision": revision }))
}

async fn list(tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let keys = tenant.begin().await?.data_keys().await?;
    let newest = keys.iter().map(|key| key.version).max();
    let mut table = Table::new(&["VERSION", "STATE", "WRAPPED BY", "CREATED", "DESTROYED"]);
    for key in &keys {
        table.row([
            key.version.to_string(),
            state(key, newest).to_owned(),
            key.key_id.clone(),
            moment(key.created_at),
            or_dash(key.destroyed_at.map(moment)),
        ]);
    }
    let values: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "version": key.version, "state": state(key, newest), "wrapped_by": key.key_id,
                "created_at": key.created_at, "destroyed_at": key.destroyed_at,
            })
        })
        .collect();
    print_list(format, &table, &values)
}

fn state(key: &DataKeySummary, newest: Option<u32>) -> &'static str {
    if key.destroyed_at.is_some() {
        "destroyed"
    } else if newest == Some(key.version) {
        "seals"
    } else {
        "opens"
    }
}
