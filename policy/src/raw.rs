//! Rows as they are stored: what the store loads and what the snapshot file holds.
//!
//! Plain data. Nothing here has been checked beyond its shape; [`crate::snapshot`] turns it into something to
//! trust.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::api_key::KeyHash;
use crate::ids::{AgentId, CredentialId, DatabaseName, KeyId, Revision, TenantId};

/// Everything a node serves from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RawSnapshot {
    /// The platform's own policy, laid under every tenant's.
    pub platform: Option<RawPolicy>,
    /// All tenants.
    pub tenants: Vec<RawTenant>,
}

/// One version of one policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawPolicy {
    /// The revision that this document came with.
    pub revision: Revision,
    /// The document as JSON text.
    pub document: String,
}

/// A tenant with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawTenant {
    /// The tenant.
    pub id: TenantId,
    /// Its name, unique on the platform.
    pub name: String,
    /// True while the tenant may not call anything.
    pub suspended: bool,
    /// Grows with every change of anything below.
    pub revision: Revision,
    /// When that revision was committed.
    pub changed_at: DateTime<Utc>,
    /// The database that its traces go to.
    #[serde(default)]
    pub placement: DatabaseName,
    /// Its agents.
    pub agents: Vec<RawAgent>,
    /// Its API keys; revoked and expired ones may be left out or in.
    pub keys: Vec<RawKey>,
    /// Its own policy document.
    pub policy: Option<RawPolicy>,
    /// Documents that narrow the policy for single agents.
    pub agent_policies: Vec<(AgentId, RawPolicy)>,
    /// Its credentials for upstreams; per name the version in use.
    pub credentials: Vec<RawCredential>,
    /// Its data keys that were not destroyed, oldest first.
    #[serde(default)]
    pub data_keys: Vec<RawDataKey>,
}

/// A key that seals a tenant's original bodies, wrapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawDataKey {
    /// Which of the tenant's keys it is, from 1 on.
    pub version: u32,
    /// Names the key that has wrapped it.
    pub key_id: String,
    /// The key, as [`crate::data_key::KeyProvider::wrap`] made it.
    #[serde(with = "crate::crypto::base64_text")]
    pub wrapped: Vec<u8>,
}

/// An agent of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawAgent {
    /// The agent.
    pub id: AgentId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// True while the agent's keys are refused.
    pub disabled: bool,
}

/// An API key of an agent; the key itself is stored nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawKey {
    /// The public part of the key.
    pub id: KeyId,
    /// The agent it speaks for.
    pub agent: AgentId,
    /// Proof of the whole key under the pepper.
    pub hash: KeyHash,
    /// The moment from which it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// The moment it was revoked; refused from then on.
    pub revoked_at: Option<DateTime<Utc>>,
    /// What this key may call, beyond what the policy says.
    pub scopes: RawScopes,
}

/// Narrows a key to some operations and models; `None` means no narrowing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RawScopes {
    /// Operations by name, as in a document's `allow.operations`.
    pub operations: Option<Vec<String>>,
    /// Model patterns with `*`, as in a document's `allow.models`.
    pub models: Option<Vec<String>>,
}

/// A tenant's credential for an upstream, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawCredential {
    /// The credential.
    pub id: CredentialId,
    /// The name that documents use, unique in the tenant.
    pub name: String,
    /// Grows when the secret is replaced.
    pub version: u32,
    /// The secret under the credential sealer, bound to [`crate::crypto::credential_aad`].
    #[serde(with = "crate::crypto::base64_text")]
    pub sealed: Vec<u8>,
}
