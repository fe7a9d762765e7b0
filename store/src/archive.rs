//! All that is held of one tenant as one file, and the way back into a database.
//!
//! # The format, version 1
//!
//! Lines of JSON in UTF-8, each ended by a line feed. Read and written from front to back, in the memory of a batch of rows.
//!
//! ```text
//! {"format":"bulkhead tenant archive","version":1, ..}              header
//! {"table":"agents","tenant_id":"018f..","id":"018f..", ..}         one line for each row
//! {"end":"bulkhead tenant archive","rows":{"agents":1, ..},"sha256":".."}
//! ```
//!
//! - **Header**: `version` of the format; `product` and `schema`, the version of Bulkhead and of its schema; `exported_at`;
//!   `master_key`, a fingerprint of the installation's master key; `tenant` with `id`, `name`, `suspended`, `revision` and
//!   `created_at`.
//! - **Rows**: `table` first, then every column under its name. The tables are agents, api_keys, api_key_usage,
//!   credentials, policies, active_policies, budget_usage, budget_alerts, traces, trace_bodies, trace_detectors and audit. Times are
//!   RFC 3339 in UTC with microseconds. Bytes are base64: hashes, sealed credentials, captured bodies. `scopes`,
//!   `document` and `detail` are the text of a JSON value, because the text is what was written, or hashed
//!   (`bulkhead_policy::audit` says how a trail is checked).
//! - **Last line**: the rows of each table, counted, and the SHA-256 of all bytes before this line, in hexadecimal:
//!   `head -n -1 FILE | sha256sum`.
//!
//! What is bound to the master key stays so. API keys are hashes under it and credentials are sealed under it: in
//! an installation with another master key no API key is recognised and no credential opens. An archive shows no secret that
//! the database does not show, but it shows captured bodies: keep it like a backup.
//!
//! Not in an archive: data keys and the original bodies that they have sealed, because an archive outlives a tenant's
//! erasure; what a node still has in its spool, what nodes say about policies (theirs to say), and the platform's
//! policy and audit trail (no tenant's).
//!
//! # Laws
//!
//! - An archive shows one moment: it is read in one repeatable-read transaction, in which only the tenant exists. Traces that
//!   are placed in another database are read in one there, and show the moment after.
//! - An archive is taken whole or not at all. One transaction inserts the rows, and it is committed only if the last line is
//!   the one that follows from all bytes before. A file that was cut off or changed leaves nothing behind. Where traces go to
//!   another database, theirs is committed first, and is seen with the tenant.
//! - No row of another tenant is taken: each names its tenant, and row-level security holds in the transaction.
//! - The tenant keeps its id, since seals, tokens and the audit trail are bound to it. It can have another name.
//! - The audit trail comes back as the chain that it was, number by number; the database takes no entry that does not give
//!   its hash (migration 11). Where this database has a trail of that tenant already, because the tenant was here before, all
//!   entries of the archive must be in it, and it goes on.
//! - Both leave an audit entry. An export's is written before the first byte leaves, and is in the archive itself.

mod export;
mod import;
mod line;
mod reader;
mod table;
mod writer;

use std::io;

use bulkhead_policy::crypto::MasterKeyFingerprint;
use bulkhead_policy::ids::TenantId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

pub use export::export_tenant;
pub use import::{ImportOptions, Imported, import_tenant};
pub use line::{LineFault, RowCounts};
#[cfg(test)]
pub(crate) use table::{LEFT_OUT, LEFT_OUT_COLUMNS, Table};

/// Longest line, in bytes. A captured body makes a third more than its own length.
pub const LINE_BYTES_MAX: usize = 256 << 20;

const FORMAT: &str = "bulkhead tenant archive";
const VERSION: u32 = 1;

/// The first line of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    format: String,
    version: u32,
    /// Version of Bulkhead that wrote it.
    pub product: String,
    /// Version of the schema it was read from.
    pub schema: i64,
    /// The moment that it shows.
    pub exported_at: DateTime<Utc>,
    /// Tells whether the master key is the same.
    pub master_key: MasterKeyFingerprint,
    /// Whose it is.
    pub tenant: ArchivedTenant,
}

/// A tenant as an archive has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedTenant {
    /// The tenant.
    pub id: TenantId,
    /// Its name where it was exported.
    pub name: String,
    /// True while it may not call anything.
    pub suspended: bool,
    /// Counts the changes of its policy, keys, agents and credentials.
    pub revision: i64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// What an archive holds, as its last line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// The tenant.
    pub tenant: ArchivedTenant,
    /// Rows by table.
    pub rows: RowCounts,
    /// SHA-256 of all bytes before the last line, in hexadecimal.
    pub sha256: String,
}

/// Says why an archive was not written or not taken. Nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The database refused or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive could not be written.
    #[error("write the archive")]
    Write(#[source] io::Error),
    /// The archive could not be read.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// The file is none, or of a version that is not known here.
    #[error("line 1: not the header of a tenant archive of version {VERSION}")]
    Header(#[source] Option<serde_json::Error>),
    /// The file is of a later schema than this version's.
    #[error(
        "the archive has schema {found} of Bulkhead {product:?}, this is schema {known}: import it with that version"
    )]
    Schema {
        /// The archive's schema.
        found: i64,
        /// This version's.
        known: i64,
        /// Version of Bulkhead that wrote it.
        product: String,
    },
    /// A line is not a row of this tenant.
    #[error("line {line}: {fault}")]
    Line {
        /// Its number, from 1 on.
        line: u64,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// The file ends before its last line.
    #[error("the archive is cut off after line {lines}")]
    CutOff {
        /// Lines that are there.
        lines: u64,
    },
    /// The last line does not follow from what stands before it.
    #[error(
        "line {line}: the archive was changed or damaged: its last line does not fit what stands before it"
    )]
    Changed {
        /// Number of the last line.
        line: u64,
    },
    /// The database refuses rows.
    #[error("lines {first} to {last}: insert into {table}")]
    Rows {
        /// Number of the first line of the batch.
        first: u64,
        /// Number of its last line.
        last: u64,
        /// The table.
        table: &'static str,
        /// The driver's reason.
        #[source]
        source: sqlx::Error,
    },
    /// The archive is of an installation with another master key.
    #[error(
        "the archive was made under another master key: its credentials do not open here and its API keys admit nobody"
    )]
    OtherMasterKey,
    /// The audit trail that is here is not the archive's, nor one that goes on from it.
    #[error(
        "lines {first} to {last}: this database has another audit trail of the tenant, in which these entries are not"
    )]
    OtherTrail {
        /// Number of the first line of the batch in which one is missing.
        first: u64,
        /// Number of its last line.
        last: u64,
    },
}
