//! `bulkhead credential`: what the providers know a tenant by. Stored sealed; never printed.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use bulkhead_policy::crypto::{MasterKey, credential_aad};
use bulkhead_policy::document::UpstreamDocument;
use bulkhead_store::tenant::{Layer, TenantTx};
use clap::Subcommand;
use ring::rand::SystemRandom;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::wait::WaitArgs;
use crate::context::{MasterKeyArgs, TenantArgs, actor, block_on, confirm, named};
use crate::failure::Failure;
use crate::output::{Format, Table, moment, print_list, print_one};
use crate::policy_in_force;

/// Longer than every provider's keys, shorter than a file given by mistake.
const SECRET_BYTES_MAX: usize = 8192;

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Set or replace a credential; its value is read from standard input or a file, never from the command line
    Set {
        /// The name that policies use
        name: String,
        /// Read the value from this file instead of standard input
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        tenant: TenantArgs,
        #[command(flatten)]
        master_key: MasterKeyArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// List the tenant's credentials, without their values
    List {
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Delete a credential that the policy in force does not use
    Delete {
        /// The name that policies use
        name: String,
        /// Its name once more: nothing brings its value back
        #[arg(long, value_name = "NAME")]
        yes_delete: String,
        #[command(flatten)]
        tenant: TenantArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

pub(crate) fn run(command: CredentialCommand, format: Format) -> Result<(), Failure> {
    match command {
        CredentialCommand::Set { name, file, tenant, master_key, wait } => {
            let master_key = master_key.read(&tenant.database)?;
            let secret = read_secret(file.as_deref())?;
            block_on(set(&name, &secret, &tenant, &master_key, &wait, format))
        }
        CredentialCommand::List { tenant } => block_on(list(&tenant, format)),
        CredentialCommand::Delete { name, yes_delete, tenant, wait } => {
            confirm("--yes-delete", "credential to delete", &name, &yes_delete)?;
            block_on(delete(&name, &tenant, &wait, format))
        }
    }
}

async fn set(
    name: &str,
    secret: &SecretString,
    tenant: &TenantArgs,
    master_key: &MasterKey,
    wait: &WaitArgs,
    format: Format,
) -> Result<(), Failure> {
    let mut tx = tenant.begin().await?;
    let version = put(&mut tx, name, secret, master_key).await?;
    let revision = tx.revision().await?;
    tx.commit().await?;
    let text = format!("set credential {name}, version {version}, from revision {revision} on");
    print_one(format, &text, &json!({"name": name, "version": version, "revision": revision}))?;
    wait.wait(tenant, revision).await
}

/// Seals a secret for its place and stores it; returns its version.
pub(crate) async fn put(
    tx: &mut TenantTx,
    name: &str,
    secret: &SecretString,
    master_key: &MasterKey,
) -> Result<u32, Failure> {
    let slot = tx.credential_slot(name).await?;
    let version = slot.version();
    let place = credential_aad(tx.tenant(), slot.id(), version);
    let secret = secret.expose_secret().as_bytes();
    let sealed = master_key.credential_sealer()?.seal(&place, secret, &SystemRandom::new())?;
    tx.put_credential(&actor(), slot, &sealed).await.map_err(|error| named(error, name))?;
    Ok(version)
}

async fn list(tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let credentials = tenant.begin().await?.credentials().await?;
    let mut table = Table::new(&["NAME", "ID", "VERSION", "CHANGED"]);
    for credential in &credentials {
        table.row([
            credential.name.clone(),
            credential.id.to_string(),
            credential.version.to_string(),
            moment(credential.changed_at),
        ]);
    }
    let values: Vec<Value> = credentials
        .iter()
        .map(|credential| {
            json!({
                "name": credential.name, "id": credential.id, "version": credential.version,
                "changed_at": credential.changed_at,
            })
        })
        .collect();
    print_list(format, &table, &values)
}

async fn delete(name: &str, tenant: &TenantArgs, wait: &WaitArgs, format: Format) -> Result<(), Failure> {
    let mut tx = tenant.begin().await?;
    tx.delete_credential(&actor(), name).await.map_err(|error| named(error, name))?;
    // Nodes would refuse that policy, and go on with the one before and with the value in their memory.
    let policy = policy_in_force::document(&mut tx, Layer::Tenant).await?.unwrap_or_default();
    let names_it = |upstream: &UpstreamDocument| upstream.credential.as_deref() == Some(name);
    if let Some((upstream, _)) = policy.upstreams.iter().find(|(_, upstream)| names_it(upstream)) {
        return Err(Failure::failed(format!(
            "credential {name}: upstream {upstream} of the policy in force uses it: first put a policy in force that does not, \
             with `bulkhead policy apply FILE`, or replace its value with `bulkhead credential set {name}`"
        )));
    }
    let revision = tx.revision().await?;
    tx.commit().await?;
    let text = format!("deleted credential {name} from revision {revision} on");
    print_one(format, &text, &json!({"name": name, "revision": revision}))?;
    wait.wait(tenant, revision).await
}

fn read_secret(file: Option<&Path>) -> Result<SecretString, Failure> {
    let source = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let wrong = |reason: String| Failure::Usage(format!("credential from {source}: {reason}"));
    if file.is_none() && io::stdin().is_terminal() {
        return Err(wrong(
            "pipe the value in, or give --file FILE, so that it does not stay on the screen".to_owned(),
        ));
    }
    let mut text = String::new();
    let limit = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    match file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)),
        None => io::stdin().lock().take(limit).read_to_string(&mut text),
    }
    .map_err(|error| wrong(error.to_string()))?;
    check_secret(&text).map_err(wrong)
}

/// A credential travels in a header: one line of visible ASCII.
fn check_secret(text: &str) -> Result<SecretString, String> {
    let secret = text.trim();
    if secret.is_empty() {
        Err("it is empty".to_owned())
    } else if text.len() > SECRET_BYTES_MAX {
        Err(format!("it is longer than {SECRET_BYTES_MAX} bytes"))
    } else if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("expected one word of visible ASCII characters".to_owned())
    } else {
        Ok(secret.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::{SECRET_BYTES_MAX, check_secret};
    use secrecy::ExposeSecret as _;

    #[test]
    fn secrets_are_one_visible_word() {
        assert_eq!(check_secret("abc\n").expect("is fine").expose_secret(), "abc");
        for text in ["", " \n", "two words", "two\nlines", "\u{e9}", &"x".repeat(SECRET_BYTES_MAX + 1)] {
            assert!(check_secret(text).is_err(), "{text:.10}");
        }
    }
}
