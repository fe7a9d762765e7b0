//! The last good snapshot on disk: enough to start while PostgreSQL is away, and of no use to anyone else.
//!
//! One line that names the format, a 32-byte tag under a key derived from the master key, then JSON. Credentials in it are
//! sealed and API keys hashed, as in the database. A file whose tag does not fit is never served from. That an older file of
//! our own was put back cannot be seen here; the database corrects it as soon as it is reached.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulkhead_policy::crypto::Authenticator;
use bulkhead_policy::raw::{RawPolicy, RawSnapshot, RawTenant};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8] = b"bulkhead snapshot 1\n";
/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 30;

/// Where the snapshot is kept.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    path: PathBuf,
    authenticator: Authenticator,
}

/// What a file holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) saved_at: DateTime<Utc>,
    pub(crate) platform: Option<RawPolicy>,
    pub(crate) tenants: Vec<Arc<RawTenant>>,
}

impl Contents {
    pub(crate) fn into_raw(self) -> RawSnapshot {
        RawSnapshot {
            platform: self.platform,
            tenants: self.tenants.into_iter().map(Arc::unwrap_or_clone).collect(),
        }
    }
}

/// Says why a file is not served from, or was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot {doing} it: {source}")]
    Io { doing: &'static str, source: io::Error },
    #[error("it is larger than {BYTES_MAX} bytes")]
    TooLarge,
    #[error("it is no snapshot of this version")]
    Format,
    #[error("it was changed, or written under another master key")]
    Tampered,
    #[error("its contents cannot be read or written as JSON")]
    Json,
    #[error("the task was interrupted")]
    Interrupted,
}

fn doing(doing: &'static str) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::Io { doing, source }
}

impl SnapshotFile {
    pub(crate) fn new(path: PathBuf, authenticator: Authenticator) -> Self {
        Self { path, authenticator }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; `None` if there is none.
    pub(crate) fn read(&self) -> Result<Option<Contents>, FileError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(doing("open")(error)),
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(doing("read"))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > BYTES_MAX {
            return Err(FileError::TooLarge);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(FileError::Format)?;
        let (tag, json) = rest.split_at_checked(Authenticator::TAG_LENGTH).ok_or(FileError::Format)?;
        // Before anything looks into it: what is not authentic is not parsed.
        self.authenticator.verify(json, tag).map_err(|_| FileError::Tampered)?;
        serde_json::from_slice(json).map(Some).map_err(|_| FileError::Json)
    }

    /// Replaces the file. After a crash at any moment there is the old one or the new one, whole.
    pub(crate) fn write(&self, contents: &Contents) -> Result<(), FileError> {
        let json = serde_json::to_vec(contents).map_err(|_| FileError::Json)?;
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(".new");
        let new = self.path.with_file_name(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .map_err(doing("create"))?;
        for part in [MAGIC, &self.authenticator.tag(&json), &json] {
            file.write_all(part).map_err(doing("write"))?;
        }
        file.sync_all().map_err(doing("sync"))?;
        fs::rename(&new, &self.path).map_err(doing("rename"))?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(doing("sync"))
    }
}

#[cfg(test)]
mod tests;
