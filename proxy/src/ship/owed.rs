//! Spend of requests whose traces were lost: stored from memory.

use crate::metrics::Metrics;
use bulkhead_policy::ledger::{Holder, LedgerBook};
use bulkhead_store::writer::{UsageBatch, add_budget_usage};
use bulkhead_store::{Store, StoreError};
use std::sync::Arc;
use uuid::Uuid;

/// What memory owes to the database.
#[derive(Debug)]
pub(super) struct Owed {
    store: Store,
    ledgers: Arc<LedgerBook>,
    holder: Holder,
    metrics: Arc<Metrics>,
    /// Keeps its id until the database has confirmed it: sent again after an unclear commit it counts once.
    unconfirmed: Option<UsageBatch>,
}

impl Owed {
    pub(super) fn new(store: Store, ledgers: Arc<LedgerBook>, holder: Holder, metrics: Arc<Metrics>) -> Self {
        Self { store, ledgers, holder, metrics, unconfirmed: None }
    }

    /// Stores what is owed.
    pub(super) async fn pay(&mut self) -> Result<(), StoreError> {
        let batch = match self.unconfirmed.take() {
            Some(batch) => batch,
            None => {
                let (deltas, holder) = (self.ledgers.take_owed(), Some(self.holder));
                UsageBatch { id: Uuid::now_v7(), deltas, holder }
            }
        };
        if batch.deltas.is_empty() {
            return Ok(());
        }
        // First, so that it is not lost when the wait for the database is given up.
        let batch = self.unconfirmed.insert(batch);
        match add_budget_usage(&self.store, batch).await {
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                tracing::error!(%error, "spend was refused by the database and is dropped");
                self.unconfirmed = None;
                Err(error)
            }
            Ok(alerts) => {
                self.unconfirmed = None;
                self.metrics.budgets.passed(&alerts);
                Ok(())
            }
        }
    }
}
