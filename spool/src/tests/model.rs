//! Random actions and random crashes, compared with a list of what was promised.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::disk::{Disk, Loss};
use super::{ORIGIN, SMALL, record};
use crate::{BatchLimits, Lane, Origin, Reader, Writer, open};

#[derive(Debug, Clone)]
enum Action {
    Append {
        records: u64,
        synced: bool,
    },
    Seal,
    Ship {
        newest: bool,
        records: usize,
    },
    /// Taken and delivered, but the process ends before it is acknowledged.
    StopAfter {
        changes: u32,
        half: usize,
    },
    Fill {
        room: usize,
    },
    MakeRoom,
    Crash {
        power: bool,
        luck: usize,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1..6u64, any::<bool>()).prop_map(|(records, synced)| Action::Append { records, synced }),
        1 => Just(Action::Seal),
        5 => (any::<bool>(), 1..8usize).prop_map(|(newest, records)| Action::Ship { newest, records }),
        2 => (0..12u32, 0..2000usize).prop_map(|(changes, half)| Action::StopAfter { changes, half }),
        1 => (0..600usize).prop_map(|room| Action::Fill { room }),
        1 => Just(Action::MakeRoom),
        2 => (any::<bool>(), 0..5000usize).prop_map(|(power, luck)| Action::Crash { power, luck }),
    ]
}

/// What is known about the records, by number.
#[derive(Default)]
struct Promised {
    next: u64,
    /// Appended for certain, not yet acknowledged.
    waiting: BTreeSet<u64>,
    /// The part of `waiting` that survives the loss of power too.
    synced: BTreeSet<u64>,
    /// Perhaps appended: the call that did it failed.
    perhaps: BTreeSet<u64>,
    /// Acknowledged for certain since the last loss of power: must not come again.
    gone: BTreeSet<u64>,
    /// Acknowledged, but a crash may bring them back.
    perhaps_gone: BTreeSet<u64>,
}

/// Whether the taker keeps what it took together with the place, as a database does in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taker {
    Forgets,
    Keeps,
}

struct World {
    disk: Disk,
    writer: Writer<Disk>,
    reader: Reader<Disk>,
    promised: Promised,
    taker: Taker,
    /// The end of what the taker keeps, by segment.
    kept: BTreeMap<u64, u64>,
    processes: u64,
}

fn open_as(disk: &Disk, process: u64) -> (Writer<Disk>, Reader<Disk>) {
    // The clock of a later process is ahead of every number that an earlier one used.
    open(disk.clone(), SMALL, Origin { segment: process * 1_000_000, ..ORIGIN }).unwrap()
}

impl World {
    fn new(taker: Taker) -> Self {
        let disk = Disk::default();
        let (writer, reader) = open_as(&disk, 0);
        let (promised, kept) = (Promised::default(), BTreeMap::new());
        Self { disk, writer, reader, promised, taker, kept, processes: 0 }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Append { records, synced } => self.append(records, synced),
            Action::Seal => self.writer.seal(),
            Action::Ship { newest, records } => {
                self.ship(if newest { Lane::Newest } else { Lane::Oldest }, records);
            }
            Action::StopAfter { changes, half } => self.disk.stop_after(changes, half),
            Action::Fill { room } => self.disk.set_room(Some(room)),
            Action::MakeRoom => self.disk.set_room(None),
            Action::Crash { power, luck } => {
                self.crash(if power { Loss::Power } else { Loss::Process }, luck);
            }
        }
    }

    fn append(&mut self, records: u64, synced: bool) {
        let numbers = self.promised.next..self.promised.next + records;
        self.promised.next = numbers.end;
        for number in numbers.clone() {
            self.writer.push(&record(number)).unwrap();
        }
        if self.writer.commit().is_err() {
            // Refused by a full disk it is certainly not there; stopped in the middle, perhaps.
            if self.disk.has_stopped() {
                self.promised.perhaps.extend(numbers);
            }
            return;
        }
        self.promised.waiting.extend(numbers.clone());
        if synced && self.writer.sync().is_ok() {
            self.promised.synced.extend(numbers);
        }
    }

    fn ship(&mut self, lane: Lane, records: usize) {
        let limits = BatchLimits { records, bytes: 4096 };
        let Some(batch) = self.reader.take(lane, limits).unwrap() else { return };
        let numbers: Vec<u64> = batch.records.iter().map(|record| record.at_millis).collect();
        self.delivered(&numbers);
        self.kept.insert(batch.place().segment, batch.place().to);
        let is_kept = self.reader.acknowledge(&batch).is_ok();
        for number in numbers {
            self.promised.waiting.remove(&number);
            self.promised.synced.remove(&number);
            self.promised.perhaps.remove(&number);
            let gone = if is_kept { &mut self.promised.gone } else { &mut self.promised.perhaps_gone };
            gone.insert(number);
        }
    }

    fn delivered(&self, numbers: &[u64]) {
        let promised = &self.promised;
        assert!(numbers.is_sorted_by(|a, b| a < b), "out of order or twice: {numbers:?}");
        for number in numbers {
            assert!(!promised.gone.contains(number), "{number} came again");
            let is_known_gone = self.taker == Taker::Keeps && promised.perhaps_gone.contains(number);
            assert!(!is_known_gone, "{number} came again although it was kept");
            let known = [&promised.waiting, &promised.perhaps, &promised.perhaps_gone];
            assert!(known.iter().any(|set| set.contains(number)), "{number} was never appended");
        }
    }

    fn crash(&mut self, loss: Loss, luck: usize) {
        self.disk.crash(loss, luck);
        if loss == Loss::Power {
            let promised = &mut self.promised;
            // Positions are not synced: what was acknowledged may come again.
            promised.perhaps_gone.append(&mut promised.gone);
            let lost: Vec<u64> = promised.waiting.difference(&promised.synced).copied().collect();
            promised.waiting.retain(|number| promised.synced.contains(number));
            promised.perhaps.extend(lost);
        } else {
            // What waits has survived this, and is on the disk for the next loss of power.
            self.promised.synced = self.promised.waiting.clone();
        }
        if loss == Loss::Process {
            self.disk.set_room(None);
        }
        self.disk = self.disk.of_next_process();
        self.processes += 1;
        (self.writer, self.reader) = open_as(&self.disk, self.processes);
        if self.taker == Taker::Keeps {
            for segment in self.reader.waiting_segments() {
                let kept = self.kept.get(&segment).copied().unwrap_or(0);
                self.reader.skip_to(segment, kept).unwrap();
            }
        }
    }

    /// Everything that was promised comes now, oldest first, and nothing twice.
    fn check(mut self) {
        self.crash(Loss::Process, 0);
        let mut seen = Vec::new();
        while let Some(batch) =
            self.reader.take(Lane::Oldest, BatchLimits { records: 3, bytes: 4096 }).unwrap()
        {
            let numbers: Vec<u64> = batch.records.iter().map(|record| record.at_millis).collect();
            for read in &batch.records {
                assert_eq!(*read, record(read.at_millis));
            }
            self.delivered(&numbers);
            seen.extend(numbers);
            self.reader.acknowledge(&batch).unwrap();
        }
        assert!(seen.is_sorted_by(|a, b| a < b), "out of order or twice: {seen:?}");
        let seen: BTreeSet<u64> = seen.into_iter().collect();
        let missing: Vec<_> = self.promised.waiting.difference(&seen).collect();
        assert!(missing.is_empty(), "lost: {missing:?}");
        let usage = self.reader.usage();
        assert_eq!((usage.records, usage.waiting_bytes), (0, 0));
        self.writer.seal();
        self.reader.tidy().unwrap();
        assert!(self.disk.segments().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_promised_comes_back_once_and_in_order(
        actions in prop::collection::vec(action(), 1..40),
        taker in prop_oneof![Just(Taker::Forgets), Just(Taker::Keeps)],
    ) {
        let mut world = World::new(taker);
        for action in &actions {
            world.act(action);
        }
        world.check();
    }
}
