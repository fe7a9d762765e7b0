//! Policy documents: published as immutable versions; a pointer per layer says which one is in force.

use bulkhead_policy::ids::{AgentId, Revision};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Actor, TenantTx};
use crate::error::{Attempted, StoreError, Written};
use crate::numbers::{to_i64, to_u64};

const POLICY: Written = Written { what: "policy version", parent: "agent", expected: "a number above zero" };

/// Which of a tenant's layers a document belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The tenant's own.
    Tenant,
    /// The one that narrows it for an agent.
    Agent(AgentId),
}

impl Layer {
    fn from_agent(agent: Option<uuid::Uuid>) -> Self {
        agent.map_or(Self::Tenant, |id| Self::Agent(AgentId::from_uuid(id)))
    }

    const fn agent(self) -> Option<AgentId> {
        match self {
            Self::Tenant => None,
            Self::Agent(agent) => Some(agent),
        }
    }
}

/// What a change of the policy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedPolicy {
    /// The version that is now in force in its layer.
    pub version: u64,
    /// That layer.
    pub layer: Layer,
    /// The tenant's revision from which on it is.
    pub revision: Revision,
}

/// One version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its number, unique in the tenant.
    pub version: u64,
    /// Its layer.
    pub layer: Layer,
    /// True if it is in force.
    pub active: bool,
    /// Who published it.
    pub author: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A document in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInForce {
    /// Its layer.
    pub layer: Layer,
    /// The name of the layer's agent; `None`: the tenant's own.
    pub agent: Option<String>,
    /// The document, as it was published.
    pub document: String,
}

/// What a node says about a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// The node.
    pub node: String,
    /// When it last gave a sign of life. Nodes give one with every poll; a day without one removes them.
    pub seen_at: DateTime<Utc>,
    /// The revision it enforces; `None` if it has not answered for this tenant.
    pub live_revision: Option<Revision>,
    /// A newer revision that it refused, and why.
    pub refused: Option<(Revision, String)>,
}

impl TenantTx {
    /// Stores a document as a new version and puts it in force.
    ///
    /// `document` is JSON; whether it is a valid policy is for the policy crate to say, before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the layer's agent does not exist, [`StoreError::Invalid`] if `document` is not JSON.
    pub async fn publish_policy(
        &mut self,
        actor: &Actor,
        layer: Layer,
        document: &str,
    ) -> Result<PublishedPolicy, StoreError> {
        serde_json::from_str::<serde::de::IgnoredAny>(document)
            .map_err(|_| StoreError::Invalid { what: "policy document", expected: "JSON text" })?;
        let tenant = self.id();
        // Two publishers at once take turns, so that versions have no gaps and no collision.
        sqlx::query!(
            "select pg_advisory_xact_lock(hashtextextended('bulkhead.policies.' || $1::text, 0))",
            tenant.to_string()
        )
        .execute(self.connection())
        .await
        .attempted("wait for another publisher")?;
        let version = sqlx::query_scalar!(
            "insert into policies (tenant_id, version, agent_id, document, author)
             select $1, coalesce(max(version), 0) + 1, $2, $3::text::json, $4 from policies where tenant_id = $1
             returning version",
            tenant,
            layer.agent().map(AgentId::as_uuid),
            document,
            actor.as_str(),
        )
        .fetch_one(self.connection())
        .await
        .writing(POLICY, "store a policy")?;
        self.point_to(layer, version).await?;
        let version = to_u64(version);
        self.record(actor, "policy.publish", &version.to_string(), json!({ "agent": layer.agent() })).await?;
        Ok(PublishedPolicy { version, layer, revision: self.revision().await? })
    }

    /// Puts an earlier version in force again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn activate_policy(
        &mut self,
        actor: &Actor,
        version: u64,
    ) -> Result<PublishedPolicy, StoreError> {
        let tenant = self.id();
        let agent = sqlx::query_scalar!(
            "select agent_id from policies where tenant_id = $1 and version = $2",
            tenant,
            to_i64(version)
        )
        .fetch_optional(self.connection())
        .await
        .attempted("look for a policy version")?
        .ok_or(StoreError::NotFound { what: "policy version" })?;
        let layer = Layer::from_agent(agent);
        self.point_to(layer, to_i64(version)).await?;
        self.record(actor, "policy.activate", &version.to_string(), json!({ "agent": layer.agent() }))
            .await?;
        Ok(PublishedPolicy { version, layer, revision: self.revision().await? })
    }

    /// Takes a layer out of force; its versions stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if no document of that layer is in force.
    pub async fn deactivate_policy(&mut self, actor: &Actor, layer: Layer) -> Result<Revision, StoreError> {
        let (tenant, scope) = (self.id(), self.scope(layer));
        let version = sqlx::query_scalar!(
            "delete from active_policies where tenant_id = $1 and scope = $2 returning version",
            tenant,
            scope
        )
        .fetch_optional(self.connection())
        .await
        .attempted("deactivate a policy")?
        .ok_or(StoreError::NotFound { what: "active policy" })?;
        self.record(actor, "policy.deactivate", &version.to_string(), json!({ "agent": layer.agent() }))
            .await?;
        self.revision().await
    }

    /// Lists versions of all layers, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn policies(&mut self, limit: u32) -> Result<Vec<Policy>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            r#"select policies.version, agent_id, author, created_at, active_policies.version is not null as "active!"
               from policies left join active_policies on active_policies.tenant_id = policies.tenant_id
                 and active_policies.scope = policies.scope and active_policies.version = policies.version
               where policies.tenant_id = $1 order by policies.version desc limit $2"#,
            tenant,
            i64::from(limit)
        )
        .fetch_all(self.connection())
        .await
        .attempted("list policies")?;
        Ok(rows
            .into_iter()
            .map(|row| Policy {
                version: to_u64(row.version),
                layer: Layer::from_agent(row.agent_id),
                active: row.active,
                author: row.author,
                created_at: row.created_at,
            })
            .collect())
    }

    /// Returns the document of a version, as it was published.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn policy_document(&mut self, version: u64) -> Result<String, StoreError> {
        let tenant = self.id();
        sqlx::query_scalar!(
            r#"select document::text as "document!" from policies where tenant_id = $1 and version = $2"#,
            tenant,
            to_i64(version)
        )
        .fetch_optional(self.connection())
        .await
        .attempted("read a policy document")?
        .ok_or(StoreError::NotFound { what: "policy version" })
    }

    /// Returns the version in force in a layer.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn active_policy(&mut self, layer: Layer) -> Result<Option<u64>, StoreError> {
        let (tenant, scope) = (self.id(), self.scope(layer));
        let version = sqlx::query_scalar!(
            "select version from active_policies where tenant_id = $1 and scope = $2",
            tenant,
            scope
        )
        .fetch_optional(self.connection())
        .await
        .attempted("look for the active policy")?;
        Ok(version.map(to_u64))
    }

    /// Returns the documents in force: the tenant's own, then those of its agents by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn policies_in_force(&mut self) -> Result<Vec<PolicyInForce>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            r#"select policies.agent_id, agents.name as "agent?", document::text as "document!"
               from active_policies
               join policies on policies.tenant_id = active_policies.tenant_id
                 and policies.version = active_policies.version
               left join agents on agents.tenant_id = policies.tenant_id and agents.id = policies.agent_id
               where active_policies.tenant_id = $1 order by agents.name nulls first"#,
            tenant
        )
        .fetch_all(self.connection())
        .await
        .attempted("read the policies in force")?;
        Ok(rows
            .into_iter()
            .map(|row| PolicyInForce {
                layer: Layer::from_agent(row.agent_id),
                agent: row.agent,
                document: row.document,
            })
            .collect())
    }

    /// Says what every node that is alive enforces for this tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn policy_status(&mut self) -> Result<Vec<NodeStatus>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            r#"select nodes.node, seen_at, live_revision as "live_revision?", revision as "revision?", reason as "reason?"
               from nodes left join policy_acks on policy_acks.node = nodes.node and policy_acks.tenant_id = $1
               order by nodes.node"#,
            tenant
        )
        .fetch_all(self.connection())
        .await
        .attempted("read what the nodes enforce")?;
        let revision = |number| Revision::new(to_u64(number));
        Ok(rows
            .into_iter()
            .map(|row| NodeStatus {
                node: row.node,
                seen_at: row.seen_at,
                live_revision: row.live_revision.map(revision),
                refused: row.revision.map(revision).zip(row.reason),
            })
            .collect())
    }

    async fn point_to(&mut self, layer: Layer, version: i64) -> Result<(), StoreError> {
        let (tenant, scope) = (self.id(), self.scope(layer));
        sqlx::query!(
            "insert into active_policies (tenant_id, scope, version) values ($1, $2, $3)
             on conflict (tenant_id, scope) do update
             set version = excluded.version, activated_at = clock_timestamp()",
            tenant,
            scope,
            version
        )
        .execute(self.connection())
        .await
        .attempted("put a policy in force")?;
        Ok(())
    }

    fn scope(&self, layer: Layer) -> uuid::Uuid {
        layer.agent().map_or(self.id(), AgentId::as_uuid)
    }
}
