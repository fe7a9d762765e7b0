//! `bulkhead master-key`: seals what is stored under another key.

use std::path::{Path, PathBuf};

use bulkhead_policy::crypto::{MasterKey, Sealer, credential_aad};
use bulkhead_policy::data_key::{DataKey, KeyProvider as _, LocalKeys};
use bulkhead_policy::ids::TenantId;
use bulkhead_store::system::{self, Resealed, SealedValues};
use bulkhead_store::{Role, Store};
use clap::Subcommand;
use ring::rand::SystemRandom;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::context::{DatabaseArgs, MasterKeyArgs, actor, block_on};
use crate::failure::Failure;
use crate::master_key::read_master_key;
use crate::output::{Format, print_one};

/// Looks at one tenant, should others keep replacing what it has sealed.
const LOOKS_MAX: usize = 10;

#[derive(Debug, Subcommand)]
pub(crate) enum MasterKeyCommand {
    /// Seal all credentials and data keys under a new key
    ///
    /// Every node must know the new key first (`sealing_file`, with the old one as `previous_sealing_file`). May be run
    /// again, also after it was interrupted: it says how much was left to do.
    Rotate {
        /// File with the new key, made with `openssl rand -hex 32`
        #[arg(long, value_name = "FILE")]
        new_key_file: PathBuf,
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        master_key: MasterKeyArgs,
    },
}

pub(crate) fn run(command: MasterKeyCommand, format: Format) -> Result<(), Failure> {
    let MasterKeyCommand::Rotate { new_key_file, database, master_key } = command;
    let keys = Keys::read(&new_key_file, master_key.read(&database)?)?;
    block_on(rotate(&keys, &database, format))
}

/// The new key, which seals, beside those that open.
struct Keys {
    credentials: Sealer,
    data_keys: LocalKeys,
    random: SystemRandom,
}

impl Keys {
    fn read(new_key_file: &Path, current: MasterKey) -> Result<Self, Failure> {
        let both = current.rotating_to(read_master_key(new_key_file)?);
        Ok(Self {
            credentials: both.credential_sealer()?,
            data_keys: both.local_keys()?,
            random: SystemRandom::new(),
        })
    }

    /// Seals anew what is not under the new key yet.
    fn reseal(&self, tenant: TenantId, found: SealedValues) -> Result<Resealed, Failure> {
        let mut resealed = Resealed::default();
        for credential in found.credentials {
            let place = credential_aad(tenant, credential.id, credential.version);
            if self.credentials.is_newest(&place, &credential.sealed) {
                continue;
            }
            let secret = self.credentials.open(&place, &credential.sealed).map_err(|_| {
                Failure::failed(format!(
                    "credential {:?} of tenant {tenant} opens under none of the keys given",
                    credential.name
                ))
            })?;
            let sealed = self.credentials.seal(&place, secret.expose_secret().as_bytes(), &self.random)?;
            resealed.credentials.push((credential, sealed));
        }
        for stored in found.data_keys.into_iter().filter(|key| key.key_id != self.data_keys.key_id()) {
            let key = DataKey::unwrap(&stored, tenant, &self.data_keys).map_err(|_| {
                Failure::failed(format!(
                    "data key {} of tenant {tenant} is wrapped with the key {}, which was not given",
                    stored.version, stored.key_id
                ))
            })?;
            let wrapped = key.wrap(tenant, &self.data_keys, &self.random)?;
            resealed.data_keys.push((stored, wrapped));
        }
        Ok(resealed)
    }
}

async fn rotate(keys: &Keys, database: &DatabaseArgs, format: Format) -> Result<(), Failure> {
    let store = database.connect(Role::Migrator).await?;
    let key_id = keys.data_keys.key_id();
    let mut tenants = 0;
    for tenant in system::tenants(&store).await? {
        tenants += usize::from(rotate_tenant(keys, &store, tenant.id).await?);
    }
    if tenants > 0 {
        system::record_rotation(&store, &actor(), key_id, tenants).await?;
    }
    let text = match tenants {
        0 => format!("everything is sealed under the key {key_id}"),
        _ => format!(
            "sealed anew under the key {key_id} what {tenants} tenants have; run it again to see that nothing is left"
        ),
    };
    print_one(format, &text, &json!({ "key_id": key_id, "tenants_resealed": tenants }))
}

/// Says whether there was anything to do.
async fn rotate_tenant(keys: &Keys, store: &Store, tenant: TenantId) -> Result<bool, Failure> {
    for look in 0..LOOKS_MAX {
        let resealed = keys.reseal(tenant, system::sealed_values(store, tenant).await?)?;
        if resealed.is_empty() {
            return Ok(look > 0);
        }
        system::reseal_tenant(store, &actor(), tenant, keys.data_keys.key_id(), &resealed).await?;
    }
    Err(Failure::failed(format!(
        "what tenant {tenant} has sealed is being replaced under another key all the time"
    )))
}
