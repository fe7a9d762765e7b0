//! `bulkhead policy apply`: what nodes would refuse is refused here, before it is published.

use std::path::Path;

use bulkhead_policy::address::Reach;
use bulkhead_policy::compile::{DetectorCache, Layer as CompileLayer};
use bulkhead_policy::document::PolicyDocument;
use bulkhead_store::tenant::Layer;
use bulkhead_store::{Role, Store, system};
use serde_json::json;

use super::{LayerArgs, store_layer};
use crate::commands::wait::WaitArgs;
use crate::context::{MasterKeyArgs, actor, named};
use crate::data_key;
use crate::failure::Failure;
use crate::output::{Format, print_one};
use crate::policy_file;
use crate::policy_in_force::{self, Documents};

pub(super) async fn run(
    file: &Path,
    args: &LayerArgs,
    master_key: &MasterKeyArgs,
    wait: &WaitArgs,
    format: Format,
) -> Result<(), Failure> {
    let database = &args.tenant.database;
    let upstreams = policy_file::reach(database)?;
    let document = policy_file::read(file, &upstreams)?;
    let candidate = Candidate { document, upstreams, source: file.display().to_string() };
    if args.platform {
        return candidate.publish_platform(wait, args, format).await;
    }
    let floor = policy_in_force::platform(database).await?;
    let mut tx = args.tenant.begin().await?;
    let layer = store_layer(&mut tx, args.agent.as_deref()).await?;
    let candidate = match database.dev()?.and_then(|dev| dev.upstream_url).filter(|_| layer == Layer::Tenant)
    {
        Some(url) => {
            Candidate { document: policy_file::complete_for_dev(candidate.document, &url), ..candidate }
        }
        None => candidate,
    };
    let published = tx
        .publish_policy(&actor(), layer, &candidate.document.to_json())
        .await
        .map_err(|error| named(error, &candidate.source))?;
    let documents = Documents::read(&mut tx, &candidate.upstreams).await?;
    documents.check(floor.as_ref(), Some(layer), &DetectorCache::default(), &candidate.source)?;
    let provider = || Ok(master_key.read(database)?.local_keys()?);
    data_key::ensure(&mut tx, &actor(), &candidate.document, provider).await?;
    // A data key is a change too.
    let revision = tx.revision().await?;
    tx.commit().await?;
    let version = published.version;
    let text = format!("published version {version}, in force from revision {revision} on");
    print_one(format, &text, &json!({"version": version, "revision": revision}))?;
    wait.wait(&args.tenant, revision).await
}

/// A document on its way.
struct Candidate {
    document: PolicyDocument,
    upstreams: Reach,
    source: String,
}

impl Candidate {
    async fn publish_platform(
        &self,
        wait: &WaitArgs,
        args: &LayerArgs,
        format: Format,
    ) -> Result<(), Failure> {
        let store = args.tenant.database.connect(Role::Migrator).await?;
        self.check_platform(&store).await?;
        let version = system::publish_platform_policy(&store, &actor(), &self.document.to_json()).await?;
        print_one(format, &format!("published platform version {version}"), &json!({"version": version}))?;
        wait.wait_for_all(&store, &args.tenant.database).await
    }

    /// Compiles it alone, and each tenant's documents over it.
    async fn check_platform(&self, store: &Store) -> Result<(), Failure> {
        let detectors = DetectorCache::default();
        let layers = [(CompileLayer::Platform, &self.document)];
        // Kept, so that the tenants' find its detectors compiled.
        let _alone =
            policy_file::compile_with(&detectors, &layers, Some(&[]), &self.upstreams, &self.source)?;
        policy_in_force::check_tenants(store, Some(&self.document), &detectors, &self.upstreams, &self.source)
            .await
    }
}
