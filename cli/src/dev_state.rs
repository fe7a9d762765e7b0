//! What `bulkhead dev` leaves in its data dir: for its own next start, and for the other commands.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Where `dev` lives unless told otherwise.
pub(crate) const DATA_DIR_DEFAULT: &str = ".bulkhead";
/// The folder in the data dir where traces wait for the database.
pub(crate) const SPOOL: &str = "spool";

/// `dev.json`: where the last run was, and the key which is stored nowhere else. The first six are what `--json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevState {
    pub(crate) proxy_url: String,
    pub(crate) metrics_url: String,
    pub(crate) database_url: String,
    pub(crate) tenant: String,
    pub(crate) agent: String,
    pub(crate) api_key: String,
    /// Taken again at the next start, so that the demo tenant's policy stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) demo_model: Option<SocketAddr>,
    /// Where the upstreams are that `dev` adds to a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upstream_url: Option<String>,
    /// Of the document that `dev` published last, as it was given: another one is published at the next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy_sha256: Option<String>,
}

impl DevState {
    /// What `dev --json` prints.
    pub(crate) fn announcement(&self) -> Self {
        Self { demo_model: None, upstream_url: None, policy_sha256: None, ..self.clone() }
    }
}

/// The folder of one `bulkhead dev`.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// Names a data dir; nothing is created.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file with the master key.
    pub(crate) fn master_key(&self) -> PathBuf {
        self.path.join("master.key")
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Creates the folder. As root others may pass through it, because the database's user lives inside.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        if self.path.is_dir() {
            return Ok(());
        }
        let mode = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(&self.path)
            .and_then(|()| fs::set_permissions(&self.path, fs::Permissions::from_mode(mode)))
            .map_err(|error| Failure::failed(format!("create data dir {}: {error}", self.path.display())))
    }

    /// Takes the folder for this process, until the file is dropped.
    pub(crate) fn lock(&self) -> Result<fs::File, Failure> {
        let path = self.file("dev.lock");
        let failed = |error: io::Error| Failure::failed(format!("lock {}: {error}", path.display()));
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(Failure::failed(format!(
                "another `bulkhead dev` runs on {}: stop it, or choose another folder with --data-dir",
                self.path.display()
            ))),
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Reads `dev.json`; none if `dev` never came that far here.
    pub(crate) fn state(&self) -> Result<Option<DevState>, Failure> {
        let path = self.file("dev.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                Failure::failed(format!("{}: {error}; remove it to start afresh", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::failed(format!("read {}: {error}", path.display()))),
        }
    }

    /// Writes `dev.json`, whole or not at all.
    pub(crate) fn save(&self, state: &DevState) -> Result<(), Failure> {
        self.write_secret("dev.json", &format!("{}\n", serde_json::to_string_pretty(state)?))
    }

    /// Writes a file that only its owner reads, whole or not at all.
    pub(crate) fn write_secret(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.file(name);
        let unfinished = self.file(&format!("{name}.unfinished"));
        let write = || -> io::Result<()> {
            let mut options = fs::OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        };
        write().map_err(|error| Failure::failed(format!("write {}: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::{DataDir, DevState};
    use std::os::unix::fs::PermissionsExt as _;

    fn state() -> DevState {
        DevState {
            proxy_url: "http://127.0.0.1:8080".to_owned(),
            metrics_url: "http://127.0.0.1:9090".to_owned(),
            database_url: "postgres:///bulkhead?host=/tmp".to_owned(),
            tenant: "demo".to_owned(),
            agent: "demo-agent".to_owned(),
            api_key: "bh_dev_x".to_owned(),
            demo_model: Some(([127, 0, 0, 1], 4000).into()),
            upstream_url: Some("http://127.0.0.1:4000".to_owned()),
            policy_sha256: Some("00".to_owned()),
        }
    }

    #[test]
    fn the_state_is_private_and_comes_back_and_the_lock_holds() {
        let folder = std::env::temp_dir().join(format!("bulkhead-state-{}", std::process::id()));
        let data_dir = DataDir::new(&folder);
        data_dir.create().expect("creates");
        assert_eq!(data_dir.state().expect("reads"), None);
        data_dir.save(&state()).expect("saves");
        assert_eq!(data_dir.state().expect("reads"), Some(state()));
        let mode = std::fs::metadata(data_dir.file("dev.json")).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let lock = data_dir.lock().expect("free");
        let refused = data_dir.lock().expect_err("taken").to_string();
        assert!(refused.contains("another `bulkhead dev` runs on"), "{refused}");
        drop(lock);
        assert!(data_dir.lock().is_ok());
        std::fs::remove_dir_all(&folder).expect("removes");
    }

    #[test]
    fn the_state_holds_what_json_output_promises() {
        let value = serde_json::to_value(state().announcement()).expect("is JSON");
        let mut names: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["agent", "api_key", "database_url", "metrics_url", "proxy_url", "tenant"]);
    }
}
