//! `bulkhead proxy`: a node in production.

use std::path::PathBuf;

use bulkhead_policy::crypto::MasterKey;
use clap::Args;

use crate::config::{self, Config};
use crate::failure::Failure;
use crate::logs::{self, LogFormat};
use crate::master_key;
use crate::node::{Node, NodeSettings};
use crate::signals::StopSignal;

#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// The configuration file; see bulkhead.example.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) fn run(args: &ProxyArgs) -> Result<(), Failure> {
    let config = config::load(&args.config)?;
    let master_key = read_keys(&config)?;
    logs::install(LogFormat::Json, "info,sqlx=warn")?;
    let stop = StopSignal::install()?;
    let node = Node::start(NodeSettings {
        proxy: config.proxy,
        sync_url: config.database.sync_url,
        writer_url: config.database.writer_url,
        retention_url: config.database.retention_url,
        databases: config.databases,
        keep: config.keep,
        master_key,
        snapshot_file: config.snapshot_file,
        spool_folder: config.spool_folder,
        name: config.node,
    })?;
    let addresses = node.addresses();
    tracing::info!(proxy = %addresses.proxy, metrics = %addresses.metrics, "listening");
    node.serve(&stop)
}

fn read_keys(config: &Config) -> Result<MasterKey, Failure> {
    // The variable wins, as every variable does.
    let file =
        config.master_key_file.as_deref().filter(|_| std::env::var_os("BULKHEAD_MASTER_KEY").is_none());
    let master = master_key::found(file, "BULKHEAD_MASTER_KEY")?.ok_or_else(|| {
        Failure::Usage(
            "master_key.file: missing: expected a file with 32 random bytes in hexadecimal (openssl rand -hex 32), \
             or the variable BULKHEAD_MASTER_KEY"
                .to_owned(),
        )
    })?;
    config.sealing_keys.over(master)
}
