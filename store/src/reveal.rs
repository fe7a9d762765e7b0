//! Reveals the original bodies of one trace. For [`crate::Role::Revealer`].
//!
//! 1. The audit entry is committed before anything is read: [`record_reveal`] gives the only value that can read.
//! 2. The database holds to that too. Its role sees a sealed body only where an entry for the trace was committed within
//!    the last five minutes, before the transaction that reads.

use std::fmt;

use bulkhead_policy::ids::{TenantId, TraceId};
use bulkhead_policy::raw::RawDataKey;
use bulkhead_policy::trace::{SealedBodies, SealedBody};
use serde_json::json;

use crate::Store;
use crate::audit::Actor;
use crate::error::{Attempted, StoreError};
use crate::numbers::arrival;
use crate::tenant::stored_version;

/// Why somebody reveals a trace, in words that an auditor can follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Fewest characters, white space around them left out.
    pub const LENGTH_MIN: usize = 8;
    /// Most characters.
    pub const LENGTH_MAX: usize = 1000;

    /// Takes a text that says something.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if it is too short, too long, or holds control characters.
    pub fn new(text: &str) -> Result<Self, StoreError> {
        let text = text.trim();
        let length = text.chars().count();
        if !(Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&length) || text.chars().any(char::is_control) {
            return Err(StoreError::Invalid {
                what: "reason",
                expected: "8 to 1000 characters on one line that say why",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// Says that the audit trail tells of a reveal: whoever holds this may read the trace's sealed bodies.
#[derive(Debug)]
pub struct RecordedReveal {
    tenant: TenantId,
    trace: TraceId,
}

/// The sealed bodies of a trace and the key that opens them.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedTrace {
    /// The bodies.
    pub bodies: SealedBodies,
    /// The key that has sealed them, wrapped; `None` if it was destroyed.
    pub key: Option<RawDataKey>,
}

impl fmt::Debug for SealedTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedTrace(..)")
    }
}

/// Writes into the tenant's audit trail that a trace is revealed, and why; committed when this returns.
///
/// The entry stands also where there turns out to be nothing to reveal.
///
/// # Errors
/// [`StoreError::Database`]: nothing may be revealed.
pub async fn record_reveal(
    store: &Store,
    actor: &Actor,
    tenant: TenantId,
    trace: TraceId,
    reason: &Reason,
) -> Result<RecordedReveal, StoreError> {
    let mut tx = store.tenant(tenant).await?;
    tx.record(actor, "trace.reveal", &trace.to_string(), json!({ "reason": reason.0 })).await?;
    tx.commit().await?;
    Ok(RecordedReveal { tenant, trace })
}

impl RecordedReveal {
    /// What only [`record_reveal`] gives, without an entry.
    #[cfg(test)]
    pub(crate) fn forged(tenant: TenantId, trace: TraceId) -> Self {
        Self { tenant, trace }
    }

    /// Reads what was recorded: the bodies from the database that the trace is in, and their key from the shared one.
    ///
    /// The entry that lets the bodies be read is one of the database that they are in.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the tenant has no such trace, or no sealed body of it.
    pub async fn read(&self, store: &Store, shared: &Store) -> Result<SealedTrace, StoreError> {
        let bodies = self.bodies(store).await?;
        let mut tx = shared.tenant(self.tenant).await?;
        let key = sqlx::query!(
            "select key_id, wrapped from tenant_keys where tenant_id = $1 and version = $2",
            self.tenant.as_uuid(),
            to_i32(bodies.key_version)?
        )
        .fetch_optional(tx.connection())
        .await
        .attempted("read a data key")?;
        let version = bodies.key_version;
        let key = key
            .and_then(|row| row.wrapped.map(|wrapped| RawDataKey { version, key_id: row.key_id, wrapped }));
        Ok(SealedTrace { bodies, key })
    }

    async fn bodies(&self, store: &Store) -> Result<SealedBodies, StoreError> {
        const ABSENT: StoreError = StoreError::NotFound { what: "sealed body of trace" };
        let (earliest, latest) = arrival(self.trace).ok_or(ABSENT)?;
        let mut tx = store.tenant(self.tenant).await?;
        let row = sqlx::query!(
            r#"select sealed_request, sealed_response, key_version as "key_version!", truncated from trace_bodies
               where tenant_id = $1 and at between $2 and $3 and id = $4 and form = 'sealed'"#,
            self.tenant.as_uuid(),
            earliest,
            latest,
            self.trace.as_uuid(),
        )
        .fetch_optional(tx.connection())
        .await
        .attempted("read sealed bodies")?
        .ok_or(ABSENT)?;
        Ok(SealedBodies {
            key_version: stored_version(row.key_version)?,
            request: row.sealed_request.map(SealedBody),
            response: row.sealed_response.map(SealedBody),
            truncated: row.truncated,
        })
    }
}

fn to_i32(version: u32) -> Result<i32, StoreError> {
    i32::try_from(version).map_err(|_| StoreError::Stored { what: "data key version" })
}
