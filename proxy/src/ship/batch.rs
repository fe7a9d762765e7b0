//! One batch: to the shared database what belongs there, to spools of their own what belongs elsewhere.

use super::Shipper;
use super::refused::{Destination, Readable, SetAside};
use super::route::Route;
use crate::spool::{SpooledTrace, read_spooled};
use bulkhead_policy::ids::TenantId;
use bulkhead_policy::snapshot::Snapshot;
use bulkhead_spool::Batch;
use bulkhead_store::StoreError;
use bulkhead_store::writer::{Shipment, Shipped, Spent, SpoolPlace, ship};
use chrono::Utc;
use std::collections::{BTreeMap, HashSet};
use std::io;

/// Why a batch is not stored; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStored {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("keep the traces of a placed tenant: {0}")]
    Disk(io::Error),
}

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) batch: Batch,
    /// Whose traces of it are in spools of their own already: a batch that is tried again and again must not fill them.
    kept: HashSet<TenantId>,
    set_aside: SetAside,
}

impl Held {
    pub(super) fn new(batch: Batch) -> Self {
        Self { batch, kept: HashSet::new(), set_aside: SetAside::default() }
    }
}

/// A batch as the databases take it: without the traces that were set aside, with what they charged.
#[derive(Default)]
struct Sendable<'a> {
    shared: Readable<'a>,
    charges: Vec<Spent>,
    /// Traces of other databases.
    placed: BTreeMap<TenantId, Readable<'a>>,
}

impl Shipper {
    /// Stores a batch, and sets aside what can never be stored.
    pub(super) async fn store_batch(
        &mut self,
        held: &mut Held,
        snapshot: &Snapshot,
    ) -> Result<Shipped, NotStored> {
        let Held { batch, kept, set_aside } = held;
        let sendable = self.sendable(batch, snapshot, set_aside).await;
        let mut placed = Vec::new();
        for (tenant, readable) in sendable.placed {
            // Those that were kept before go where they belong by now.
            if !kept.contains(&tenant) {
                self.hand_on(tenant, &readable, set_aside).await?;
                kept.insert(tenant);
            }
            placed.extend(readable.traces);
        }
        let (place, shared) = (batch.place(), sendable.shared);
        let place =
            SpoolPlace { spool: self.spool.id(), segment: place.segment, from: place.from, to: place.to };
        let whole = Shipment { place, traces: &shared.traces, placed: &placed, charges: &sendable.charges };
        let mut refused = 0;
        let shipped = match ship(&self.store, &whole).await {
            Err(error) if !error.is_transient() => {
                let into = Destination::Shared(&self.store);
                refused = self.dead_letters.insert_halving(into, &shared, set_aside).await?;
                self.ship_charges(&whole).await?
            }
            shipped => shipped?,
        };
        if let Shipped::Stored(alerts) = &shipped {
            self.spool.metrics().traces_written.inc_by((shared.traces.len() - refused) as u64);
            // Not where the answer to a commit is lost: the entry is there, and a repetition passes nothing.
            self.spool.metrics().budgets.passed(alerts);
        }
        Ok(shipped)
    }

    /// Puts the traces of a placed tenant into its spool; where the disk has no room for them, into its database. A full disk
    /// gets empty only by what leaves it.
    async fn hand_on(
        &mut self,
        tenant: TenantId,
        readable: &Readable<'_>,
        set_aside: &mut SetAside,
    ) -> Result<(), NotStored> {
        let Err(error) = self.placed.keep(tenant, readable.copies()).await else { return Ok(()) };
        tracing::error!(%error, %tenant, "the disk refuses the traces of a placed tenant");
        let Route::To(store) = self.placements.route(tenant, Utc::now()) else {
            return Err(NotStored::Disk(error));
        };
        self.dead_letters.insert_halving(Destination::Placed(&store), readable, set_aside).await?;
        Ok(())
    }

    /// Stores what is left of a batch whose traces were inserted one by one.
    async fn ship_charges(&self, whole: &Shipment<'_>) -> Result<Shipped, StoreError> {
        match ship(&self.store, &Shipment { traces: &[], placed: &[], ..*whole }).await {
            Err(error) if !error.is_transient() => {
                tracing::error!(%error, "spend was refused by the database and is dropped");
                ship(&self.store, &Shipment { traces: &[], placed: &[], charges: &[], ..*whole }).await
            }
            shipped => shipped,
        }
    }

    async fn sendable<'a>(
        &self,
        batch: &'a Batch,
        snapshot: &Snapshot,
        set_aside: &mut SetAside,
    ) -> Sendable<'a> {
        let mut sendable = Sendable::default();
        for (place, record) in batch.records.iter().enumerate() {
            let SpooledTrace { trace, charges, term } = match read_spooled(record, self.spool.keys()) {
                Ok(spooled) => spooled,
                Err(error) => {
                    self.dead_letters.add(place, record.clone(), &error.to_string(), set_aside).await;
                    continue;
                }
            };
            let of_trace = Some(trace.id);
            let spent = charges.into_iter().map(|delta| Spent { delta, trace: of_trace, term });
            sendable.charges.extend(spent);
            if set_aside.contains(place) {
                continue;
            }
            let is_shared =
                snapshot.tenant(trace.tenant).is_some_and(|tenant| tenant.placement().is_shared());
            let readable = if is_shared {
                &mut sendable.shared
            } else {
                sendable.placed.entry(trace.tenant).or_default()
            };
            readable.push(place, record, trace);
        }
        sendable
    }
}
