//! Walks through every state that two nodes and a database can reach, and checks the law in each.
//!
//! The database's decision is [`Standing::grant`] and the node's counters are a real [`WindowCount`]; what travels between them
//! is lost, comes late or out of order, or is given up on. What is asked for is any of a few totals, not only what a node would ask: when
//! it asks for what cannot break the law either. Windows share nothing, so one stands for all; neither side looks at a
//! clock to decide what may be spent, so there is none.

use std::collections::HashSet;

use super::*;
use crate::ledger::window::WindowCount;

const LIMIT: u8 = 3;
/// What a request reserves.
const RESERVED: u8 = 2;
/// What it costs: less than that, or more.
const COSTS: [u8; 2] = [1, 3];
const NODES: usize = 2;
/// One of the nodes may crash, once.
const PROCESSES: usize = NODES + 1;
const ASKS_MAX: u8 = 2;
const MESSAGES_MAX: usize = 2;
const REQUESTS_MAX: u8 = 3;

/// A process and its row in the database. Dead ones stay, because their spools are still shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct Process {
    is_alive: bool,
    // The node's side.
    granted: u8,
    settled: u8,
    has_request: bool,
    number: u8,
    waits: bool,
    /// Settled and not shipped.
    spooled: u8,
    // The database's side.
    row_granted: u8,
    row_reported: u8,
    row_number: u8,
}

impl Process {
    fn started() -> Self {
        Self { is_alive: true, ..Self::default() }
    }

    fn reserved(&self) -> u8 {
        if self.has_request { RESERVED } else { 0 }
    }

    fn count(&self) -> WindowCount {
        let bounds = Bounds { start: DateTime::UNIX_EPOCH, end: None };
        let count = WindowCount::new(bounds, self.granted.into());
        count.settle(0, u64::from(self.settled) + u64::from(self.reserved()));
        count
    }

    fn lease(&self) -> Lease {
        Lease { granted: self.row_granted.into(), reported: self.row_reported.into() }
    }
}

/// An ask on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Message {
    process: usize,
    number: u8,
    have: u8,
    need: u8,
    want: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    settled: u8,
    processes: [Process; PROCESSES],
    messages: [Option<Message>; MESSAGES_MAX],
    requests: u8,
    /// What providers will bill in all.
    billed: u8,
    /// What requests cost above what they had reserved.
    excess: u8,
}

impl State {
    fn first() -> Self {
        let process = |index| if index < NODES { Process::started() } else { Process::default() };
        let processes = std::array::from_fn(process);
        Self { settled: 0, processes, messages: [None; MESSAGES_MAX], requests: 0, billed: 0, excess: 0 }
    }

    fn check(&self) {
        let held: u64 = self.processes.iter().map(|process| process.lease().held()).sum();
        assert!(u64::from(self.settled) + held <= (LIMIT + self.excess).into(), "settled and held: {self:?}");
        assert!(self.billed <= LIMIT + self.excess, "billed: {self:?}");
    }

    /// The state after a change. Messages have no order.
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self.messages.sort_unstable();
        self
    }

    fn of(self, index: usize, change: impl FnOnce(&mut Process)) -> Self {
        self.with(|state| change(&mut state.processes[index]))
    }

    fn each_next(&self, next: &mut impl FnMut(Self)) {
        let has_crashed = self.processes[NODES..].iter().any(|process| process.is_alive);
        for index in (0..PROCESSES).filter(|index| self.processes[*index].is_alive) {
            self.request(index, next);
            self.ask(index, next);
            next(self.of(index, |process| process.waits = false));
            if index == 0 && !has_crashed {
                next(self.crash(index));
            }
        }
        for index in 0..PROCESSES {
            next(self.report(index));
        }
        for (place, message) in self.messages.iter().enumerate() {
            if let Some(message) = message {
                next(self.with(|state| state.messages[place] = None));
                self.deliver(place, message, next);
            }
        }
    }

    /// A request is admitted; one that runs ends.
    fn request(&self, index: usize, next: &mut impl FnMut(Self)) {
        let process = &self.processes[index];
        if process.has_request {
            for cost in COSTS {
                next(self.with(|state| {
                    let process = &mut state.processes[index];
                    process.has_request = false;
                    process.settled += cost;
                    process.spooled += cost;
                    state.billed += cost;
                    state.excess += cost.saturating_sub(RESERVED);
                }));
            }
        } else if self.requests < REQUESTS_MAX
            && process.count().reserve(RESERVED.into(), RESERVED.into()).is_ok()
        {
            next(self.with(|state| {
                state.requests += 1;
                state.processes[index].has_request = true;
            }));
        }
    }

    /// For what a request needs, for more than that, or to give back what is free.
    fn ask(&self, index: usize, next: &mut impl FnMut(Self)) {
        let process = self.processes[index];
        let Some(place) = self.messages.iter().position(Option::is_none) else { return };
        if process.waits || process.number == ASKS_MAX {
            return;
        }
        let committed = process.settled + process.reserved();
        let given_back = u8::try_from(process.count().ask_nothing(DateTime::UNIX_EPOCH).have).unwrap();
        let number = process.number + 1;
        let ask = |have, need, want| Message { process: index, number, have, need, want };
        for message in [
            ask(process.granted, committed + RESERVED, committed + RESERVED),
            ask(process.granted, committed + RESERVED, LIMIT),
            ask(given_back, 0, 0),
        ] {
            next(self.with(|state| {
                let process = &mut state.processes[index];
                (process.granted, process.number, process.waits) = (message.have, number, true);
                state.messages[place] = Some(message);
            }));
        }
    }

    /// The database answers, and the node hears of it or not. An ask that comes again is ignored like one that was overtaken.
    fn deliver(&self, place: usize, message: &Message, next: &mut impl FnMut(Self)) {
        let process = self.processes[message.process];
        if process.row_number >= message.number {
            return;
        }
        let others: Vec<_> = (0..PROCESSES).filter(|other| *other != message.process).collect();
        let standing = Standing {
            limit: LIMIT.into(),
            settled: self.settled.into(),
            others_held: others.iter().map(|other| self.processes[*other].lease().held()).sum(),
            others_alive: others.iter().filter(|other| self.processes[**other].is_alive).count() as u64,
            own: process.lease(),
        };
        let granted = standing.grant(message.have.into(), message.need.into(), message.want.into());
        let row_granted = u8::try_from(granted).unwrap();
        let answered = self.with(|state| {
            state.messages[place] = None;
            let process = &mut state.processes[message.process];
            (process.row_granted, process.row_number) = (row_granted, message.number);
        });
        next(answered);
        if process.is_alive && process.waits && process.number == message.number {
            let count = process.count();
            let answer = LeaseAnswer { granted, others_settled: 0 };
            count.answered(message.need.into(), &answer, DateTime::UNIX_EPOCH);
            let committed = u64::from(process.settled + process.reserved());
            assert_eq!((count.committed(), count.free()), (committed, granted.saturating_sub(committed)));
            next(answered.of(message.process, |process| {
                (process.granted, process.waits) = (row_granted, false);
            }));
        }
    }

    /// The spool is shipped.
    fn report(&self, index: usize) -> Self {
        self.with(|state| {
            let process = &mut state.processes[index];
            state.settled += process.spooled;
            process.row_reported += process.spooled;
            process.spooled = 0;
        })
    }

    /// Killed, and started again over its spool. What was in flight is billed, and nobody ever says so.
    fn crash(&self, index: usize) -> Self {
        self.with(|state| {
            let process = &mut state.processes[index];
            state.billed += process.reserved();
            (process.is_alive, process.has_request, process.waits) = (false, false, false);
            state.processes[NODES] = Process::started();
        })
    }
}

#[test]
fn no_order_of_events_spends_more_than_the_limit() {
    let mut seen = HashSet::from([State::first()]);
    let mut waiting = vec![State::first()];
    let mut most = 0;
    while let Some(state) = waiting.pop() {
        state.check();
        most = most.max(state.billed - state.excess);
        state.each_next(&mut |next| {
            if seen.insert(next) {
                waiting.push(next);
            }
        });
    }
    // A walk that gets nowhere proves nothing: all of the budget is spent somewhere.
    assert_eq!(most, LIMIT);
    assert!(seen.len() > 100_000, "{}", seen.len());
}
