//! `bulkhead migrate`: brings a database to this version's schema.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::config;
use crate::context::{DatabaseArgs, actor, block_on};
use crate::failure::Failure;
use crate::output::{Format, print_one};

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Take the database from this configuration file (`database.migrator_url`, else `database.url`)
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    config: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) fn run(args: &MigrateArgs, format: Format) -> Result<(), Failure> {
    let url = match &args.config {
        Some(path) => config::load(path)?.database.migrator_url,
        None => args.database.url()?,
    };
    let done = block_on(async { Ok(bulkhead_store::migrate(&url, &actor()).await?) })?;
    let text = match done.applied.as_slice() {
        [] => format!("the schema is at version {} already", done.version),
        applied => format!("applied {} migrations; the schema is at version {}", applied.len(), done.version),
    };
    print_one(format, &text, &json!({"applied": done.applied, "version": done.version}))
}
