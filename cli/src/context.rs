//! Where a management command works: which database, which master key, which tenant, as whom.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;

use bulkhead_policy::address::Reach;
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::{DatabaseName, TenantId};
use bulkhead_store::placement::check_database;
use bulkhead_store::system::Tenant;
use bulkhead_store::tenant::{Actor, TenantTx};
use bulkhead_store::{Role, Store, StoreError, system};
use uuid::Uuid;

use crate::config::{self, Databases};
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
    /// A configuration file of `bulkhead proxy`: says where the database is, unless --database-url does, and where those are
    /// that tenants are placed in, unless `BULKHEAD_DATABASES_NAME_URL` does
    #[arg(long, env = "BULKHEAD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data dir of a running `bulkhead dev`
    #[arg(long, default_value = DATA_DIR_DEFAULT, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Options of every command that works on one tenant.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TenantArgs {
    /// The tenant, by its name or, for logins that may not look up names, its id; with the database of a `bulkhead dev`, its demo
    /// tenant unless named
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
    pub(crate) fn url(&self, role: Role) -> Result<String, Failure> {
        if let Some(url) = self.given_url(role)? {
            return Ok(url);
        }
        self.dev()?.map(|dev| dev.database_url).ok_or_else(|| {
            Failure::Usage(format!(
                "--database-url: missing, and {} holds no `bulkhead dev`: give the URL, set BULKHEAD_DATABASE_URL, \
                 or start `bulkhead dev`",
                self.data_dir.display()
            ))
        })
    }

    fn given_url(&self, role: Role) -> Result<Option<String>, Failure> {
        let (None, Some(file)) = (&self.database_url, &self.config) else {
            return Ok(self.database_url.clone());
        };
        let database = config::load(file)?.database;
        let url = if role == Role::Migrator { Some(database.migrator_url) } else { database.url };
        let missing = || Failure::Usage(format!("{}: database.url: missing", file.display()));
        url.ok_or_else(missing).map(Some)
    }

    /// Whether there is a database to ask, given or found.
    pub(crate) fn is_given(&self) -> Result<bool, Failure> {
        Ok(self.database_url.is_some() || self.config.is_some() || self.dev()?.is_some())
    }

    /// A tenant in it.
    pub(crate) fn tenant(&self, name: &str) -> TenantArgs {
        TenantArgs { tenant: Some(name.to_owned()), database: self.clone() }
    }

    /// Where upstreams may be, as the configuration file says.
    pub(crate) fn reach(&self) -> Result<Reach, Failure> {
        self.config.as_deref().map_or(Ok(Reach::Public), |file| Ok(config::load(file)?.proxy.upstreams))
    }

    /// Connects as `role`.
    pub(crate) async fn connect(&self, role: Role) -> Result<Store, Failure> {
        Store::connect(&self.url(role)?, role, CONNECTIONS_MAX).await.map_err(|error| {
            let is_dev = self.database_url.is_none() && self.config.is_none();
            let absent = is_dev && matches!(error, StoreError::Connect { .. });
            let failure = Failure::from(error);
            if absent {
                let data_dir = self.data_dir.display();
                Failure::failed(format!("{failure} (is `bulkhead dev` running on {data_dir}?)"))
            } else {
                failure
            }
        })
    }

    /// The databases that tenants may be placed in.
    pub(crate) fn databases(&self) -> Result<Databases, Failure> {
        match &self.config {
            Some(file) => Ok(config::load(file)?.databases),
            None => config::databases_from_environment(),
        }
    }

    /// Connects as `role` to the database of that name, and to no other.
    pub(crate) async fn connect_to(&self, name: &DatabaseName, role: Role) -> Result<Store, Failure> {
        if name.is_shared() {
            return self.connect(role).await;
        }
        let databases = self.databases()?;
        let url = databases.url(name, role)?;
        let connected = async {
            let store = Store::connect(url, role, CONNECTIONS_MAX).await?;
            check_database(&store, name).await.map(|()| store)
        };
        connected.await.map_err(|error| Failure::from(error).context(&format!("database {name}")))
    }

    /// Connects as the platform's administrator to the shared database and to each that a tenant is placed in.
    pub(crate) async fn connect_to_all(&self) -> Result<Vec<Store>, Failure> {
        let shared = self.connect(Role::Migrator).await?;
        let tenants = system::tenants(&shared).await?;
        let names: BTreeSet<DatabaseName> = tenants
            .into_iter()
            .flat_map(|tenant| tenant.leaving.into_iter().chain([tenant.placement]))
            .collect();
        let mut stores = vec![shared];
        for name in names.iter().filter(|name| !name.is_shared()) {
            stores.push(self.connect_to(name, Role::Migrator).await?);
        }
        Ok(stores)
    }

    /// The `dev` whose database this is, if it is one's.
    pub(crate) fn dev(&self) -> Result<Option<DevState>, Failure> {
        let state = DataDir::new(&self.data_dir).state()?;
        let given = self.given_url(Role::Migrator)?;
        Ok(state.filter(|dev| given.is_none_or(|url| url == dev.database_url)))
    }
}

impl TenantArgs {
    /// The tenant's name. Only a `dev` has a tenant that need not be named.
    pub(crate) fn name(&self) -> Result<String, Failure> {
        self.given()?.ok_or_else(|| {
            Failure::Usage("--tenant: missing: give its name or set BULKHEAD_TENANT".to_owned())
        })
    }

    /// The same, for commands that can do without.
    pub(crate) fn given(&self) -> Result<Option<String>, Failure> {
        match &self.tenant {
            Some(name) => Ok(Some(name.clone())),
            None => Ok(self.database.dev()?.map(|dev| dev.tenant)),
        }
    }

    /// Connects and finds the tenant.
    pub(crate) async fn connect(&self) -> Result<TenantScope, Failure> {
        self.connect_as(Role::Api).await
    }

    /// The same as another role for a tenant's rows.
    pub(crate) async fn connect_as(&self, role: Role) -> Result<TenantScope, Failure> {
        let name = self.name()?;
        let (store, tenant) = match name.parse::<Uuid>() {
            // A login that is a member of the role for a tenant's rows alone is enough.
            Ok(id) => {
                let store = self.database.connect(role).await?;
                let mut tx = store.tenant(TenantId::from_uuid(id)).await?;
                let tenant = tx.itself().await.map_err(|error| named(error, &name))?;
                (store, tenant)
            }
            // Names are looked up across tenants, which that role cannot do.
            Err(_) => {
                let platform = self.database.connect(Role::Migrator).await?;
                let tenant = system::tenant_by_name(&platform, &name).await;
                platform.close().await;
                (self.database.connect(role).await?, tenant.map_err(|error| named(error, &name))?)
            }
        };
        Ok(TenantScope { store, database: self.database.clone(), role, tenant })
    }

    /// Connects and begins the one transaction that most commands need.
    pub(crate) async fn begin(&self) -> Result<TenantTx, Failure> {
        self.connect().await?.begin().await
    }
}

/// A database that traces of a tenant are in.
#[derive(Debug)]
pub(crate) enum Place {
    /// The one that everything else is in.
    Shared,
    Placed(Store),
}

/// A connection for one tenant's rows.
#[derive(Debug)]
pub(crate) struct TenantScope {
    store: Store,
    database: DatabaseArgs,
    role: Role,
    tenant: Tenant,
}

impl TenantScope {
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn id(&self) -> TenantId {
        self.tenant.id
    }

    /// Where the tenant's traces are. While they are moved, in two databases: the one that they leave comes first, so that who
    /// looks in this order misses none.
    pub(crate) async fn trace_places(&self) -> Result<Vec<Place>, Failure> {
        let mut places = Vec::new();
        for name in self.tenant.leaving.iter().chain([&self.tenant.placement]) {
            places.push(if name.is_shared() {
                Place::Shared
            } else {
                Place::Placed(self.database.connect_to(name, self.role).await?)
            });
        }
        Ok(places)
    }

    /// Begins a transaction in each of them.
    pub(crate) async fn begin_in_each(&self) -> Result<Vec<TenantTx>, Failure> {
        let mut transactions = Vec::new();
        for place in self.trace_places().await? {
            let store = match &place {
                Place::Shared => &self.store,
                Place::Placed(store) => store,
            };
            transactions.push(store.tenant(self.id()).await?);
        }
        Ok(transactions)
    }

    /// Begins a transaction in which only this tenant exists.
    pub(crate) async fn begin(&self) -> Result<TenantTx, Failure> {
        Ok(self.store.tenant(self.id()).await?)
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

/// Refuses what nothing brings back unless its name was given twice, the second time with `option`.
pub(crate) fn confirm(option: &str, what: &str, name: &str, confirmed: &str) -> Result<(), Failure> {
    if confirmed == name {
        return Ok(());
    }
    Err(Failure::Usage(format!("{option}: {confirmed:?} is not the name of the {what}, {name:?}")))
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
