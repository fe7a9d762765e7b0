//! Which database a tenant's traces are in, and how they move to another. For [`crate::Role::Migrator`].
//!
//! 1. Everything but traces, with their bodies and detectors, is in the shared database. So is the row that says where
//!    those are: `placement`, where new ones go, and `leaving`, where some of before may still be.
//! 2. A database takes traces of those alone who belong there, and says so itself (`tenants_of_batch`): a node that has not
//!    heard of a change is refused. So there is a moment from which on nothing arrives in the old place ([`settle`]), whatever
//!    nodes know, and only then rows begin to move.
//! 3. Rows are moved by the batch: inserted and committed there, counted, removed here. What is there already is left as it is.
//!    Wherever a move breaks off, every row is in one place or in both, and the next one goes on.

mod rows;

use std::time::Duration;

use bulkhead_policy::audit::Chain;
use bulkhead_policy::ids::{DatabaseName, Revision, TenantId};
use serde_json::json;
use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;
use tokio::time::{Instant, sleep};

use crate::error::{Attempted, StoreError};
use crate::numbers::to_u64;
use crate::system::Tenant;
use crate::{Actor, Store, TenantTx, audit};
use rows::Table;

/// Traces that one step moves, or more where they share a microsecond. A trace has up to four bodies, so this is what bounds
/// the memory of a step.
const BATCH_ROWS: i64 = 64;
/// How long [`settle`] tries.
const SETTLE_PATIENCE: Duration = Duration::from_secs(60);
/// For so long whoever queued behind its lock goes first.
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Proves that a store leads to the database of that name. For every role that follows a placement.
///
/// # Errors
/// [`StoreError::OtherDatabase`] if it does not.
pub async fn check_database(store: &Store, name: &DatabaseName) -> Result<(), StoreError> {
    let found = sqlx::query_scalar!(r#"select database_name() as "name!""#)
        .fetch_one(store.connections())
        .await
        .attempted("ask a database for its name")?;
    if found == name.as_str() {
        return Ok(());
    }
    Err(StoreError::OtherDatabase { wanted: name.to_string(), found })
}

/// Gives a migrated database without tenants its name; one that has it already keeps it.
///
/// # Errors
/// [`StoreError::OtherDatabase`] if it has another name, or tenants of its own.
pub async fn claim_database(store: &Store, actor: &Actor, name: &DatabaseName) -> Result<(), StoreError> {
    let mut tx = store.connections().begin().await.attempted("begin a transaction")?;
    let found = sqlx::query_scalar!("select database from platform for update")
        .fetch_one(&mut *tx)
        .await
        .attempted("ask a database for its name")?;
    if found == name.as_str() {
        return Ok(());
    }
    let is_free = sqlx::query_scalar!(r#"select not exists (select from tenants) as "free!""#)
        .fetch_one(&mut *tx)
        .await
        .attempted("look for tenants")?;
    if name.is_shared() || found != DatabaseName::SHARED || !is_free {
        return Err(StoreError::OtherDatabase { wanted: name.to_string(), found });
    }
    sqlx::query!("update platform set database = $1", name.as_str())
        .execute(&mut *tx)
        .await
        .attempted("name a database")?;
    audit::record(&mut tx, Chain::Platform, actor, "database.claim", name.as_str(), json!({})).await?;
    tx.commit().await.attempted("commit the name of a database")
}

/// Lets a placed database take the traces of a tenant. Nothing changes if it does.
///
/// # Errors
/// [`StoreError::Exists`] if another tenant has the name there.
pub async fn admit_tenant(
    store: &Store,
    actor: &Actor,
    tenant: &Tenant,
    name: &DatabaseName,
) -> Result<(), StoreError> {
    let mut tx = store.tenant(tenant.id).await?;
    admit(&mut tx, actor, &tenant.name, name).await?;
    tx.commit().await
}

/// The same within a transaction.
pub(crate) async fn admit(
    tx: &mut TenantTx,
    actor: &Actor,
    tenant: &str,
    name: &DatabaseName,
) -> Result<(), StoreError> {
    let id = tx.tenant().as_uuid();
    let admitted = sqlx::query!(
        "insert into tenants (id, name, placement) values ($1, $2, $3) on conflict (id) do nothing",
        id,
        tenant,
        name.as_str()
    )
    .execute(tx.connection())
    .await
    .writing(crate::system::TENANT, "admit a tenant")?;
    if admitted.rows_affected() == 0 {
        return Ok(());
    }
    tx.record(actor, "tenant.admit", tenant, json!({})).await
}

/// Lets a placed database take no more traces of a tenant; those that are there stay. Nothing changes if it took none.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn dismiss_tenant(store: &Store, actor: &Actor, tenant: &Tenant) -> Result<(), StoreError> {
    let mut tx = store.tenant(tenant.id).await?;
    // In the shared database the row is all that the tenant has.
    let dismissed = sqlx::query!(
        "delete from tenants where id = $1 and placement <> 'shared' and placement = database_name()",
        tenant.id.as_uuid()
    )
    .execute(tx.connection())
    .await
    .attempted("dismiss a tenant")?;
    if dismissed.rows_affected() == 0 {
        return Ok(());
    }
    tx.record(actor, "tenant.dismiss", &tenant.name, json!({})).await?;
    tx.commit().await
}

/// Says in the shared database where new traces of a tenant go from now on, and that those of before are to be moved.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Busy`] while traces are still moved between two other databases.
pub async fn place_tenant(
    store: &Store,
    actor: &Actor,
    tenant: TenantId,
    to: &DatabaseName,
) -> Result<Revision, StoreError> {
    let mut tx = store.tenant(tenant).await?;
    let before = sqlx::query!(
        "select name, placement, leaving, revision from tenants where id = $1 for update",
        tenant.as_uuid()
    )
    .fetch_optional(tx.connection())
    .await
    .attempted("read where a tenant is placed")?
    .ok_or(StoreError::NotFound { what: "tenant" })?;
    if before.placement == to.as_str() {
        return Ok(Revision::new(to_u64(before.revision)));
    }
    // Back is always possible: then what was moved moves back.
    if before.leaving.is_some_and(|leaving| leaving != to.as_str()) {
        return Err(StoreError::Busy { what: "tenant" });
    }
    let revision = sqlx::query_scalar!(
        "update tenants set placement = $2, leaving = $3 where id = $1 returning revision",
        tenant.as_uuid(),
        to.as_str(),
        before.placement
    )
    .fetch_one(tx.connection())
    .await
    .attempted("place a tenant")?;
    let detail = json!({ "from": before.placement, "to": to });
    tx.record(actor, "tenant.place", &before.name, detail).await?;
    tx.commit().await?;
    Ok(Revision::new(to_u64(revision)))
}

/// Says in the shared database that no trace is left where they were before.
///
/// # Errors
/// [`StoreError::NotFound`] if nothing is being moved.
pub async fn finish_move(
    store: &Store,
    actor: &Actor,
    tenant: TenantId,
    traces: u64,
) -> Result<(), StoreError> {
    let mut tx = store.tenant(tenant).await?;
    let name = sqlx::query_scalar!(
        "update tenants set leaving = null where id = $1 and leaving is not null returning name",
        tenant.as_uuid()
    )
    .fetch_optional(tx.connection())
    .await
    .attempted("finish a move")?
    .ok_or(StoreError::NotFound { what: "move" })?;
    tx.record(actor, "tenant.moved", &name, json!({ "traces": traces })).await?;
    tx.commit().await
}

/// Waits until every batch that was being appended has ended. Who began before does not know what was committed before this
/// call; who begins afterwards does.
///
/// Appending waits for the same batches meanwhile, but for no more than a moment at a time.
///
/// # Errors
/// [`StoreError::Database`], also if they do not end within a minute.
pub async fn settle(store: &Store) -> Result<(), StoreError> {
    let give_up_at = Instant::now() + SETTLE_PATIENCE;
    loop {
        match try_settle(store).await {
            Err(error) if error.is_lock_timeout() && Instant::now() < give_up_at => sleep(LOCK_PAUSE).await,
            settled => return settled,
        }
    }
}

async fn try_settle(store: &Store) -> Result<(), StoreError> {
    let mut tx = store.connections().begin().await.attempted("begin a transaction")?;
    sqlx::query!("select set_config('lock_timeout', '500ms', true)")
        .fetch_one(&mut *tx)
        .await
        .attempted("wait for what is being appended")?;
    // Every batch takes the lock of its first table before it asks what belongs there.
    sqlx::query!("lock table only traces in share mode")
        .execute(&mut *tx)
        .await
        .attempted("wait for what is being appended")?;
    tx.rollback().await.attempted("wait for what is being appended")
}

/// The right to move or to remove one tenant's traces, which one command has at a time.
#[derive(Debug)]
pub struct Custody {
    /// Holds the lock, in the shared database.
    guard: PoolConnection<Postgres>,
}

impl Custody {
    /// Takes it until the value is dropped. `shared` has to have two connections.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if somebody else has it.
    pub async fn claim(shared: &Store, tenant: TenantId) -> Result<Self, StoreError> {
        let mut guard = shared.connections().acquire().await.attempted("reach the database")?;
        let is_alone = sqlx::query_scalar!(
            r#"select pg_try_advisory_lock(hashtextextended('bulkhead.placement.' || $1::text, 0)) as "alone!""#,
            tenant.to_string()
        )
        .fetch_one(&mut *guard)
        .await
        .attempted("wait for another move")?;
        if !is_alone {
            return Err(StoreError::Busy { what: "tenant" });
        }
        // The lock is this session's, and must not live on in the pool.
        guard.close_on_drop();
        Ok(Self { guard })
    }

    /// Whoever has lost the lock must not go on.
    async fn check(&mut self) -> Result<(), StoreError> {
        sqlx::query!("select 1 as alive").fetch_one(&mut *self.guard).await.attempted("hold the move")?;
        Ok(())
    }
}

/// Moves one tenant's traces, the only one to do so at the time.
#[derive(Debug)]
pub struct Mover {
    custody: Custody,
    tenant: TenantId,
    from: Store,
    to: Store,
}

/// What a step of a [`Mover`] has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Traces.
    pub traces: u64,
    /// True if there was nothing left after it.
    pub is_last: bool,
}

impl Mover {
    /// Begins to move a tenant's traces from one database to another. `shared` has to have two connections.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if somebody else does.
    pub async fn begin(shared: &Store, tenant: TenantId, from: Store, to: Store) -> Result<Self, StoreError> {
        Ok(Self { custody: Custody::claim(shared, tenant).await?, tenant, from, to })
    }

    /// Moves the oldest traces that are left, with their bodies and detectors.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Stored`] if not everything arrived, and then nothing was removed.
    pub async fn step(&mut self) -> Result<Moved, StoreError> {
        self.custody.check().await?;
        let mut source = self.from.tenant(self.tenant).await?;
        let last = sqlx::query_scalar!(
            "select at from traces where tenant_id = $1 order by at offset $2 limit 1",
            self.tenant.as_uuid(),
            BATCH_ROWS - 1
        )
        .fetch_optional(source.connection())
        .await
        .attempted("find traces to move")?;
        let mut target = self.to.tenant(self.tenant).await?;
        let mut moved = [0; Table::ALL.len()];
        for (table, count) in Table::ALL.into_iter().zip(&mut moved) {
            let rows = table.read(source.connection(), self.tenant, last).await?;
            table.write(target.connection(), &rows.json).await?;
            *count = same(rows.count, table.count(target.connection(), self.tenant, &rows.json).await?)?;
        }
        target.commit().await?;
        for (table, count) in Table::ALL.into_iter().zip(moved) {
            same(count, table.remove(source.connection(), self.tenant, last).await?)?;
        }
        source.commit().await?;
        let [traces, ..] = moved;
        Ok(Moved { traces: to_u64(traces), is_last: last.is_none() })
    }
}

/// Where the numbers differ, something else is at work on these rows, and nothing more is removed.
fn same(read: i64, found: i64) -> Result<i64, StoreError> {
    if read == found { Ok(read) } else { Err(StoreError::Stored { what: "number of moved rows" }) }
}
