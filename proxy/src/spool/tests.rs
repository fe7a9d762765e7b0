//! The request path's end of the spool.

use super::*;
use crate::record::{Arrival, Caller, Recorder};
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::{AgentId, Revision};
use bulkhead_policy::limiter::{CallerLimits, Limits, Nodes, TenantLimiter};
use bulkhead_policy::trace::TraceRecord;
use bulkhead_spool::{BatchLimits, Lane};
use chrono::Utc;
use std::num::NonZeroU32;

/// A spool in a folder of its own, which goes with it.
pub(crate) struct Spool {
    folder: PathBuf,
    source: TraceSource,
    pub(crate) metrics: Arc<Metrics>,
}

impl Spool {
    pub(crate) fn open(name: &str) -> (TraceSender, Self) {
        let folder = std::env::temp_dir().join(format!("bulkhead-spool-{}-{name}", std::process::id()));
        let keys = MasterKey::parse(&"5a".repeat(32)).unwrap().spool_keys();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (limits, ledgers) = (SpoolLimits::default(), Arc::default());
        let (sender, source) = open_spool(&folder, limits, keys, ledgers, Arc::clone(&metrics)).unwrap();
        (sender, Self { folder, source, metrics })
    }

    /// What was spooled, once every sender is gone.
    pub(crate) async fn records(mut self) -> Vec<TraceRecord> {
        self.source.end().await;
        let taken = self.source.reader().with(|reader| reader.take(Lane::Oldest, BatchLimits::default()));
        let records = taken.unwrap().map(|batch| batch.records).unwrap_or_default();
        records.iter().map(|record| read_spooled(record, self.source.keys()).unwrap().trace).collect()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

pub(crate) fn caller() -> Caller {
    let (tenant, agent) = (TenantId::fresh(Utc::now()), AgentId::fresh(Utc::now()));
    Caller { tenant, agent, key: "0aZ9bcdefghijklm".parse().unwrap(), revision: Revision::new(1) }
}

#[tokio::test]
async fn whoever_leaves_keeps_its_place_until_its_trace_is_written() {
    let (sender, spool) = Spool::open("place");
    let one = Limits { concurrent_requests: NonZeroU32::new(1), ..Limits::default() };
    let nodes = Nodes::default();
    let tenant = TenantLimiter::new(TenantId::fresh(Utc::now()), one, None, &nodes);
    let limits = CallerLimits::new(tenant, Arc::default(), None);
    let admit = || limits.admit(NonZeroU32::MAX, Utc::now());
    let mut recorder = Recorder::new(Arrival::now(), caller(), Arc::clone(&spool.metrics), sender.clone());
    recorder.place = Some(admit().unwrap());
    {
        let _nobody_writes = sender.writer.lock().unwrap();
        drop(recorder);
        assert!(admit().is_err(), "its trace waits");
    }
    drop(sender);
    assert_eq!(spool.records().await.len(), 1);
    assert!(admit().is_ok());
}
