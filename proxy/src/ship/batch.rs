//! One batch: to the shared database what belongs there, to spools of their own what belongs elsewhere.

use super::Shipper;
use super::refused::Destination;
use super::route::Route;
use crate::spool::{SpooledTrace, read_spooled};
use bulkhead_policy::ids::TenantId;
use bulkhead_policy::snapshot::Snapshot;
use bulkhead_policy::trace::TraceRecord;
use bulkhead_spool::{Batch, Record};
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
    pub(super) kept: HashSet<TenantId>,
}

/// A batch as the database takes it, and the records that its traces come from.
#[derive(Default)]
struct Sendable<'a> {
    records: Vec<&'a Record>,
    traces: Vec<TraceRecord>,
    charges: Vec<Spent>,
    /// Traces of other databases.
    placed: BTreeMap<TenantId, (Vec<&'a Record>, Vec<TraceRecord>)>,
}

impl Shipper {
    /// Stores a batch, and sets aside what can never be stored.
    pub(super) async fn store_batch(
        &mut self,
        held: &mut Held,
        snapshot: &Snapshot,
    ) -> Result<Shipped, NotStored> {
        let sendable = self.sendable(&held.batch, snapshot).await;
        let mut placed = Vec::new();
        for (tenant, (records, traces)) in sendable.placed {
            // Those that were kept before go where they belong by now.
            if !held.kept.contains(&tenant) {
                self.hand_on(tenant, &records, &traces).await?;
                held.kept.insert(tenant);
            }
            placed.extend(traces);
        }
        let place = held.batch.place();
        let place =
            SpoolPlace { spool: self.spool.id(), segment: place.segment, from: place.from, to: place.to };
        let whole = Shipment { place, traces: &sendable.traces, placed: &placed, charges: &sendable.charges };
        let mut refused = 0;
        let shipped = match ship(&self.store, &whole).await {
            Err(error) if !error.is_transient() => {
                let into = Destination::Shared(&self.store);
                refused = self.dead_letters.insert_halving(into, &sendable.records, &sendable.traces).await?;
                self.ship_charges(&whole).await?
            }
            shipped => shipped?,
        };
        if let Shipped::Stored(alerts) = &shipped {
            self.spool.metrics().traces_written.inc_by((sendable.traces.len() - refused) as u64);
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
        records: &[&Record],
        traces: &[TraceRecord],
    ) -> Result<(), NotStored> {
        let copies = records.iter().map(|record| (*record).clone()).collect();
        let Err(error) = self.placed.keep(tenant, copies).await else { return Ok(()) };
        tracing::error!(%error, %tenant, "the disk refuses the traces of a placed tenant");
        let Route::To(store) = self.placements.route(tenant, Utc::now()) else {
            return Err(NotStored::Disk(error));
        };
        self.dead_letters.insert_halving(Destination::Placed(&store), records, traces).await?;
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

    async fn sendable<'a>(&self, batch: &'a Batch, snapshot: &Snapshot) -> Sendable<'a> {
        let mut sendable = Sendable::default();
        for record in &batch.records {
            match read_spooled(record, self.spool.keys()) {
                Ok(SpooledTrace { trace, charges, term }) => {
                    let is_shared =
                        snapshot.tenant(trace.tenant).is_some_and(|tenant| tenant.placement().is_shared());
                    let (records, traces) = if is_shared {
                        (&mut sendable.records, &mut sendable.traces)
                    } else {
                        let (records, traces) = sendable.placed.entry(trace.tenant).or_default();
                        (records, traces)
                    };
                    let of_trace = Some(trace.id);
                    records.push(record);
                    traces.push(trace);
                    let spent = charges.into_iter().map(|delta| Spent { delta, trace: of_trace, term });
                    sendable.charges.extend(spent);
                }
                Err(error) => self.dead_letters.add(record, &error.to_string()).await,
            }
        }
        sendable
    }
}
