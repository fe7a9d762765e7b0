//! A record is whole wherever its task ends.

use super::*;
use crate::config::SpoolLimits;
use crate::spool::{TraceSource, open_spool, read_spooled};
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::data_key::{BodyPlace, DataKey};
use bulkhead_policy::trace::Direction;
use bulkhead_spool::{BatchLimits, Lane};
use ring::rand::SystemRandom;
use std::future::Future as _;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// More than the request path writes itself, and more than is encoded in no time.
const LARGE_BYTES: usize = 4 << 20;

struct Spool {
    folder: PathBuf,
    source: TraceSource,
    metrics: Arc<Metrics>,
}

impl Spool {
    fn open(name: &str) -> (TraceSender, Self) {
        let folder = std::env::temp_dir().join(format!("bulkhead-record-{}-{name}", std::process::id()));
        let keys = MasterKey::parse(&"5a".repeat(32)).unwrap().spool_keys();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (limits, ledgers) = (SpoolLimits::default(), Arc::default());
        let (sender, source) = open_spool(&folder, limits, keys, ledgers, Arc::clone(&metrics)).unwrap();
        (sender, Self { folder, source, metrics })
    }

    /// What was spooled, once every sender is gone.
    async fn records(mut self) -> Vec<TraceRecord> {
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

fn caller() -> Caller {
    Caller {
        tenant: TenantId::fresh(Utc::now()),
        agent: AgentId::fresh(Utc::now()),
        key: "0aZ9bcdefghijklm".parse().unwrap(),
        revision: Revision::new(1),
    }
}

/// Aborts a request after its commit was polled so often, or was over.
async fn check(polls: usize, bytes: usize) {
    let (sender, spool) = Spool::open(&format!("{polls}-{bytes}"));
    let key = Arc::new(DataKey::generate(1, &SystemRandom::new()).unwrap());
    let original = vec![b'x'; bytes];
    let mut recorder = Recorder::new(Arrival::now(), caller(), Arc::clone(&spool.metrics), sender);
    recorder.capture_bodies(Capture::new(bytes, Some(Arc::clone(&key))));
    recorder.received_request(&original);
    recorder.masked_request(b"[masked]");
    recorder.completed();
    {
        let mut commit = pin!(recorder.commit());
        for _ in 0..polls {
            if commit.as_mut().poll(&mut Context::from_waker(Waker::noop())) != Poll::Pending {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    drop(recorder);

    let records = spool.records().await;
    assert_eq!(records.len(), 1, "{polls} polls, {bytes} bytes");
    let record = &records[0];
    assert_eq!(record.bodies.as_ref().unwrap().request.as_deref(), Some("[masked]"), "{polls} polls");
    let place = BodyPlace { tenant: record.tenant, trace: record.id, direction: Direction::Request };
    let sealed = record.sealed.as_ref().unwrap().request.as_ref().unwrap();
    assert!(*key.open(place, &sealed.0).unwrap().bytes == original, "{polls} polls");
}

#[tokio::test]
async fn an_aborted_task_loses_no_bodies_large_or_small() {
    for bytes in [100, LARGE_BYTES] {
        for polls in [0, 1, 2, 3, usize::MAX] {
            check(polls, bytes).await;
        }
    }
}
