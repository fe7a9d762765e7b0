//! Hears of new revisions. For [`crate::Role::Sync`].
//!
//! Crosses tenants because notifications belong to the database, not to rows. They carry a tenant's id and a number.

use bulkhead_policy::ids::{Revision, TenantId};
use serde::Deserialize;
use sqlx::postgres::PgListener;

use crate::Store;
use crate::error::{Attempted, StoreError};

const CHANNEL: &str = "bulkhead_policy";

/// A new revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// Whose; `None` for the platform's policy, and with it everybody's.
    pub tenant: Option<TenantId>,
    /// Which.
    pub revision: Revision,
}

/// A connection that hears of new revisions. It takes one of the pool's connections and keeps it.
///
/// It must be a direct one: a pooler in transaction mode would swallow notifications.
#[derive(Debug)]
pub struct Changes {
    listener: PgListener,
}

/// Begins to listen. What was committed before is not heard: read [`super::revisions`] afterwards.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn listen(store: &Store) -> Result<Changes, StoreError> {
    let mut listener = PgListener::connect_with(store.connections()).await.attempted("listen for changes")?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await.attempted("listen for changes")?;
    Ok(Changes { listener })
}

impl Changes {
    /// Waits for the next changes and returns all that have come.
    ///
    /// A payload that is not ours comes as a change of the platform, so that the caller looks at everything.
    /// Dropping the future loses nothing that is not returned.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the connection is lost; listen anew then.
    pub async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        let mut changes = vec![self.recv().await?];
        // One transaction may have made many; take what is here already.
        loop {
            tokio::select! {
                biased;
                more = self.recv() => changes.push(more?),
                () = std::future::ready(()) => return Ok(changes),
            }
        }
    }

    async fn recv(&mut self) -> Result<Change, StoreError> {
        let received = self.listener.try_recv().await;
        let notification = received.and_then(|change| change.ok_or(sqlx::Error::WorkerCrashed));
        notification.map(|notification| parse(notification.payload())).attempted("wait for changes")
    }
}

fn parse(payload: &str) -> Change {
    serde_json::from_str(payload).unwrap_or(Change { tenant: None, revision: Revision::default() })
}
