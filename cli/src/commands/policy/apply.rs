//! `bulkhead policy apply`: what nodes would refuse is refused here, before it is published.

use std::path::Path;
use std::time::Duration;

use bulkhead_policy::compile::Layer as CompileLayer;
use bulkhead_policy::document::PolicyDocument;
use bulkhead_store::tenant::{Layer, TenantTx};
use bulkhead_store::{Role, Store, system};
use serde_json::json;

use super::{LayerArgs, status, store_layer};
use crate::context::{MasterKeyArgs, actor, named};
use crate::data_key;
use crate::failure::Failure;
use crate::output::{Format, print_one};
use crate::policy_file::{self, Upstreams};

pub(super) async fn run(
    file: &Path,
    args: &LayerArgs,
    master_key: &MasterKeyArgs,
    patience: Option<Duration>,
    format: Format,
) -> Result<(), Failure> {
    let dev = args.tenant.database.dev()?;
    // In `bulkhead dev`, and only there, upstreams may be anywhere.
    let upstreams = if dev.is_some() { Upstreams::Anywhere } else { Upstreams::Public };
    let document = policy_file::read(file, upstreams)?;
    let candidate = Candidate { document, upstreams, source: file.display().to_string() };
    let platform = args.tenant.database.connect(Role::Migrator).await?;
    if args.platform {
        return candidate.publish_platform(&platform, patience, args, format).await;
    }
    let floor = match system::platform_policy(&platform).await? {
        Some(policy) => {
            Some(policy_file::parse(&policy.document, Upstreams::Anywhere, "the platform's policy")?)
        }
        None => None,
    };
    platform.close().await;
    let mut tx = args.tenant.begin().await?;
    let layer = store_layer(&mut tx, args.agent.as_deref()).await?;
    let candidate = match dev.and_then(|dev| dev.upstream_url).filter(|_| layer == Layer::Tenant) {
        Some(url) => {
            Candidate { document: policy_file::complete_for_dev(candidate.document, &url), ..candidate }
        }
        None => candidate,
    };
    candidate.check(&mut tx, floor.as_ref(), layer).await?;
    let provider = || Ok(master_key.read(&args.tenant.database)?.local_keys()?);
    data_key::ensure(&mut tx, &actor(), &candidate.document, provider).await?;
    let published = tx
        .publish_policy(&actor(), layer, &candidate.document.to_json())
        .await
        .map_err(|error| named(error, &candidate.source))?;
    tx.commit().await?;
    let text =
        format!("published version {}, in force from revision {} on", published.version, published.revision);
    print_one(format, &text, &json!({"version": published.version, "revision": published.revision}))?;
    match patience {
        Some(patience) => status::wait(&args.tenant, published.revision, patience).await,
        None => Ok(()),
    }
}

/// A document on its way.
struct Candidate {
    document: PolicyDocument,
    upstreams: Upstreams,
    source: String,
}

impl Candidate {
    /// Compiles it with the layers it will lie among.
    async fn check(
        &self,
        tx: &mut TenantTx,
        floor: Option<&PolicyDocument>,
        layer: Layer,
    ) -> Result<(), Failure> {
        let names: Vec<String> =
            tx.credentials().await?.into_iter().map(|credential| credential.name).collect();
        let tenants = match (layer, tx.active_policy(Layer::Tenant).await?) {
            (Layer::Agent(_), Some(version)) => {
                let text = tx.policy_document(version).await?;
                Some(policy_file::parse(&text, self.upstreams, "the tenant's policy")?)
            }
            _ => None,
        };
        let own = match layer {
            Layer::Tenant => CompileLayer::Tenant,
            Layer::Agent(_) => CompileLayer::Agent,
        };
        let layers: Vec<(CompileLayer, &PolicyDocument)> = floor
            .map(|document| (CompileLayer::Platform, document))
            .into_iter()
            .chain(tenants.as_ref().map(|document| (CompileLayer::Tenant, document)))
            .chain([(own, &self.document)])
            .collect();
        policy_file::check_layers(&layers, Some(&names), self.upstreams, &self.source)
    }

    async fn publish_platform(
        &self,
        store: &Store,
        patience: Option<Duration>,
        args: &LayerArgs,
        format: Format,
    ) -> Result<(), Failure> {
        let layers = [(CompileLayer::Platform, &self.document)];
        policy_file::check_layers(&layers, Some(&[]), self.upstreams, &self.source)?;
        let version = system::publish_platform_policy(store, &actor(), &self.document.to_json()).await?;
        print_one(format, &format!("published platform version {version}"), &json!({"version": version}))?;
        let Some(patience) = patience else { return Ok(()) };
        // It is a new revision of every tenant, so every tenant's nodes answer for it.
        for tenant in system::tenants(store).await? {
            status::wait(&args.tenant.for_tenant(&tenant.name), tenant.revision, patience).await?;
        }
        Ok(())
    }
}
