//! `bulkhead key`: API keys. A key is printed once, when it is issued, and stored nowhere.

use bulkhead_dialect::Operation;
use bulkhead_policy::api_key::ApiKey;
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::{KeyId, Revision};
use bulkhead_policy::raw::RawScopes;
use bulkhead_store::StoreError;
use bulkhead_store::tenant::{Key, NewKey, TenantTx};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use super::wait::WaitArgs;
use crate::context::{MasterKeyArgs, TenantArgs, actor, block_on, named};
use crate::duration;
use crate::failure::Failure;
use crate::output::{Format, Table, moment, or_dash, print_list, print_one};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Issue a key for an agent and print it, this once
    Issue {
        /// The agent's name
        agent: String,
        #[command(flatten)]
        options: NewKeyArgs,
        /// Allow only this operation (chat, responses, messages, ...); may be repeated
        #[arg(long = "operation", value_name = "OPERATION", value_parser = operation)]
        operations: Vec<String>,
        /// Allow only models of this pattern (gpt-*); may be repeated
        #[arg(long = "model", value_name = "PATTERN")]
        models: Vec<String>,
    },
    /// List keys, revoked and expired ones too
    List {
        /// Only this agent's
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Issue a successor with the same scopes; the old key is refused when the overlap ends
    Rotate {
        /// The old key's public id
        key: KeyId,
        /// How long the old key goes on: 0s, 90m, 24h, 7d
        #[arg(long, default_value = "24h", value_name = "SPAN", value_parser = duration::parse)]
        overlap: TimeDelta,
        #[command(flatten)]
        options: NewKeyArgs,
    },
    /// Refuse a key from now on, for good
    Revoke {
        /// The key's public id
        key: KeyId,
        #[command(flatten)]
        tenant: TenantArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// Refuse the new key after this span: 12h, 30d; without it, never
    #[arg(long, value_name = "SPAN", value_parser = duration::parse)]
    expires: Option<TimeDelta>,
    /// Written into the key, so that people see which installation it is for: a-z and 0-9
    #[arg(long, default_value = "live", value_name = "WORD")]
    env: String,
    #[command(flatten)]
    tenant: TenantArgs,
    #[command(flatten)]
    master_key: MasterKeyArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(crate) fn run(command: KeyCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            KeyCommand::Issue { agent, options, operations, models } => {
                let scopes = RawScopes { operations: listed(operations), models: listed(models) };
                issue(&agent, scopes, &options, format).await
            }
            KeyCommand::List { agent, tenant } => list(agent.as_deref(), &tenant, format).await,
            KeyCommand::Rotate { key, overlap, options } => rotate(key, overlap, &options, format).await,
            KeyCommand::Revoke { key, tenant, wait } => revoke(key, &tenant, &wait, format).await,
        }
    })
}

async fn issue(agent: &str, scopes: RawScopes, options: &NewKeyArgs, format: Format) -> Result<(), Failure> {
    let master_key = options.master_key.read(&options.tenant.database)?;
    let mut tx = options.tenant.begin().await?;
    let agent = tx.agent_by_name(agent).await.map_err(|error| named(error, agent))?;
    let (api_key, new) = make(&options.env, agent.id, scopes, options.expires, &master_key)?;
    tx.add_key(&actor(), &new).await?;
    let revision = tx.revision().await?;
    tx.commit().await?;
    print_key(format, &api_key, &agent.name, &new, revision, None)?;
    options.wait.wait_for_keys(&options.tenant, revision).await
}

async fn rotate(old: KeyId, overlap: TimeDelta, options: &NewKeyArgs, format: Format) -> Result<(), Failure> {
    let master_key = options.master_key.read(&options.tenant.database)?;
    let mut tx = options.tenant.begin().await?;
    let now = Utc::now();
    let key = find(&mut tx, old).await?;
    if state(&key, now) != "active" {
        return Err(Failure::failed(format!("key {old} is {}: issue a new one instead", state(&key, now))));
    }
    let (api_key, new) = make(&options.env, key.agent, key.scopes.clone(), options.expires, &master_key)?;
    tx.add_key(&actor(), &new).await?;
    // Rotating never makes a key live longer.
    let ends = key.expires_at.map_or(now + overlap, |expires_at| expires_at.min(now + overlap));
    tx.expire_key(&actor(), old, Some(ends)).await?;
    let revision = tx.revision().await?;
    tx.commit().await?;
    print_key(format, &api_key, &key.agent_name, &new, revision, Some((old, ends)))?;
    options.wait.wait_for_keys(&options.tenant, revision).await
}

async fn list(agent: Option<&str>, tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let mut tx = tenant.begin().await?;
    let agent = match agent {
        Some(name) => Some(tx.agent_by_name(name).await.map_err(|error| named(error, name))?.id),
        None => None,
    };
    let keys = tx.keys(agent).await?;
    let now = Utc::now();
    let mut table =
        Table::new(&["ID", "AGENT", "STATE", "OPERATIONS", "MODELS", "EXPIRES", "LAST USED", "CREATED"]);
    for key in &keys {
        table.row([
            key.id.to_string(),
            key.agent_name.clone(),
            state(key, now).to_owned(),
            or_all(key.scopes.operations.as_deref()),
            or_all(key.scopes.models.as_deref()),
            or_dash(key.expires_at.map(moment)),
            or_dash(key.last_used_at.map(moment)),
            moment(key.created_at),
        ]);
    }
    let values: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "id": key.id, "agent": key.agent_name, "state": state(key, now), "scopes": key.scopes,
                "created_at": key.created_at, "expires_at": key.expires_at, "revoked_at": key.revoked_at,
                "last_used_at": key.last_used_at,
            })
        })
        .collect();
    print_list(format, &table, &values)
}

async fn revoke(key: KeyId, tenant: &TenantArgs, wait: &WaitArgs, format: Format) -> Result<(), Failure> {
    let mut tx = tenant.begin().await?;
    tx.revoke_key(&actor(), key).await.map_err(|error| named(error, key.as_str()))?;
    let revision = tx.revision().await?;
    tx.commit().await?;
    let text = format!("revoked key {key} from revision {revision} on");
    print_one(format, &text, &json!({"id": key, "revision": revision}))?;
    wait.wait_for_keys(tenant, revision).await
}

/// Makes a key and what is stored of it.
pub(crate) fn make(
    env: &str,
    agent: bulkhead_policy::ids::AgentId,
    scopes: RawScopes,
    expires: Option<TimeDelta>,
    master_key: &MasterKey,
) -> Result<(ApiKey, NewKey), Failure> {
    let api_key = ApiKey::generate(env, &SystemRandom::new())
        .map_err(|error| Failure::Usage(format!("--env {env:?}: {error}")))?;
    let hash = api_key.hash(&master_key.pepper());
    let expires_at = expires.map(|span| Utc::now() + span);
    let new = NewKey { id: api_key.id(), agent, hash, scopes, expires_at };
    Ok((api_key, new))
}

async fn find(tx: &mut TenantTx, id: KeyId) -> Result<Key, Failure> {
    let found = tx.keys(None).await?.into_iter().find(|key| key.id == id);
    found.ok_or_else(|| named(StoreError::NotFound { what: "key" }, id.as_str()))
}

fn print_key(
    format: Format,
    api_key: &ApiKey,
    agent: &str,
    new: &NewKey,
    revision: Revision,
    replaced: Option<(KeyId, DateTime<Utc>)>,
) -> Result<(), Failure> {
    let mut text = format!("key {} for agent {agent}; keep it now, it is not shown again:\n\n", new.id);
    text.push_str(api_key.expose());
    text.push('\n');
    if let Some(expires_at) = new.expires_at {
        text.push_str(&format!("\nit is refused from {} on", moment(expires_at)));
    }
    if let Some((old, ends)) = replaced {
        text.push_str(&format!("\nthe old key {old} is refused from {} on", moment(ends)));
    }
    let mut value = json!({
        "id": new.id, "api_key": api_key.expose(), "agent": agent, "scopes": new.scopes, "expires_at": new.expires_at,
        "revision": revision,
    });
    if let (Some((old, ends)), Some(fields)) = (replaced, value.as_object_mut()) {
        fields.insert("replaces".to_owned(), json!({"id": old, "expires_at": ends}));
    }
    print_one(format, text.trim_end(), &value)
}

fn state(key: &Key, now: DateTime<Utc>) -> &'static str {
    if key.revoked_at.is_some() {
        "revoked"
    } else if key.expires_at.is_some_and(|expires_at| expires_at <= now) {
        "expired"
    } else {
        "active"
    }
}

/// No list means no restriction; an empty one would allow nothing.
fn listed(words: Vec<String>) -> Option<Vec<String>> {
    (!words.is_empty()).then_some(words)
}

fn or_all(words: Option<&[String]>) -> String {
    words.map_or_else(|| "all".to_owned(), |words| words.join(","))
}

fn operation(text: &str) -> Result<String, String> {
    let allowed: Vec<&str> = Operation::ALL.iter().map(|operation| operation.as_str()).collect();
    if allowed.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected one of {}", allowed.join(", ")))
    }
}
