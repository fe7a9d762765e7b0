//! Traces of tenants that are placed in a database of their own, on their way there.
//!
//! 1. A record of such a tenant leaves the node's spool for one of the tenant's own, in a folder beside it, before the spool's
//!    position advances. So a database that is away or slow keeps up its own tenants and nobody else, and after any crash the
//!    record is in one of the two or in both.
//! 2. A record that comes twice is stored once: a database knows a trace by its time and id. What it charged went with the
//!    position, and is not looked at here.
//! 3. Where a record goes is asked when it leaves, not when it comes: its tenant may be placed anew meanwhile.
//! 4. What waits here counts as the tenant's in the node's spool. So the quotas bound it, and what happens then is what the
//!    tenant's policy says.

mod carrier;

use super::refused::DeadLetters;
use super::route::Placements;
use crate::spool::{SharedReader, origin};
use bulkhead_policy::crypto::SpoolKeys;
use bulkhead_policy::ids::TenantId;
use bulkhead_spool::{Folder, Owner, Reader, Record, Settings, Writer};
use carrier::Carrier;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, spawn_blocking};
use uuid::Uuid;

/// The folder of these spools in that of the node's.
const FOLDER: &str = "placed";
/// Room is asked for before a record is in the node's spool. Short segments, because what is read of one is still there.
const SETTINGS: Settings = Settings { quota_bytes: u64::MAX, owner_bytes: u64::MAX, segment_bytes: 1 << 20 };

/// The spools of placed tenants, one for each that has had a trace to wait.
#[derive(Debug)]
pub(super) struct PlacedSpools {
    folder: PathBuf,
    node: SharedReader,
    keys: SpoolKeys,
    placements: Arc<Placements>,
    dead_letters: DeadLetters,
    spools: HashMap<TenantId, PlacedSpool>,
    carriers: JoinSet<()>,
    closing: watch::Sender<bool>,
}

#[derive(Debug)]
struct PlacedSpool {
    writer: Arc<Mutex<Writer<Folder>>>,
    reader: SharedReader,
    arrived: Arc<Notify>,
}

impl PlacedSpools {
    /// Those of the node's spool in `folder`; [`Self::open_left`] opens what is there.
    pub(super) fn new(
        folder: &Path,
        node: SharedReader,
        keys: SpoolKeys,
        placements: Arc<Placements>,
        dead_letters: DeadLetters,
    ) -> Self {
        let (spools, carriers) = (HashMap::new(), JoinSet::new());
        let closing = watch::Sender::new(false);
        Self { folder: folder.join(FOLDER), node, keys, placements, dead_letters, spools, carriers, closing }
    }

    /// Goes on with what an earlier process left.
    pub(super) async fn open_left(&mut self) {
        let names = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let tenants: Vec<TenantId> =
            names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        for tenant in tenants {
            if let Err(error) = self.open(tenant).await {
                tracing::error!(%error, %tenant, "traces of a placed tenant cannot be read");
            }
        }
    }

    /// Keeps records for their tenant's database; they survive the loss of power when this returns.
    ///
    /// # Errors
    /// The disk refused them. Some may be kept.
    pub(super) async fn keep(&mut self, tenant: TenantId, records: Vec<Record>) -> io::Result<()> {
        let spool = self.open(tenant).await?;
        let (writer, arrived) = (Arc::clone(&spool.writer), Arc::clone(&spool.arrived));
        let (reader, node) = (spool.reader.clone(), self.node.clone());
        let write = move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            for record in &records {
                writer.push(record).map_err(io::Error::other)?;
            }
            writer.commit()?;
            writer.sync()?;
            count(&node, tenant, &reader);
            Ok(())
        };
        spawn_blocking(write).await.unwrap_or_else(|broken| Err(io::Error::other(broken)))?;
        arrived.notify_one();
        Ok(())
    }

    async fn open(&mut self, tenant: TenantId) -> io::Result<&PlacedSpool> {
        if !self.spools.contains_key(&tenant) {
            let (folder, node) = (self.folder.join(tenant.to_string()), self.node.clone());
            let open = move || {
                let (writer, reader) = open(&folder)?;
                let reader = SharedReader::new(reader);
                count(&node, tenant, &reader);
                Ok((writer, reader))
            };
            let opened = spawn_blocking(open).await;
            let (writer, reader) = opened.unwrap_or_else(|broken| Err(io::Error::other(broken)))?;
            let arrived = Arc::new(Notify::new());
            let carrier = Carrier {
                tenant,
                reader: reader.clone(),
                arrived: Arc::clone(&arrived),
                closing: self.closing.subscribe(),
                node: self.node.clone(),
                keys: self.keys.clone(),
                placements: Arc::clone(&self.placements),
                dead_letters: self.dead_letters.clone(),
                tried: Default::default(),
                waits_for: None,
            };
            self.carriers.spawn(carrier.run());
            let spool = PlacedSpool { writer: Arc::new(Mutex::new(writer)), reader, arrived };
            self.spools.insert(tenant, spool);
        }
        self.spools.get(&tenant).ok_or_else(|| io::Error::other("not opened"))
    }

    /// Brings the metrics up to date.
    pub(super) async fn look(&self) {
        let readers: Vec<_> = self.spools.values().map(|spool| spool.reader.clone()).collect();
        let add = move || {
            let usages = readers.iter().map(|reader| reader.with(|reader| reader.usage()));
            usages.fold((0, 0), |(records, bytes), usage| {
                (records + usage.records, bytes + usage.waiting_bytes)
            })
        };
        let Ok((records, bytes)) = spawn_blocking(add).await else { return };
        let metrics = &self.dead_letters.metrics.spool;
        metrics.placed_records.set(i64::try_from(records).unwrap_or(i64::MAX));
        metrics.placed_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Waits until everything is stored, or its database has had its time.
    pub(super) async fn end(&mut self) {
        for spool in self.spools.values() {
            spool.writer.lock().unwrap_or_else(PoisonError::into_inner).seal();
        }
        self.closing.send_replace(true);
        while self.carriers.join_next().await.is_some() {}
    }
}

/// Counts what waits for a tenant's database as the tenant's in the node's spool. The lock of the node's makes the newest count
/// the last one.
fn count(node: &SharedReader, tenant: TenantId, reader: &SharedReader) {
    node.with(|node| {
        let bytes = reader.with(|reader| reader.usage().waiting_bytes);
        node.count_elsewhere(owner(tenant), bytes);
    });
}

fn owner(tenant: TenantId) -> Owner {
    Owner(Uuid::into_bytes(tenant.as_uuid()))
}

fn open(folder: &Path) -> io::Result<(Writer<Folder>, Reader<Folder>)> {
    let opened = bulkhead_spool::open(Folder::open(folder).map_err(io::Error::other)?, SETTINGS, origin())?;
    // The names of new folders survive the loss of power, too.
    for above in folder.ancestors().skip(1).take(2) {
        File::open(above)?.sync_all()?;
    }
    Ok(opened)
}
