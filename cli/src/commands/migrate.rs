//! `bulkhead migrate`: brings a database to this version's schema.

use bulkhead_store::Role;
use clap::Args;
use serde_json::json;

use crate::context::{DatabaseArgs, actor, block_on};
use crate::failure::Failure;
use crate::output::{Format, print_one};

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) fn run(args: &MigrateArgs, format: Format) -> Result<(), Failure> {
    let url = args.database.url(Role::Migrator)?;
    let done = block_on(async { Ok(bulkhead_store::migrate(&url, &actor()).await?) })?;
    let text = match done.applied.as_slice() {
        [] => format!("the schema is at version {} already", done.version),
        applied => format!("applied {} migrations; the schema is at version {}", applied.len(), done.version),
    };
    print_one(format, &text, &json!({"applied": done.applied, "version": done.version}))
}
