//! Connections that act as one role and cannot bypass row-level security.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use crate::error::{Attempted, StoreError};
use crate::tenant::TenantTx;
use bulkhead_policy::ids::TenantId;

/// Longest wait for a connection, be it free or new. A request for data must not hang because the server does.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// What every connection runs first. No schema of anybody else is searched, and temporary tables come last. No tenant is named,
/// whatever default the database or the login has: outside a transaction that names one there must be no rows.
const PREPARE: &str = "set search_path = bulkhead, pg_temp; set timezone = 'UTC'; \
                       set bulkhead.tenant_id = ''; set bulkhead.tenant_ids = ''";

/// What a connection may do; one database role each, granted to the login in the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// One tenant at a time, through a [`TenantTx`].
    Api,
    /// Reads policies, keys and credentials of all tenants; writes acknowledgements.
    Sync,
    /// Appends traces and budget usage.
    Writer,
    /// Removes traces that are old, all tenants' by the day or one tenant's through a [`TenantTx`]; cannot read what they say.
    Retention,
    /// Platform administration: tenants, the platform's policy, retention. Sees a tenant's rows as [`Role::Api`] does,
    /// through a [`TenantTx`]; of the others it sees none.
    Migrator,
    /// Reads sealed bodies and wrapped data keys of one tenant, once the audit trail says why; see [`crate::reveal`].
    Revealer,
    /// Reads the audit trail of every tenant and of the platform, and nothing else.
    Auditor,
}

impl Role {
    /// Returns the name of the database role.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "bulkhead_api",
            Self::Sync => "bulkhead_sync",
            Self::Writer => "bulkhead_writer",
            Self::Retention => "bulkhead_retention",
            Self::Migrator => "bulkhead_migrator",
            Self::Revealer => "bulkhead_revealer",
            Self::Auditor => "bulkhead_auditor",
        }
    }

    /// What a connection of the role runs after [`PREPARE`]. Neither a statement nor a forgotten transaction holds locks for
    /// ever.
    const fn prepare(self) -> &'static str {
        match self {
            // Filters that are not set are parameters too: only a plan for their very values leaves them out.
            Self::Api => {
                "set role bulkhead_api; set statement_timeout = '10s'; set idle_in_transaction_session_timeout = '30s'; \
                 set plan_cache_mode = 'force_custom_plan'"
            }
            Self::Sync => {
                "set role bulkhead_sync; set statement_timeout = '30s'; set idle_in_transaction_session_timeout = '30s'"
            }
            Self::Writer => {
                "set role bulkhead_writer; set statement_timeout = '30s'; set idle_in_transaction_session_timeout = '30s'"
            }
            Self::Retention => {
                "set role bulkhead_retention; set statement_timeout = '5min'; set idle_in_transaction_session_timeout = '30s'"
            }
            Self::Migrator => {
                "set role bulkhead_migrator; set statement_timeout = '10min'; set idle_in_transaction_session_timeout = '60s'"
            }
            Self::Revealer => {
                "set role bulkhead_revealer; set search_path = bulkhead, pg_temp; set timezone = 'UTC'; \
                 set statement_timeout = '10s'; set idle_in_transaction_session_timeout = '30s'"
            }
            Self::Auditor => {
                "set role bulkhead_auditor; set statement_timeout = '10min'; set idle_in_transaction_session_timeout = '60s'; \
                 set default_transaction_read_only = on"
            }
        }
    }
}

/// A pool of connections that all act as one [`Role`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Connects and proves that the role can be taken and is held by row-level security.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Connect`] or [`StoreError::UnsafeRole`].
    pub async fn connect(url: &str, role: Role, max_connections: u32) -> Result<Self, StoreError> {
        let options = connect_options(url)?;
        // One connection outside the pool: the pool would try again until its timeout and hide the reason.
        let refused = |source| StoreError::Connect { role: role.name(), source };
        let attempt = async {
            let mut connection = options.connect().await.map_err(refused)?;
            take_role(&mut connection, role).await?;
            connection.close().await.map_err(refused)
        };
        tokio::time::timeout(ACQUIRE_TIMEOUT, attempt)
            .await
            .map_err(|_| refused(sqlx::Error::PoolTimedOut))??;
        Ok(Self::pool(options, role, max_connections))
    }

    /// Prepares the pool without connecting, for services that start while the server is away.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn lazy(url: &str, role: Role, max_connections: u32) -> Result<Self, StoreError> {
        Ok(Self::pool(connect_options(url)?, role, max_connections))
    }

    fn pool(options: PgConnectOptions, role: Role, max_connections: u32) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    take_role(connection, role).await.map_err(|error| match error {
                        StoreError::Connect { source, .. } => source,
                        other => sqlx::Error::Configuration(Box::new(other)),
                    })
                })
            })
            .connect_lazy_with(options);
        Self { pool }
    }

    /// Begins a transaction in which only `tenant` exists.
    ///
    /// # Errors
    /// [`StoreError::Database`] if no connection can be had.
    pub async fn tenant(&self, tenant: TenantId) -> Result<TenantTx, StoreError> {
        let tx = self.pool.begin().await.attempted("begin a transaction")?;
        TenantTx::begin(tx, tenant).await
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// [`StoreError::Database`] if it gives none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.pool
            .acquire()
            .await
            .attempted("reach the database")?
            .ping()
            .await
            .attempted("reach the database")
    }

    /// Closes all connections; waits until those in use are returned.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) fn connections(&self) -> &PgPool {
        &self.pool
    }
}

pub(crate) fn connect_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    // The driver's reason may quote the URL, and with it a password.
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Url)?;
    Ok(options.application_name("bulkhead"))
}

async fn take_role(connection: &mut PgConnection, role: Role) -> Result<(), StoreError> {
    let refused = |source| StoreError::Connect { role: role.name(), source };
    sqlx::raw_sql(PREPARE).execute(&mut *connection).await.map_err(refused)?;
    sqlx::raw_sql(role.prepare()).execute(&mut *connection).await.map_err(refused)?;
    let unsafe_role = sqlx::query_scalar!(
        r#"select rolsuper or rolbypassrls as "unsafe!" from pg_roles where rolname = current_user"#
    )
    .fetch_one(connection)
    .await
    .map_err(refused)?;
    if unsafe_role {
        return Err(StoreError::UnsafeRole { role: role.name().to_owned() });
    }
    Ok(())
}
