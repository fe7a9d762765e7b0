//! Where a management command works: which database, which master key, which tenant, as whom.

use std::future::Future;
use std::path::PathBuf;

use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::TenantId;
use bulkhead_store::tenant::{Actor, TenantTx};
use bulkhead_store::{Role, Store, StoreError, system};

use crate::dev_state::{DATA_DIR_DEFAULT, DataDir, DevState};
use crate::failure::Failure;
use crate::master_key::{self, SealingKeyArgs, read_master_key};

/// One for the transaction, one for what runs beside it.
const CONNECTIONS_MAX: u32 = 2;

/// Options of every command that works on a database.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// The database; without it, the one of the `bulkhead dev` in the data dir
    #[arg(long, env = "BULKHEAD_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// The data dir of a running `bulkhead dev`
    #[arg(long, default_value = DATA_DIR_DEFAULT, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Options of every command that works on one tenant.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TenantArgs {
    /// The tenant; with the database of a `bulkhead dev`, its demo tenant unless named
    #[arg(long, env = "BULKHEAD_TENANT", value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

/// Options of every command that seals or hashes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MasterKeyArgs {
    /// File with the master key; else the variable `BULKHEAD_MASTER_KEY` holds it; with the database of a
    /// `bulkhead dev`, its key
    #[arg(long, env = "BULKHEAD_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    #[command(flatten)]
    sealing: SealingKeyArgs,
}

impl DatabaseArgs {
    /// The database's URL, given or found.
    pub(crate) fn url(&self) -> Result<String, Failure> {
        match &self.database_url {
            Some(url) => Ok(url.clone()),
            None => self.dev()?.map(|dev| dev.database_url).ok_or_else(|| {
                Failure::Usage(format!(
                    "--database-url: missing, and {} holds no `bulkhead dev`: give the URL, set BULKHEAD_DATABASE_URL, \
                     or start `bulkhead dev`",
                    self.data_dir.display()
                ))
            }),
        }
    }

    /// Connects as `role`.
    pub(crate) async fn connect(&self, role: Role) -> Result<Store, Failure> {
        Store::connect(&self.url()?, role, CONNECTIONS_MAX).await.map_err(|error| {
            let absent = self.database_url.is_none() && matches!(error, StoreError::Connect { .. });
            let failure = Failure::from(error);
            if absent {
                let data_dir = self.data_dir.display();
                Failure::failed(format!("{failure} (is `bulkhead dev` running on {data_dir}?)"))
            } else {
                failure
            }
        })
    }

    /// The `dev` whose database this is, if it is one's.
    pub(crate) fn dev(&self) -> Result<Option<DevState>, Failure> {
        let state = DataDir::new(&self.data_dir).state()?;
        Ok(state.filter(|dev| self.database_url.as_ref().is_none_or(|url| *url == dev.database_url)))
    }
}

impl TenantArgs {
    /// The same database, another tenant.
    pub(crate) fn for_tenant(&self, name: &str) -> Self {
        Self { tenant: Some(name.to_owned()), database: self.database.clone() }
    }

    /// The tenant's name. Only a `dev` has a tenant that need not be named.
    pub(crate) fn name(&self) -> Result<String, Failure> {
        match &self.tenant {
            Some(name) => Ok(name.clone()),
            None => self.database.dev()?.map(|dev| dev.tenant).ok_or_else(|| {
                Failure::Usage("--tenant: missing: give its name or set BULKHEAD_TENANT".to_owned())
            }),
        }
    }

    /// Connects and finds the tenant.
    pub(crate) async fn connect(&self) -> Result<TenantScope, Failure> {
        self.connect_as(Role::Api).await
    }

    /// The same as another role for a tenant's rows.
    pub(crate) async fn connect_as(&self, role: Role) -> Result<TenantScope, Failure> {
        let name = self.name()?;
        // Names are looked up across tenants, which the role for a tenant's rows cannot do.
        let platform = self.database.connect(Role::Migrator).await?;
        let tenant = system::tenant_by_name(&platform, &name).await.map_err(|error| named(error, &name))?;
        platform.close().await;
        Ok(TenantScope { store: self.database.connect(role).await?, id: tenant.id })
    }

    /// Connects and begins the one transaction that most commands need.
    pub(crate) async fn begin(&self) -> Result<TenantTx, Failure> {
        self.connect().await?.begin().await
    }
}

/// A connection for one tenant's rows.
#[derive(Debug)]
pub(crate) struct TenantScope {
    store: Store,
    id: TenantId,
}

impl TenantScope {
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn id(&self) -> TenantId {
        self.id
    }

    /// Begins a transaction in which only this tenant exists.
    pub(crate) async fn begin(&self) -> Result<TenantTx, Failure> {
        Ok(self.store.tenant(self.id).await?)
    }
}

impl MasterKeyArgs {
    /// Reads the master key that belongs to the database, with the keys that seal in its place.
    pub(crate) fn read(&self, database: &DatabaseArgs) -> Result<MasterKey, Failure> {
        self.sealing.over(self.read_root(database)?)
    }

    fn read_root(&self, database: &DatabaseArgs) -> Result<MasterKey, Failure> {
        if let Some(key) = master_key::found(self.master_key_file.as_deref(), "BULKHEAD_MASTER_KEY")? {
            return Ok(key);
        }
        // Another database's keys would not verify under this one's.
        if database.dev()?.is_some() {
            return read_master_key(&DataDir::new(&database.data_dir).master_key());
        }
        Err(Failure::Usage(
            "--master-key-file: missing: give the file, or set BULKHEAD_MASTER_KEY; it must be the proxy's"
                .to_owned(),
        ))
    }
}

/// Adds the name that was asked for to "no such tenant" and its like.
pub(crate) fn named(error: StoreError, name: &str) -> Failure {
    match error {
        StoreError::NotFound { .. } | StoreError::Exists { .. } => {
            Failure::failed(format!("{error}: {name}"))
        }
        StoreError::Invalid { what, expected } => {
            Failure::Usage(format!("{what} {name:?}: expected {expected}"))
        }
        other => other.into(),
    }
}

/// The person at the terminal, for the audit trail.
pub(crate) fn actor() -> Actor {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    Actor::new(&format!("cli:{user}"))
}

/// Runs the async part of a command.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
