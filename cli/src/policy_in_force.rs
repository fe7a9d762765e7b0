//! Policies as they are in force, read from the database.

use bulkhead_policy::compile::{Layer as CompileLayer, TenantPolicy};
use bulkhead_policy::document::PolicyDocument;
use bulkhead_store::tenant::{Layer, TenantTx};
use bulkhead_store::{Role, system};

use crate::context::{DatabaseArgs, TenantArgs};
use crate::failure::Failure;
use crate::policy_file::{self, Upstreams};

/// The policy of the tenant that is named; of the platform where none is; an empty one where there is no database.
pub(crate) async fn of(tenant: &TenantArgs) -> Result<TenantPolicy, Failure> {
    let floor = if tenant.database.is_given()? { platform(&tenant.database).await? } else { None };
    let own = match tenant.given()? {
        Some(_) => document(&mut tenant.begin().await?, Layer::Tenant).await?,
        None => None,
    };
    let layers = [(CompileLayer::Platform, floor.as_ref()), (CompileLayer::Tenant, own.as_ref())];
    let layers: Vec<_> =
        layers.into_iter().filter_map(|(layer, document)| Some((layer, document?))).collect();
    policy_file::compile_layers(&layers, None, Upstreams::Anywhere, "the policy in force")
}

/// The platform's document.
pub(crate) async fn platform(database: &DatabaseArgs) -> Result<Option<PolicyDocument>, Failure> {
    let platform = database.connect(Role::Migrator).await?;
    let floor = system::platform_policy(&platform).await?;
    platform.close().await;
    floor.map(|policy| parse(&policy.document, "the platform's policy")).transpose()
}

/// The document of a tenant, or of one of its agents.
pub(crate) async fn document(tx: &mut TenantTx, layer: Layer) -> Result<Option<PolicyDocument>, Failure> {
    match tx.active_policy(layer).await? {
        Some(version) => parse(&tx.policy_document(version).await?, "the policy in force").map(Some),
        None => Ok(None),
    }
}

fn parse(text: &str, source: &str) -> Result<PolicyDocument, Failure> {
    // What is in force was judged when it was published.
    policy_file::parse(text, Upstreams::Anywhere, source)
}
