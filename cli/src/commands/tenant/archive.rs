//! `bulkhead tenant export` and `import`: all that is held of a tenant as one file, and back.

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bulkhead_policy::ids::DatabaseName;
use bulkhead_store::archive::{
    ArchiveError, Contents, ImportOptions, Imported, RowCounts, export_tenant, import_tenant,
};
use bulkhead_store::{Role, StoreError, system};
use serde_json::{Value, json};

use super::place::claim;
use crate::context::{DatabaseArgs, MasterKeyArgs, TenantArgs, actor, named};
use crate::failure::Failure;
use crate::output::{Format, print_one};

/// Standard input or output instead of a file.
const STANDARD: &str = "-";

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// File to write, which must not exist; `-` for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    tenant: TenantArgs,
    #[command(flatten)]
    master_key: MasterKeyArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The archive; `-` for standard input
    file: PathBuf,
    /// Give the tenant this name instead of its own
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Take an archive of another master key: its credentials are left out, and its API keys admit nobody
    #[arg(long)]
    other_master_key: bool,
    /// Where this database has another audit trail of the tenant, go on with it and leave the archive's out
    #[arg(long)]
    keep_audit_trail: bool,
    /// Place the tenant in this database, as [databases.NAME] of the configuration calls it: its traces are stored there alone
    #[arg(long = "database", value_name = "NAME")]
    placement: Option<DatabaseName>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    master_key: MasterKeyArgs,
}

pub(crate) async fn export(args: &ExportArgs, format: Format) -> Result<(), Failure> {
    let database = &args.tenant.database;
    let master_key = args.master_key.read(database)?.fingerprint();
    let name = args.tenant.name()?;
    let store = database.connect(Role::Migrator).await?;
    let tenant = system::tenant_by_name(&store, &name).await.map_err(|error| named(error, &name))?;
    if let Some(leaving) = &tenant.leaving {
        return Err(Failure::failed(format!(
            "traces of {name} are being moved from database {leaving} to {}: finish that first, with `bulkhead tenant place`",
            tenant.placement
        )));
    }
    let placed = if tenant.placement.is_shared() {
        None
    } else {
        Some(database.connect_to(&tenant.placement, Role::Migrator).await?)
    };
    let (placed, tenant) = (placed.as_ref(), tenant.id);
    if args.out == Path::new(STANDARD) {
        let contents =
            export_tenant(&store, placed, &actor(), tenant, master_key, BufWriter::new(io::stdout().lock()))
                .await?;
        eprintln!("bulkhead: {}", told(&contents, "standard output"));
        return Ok(());
    }
    let shown = args.out.display();
    let failed = |error: io::Error| Failure::failed(format!("write --out {shown}: {error}"));
    // An earlier archive may be the last copy; and this one holds what agents said.
    let file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out).map_err(failed)?;
    let written = export_tenant(&store, placed, &actor(), tenant, master_key, BufWriter::new(&file)).await;
    let written = match written {
        Ok(contents) => file.sync_all().map(|()| contents).map_err(failed),
        Err(error) => Err(Failure::from(error)),
    };
    let contents = written.inspect_err(|_| {
        // Half an archive is of no use. If it cannot be removed, it still cannot be imported.
        let _ = fs::remove_file(&args.out);
    })?;
    let Contents { tenant, rows, sha256 } = &contents;
    let value = json!({
        "out": args.out, "tenant": tenant.name, "id": tenant.id, "rows": rows, "sha256": sha256,
    });
    print_one(format, &told(&contents, &shown.to_string()), &value)
}

fn told(contents: &Contents, out: &str) -> String {
    let Contents { tenant, rows, sha256 } = contents;
    format!("exported tenant {} ({}) into {out}: {}\nsha256 {sha256}", tenant.name, tenant.id, counted(rows))
}

/// The tables with their rows, those without any left out.
fn counted(rows: &RowCounts) -> String {
    let tables: Vec<_> = rows
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(table, count)| format!("{table} {count}"))
        .collect();
    tables.join(", ")
}

pub(crate) async fn import(args: &ImportArgs, format: Format) -> Result<(), Failure> {
    let options = ImportOptions {
        name: args.name.clone(),
        master_key: args.master_key.read(&args.database)?.fingerprint(),
        other_master_key: args.other_master_key,
        keep_trail: args.keep_audit_trail,
    };
    let shown = args.file.display();
    let source: Box<dyn BufRead> = if args.file == Path::new(STANDARD) {
        Box::new(io::stdin().lock())
    } else {
        let opened = fs::File::open(&args.file);
        Box::new(BufReader::new(opened.map_err(|error| Failure::Usage(format!("{shown}: {error}")))?))
    };
    let store = args.database.connect(Role::Migrator).await?;
    let placement = args.placement.as_ref().filter(|name| !name.is_shared());
    let placed = match placement {
        Some(name) => Some((claim(&args.database, name).await?, name)),
        None => None,
    };
    let placed = placed.as_ref().map(|(store, name)| (store, *name));
    let imported = import_tenant(&store, placed, &actor(), source, &options).await;
    let imported = imported.map_err(|error| refused(error, args).context(&shown.to_string()))?;
    print_one(format, &sentences(&imported), &to_json(&imported))
}

/// Adds what can be done.
fn refused(error: ArchiveError, args: &ImportArgs) -> Failure {
    let remedy = match &error {
        ArchiveError::Store(StoreError::Invalid { expected, .. }) => {
            return match &args.name {
                Some(name) => Failure::Usage(format!("--as {name}: expected {expected}")),
                None => error.into(),
            };
        }
        ArchiveError::OtherMasterKey => {
            "give the master key it was made under, or --other-master-key to leave its credentials out"
        }
        ArchiveError::OtherTrail { .. } => "--keep-audit-trail goes on with the one that is here",
        ArchiveError::Store(StoreError::Exists { .. }) => {
            "the archive's id or name is taken here; --as NAME gives another name, the id stays"
        }
        _ => return error.into(),
    };
    Failure::failed(format!("{error}: {remedy}"))
}

fn sentences(imported: &Imported) -> String {
    let Contents { tenant, rows, .. } = &imported.contents;
    let mut text = format!("imported tenant {} ({}): {}", imported.name, tenant.id, counted(rows));
    if !imported.left_out.is_empty() {
        text.push_str(&format!("\nleft out: {}", imported.left_out.join(", ")));
    }
    text
}

fn to_json(imported: &Imported) -> Value {
    let Contents { tenant, rows, sha256 } = &imported.contents;
    json!({
        "tenant": imported.name, "id": tenant.id, "rows": rows, "sha256": sha256, "left_out": imported.left_out,
    })
}
