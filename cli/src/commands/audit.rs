//! `bulkhead audit`: reads the audit trail as an auditor, proves that it is whole, and signs what it came to.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bulkhead_policy::audit::{Chain, Fault, Head, HeadKey, Link, SignedHead};
use bulkhead_store::system::{self, AuditChain};
use bulkhead_store::{AuditEntry, AuditFilter, Role, Store};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::context::{DatabaseArgs, MasterKeyArgs, TenantArgs, block_on, named};
use crate::duration;
use crate::failure::Failure;
use crate::output::{Format, Table, moment, or_dash, print, print_list, print_one};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List who changed what, newest first
    List {
        #[command(flatten)]
        chain: ChainArgs,
        /// At most this many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only of the last 15m, 24h, 7d
        #[arg(long, value_name = "SPAN", value_parser = duration::parse)]
        since: Option<TimeDelta>,
        /// Only this action (key.revoke), or all on a kind of thing (key)
        #[arg(long, value_name = "ACTION")]
        action: Option<String>,
        /// Go on after the entry of this number: the last one of the page before
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
    },
    /// Check that no entry was changed, removed, put in or moved
    ///
    /// Ends with 0 if the trail is whole, 1 if it is not, 2 if that could not be found out.
    Verify {
        #[command(flatten)]
        chain: ChainArgs,
        /// Check the platform and every tenant, those that are gone too
        #[arg(long, conflicts_with_all = ["platform", "head"])]
        all: bool,
        /// Check also that the trail still holds this head, made by `bulkhead audit head`
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
        /// The key that the head was signed with, from `bulkhead audit public-key`; without it, it follows from the
        /// master key
        #[arg(long, value_name = "HEX", requires = "head")]
        public_key: Option<HeadKey>,
        #[command(flatten)]
        master_key: MasterKeyArgs,
    },
    /// Check the trail, then sign its newest entry; to be kept where the database's administrators cannot write
    Head {
        #[command(flatten)]
        chain: ChainArgs,
        /// Write it to this new file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        master_key: MasterKeyArgs,
    },
    /// Print the key that signed heads are checked with
    PublicKey {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        master_key: MasterKeyArgs,
    },
}

/// Whose trail: a tenant's, by name or, once it is gone, by id; or the platform's.
#[derive(Debug, Args)]
pub(crate) struct ChainArgs {
    /// What was done for the platform as a whole: its policy, retention, migrations
    #[arg(long)]
    platform: bool,
    #[command(flatten)]
    tenant: TenantArgs,
}

impl ChainArgs {
    async fn connect(&self) -> Result<(Store, AuditChain), Failure> {
        if self.platform {
            let store = self.tenant.database.connect(Role::Auditor).await?;
            return Ok((store, AuditChain { chain: Chain::Platform, tenant: None }));
        }
        let name = self.tenant.name()?;
        let store = self.tenant.database.connect(Role::Auditor).await?;
        let chain = system::audit_chain(&store, &name).await.map_err(|error| named(error, &name))?;
        Ok((store, chain))
    }
}

pub(crate) fn run(command: AuditCommand, format: Format) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::List { chain, limit, since, action, after } => {
            let since = since.map(|span| Utc::now() - span);
            block_on(list(&chain, AuditFilter { since, action, after, limit }, format))?;
        }
        AuditCommand::Verify { chain, all, head, public_key, master_key } => {
            let checked = block_on(async {
                let database = &chain.tenant.database;
                if all {
                    return verify_all(database, format).await;
                }
                let head = match head {
                    Some(file) => Some(read_head(&file, public_key, &master_key, database)?),
                    None => None,
                };
                verify_one(&chain, head, format).await
            });
            let whole = match checked {
                Ok(whole) => whole,
                Err(failure) => {
                    eprintln!("bulkhead: {failure}");
                    return Ok(ExitCode::from(2));
                }
            };
            return Ok(ExitCode::from(u8::from(!whole)));
        }
        AuditCommand::Head { chain, out, master_key } => {
            block_on(head(&chain, out.as_deref(), &master_key, format))?;
        }
        AuditCommand::PublicKey { database, master_key } => {
            let key = master_key.read(&database)?.head_signer()?.public_key();
            print_one(format, &key.to_string(), &json!({ "public_key": key }))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(chain: &ChainArgs, filter: AuditFilter, format: Format) -> Result<(), Failure> {
    let (store, found) = chain.connect().await?;
    let entries = system::audit_entries(&store, found.chain, &filter).await?;
    let mut table = Table::new(&["SEQ", "TIME", "ACTOR", "ACTION", "TARGET", "DETAIL"]);
    for entry in &entries {
        table.row([
            entry.seq.to_string(),
            moment(entry.at),
            entry.actor.clone(),
            entry.action.clone(),
            entry.target.clone(),
            detail(entry),
        ]);
    }
    print_list(format, &table, &entries)
}

/// What is not null, as `name=value`.
fn detail(entry: &AuditEntry) -> String {
    let fields = entry.detail.as_object().into_iter().flatten();
    let fields = fields.filter(|(_, value)| !value.is_null());
    fields.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

async fn verify_all(database: &DatabaseArgs, format: Format) -> Result<bool, Failure> {
    let store = database.connect(Role::Auditor).await?;
    let mut report = Report::new();
    for found in system::audit_chains(&store).await? {
        let end = system::verify_audit_chain(&store, found.chain, None).await?;
        report.add(&found, None, end);
    }
    report.print(format)
}

async fn verify_one(chain: &ChainArgs, head: Option<Head>, format: Format) -> Result<bool, Failure> {
    let (store, found) = chain.connect().await?;
    if let Some(other) = head.map(|head| head.chain).filter(|other| *other != found.chain) {
        return Err(Failure::Usage(format!("--head: it is of {other}, and the trail is of {}", found.chain)));
    }
    let end = system::verify_audit_chain(&store, found.chain, head.map(|head| head.link)).await?;
    let mut report = Report::new();
    report.add(&found, head, end);
    report.print(format)
}

/// What was found out about chains.
struct Report {
    table: Table,
    values: Vec<Value>,
    whole: bool,
}

impl Report {
    fn new() -> Self {
        Self { table: Table::new(&["TRAIL", "ID", "ENTRIES", "RESULT"]), values: Vec::new(), whole: true }
    }

    fn add(&mut self, found: &AuditChain, head: Option<Head>, end: Result<Link, Fault>) {
        let name = match (&found.tenant, found.chain) {
            (Some(name), _) => Some(name.as_str()),
            (None, Chain::Platform) => Some("(platform)"),
            (None, Chain::Tenant(_)) => None,
        };
        let (entries, result) = match (end, head) {
            (Ok(end), None) => (Some(end.seq), "whole".to_owned()),
            (Ok(end), Some(head)) => {
                let signed = format!("entry {} of {}", head.link.seq, moment(head.signed_at));
                (Some(end.seq), format!("whole; holds the signed {signed}"))
            }
            (Err(fault), _) => (None, fault.to_string()),
        };
        self.whole &= end.is_ok();
        self.table.row([or_dash(name), found.chain.to_string(), or_dash(entries), result]);
        self.values.push(json!({
            "chain": found.chain, "tenant": found.tenant, "whole": end.is_ok(), "entries": entries,
            "hash": end.ok().map(|end| end.hash), "fault": end.err(), "head": head,
        }));
    }

    /// Prints it and says whether all is well.
    fn print(self, format: Format) -> Result<bool, Failure> {
        print_list(format, &self.table, &self.values)?;
        Ok(self.whole)
    }
}

async fn head(
    chain: &ChainArgs,
    out: Option<&Path>,
    master_key: &MasterKeyArgs,
    format: Format,
) -> Result<(), Failure> {
    let signer = master_key.read(&chain.tenant.database)?.head_signer()?;
    let (store, found) = chain.connect().await?;
    // A signature under a broken chain would vouch for it.
    let link = system::verify_audit_chain(&store, found.chain, None)
        .await?
        .map_err(|fault| Failure::failed(format!("the trail is not whole and is not signed: {fault}")))?;
    // As much of the time as is signed.
    let signed_at: DateTime<Utc> = Utc::now().trunc_subsecs(6);
    let signed = signer.sign(Head { chain: found.chain, link, signed_at });
    let text = format!("{}\n", serde_json::to_string(&signed)?);
    let Some(path) = out else { return print(&text) };
    // An earlier head is evidence.
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| Failure::failed(format!("write --out {}: {error}", path.display())))?;
    let text = format!("signed entry {} into {}", link.seq, path.display());
    print_one(format, &text, &json!({ "out": path, "seq": link.seq, "hash": link.hash }))
}

/// Reads a head and proves who signed it.
fn read_head(
    file: &Path,
    public_key: Option<HeadKey>,
    master_key: &MasterKeyArgs,
    database: &DatabaseArgs,
) -> Result<Head, Failure> {
    let wrong = |reason: String| Failure::Usage(format!("--head {}: {reason}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let signed: SignedHead = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let key = match public_key {
        Some(key) => key,
        None => master_key.read(database)?.head_signer()?.public_key(),
    };
    key.open(&signed).map_err(|error| wrong(error.to_string()))
}
