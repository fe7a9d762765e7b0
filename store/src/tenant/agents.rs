//! Agents: the programs of a tenant.

use bulkhead_policy::ids::AgentId;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Actor, TenantTx};
use crate::error::{Attempted, StoreError, Written};

const AGENT: Written = Written { what: "agent", parent: "tenant", expected: "a name of 1 to 128 characters" };

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The agent.
    pub id: AgentId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// True while its keys are refused.
    pub disabled: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl TenantTx {
    /// Creates an agent.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the name is taken, [`StoreError::Invalid`] if it is empty or too long.
    pub async fn create_agent(&mut self, actor: &Actor, name: &str) -> Result<Agent, StoreError> {
        let (tenant, id) = (self.id(), AgentId::fresh(Utc::now()));
        let created_at = sqlx::query_scalar!(
            "insert into agents (tenant_id, id, name) values ($1, $2, $3) returning created_at",
            tenant,
            id.as_uuid(),
            name,
        )
        .fetch_one(self.connection())
        .await
        .writing(AGENT, "create an agent")?;
        self.record(actor, "agent.create", name, json!({ "agent": id })).await?;
        Ok(Agent { id, name: name.to_owned(), disabled: false, created_at })
    }

    /// Lists the agents by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn agents(&mut self) -> Result<Vec<Agent>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            "select id, name, disabled, created_at from agents where tenant_id = $1 order by name",
            tenant
        )
        .fetch_all(self.connection())
        .await
        .attempted("list agents")?;
        Ok(rows
            .into_iter()
            .map(|row| Agent {
                id: AgentId::from_uuid(row.id),
                name: row.name,
                disabled: row.disabled,
                created_at: row.created_at,
            })
            .collect())
    }

    /// Finds an agent by its name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn agent_by_name(&mut self, name: &str) -> Result<Agent, StoreError> {
        let tenant = self.id();
        let row = sqlx::query!(
            "select id, name, disabled, created_at from agents where tenant_id = $1 and name = $2",
            tenant,
            name
        )
        .fetch_optional(self.connection())
        .await
        .attempted("find an agent")?
        .ok_or(StoreError::NotFound { what: "agent" })?;
        Ok(Agent {
            id: AgentId::from_uuid(row.id),
            name: row.name,
            disabled: row.disabled,
            created_at: row.created_at,
        })
    }

    /// Refuses or again accepts all keys of an agent.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_agent_disabled(
        &mut self,
        actor: &Actor,
        agent: AgentId,
        disabled: bool,
    ) -> Result<(), StoreError> {
        let tenant = self.id();
        let done = sqlx::query!(
            "update agents set disabled = $3 where tenant_id = $1 and id = $2",
            tenant,
            agent.as_uuid(),
            disabled
        )
        .execute(self.connection())
        .await
        .attempted("disable or enable an agent")?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "agent" });
        }
        let action = if disabled { "agent.disable" } else { "agent.enable" };
        self.record(actor, action, &agent.to_string(), json!({})).await
    }

    /// Deletes an agent with its keys and its policy documents. Its traces stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_agent(&mut self, actor: &Actor, agent: AgentId) -> Result<(), StoreError> {
        let tenant = self.id();
        let name = sqlx::query_scalar!(
            "delete from agents where tenant_id = $1 and id = $2 returning name",
            tenant,
            agent.as_uuid()
        )
        .fetch_optional(self.connection())
        .await
        .attempted("delete an agent")?
        .ok_or(StoreError::NotFound { what: "agent" })?;
        self.record(actor, "agent.delete", &name, json!({ "agent": agent })).await
    }
}
