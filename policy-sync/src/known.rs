//! What this node knows: the snapshot it serves from, and the last good rows behind it, for the file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_policy::ids::{Revision, TenantId};
use bulkhead_policy::raw::{RawPolicy, RawSnapshot, RawTenant};
use bulkhead_policy::snapshot::{Builder, Built, Rejected, Snapshot, Tenant};
use chrono::{DateTime, Utc};
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::Instant;
use tracing::warn;

use crate::file::{Contents, FileError, SnapshotFile};

/// How long changes gather before the file is written again. A crash in between costs nothing but a start from slightly
/// older rows, and only if the database is away then.
const WRITE_DELAY: Duration = Duration::from_secs(1);

/// Compiling broke off, so that nothing of what was loaded is known: it has to be loaded again.
#[derive(Debug, thiserror::Error)]
#[error("compiling the policies broke off")]
pub(crate) struct NotBuilt(#[source] JoinError);

/// The node's knowledge.
#[derive(Debug)]
pub(crate) struct Known {
    snapshot: Option<Arc<Snapshot>>,
    /// Revision of the platform's policy that was loaded from the database; `None` before.
    pub(crate) platform: Option<Revision>,
    /// When the file that this came from was written.
    pub(crate) saved_at: Option<DateTime<Utc>>,
    kept_platform: Option<RawPolicy>,
    kept: BTreeMap<TenantId, Arc<RawTenant>>,
    /// Revisions that went back and were refused for it, so that they are refused once and not with every poll.
    went_back: HashMap<TenantId, Revision>,
    file: Option<Arc<SnapshotFile>>,
    write_at: Option<Instant>,
    writing: JoinSet<Result<(), FileError>>,
}

impl Known {
    pub(crate) fn new(file: Option<Arc<SnapshotFile>>) -> Self {
        Self {
            snapshot: None,
            platform: None,
            saved_at: None,
            kept_platform: None,
            kept: BTreeMap::new(),
            went_back: HashMap::new(),
            file,
            write_at: None,
            writing: JoinSet::new(),
        }
    }

    pub(crate) fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// Returns the revision of a tenant's rows that is known.
    pub(crate) fn revision(&self, tenant: TenantId) -> Option<Revision> {
        self.snapshot.as_ref()?.tenant(tenant).map(Tenant::revision)
    }

    /// Says whether this revision of a tenant was refused for going back.
    pub(crate) fn went_back(&self, tenant: TenantId, revision: Revision) -> bool {
        self.went_back.get(&tenant) == Some(&revision)
    }

    /// Takes over everything, and returns what was refused.
    pub(crate) async fn apply_all(
        &mut self,
        builder: &Arc<Builder>,
        raw: RawSnapshot,
    ) -> Result<Vec<Rejected>, NotBuilt> {
        let (builder, previous) = (Arc::clone(builder), self.snapshot.clone());
        let build = move || (builder.build(&raw, previous.as_deref(), Utc::now()), raw);
        let (built, raw) = spawn_blocking(build).await.map_err(NotBuilt)?;
        let is_platform_refused = built.rejected.iter().any(|rejected| rejected.tenant.is_none());
        if !is_platform_refused {
            self.kept_platform = raw.platform;
        }
        let present: HashSet<_> = raw.tenants.iter().map(|tenant| tenant.id).collect();
        self.kept.retain(|tenant, _| present.contains(tenant));
        Ok(self.take_over(built, raw.tenants))
    }

    /// Takes over some tenants, and returns what was refused. Needs a snapshot to start from.
    pub(crate) async fn apply(
        &mut self,
        builder: &Arc<Builder>,
        changed: Vec<RawTenant>,
        removed: Vec<TenantId>,
    ) -> Result<Vec<Rejected>, NotBuilt> {
        let Some(previous) = self.snapshot.clone() else { return Ok(Vec::new()) };
        let builder = Arc::clone(builder);
        let build = move || {
            let built = builder.update(&previous, &changed, &removed, Utc::now());
            (built, changed, removed)
        };
        let (built, changed, removed) = spawn_blocking(build).await.map_err(NotBuilt)?;
        for tenant in removed {
            self.kept.remove(&tenant);
            self.went_back.remove(&tenant);
        }
        Ok(self.take_over(built, changed))
    }

    fn take_over(&mut self, built: Built, loaded: Vec<RawTenant>) -> Vec<Rejected> {
        for raw in loaded {
            let Some(tenant) =
                built.snapshot.tenant(raw.id).filter(|tenant| tenant.revision() == raw.revision)
            else {
                self.went_back.insert(raw.id, raw.revision);
                continue;
            };
            self.went_back.remove(&raw.id);
            let good = if tenant.rejection().is_some() { self.kept.remove(&raw.id) } else { None };
            let kept = match good {
                // The last good documents under their own revision, so that the bad ones are judged again after a start;
                // keys and agents are today's.
                Some(good) => {
                    let good = Arc::unwrap_or_clone(good);
                    RawTenant {
                        revision: good.revision,
                        policy: good.policy,
                        agent_policies: good.agent_policies,
                        credentials: good.credentials,
                        ..raw
                    }
                }
                None => raw,
            };
            self.kept.insert(kept.id, Arc::new(kept));
        }
        self.snapshot = Some(Arc::new(built.snapshot));
        if self.file.is_some() && self.write_at.is_none() {
            self.write_at = Some(Instant::now() + WRITE_DELAY);
        }
        built.rejected
    }

    /// Waits until the file is due and writes it, again and again. Never returns; safe to drop at any moment.
    pub(crate) async fn keep_file(&mut self) {
        loop {
            if let Some(written) = self.writing.join_next().await {
                report(written.unwrap_or(Err(FileError::Interrupted)));
            }
            match self.write_at {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
            self.start_writing();
        }
    }

    /// Writes the file if it is not up to date.
    pub(crate) async fn finish(&mut self) {
        while let Some(written) = self.writing.join_next().await {
            report(written.unwrap_or(Err(FileError::Interrupted)));
        }
        if self.write_at.is_some() {
            self.start_writing();
        }
        while let Some(written) = self.writing.join_next().await {
            report(written.unwrap_or(Err(FileError::Interrupted)));
        }
    }

    fn start_writing(&mut self) {
        self.write_at = None;
        // What came from the file itself and was never confirmed need not go back into it with a new date.
        let (Some(file), true) = (self.file.clone(), self.platform.is_some()) else { return };
        let contents = Contents {
            saved_at: Utc::now(),
            platform: self.kept_platform.clone(),
            tenants: self.kept.values().map(Arc::clone).collect(),
        };
        self.writing.spawn_blocking(move || file.write(&contents));
    }
}

fn report(written: Result<(), FileError>) {
    if let Err(reason) = written {
        warn!(%reason, "snapshot file not written; a start without the database would use an older one");
    }
}
