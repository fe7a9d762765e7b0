//! The keys outside the database: in files, or in variables that hold the text itself.

use std::path::{Path, PathBuf};

use bulkhead_policy::crypto::MasterKey;
use clap::Args;

use crate::failure::Failure;

/// The keys that seal in the master key's place once it was rotated.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SealingKeyArgs {
    /// File with the key that seals credentials and wraps data keys, else the variable `BULKHEAD_SEALING_KEY` holds it;
    /// without it, the master key does
    #[arg(long, env = "BULKHEAD_MASTER_KEY_SEALING_FILE", value_name = "FILE")]
    pub(crate) sealing_key_file: Option<PathBuf>,
    /// File with the key that did so before and still opens, while keys are rotated; else the variable
    /// `BULKHEAD_PREVIOUS_SEALING_KEY` holds it
    #[arg(long, env = "BULKHEAD_MASTER_KEY_PREVIOUS_SEALING_FILE", value_name = "FILE")]
    pub(crate) previous_sealing_key_file: Option<PathBuf>,
}

impl SealingKeyArgs {
    /// Lets the sealing keys that there are seal in the place of `master`.
    pub(crate) fn over(&self, master: MasterKey) -> Result<MasterKey, Failure> {
        let newest = found(self.sealing_key_file.as_deref(), "BULKHEAD_SEALING_KEY")?;
        let previous = found(self.previous_sealing_key_file.as_deref(), "BULKHEAD_PREVIOUS_SEALING_KEY")?;
        if newest.is_none() && previous.is_some() {
            return Err(Failure::Usage(
                "a previous sealing key is given, but no sealing key that seals now".to_owned(),
            ));
        }
        Ok(master.sealing_with(newest.into_iter().chain(previous).collect()))
    }
}

/// The key in a file, else in a variable.
pub(crate) fn found(file: Option<&Path>, variable: &str) -> Result<Option<MasterKey>, Failure> {
    if let Some(path) = file {
        return read_master_key(path).map(Some);
    }
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    MasterKey::parse(&text).map(Some).map_err(|error| Failure::Usage(format!("{variable}: {error}")))
}

/// Reads a key from a file.
pub(crate) fn read_master_key(path: &Path) -> Result<MasterKey, Failure> {
    let wrong = |reason: String| Failure::Usage(format!("master key file {}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    MasterKey::parse(&text).map_err(|error| wrong(error.to_string()))
}
