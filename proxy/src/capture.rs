//! Bodies kept for the trace: as they left, and where the policy says so as they came, sealed.
//!
//! An original is in memory only until its request's record is written; there it stands sealed with the tenant's data key, so
//! neither the spool nor the database ever holds it otherwise.

use crate::metrics::Metrics;
use bulkhead_policy::data_key::{BodyPlace, DataKey};
use bulkhead_policy::ids::{TenantId, TraceId};
use bulkhead_policy::trace::{Direction, SealedBodies, SealedBody, TraceBodies};
use ring::rand::SystemRandom;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Collects the bodies of one request, up to a limit for each.
#[derive(Debug)]
pub(crate) struct Capture {
    max: usize,
    masked_request: Kept,
    masked_response: Kept,
    originals: Option<Originals>,
}

/// The bodies before anything was masked.
#[derive(Debug)]
struct Originals {
    key: Arc<DataKey>,
    request: Kept,
    response: Kept,
}

/// The beginning of a body.
#[derive(Default)]
struct Kept {
    bytes: Zeroizing<Vec<u8>>,
    truncated: bool,
}

impl Kept {
    /// Appends what fits.
    fn push(&mut self, bytes: &[u8], max: usize) {
        let room = max.saturating_sub(self.bytes.len());
        let fits = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(fits);
        self.truncated |= fits.len() < bytes.len();
    }

    fn into_text(mut self) -> Option<String> {
        let bytes = std::mem::take(&mut *self.bytes);
        let lossy =
            |error: std::string::FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
        (!bytes.is_empty()).then(|| String::from_utf8(bytes).unwrap_or_else(lossy))
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

impl Capture {
    /// Keeps at most `max` bytes of each body; originals only where there is a key to seal them with.
    pub(crate) fn new(max: usize, body_key: Option<Arc<DataKey>>) -> Self {
        let originals =
            body_key.map(|key| Originals { key, request: Kept::default(), response: Kept::default() });
        Self { max, masked_request: Kept::default(), masked_response: Kept::default(), originals }
    }

    pub(crate) fn masked_request(&mut self, body: &[u8]) {
        self.masked_request = Kept::default();
        self.masked_request.push(body, self.max);
    }

    pub(crate) fn masked_response(&mut self, part: &[u8]) {
        self.masked_response.push(part, self.max);
    }

    pub(crate) fn original_request(&mut self, body: &[u8]) {
        if let Some(originals) = &mut self.originals {
            originals.request.push(body, self.max);
        }
    }

    pub(crate) fn original_response(&mut self, part: &[u8]) {
        if let Some(originals) = &mut self.originals {
            originals.response.push(part, self.max);
        }
    }

    /// Drops what was kept of the masked answer.
    pub(crate) fn forget_masked_response(&mut self) {
        self.masked_response = Kept { truncated: true, ..Kept::default() };
    }

    /// Bytes that are kept, in both forms.
    pub(crate) fn bytes(&self) -> usize {
        let originals = self.originals.iter().flat_map(|originals| [&originals.request, &originals.response]);
        let masked = [&self.masked_request, &self.masked_response].into_iter();
        masked.chain(originals).map(|kept| kept.bytes.len()).sum()
    }

    /// What the record of a trace keeps. Sealing takes about a microsecond for each 3 KiB.
    pub(crate) fn finish(
        self,
        tenant: TenantId,
        trace: TraceId,
        metrics: &Metrics,
    ) -> (TraceBodies, Option<SealedBodies>) {
        let truncated = self.masked_request.truncated || self.masked_response.truncated;
        let (request, response) = (self.masked_request.into_text(), self.masked_response.into_text());
        let sealed = self.originals.map(|originals| originals.seal(tenant, trace, metrics));
        (TraceBodies { request, response, truncated }, sealed)
    }
}

impl Originals {
    fn seal(self, tenant: TenantId, trace: TraceId, metrics: &Metrics) -> SealedBodies {
        let key = &self.key;
        let seal = |kept: &Kept, direction| {
            if kept.bytes.is_empty() {
                return None;
            }
            let place = BodyPlace { tenant, trace, direction };
            let sealed = key.seal(place, &kept.bytes, kept.truncated, &SystemRandom::new());
            if sealed.is_err() {
                // Without random numbers nothing is sealed, and nothing is kept that is not.
                metrics.traces_dropped.with_label_values(&["body_only"]).inc();
            }
            sealed.ok().map(SealedBody)
        };
        SealedBodies {
            key_version: key.version(),
            request: seal(&self.request, Direction::Request),
            response: seal(&self.response, Direction::Response),
            truncated: self.request.truncated || self.response.truncated,
        }
    }
}

#[cfg(test)]
mod tests;
