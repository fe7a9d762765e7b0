//! A record is whole wherever its task ends.

use super::*;
use crate::charge::tests::{chat, ledger, reserve};
use crate::spool::tests::{Spool, caller};
use bulkhead_policy::data_key::{BodyPlace, DataKey};
use bulkhead_policy::ledger::{AtLimit, BudgetUnit};
use bulkhead_policy::trace::Direction;
use ring::rand::SystemRandom;
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// More than the request path writes itself, and more than is encoded in no time.
const LARGE_BYTES: usize = 4 << 20;

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

#[tokio::test]
async fn what_the_provider_refused_keeps_how_its_budgets_stood() {
    let (sender, spool) = Spool::open("released");
    let mut recorder = Recorder::new(Arrival::now(), caller(), Arc::clone(&spool.metrics), sender);
    let ledger = ledger(BudgetUnit::Tokens, 1_000, AtLimit::Refuse);
    recorder.charge = reserve(&ledger, chat(Some(100))).unwrap();
    // As for an answer that is the provider's error.
    recorder.charge.release();
    let settlement = recorder.charge.settle(None, false, None);
    recorder.settled(settlement);
    drop(recorder);
    let records = spool.records().await;
    let stood: Vec<_> =
        records[0].budgets.iter().map(|of| (of.limit, of.used_before, of.used_after)).collect();
    assert_eq!(stood, [(1_000, 0, 0)]);
}
