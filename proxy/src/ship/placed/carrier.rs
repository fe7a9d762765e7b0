//! Carries one tenant's traces to the database that the tenant is placed in.

use super::super::refused::{DeadLetters, Destination, Readable, SetAside};
use super::super::route::{Placements, Route};
use super::super::{BATCH, DATABASE_PATIENCE, RETRY_FIRST, RETRY_MOST, STOP_PATIENCE, in_time};
use super::count;
use crate::spool::{SharedReader, SpooledTrace, charged, read_spooled};
use bulkhead_policy::crypto::SpoolKeys;
use bulkhead_policy::ids::TenantId;
use bulkhead_spool::{Batch, Lane, Place};
use bulkhead_store::{Store, StoreError};
use chrono::Utc;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

/// What it takes from where to where.
pub(super) struct Carrier {
    pub(super) tenant: TenantId,
    pub(super) reader: SharedReader,
    pub(super) arrived: Arc<Notify>,
    /// Turns true when nothing comes any more.
    pub(super) closing: watch::Receiver<bool>,
    pub(super) node: SharedReader,
    pub(super) keys: SpoolKeys,
    pub(super) placements: Arc<Placements>,
    pub(super) dead_letters: DeadLetters,
    /// Where the batch begins that was tried last, and what of it was set aside.
    pub(super) tried: ((u64, u64), SetAside),
    /// Why the last attempt did not succeed, if it did not: told once.
    pub(super) waits_for: Option<String>,
}

/// What became of an attempt.
enum Attempt {
    Carried,
    Nothing,
    NotNow,
}

impl Carrier {
    /// Goes on until nothing comes any more, and nothing is left or the database does not take it.
    pub(super) async fn run(mut self) {
        let mut wait = RETRY_FIRST;
        let mut give_up_at = None;
        loop {
            // Asked before the look: what is written between the two would be missed.
            let was_closing = *self.closing.borrow();
            match self.carry_next().await {
                Attempt::Carried => wait = RETRY_FIRST,
                Attempt::Nothing if was_closing => break,
                Attempt::Nothing => self.wait_for_more().await,
                Attempt::NotNow => {
                    let now = Instant::now();
                    if was_closing && now >= *give_up_at.get_or_insert(now + STOP_PATIENCE) {
                        tracing::warn!(tenant = %self.tenant, "stopped with traces that their database did not take");
                        break;
                    }
                    let pause = if was_closing { RETRY_FIRST } else { wait };
                    let _ended_early =
                        timeout(pause, self.closing.wait_for(|closing| *closing && !was_closing)).await;
                    wait = (wait * 2).min(RETRY_MOST);
                }
            }
        }
        let _comes_again_at_the_next_start = self.reader.read(bulkhead_spool::Reader::tidy).await;
    }

    async fn wait_for_more(&mut self) {
        tokio::select! {
            () = self.arrived.notified() => {}
            // Whose owner is gone has nothing to come, either.
            _ = self.closing.wait_for(|closing| *closing) => {}
        }
    }

    async fn carry_next(&mut self) -> Attempt {
        let batch = match self.reader.read(|reader| reader.take(Lane::Oldest, BATCH)).await {
            Some(Ok(Some(batch))) => batch,
            Some(Ok(None)) => return Attempt::Nothing,
            Some(Err(error)) => {
                tracing::error!(%error, tenant = %self.tenant, "traces of a placed tenant cannot be read");
                return Attempt::NotNow;
            }
            None => return Attempt::NotNow,
        };
        match self.placements.route(self.tenant, Utc::now()) {
            Route::To(store) => {
                if let Err(reason) = in_time(DATABASE_PATIENCE, self.store(&batch, &store)).await {
                    return self.waits("database", &reason);
                }
            }
            Route::Unknown(name) => {
                return self.waits("unknown_database", &format!("[databases.{name}] is not configured here"));
            }
            Route::Unheard => return self.waits("unheard", "the policies do not say yet where they belong"),
            // Nobody can see them any more, and where they belonged nobody knows.
            Route::Gone => {
                let dropped = &self.dead_letters.metrics.traces_dropped;
                dropped.with_label_values(&["tenant_gone"]).inc_by(batch.records.len() as u64);
                tracing::warn!(tenant = %self.tenant, records = batch.records.len(), "dropped traces of a deleted tenant");
            }
        }
        self.waits_for = None;
        self.acknowledge(batch).await;
        Attempt::Carried
    }

    fn waits(&mut self, kind: &str, reason: &str) -> Attempt {
        self.dead_letters.metrics.spool.placed_waits.with_label_values(&[kind]).inc();
        if self.waits_for.as_deref() != Some(reason) {
            tracing::warn!(tenant = %self.tenant, reason, "traces wait for the database of their tenant");
            self.waits_for = Some(reason.to_owned());
        }
        Attempt::NotNow
    }

    async fn store(&mut self, batch: &Batch, store: &Store) -> Result<(), StoreError> {
        let Place { segment, from, .. } = batch.place();
        if self.tried.0 != (segment, from) {
            self.tried = ((segment, from), SetAside::default());
        }
        let set_aside = &mut self.tried.1;
        let mut readable = Readable::default();
        for (place, record) in batch.records.iter().enumerate() {
            match read_spooled(record, &self.keys) {
                Ok(_) if set_aside.contains(place) => {}
                Ok(SpooledTrace { trace, .. }) => readable.push(place, record, trace),
                // It could be read when it came here.
                Err(error) => {
                    self.dead_letters.add(place, charged(record), &error.to_string(), set_aside).await;
                }
            }
        }
        let into = Destination::Placed(store);
        let refused = self.dead_letters.insert_halving(into, &readable, set_aside).await?;
        self.dead_letters.metrics.traces_written.inc_by((readable.traces.len() - refused) as u64);
        Ok(())
    }

    /// Where the position cannot be saved, the batch comes again after a crash, and is stored already.
    async fn acknowledge(&self, batch: Batch) {
        let (node, reader, tenant) = (self.node.clone(), self.reader.clone(), self.tenant);
        let acknowledge = move || {
            let saved = reader.with(|reader| reader.acknowledge(&batch));
            count(&node, tenant, &reader);
            saved
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(acknowledge).await {
            tracing::warn!(%error, %tenant, "the position in a placed tenant's traces could not be saved");
        }
    }
}

#[cfg(test)]
mod tests;
