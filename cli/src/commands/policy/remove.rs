//! `bulkhead policy remove`: takes a document out of force. Its versions stay.

use bulkhead_policy::compile::DetectorCache;
use bulkhead_store::tenant::Layer;
use bulkhead_store::{Role, system};
use serde_json::json;

use super::{LayerArgs, store_layer};
use crate::commands::wait::WaitArgs;
use crate::context::{actor, named};
use crate::failure::Failure;
use crate::output::{Format, print_one};
use crate::policy_file;
use crate::policy_in_force::{self, Documents};

pub(super) async fn run(args: &LayerArgs, wait: &WaitArgs, format: Format) -> Result<(), Failure> {
    if args.platform {
        return remove_platform(args, wait, format).await;
    }
    let database = &args.tenant.database;
    let floor = policy_in_force::platform(database).await?;
    let mut tx = args.tenant.begin().await?;
    let layer = store_layer(&mut tx, args.agent.as_deref()).await?;
    let whose = match &args.agent {
        Some(agent) => format!("of agent {agent}"),
        None => "of the tenant".to_owned(),
    };
    let revision = tx.deactivate_policy(&actor(), layer).await.map_err(|error| named(error, &whose))?;
    // An agent's narrows the others, which fit without it; the tenant's has what the agents' name.
    if layer == Layer::Tenant {
        let documents = Documents::read(&mut tx, &policy_file::reach(database)?).await?;
        let source = "without the policy of the tenant";
        documents.check(floor.as_ref(), Some(layer), &DetectorCache::default(), source)?;
    }
    tx.commit().await?;
    let text = format!("the policy {whose} is out of force from revision {revision} on; its versions stay");
    print_one(format, &text, &json!({"agent": args.agent, "revision": revision}))?;
    wait.wait(&args.tenant, revision).await
}

async fn remove_platform(args: &LayerArgs, wait: &WaitArgs, format: Format) -> Result<(), Failure> {
    let database = &args.tenant.database;
    let store = database.connect(Role::Migrator).await?;
    let (upstreams, source) = (policy_file::reach(database)?, "without the policy of the platform");
    policy_in_force::check_tenants(&store, None, &DetectorCache::default(), &upstreams, source).await?;
    system::remove_platform_policy(&store, &actor()).await?;
    print_one(format, "the policy of the platform is out of force", &json!({"platform": true}))?;
    wait.wait_for_all(&store, database).await
}
