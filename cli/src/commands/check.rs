//! `bulkhead check`: validates files without a database or a network.

use std::path::PathBuf;

use bulkhead_policy::compile::Layer;
use clap::Args;
use serde_json::json;

use crate::config;
use crate::failure::Failure;
use crate::output::{Format, print_one};
use crate::policy_file::{self, Upstreams};

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct CheckArgs {
    /// A configuration file of `bulkhead proxy`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A tenant's policy; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy: Vec<PathBuf>,
}

pub(crate) fn run(args: &CheckArgs, format: Format) -> Result<(), Failure> {
    if let Some(path) = &args.config {
        config::load(path)?;
    }
    check_policies(&args.policy)?;
    let files: Vec<String> =
        args.config.iter().chain(&args.policy).map(|path| path.display().to_string()).collect();
    print_one(format, &format!("valid: {}", files.join(", ")), &json!({"valid": files}))
}

/// Checks each file as a tenant's policy whose credentials all exist.
pub(crate) fn check_policies(files: &[PathBuf]) -> Result<(), Failure> {
    for path in files {
        let document = policy_file::read(path, Upstreams::Public)?;
        let source = path.display().to_string();
        policy_file::check_layers(&[(Layer::Tenant, &document)], None, Upstreams::Public, &source)?;
    }
    Ok(())
}
