//! A trace as a record of the spool.
//!
//! JSON, names instead of places, so that a later version reads what an earlier one left. With bodies it is sealed, behind
//! the trace's id and the salt of the process that sealed it. What was set aside may come again after what it charged was counted;
//! its kind says so then.

use bulkhead_policy::crypto::{CryptoError, Sealer, SpoolKeys};
use bulkhead_policy::ids::{TenantId, TraceId};
use bulkhead_policy::ledger::LedgerDelta;
use bulkhead_policy::trace::TraceRecord;
use bulkhead_spool::{Owner, Record};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const KIND_CLEAR: u8 = 1;
const KIND_SEALED: u8 = 2;
/// Beside the kind of a dead letter: what it charged is counted.
const CHARGED: u8 = 0x80;
const SALT_BYTES: usize = 16;

/// A trace and what its request was charged: stored together or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpooledTrace {
    /// The trace.
    pub trace: TraceRecord,
    /// What each budget counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<LedgerDelta>,
    /// Which of the spool's processes charged it, by the first segment that it wrote there; it is written down with charges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
}

/// Why a record of the spool is no trace.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A later version wrote it.
    #[error("unknown kind of record {0}")]
    Kind(u8),
    /// It was sealed with another master key, or changed.
    #[error("a sealed record does not open: {0}")]
    Sealed(#[from] CryptoError),
    /// It is something else.
    #[error("not a trace: {0}")]
    Format(#[from] serde_json::Error),
}

/// Makes records of traces, and seals those with bodies.
#[derive(Debug)]
pub(super) struct Encoder {
    sealer: Sealer,
    salt: [u8; SALT_BYTES],
    random: SystemRandom,
}

impl Encoder {
    pub(super) fn new(keys: &SpoolKeys) -> Result<Self, CryptoError> {
        let random = SystemRandom::new();
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt).map_err(|_| CryptoError)?;
        Ok(Self { sealer: keys.sealer(salt)?, salt, random })
    }

    /// `None` if there is no JSON of a trace, or no random number: neither happens.
    pub(super) fn encode(&self, spooled: &SpooledTrace) -> Option<Record> {
        let trace = &spooled.trace;
        let at_millis = u64::try_from(trace.at.timestamp_millis()).unwrap_or(0);
        let owner = Owner(trace.tenant.as_uuid().into_bytes());
        let mut payload = serde_json::to_vec(spooled).ok()?;
        let mut kind = KIND_CLEAR;
        if trace.has_bodies() {
            let sealed = self.sealer.seal(&place(trace.tenant, trace.id), &payload, &self.random).ok()?;
            payload = [trace.id.as_uuid().as_bytes().as_slice(), &self.salt, &sealed].concat();
            kind = KIND_SEALED;
        }
        Some(Record { owner, at_millis, kind, payload })
    }
}

/// Reads a record of the spool.
///
/// # Errors
/// [`Unreadable`]: it is not of this version, of another master key, or not a trace.
pub fn read_spooled(record: &Record, keys: &SpoolKeys) -> Result<SpooledTrace, Unreadable> {
    let mut spooled: SpooledTrace = match record.kind & !CHARGED {
        KIND_CLEAR => serde_json::from_slice(&record.payload)?,
        KIND_SEALED => {
            let (id, salt, sealed) = parts(&record.payload).ok_or(CryptoError)?;
            let tenant = TenantId::from_uuid(Uuid::from_bytes(record.owner.0));
            let opened = keys.sealer(salt)?.open(&place(tenant, id), sealed)?;
            serde_json::from_str(opened.expose_secret())?
        }
        kind => return Err(Unreadable::Kind(kind)),
    };
    if record.kind & CHARGED != 0 {
        spooled.charges.clear();
    }
    Ok(spooled)
}

/// The record as it is set aside when what it charged is counted: should it come again, it charges nothing.
pub(crate) fn charged(record: &Record) -> Record {
    Record { kind: record.kind | CHARGED, ..record.clone() }
}

/// Returns the trace's id, which needs no key.
#[must_use]
pub fn spooled_id(record: &Record) -> Option<TraceId> {
    match record.kind & !CHARGED {
        KIND_CLEAR => {
            serde_json::from_slice::<SpooledTrace>(&record.payload).ok().map(|spooled| spooled.trace.id)
        }
        KIND_SEALED => parts(&record.payload).map(|(id, _, _)| id),
        _ => None,
    }
}

fn parts(payload: &[u8]) -> Option<(TraceId, [u8; SALT_BYTES], &[u8])> {
    let (id, rest) = payload.split_first_chunk()?;
    let (salt, sealed) = rest.split_first_chunk()?;
    Some((TraceId::from_uuid(Uuid::from_bytes(*id)), *salt, sealed))
}

/// What a sealed record is bound to.
fn place(tenant: TenantId, id: TraceId) -> Vec<u8> {
    format!("spool/{tenant}/{id}").into_bytes()
}

#[cfg(test)]
mod tests;
