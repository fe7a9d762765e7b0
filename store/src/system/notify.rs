//! Hears of new revisions. For [`crate::Role::Sync`].
//!
//! Crosses tenants because notifications belong to the database, not to rows. They carry a tenant's id and a number.

use std::time::Duration;

use bulkhead_policy::ids::{Revision, TenantId};
use serde::Deserialize;
use sqlx::postgres::{PgListener, PgNotification};
use tokio::time::timeout;
use uuid::Uuid;

use crate::Store;
use crate::error::{Attempted, StoreError};

const CHANNEL: &str = "bulkhead_policy";
/// How long a notification to oneself may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

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
    /// Heard while something else was waited for.
    heard: Vec<Change>,
}

/// Begins to listen. What was committed before is not heard: read [`super::revisions`] afterwards.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn listen(store: &Store) -> Result<Changes, StoreError> {
    let mut listener = PgListener::connect_with(store.connections()).await.attempted("listen for changes")?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await.attempted("listen for changes")?;
    Ok(Changes { listener, heard: Vec::new() })
}

impl Changes {
    /// Sends itself a notification and says whether it arrives.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn are_heard(&mut self, store: &Store) -> Result<bool, StoreError> {
        let probe = format!("bulkhead_probe_{}", Uuid::now_v7().simple());
        self.listener.listen(&probe).await.attempted("listen for a probe")?;
        sqlx::query!("select pg_notify($1, '')", probe)
            .fetch_one(store.connections())
            .await
            .attempted("send a probe")?;
        let is_heard = match timeout(PROBE_PATIENCE, self.hear_until(&probe)).await {
            Ok(heard) => heard.map(|()| true)?,
            Err(_) => false,
        };
        self.listener.unlisten(&probe).await.attempted("stop listening for a probe")?;
        Ok(is_heard)
    }

    async fn hear_until(&mut self, probe: &str) -> Result<(), StoreError> {
        loop {
            let notification = self.receive().await?;
            if notification.channel() == probe {
                return Ok(());
            }
            self.heard.push(parse(notification.payload()));
        }
    }

    /// Waits for the next changes and returns all that have come.
    ///
    /// A payload that is not ours comes as a change of the platform, so that the caller looks at everything.
    /// Dropping the future loses nothing that is not returned.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the connection is lost; listen anew then.
    pub async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        let mut changes = std::mem::take(&mut self.heard);
        if changes.is_empty() {
            changes.push(self.recv().await?);
        }
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
        self.receive().await.map(|notification| parse(notification.payload()))
    }

    async fn receive(&mut self) -> Result<PgNotification, StoreError> {
        let received = self.listener.try_recv().await;
        received.and_then(|heard| heard.ok_or(sqlx::Error::WorkerCrashed)).attempted("wait for changes")
    }
}

fn parse(payload: &str) -> Change {
    serde_json::from_str(payload).unwrap_or(Change { tenant: None, revision: Revision::default() })
}
