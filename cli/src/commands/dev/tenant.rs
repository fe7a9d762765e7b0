//! The demo tenant: made at the first start, found again at the next ones.

use bulkhead_policy::address::Reach;
use bulkhead_policy::api_key::ApiKey;
use bulkhead_policy::compile::Layer as CompileLayer;
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::document::PolicyDocument;
use bulkhead_policy::ids::AgentId;
use bulkhead_policy::raw::RawScopes;
use bulkhead_store::tenant::{Actor, Layer, TenantTx};
use bulkhead_store::{Role, Store, StoreError, system};
use chrono::Utc;
use secrecy::SecretString;

use crate::commands::{credential, key};
use crate::data_key;
use crate::dev_state::DevState;
use crate::failure::Failure;
use crate::policy_file::{self, DEV_CREDENTIAL};

const TENANT: &str = "demo";
const AGENT: &str = "demo-agent";
const KEY_ENV: &str = "dev";
/// The demo model takes anything.
const DEMO_SECRET: &str = "demo-credential";

/// What the demo tenant shall be.
pub(super) struct Wanted<'a> {
    pub(super) database_url: &'a str,
    pub(super) master_key: &'a MasterKey,
    pub(super) previous: Option<&'a DevState>,
    /// Its policy as it was given, without dev's upstreams.
    pub(super) document: PolicyDocument,
    /// Where dev's own upstreams are.
    pub(super) upstream_url: &'a str,
}

/// The demo tenant as it is now.
pub(super) struct Demo {
    pub(super) tenant: String,
    pub(super) agent: String,
    pub(super) api_key: String,
    pub(super) policy_sha256: String,
}

/// Makes what is missing, keeps what is there.
pub(super) async fn set_up(wanted: Wanted<'_>) -> Result<Demo, Failure> {
    let actor = Actor::new(super::ACTOR);
    let platform = Store::connect(wanted.database_url, Role::Migrator, 1).await?;
    let tenant = match system::tenant_by_name(&platform, TENANT).await {
        Err(StoreError::NotFound { .. }) => system::create_tenant(&platform, &actor, TENANT).await?,
        other => other?,
    };
    platform.close().await;
    let store = Store::connect(wanted.database_url, Role::Api, 1).await?;
    let mut tx = store.tenant(tenant.id).await?;
    let agent = match tx.agent_by_name(AGENT).await {
        Err(StoreError::NotFound { .. }) => tx.create_agent(&actor, AGENT).await?.id,
        other => other?.id,
    };
    let api_key = api_key(&mut tx, &actor, agent, &wanted).await?;
    let known = tx.credentials().await?;
    if !known.iter().any(|credential| credential.name == DEV_CREDENTIAL) {
        let secret = SecretString::from(DEMO_SECRET.to_owned());
        credential::put(&mut tx, DEV_CREDENTIAL, &secret, wanted.master_key).await?;
    }
    let policy_sha256 = publish(&mut tx, &actor, &wanted).await?;
    tx.commit().await?;
    store.close().await;
    Ok(Demo { tenant: TENANT.to_owned(), agent: AGENT.to_owned(), api_key, policy_sha256 })
}

/// The key of the last start, while it is good; else a new one.
async fn api_key(
    tx: &mut TenantTx,
    actor: &Actor,
    agent: AgentId,
    wanted: &Wanted<'_>,
) -> Result<String, Failure> {
    if let Some(known) = wanted.previous.and_then(|state| ApiKey::parse(&state.api_key).ok()) {
        let now = Utc::now();
        let is_good = tx.keys(Some(agent)).await?.iter().any(|key| {
            key.id == known.id() && key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now)
        });
        if is_good {
            return Ok(known.expose().to_owned());
        }
    }
    let (api_key, new) = key::make(KEY_ENV, agent, RawScopes::default(), None, wanted.master_key)?;
    tx.add_key(actor, &new).await?;
    Ok(api_key.expose().to_owned())
}

/// Publishes the given policy where it is not the one that was given last time. Otherwise what is in force stays, also
/// what was applied by hand; only dev's own upstreams move when their address did.
async fn publish(tx: &mut TenantTx, actor: &Actor, wanted: &Wanted<'_>) -> Result<String, Failure> {
    let sha256 = sha256(&wanted.document.to_json());
    let same_as_given = wanted.previous.and_then(|state| state.policy_sha256.as_ref()) == Some(&sha256);
    let active = match tx.active_policy(Layer::Tenant).await? {
        Some(version) if same_as_given => Some(tx.policy_document(version).await?),
        _ => None,
    };
    let document = match active {
        None => Some(policy_file::complete_for_dev(wanted.document.clone(), wanted.upstream_url)),
        Some(text) => {
            let active = policy_file::parse(&text, &Reach::Anywhere, "the policy in force")?;
            let old_url = wanted.previous.and_then(|state| state.upstream_url.as_deref());
            moved(active, old_url, wanted.upstream_url)
        }
    };
    if let Some(document) = document {
        let names: Vec<String> =
            tx.credentials().await?.into_iter().map(|credential| credential.name).collect();
        let layers = [(CompileLayer::Tenant, &document)];
        policy_file::check_layers(&layers, Some(&names), &Reach::Anywhere, "policy")?;
        data_key::ensure(tx, actor, &document, || Ok(wanted.master_key.local_keys()?)).await?;
        tx.publish_policy(actor, Layer::Tenant, &document.to_json()).await?;
    }
    Ok(sha256)
}

/// The document with dev's upstreams at their new address; none if nothing changes.
fn moved(mut document: PolicyDocument, old_url: Option<&str>, new_url: &str) -> Option<PolicyDocument> {
    let mut changed = false;
    for upstream in document.upstreams.values_mut() {
        if Some(upstream.base_url.as_str()) == old_url && upstream.base_url != new_url {
            new_url.clone_into(&mut upstream.base_url);
            changed = true;
        }
    }
    changed.then_some(document)
}

fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Reach;
    use super::moved;
    use crate::policy_file::{complete_for_dev, parse};
    use bulkhead_policy::document::PolicyDocument;

    #[test]
    fn only_devs_own_upstreams_move() {
        let old = "http://127.0.0.1:1";
        let new = "http://127.0.0.1:2";
        let dev = complete_for_dev(PolicyDocument::default(), old);
        assert_eq!(
            moved(dev.clone(), Some(old), new),
            Some(complete_for_dev(PolicyDocument::default(), new))
        );
        assert_eq!(moved(dev.clone(), Some(old), old), None);
        assert_eq!(moved(dev, None, new), None);
        let own = "upstreams: { x: { base_url: 'http://127.0.0.1:9', dialect: openai } }";
        let own = parse(own, &Reach::Anywhere, "test").expect("is valid");
        assert_eq!(moved(own, Some(old), new), None);
    }
}
