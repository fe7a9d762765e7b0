//! One more node on the database of a running `bulkhead dev`, to see what several nodes do together.

use bulkhead_proxy::Addresses;

use super::{DevArgs, proxy_config, say, until_ready};
use crate::config::{self, KeepDays, default_node_name};
use crate::dev_state::{DataDir, DevState, SPOOL};
use crate::failure::Failure;
use crate::master_key::read_master_key;
use crate::node::{Node, NodeSettings};
use crate::output::{Format, print, print_json};
use crate::signals::StopSignal;

pub(super) fn run(args: &DevArgs, first: &DataDir, format: Format) -> Result<(), Failure> {
    let Some(state) = first.state()? else {
        let reason = format!("--beside {}: no `bulkhead dev` was ever ready there", first.path().display());
        return Err(Failure::Usage(reason));
    };
    let stop = StopSignal::install()?;
    let data_dir = DataDir::new(&args.data_dir);
    data_dir.create()?;
    let _lock = data_dir.lock()?;
    say(format, "starting a node");
    let node = Node::start(NodeSettings {
        proxy: proxy_config(args)?,
        sync_url: state.database_url.clone(),
        writer_url: state.database_url.clone(),
        retention_url: state.database_url.clone(),
        databases: config::databases_from_environment()?,
        keep: KeepDays::default(),
        master_key: args.sealing.over(read_master_key(&first.master_key())?)?,
        snapshot_file: Some(data_dir.file("snapshot")),
        spool_folder: data_dir.file(SPOOL),
        // Two nodes of one machine and, as the system chooses, of one port.
        name: format!("{}-{}", default_node_name(args.listen), std::process::id()),
    })?;
    let Addresses { proxy, metrics } = node.addresses();
    let state =
        DevState { proxy_url: format!("http://{proxy}"), metrics_url: format!("http://{metrics}"), ..state };
    if node.wait_for(until_ready(&node, &state.api_key, &stop))? {
        match format {
            Format::Machines => print_json(&state.announcement())?,
            Format::People => print(&format!(
                "one more node, for the same key: {}\nmetrics: {}/metrics",
                state.proxy_url, state.metrics_url
            ))?,
        }
    }
    node.serve(&stop)
}
