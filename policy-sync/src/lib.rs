//! PostgreSQL to snapshot: listen, load, compile, publish, acknowledge.
//!
//! - From commit to publication nothing waits: no timer, no debounce. Compiling happens on the blocking pool.
//! - New detectors of a tenant are compiled aside, so that other tenants' changes do not wait for them, and a tenant that
//!   publishes again and again takes turns with the others.
//! - A notification is only a hint. What is missed is found by a poll every few seconds and by comparing every revision
//!   after each reconnect.
//! - Only what changed is loaded and compiled; unchanged tenants keep their compiled policy.
//! - A bad document never replaces a good one, not even across a restart: the snapshot file keeps the last good.
//! - Revisions never go back.
//! - While PostgreSQL is away, what was published stays published, and a starting node serves from the file.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use bulkhead_policy::{compile::CompileOptions, crypto::MasterKey, ledger::LedgerBook, snapshot::SnapshotHandle};
//! use bulkhead_policy_sync::{Observer, PolicySync, SyncConfig, SyncError};
//! # async fn example(url: &str, master: MasterKey, metrics: Arc<dyn Observer>) -> Result<(), SyncError> {
//! let config = SyncConfig {
//!     node: "proxy-1".into(),
//!     poll: SyncConfig::POLL_DEFAULT,
//!     snapshot_file: Some("/var/lib/bulkhead/snapshot".into()),
//!     compile: CompileOptions::default(),
//! };
//! let (handle, ledgers) = (SnapshotHandle::default(), Arc::new(LedgerBook::default()));
//! let sync = PolicySync::new(config, url, &master, handle.clone(), ledgers, metrics)?;
//! let (_stop, stopped) = tokio::sync::watch::channel(false);
//! sync.run(stopped).await;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod file;
mod known;
mod observer;
mod session;
mod workshop;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_policy::compile::CompileOptions;
use bulkhead_policy::crypto::{CryptoError, MasterKey};
use bulkhead_policy::ledger::LedgerBook;
use bulkhead_policy::limiter::Nodes;
use bulkhead_policy::snapshot::{Builder, Snapshot, SnapshotHandle};
use bulkhead_store::{Role, Store, StoreError};
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tracing::{error, info, warn};

use file::{FileError, SnapshotFile};
use known::Known;
pub use observer::Observer;

/// One connection hears of changes and stays; the other one loads.
const CONNECTIONS: u32 = 2;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// How long the database may take to answer a starting node before it serves from its file.
const FILE_GRACE: Duration = Duration::from_secs(1);
/// Longest pause between attempts to reach the database.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What a node's synchronisation is told.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// Names this node among all; 1 to 128 characters.
    pub node: String,
    /// How often revisions are compared although nothing was heard.
    pub poll: Duration,
    /// Where the last good snapshot is kept; `None`: a node cannot start while the database is away.
    pub snapshot_file: Option<PathBuf>,
    /// What policies may cost and do.
    pub compile: CompileOptions,
}

impl SyncConfig {
    /// Poll interval where the configuration names none.
    pub const POLL_DEFAULT: Duration = Duration::from_secs(5);
}

/// Says why synchronisation cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The database's URL is none.
    #[error("set up policy sync")]
    Store(#[from] StoreError),
    /// The master key is of no use.
    #[error("derive the keys of policy sync")]
    Crypto(#[from] CryptoError),
    /// The node's name is none.
    #[error("node name is not allowed: expected 1 to 128 characters")]
    NodeName,
}

/// Keeps a [`SnapshotHandle`] at the newest good state of the database.
pub struct PolicySync {
    config: SyncConfig,
    store: Store,
    builder: Arc<Builder>,
    file: Option<Arc<SnapshotFile>>,
    handle: SnapshotHandle,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for PolicySync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySync").field("config", &self.config).finish_non_exhaustive()
    }
}

impl PolicySync {
    /// Prepares without connecting, so that a node can start while the database is away.
    ///
    /// `database_url` must lead to the server itself: a pooler in transaction mode swallows notifications. That is noticed and
    /// told; changes are then found with the next poll.
    ///
    /// # Errors
    /// [`SyncError`] if an argument is of no use.
    pub fn new(
        config: SyncConfig,
        database_url: &str,
        master: &MasterKey,
        handle: SnapshotHandle,
        ledgers: Arc<LedgerBook>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, SyncError> {
        if !(1..=128).contains(&config.node.chars().count()) {
            return Err(SyncError::NodeName);
        }
        let file =
            config.snapshot_file.clone().map(|path| SnapshotFile::new(path, master.snapshot_authenticator()));
        Ok(Self {
            store: Store::lazy(database_url, Role::Sync, CONNECTIONS)?,
            builder: Arc::new(Builder::new(master, ledgers, config.compile.clone())?),
            file: file.map(Arc::new),
            config,
            handle,
            observer,
        })
    }

    /// Returns the number of nodes that serve, as this one hears of it.
    #[must_use]
    pub fn nodes(&self) -> Nodes {
        self.builder.nodes().clone()
    }

    /// Runs until `shutdown` turns true or its sender is gone; then writes the snapshot file if it is not up to date.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut known = self.known_from_file().await;
        tokio::select! {
            () = self.keep_up(&mut known) => {}
            // An error means that nobody is left who could ask: the same as being asked.
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
        known.finish().await;
        self.store.close().await;
        info!("policy sync stopped");
    }

    /// Loads what the file holds. It is not published yet: the database probably has something newer, and a key that was
    /// revoked meanwhile must not work for a moment. It is what bad policies of today fall back to.
    async fn known_from_file(&self) -> Known {
        let Some(file) = &self.file else { return Known::new(None) };
        let mut known = Known::new(Some(Arc::clone(file)));
        let reader = Arc::clone(file);
        let read =
            tokio::task::spawn_blocking(move || reader.read()).await.unwrap_or(Err(FileError::Interrupted));
        match read {
            Ok(None) => info!(path = %file.path().display(), "no snapshot file yet"),
            Ok(Some(contents)) => {
                known.saved_at = Some(contents.saved_at);
                if let Err(reason) = known.apply_all(&self.builder, contents.into_raw()).await {
                    error!(path = %file.path().display(), reason = %Causes(&reason), "snapshot file not used");
                }
            }
            Err(reason) => {
                error!(path = %file.path().display(), %reason, "snapshot file refused and ignored");
                self.observer.snapshot_file_refused(&reason.to_string());
            }
        }
        known
    }

    /// Goes from session to session, for ever.
    async fn keep_up(&self, known: &mut Known) {
        let from_file = known.snapshot().cloned().zip(known.saved_at);
        let mut backoff = BACKOFF_MIN;
        loop {
            let mut reached = false;
            let lost = {
                let session = session::run(self, known, &mut reached);
                tokio::pin!(session);
                tokio::select! {
                    lost = &mut session => lost,
                    () = tokio::time::sleep(FILE_GRACE), if self.handle.load().is_none() => {
                        self.publish_from_file(from_file.as_ref());
                        session.await
                    }
                }
            };
            if reached {
                backoff = BACKOFF_MIN;
                self.observer.connected(false);
            }
            warn!(reason = %Causes(&lost), retry_ms = backoff.as_millis(), "policy sync lost the database");
            self.publish_from_file(from_file.as_ref());
            tokio::time::sleep(backoff).await;
            backoff = backoff.saturating_mul(2).min(BACKOFF_MAX);
        }
    }

    /// Publishes what came from the file, if there is nothing better yet.
    fn publish_from_file(&self, from_file: Option<&(Arc<Snapshot>, DateTime<Utc>)>) {
        let (Some((snapshot, saved_at)), None) = (from_file, self.handle.load()) else { return };
        let age = (Utc::now() - saved_at).to_std().unwrap_or_default();
        warn!(
            age_seconds = age.as_secs(),
            tenants = snapshot.tenants().len(),
            "serving from the snapshot file"
        );
        self.handle.confirm(*saved_at);
        self.handle.publish(Arc::clone(snapshot));
        self.observer.published(snapshot);
        self.observer.started_from_file(age);
    }
}

/// Shows an error with its causes, in one line.
struct Causes<'a>(&'a dyn std::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
