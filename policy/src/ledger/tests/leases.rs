//! What a node asks for, and how it goes by the answers.

use super::*;

/// A node with one count, and the moment.
struct Node {
    book: LedgerBook,
    lessee: Lessee,
    now: DateTime<Utc>,
}

impl Node {
    fn new() -> Self {
        let (book, lessee) = LedgerBook::leased();
        Self { book, lessee, now: noon() }
    }

    fn open(&self, limit: u64) -> Arc<Ledger> {
        self.book.open(key(), &spec(limit), self.now)
    }

    fn later(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    /// What is asked for now: have, need, want.
    fn asks(&mut self) -> Vec<(u64, u64, u64)> {
        self.round(None)
    }

    /// Answers what is asked for now with `granted` in all.
    fn round(&mut self, granted: Option<u64>) -> Vec<(u64, u64, u64)> {
        let asks = self.lessee.asks(self.now);
        let answer = granted.map(|granted| LeaseAnswer { granted, others_settled: 0 });
        asks.iter().for_each(|pending| {
            if let Some(answer) = answer {
                pending.answered(&answer, self.now);
            }
        });
        asks.iter().map(|PendingAsk { ask, .. }| (ask.have, ask.need, ask.want)).collect()
    }
}

#[test]
fn nothing_is_held_before_it_was_granted_and_then_no_more_than_that() {
    let mut node = Node::new();
    let ledger = node.open(1_000);
    assert!(ledger.check(noon()).is_ok(), "there may be something to have");
    assert_eq!(ledger.reserve(tokens(0), noon()).unwrap_err().left, 0);
    assert_eq!(node.asks(), [], "nobody waits");

    let waiting = [ledger.wait_for(tokens(30), noon(), noon()), ledger.wait_for(tokens(50), noon(), noon())];
    assert_eq!(node.round(Some(100)), [(0, 80, 160)], "what waits, and as much again");
    drop(waiting);
    let hold = ledger.reserve(tokens(60), noon()).unwrap();
    assert_eq!(ledger.reserve(tokens(41), noon()).unwrap_err().left, 40);
    assert!(ledger.wait_for(tokens(40), noon(), noon()).is_none(), "it is there");
    hold.settle(tokens(10));
    assert_eq!(ledger.reserve(tokens(90), noon()).unwrap().reserved(), 90);
    assert!(ledger.reserve(tokens(91), noon()).is_err());
}

#[test]
fn more_is_asked_for_by_the_rate_when_half_is_left() {
    let mut node = Node::new();
    let ledger = node.open(1_000_000);
    let waiting = ledger.wait_for(tokens(100), node.now, node.now);
    node.round(Some(1_000));
    drop(waiting);
    node.later(5);
    ledger.reserve(tokens(400), node.now).unwrap().settle(tokens(400));
    assert_eq!(node.asks(), [], "more than half is left");
    ledger.reserve(tokens(200), node.now).unwrap().settle(tokens(200));
    assert_eq!(node.round(Some(2_200)), [(1_000, 0, 600 + 1_200)], "600 in 5 seconds: 1,200 for the next 10");
    assert_eq!(node.asks(), []);
}

#[test]
fn an_answer_that_nothing_is_left_counts_for_a_moment() {
    let mut node = Node::new();
    let ledger = node.open(100);
    let waiting = ledger.wait_for(tokens(80), node.now, node.now);
    node.round(Some(50));
    assert!(ledger.check(node.now).is_ok(), "some of it is there");
    assert_eq!(ledger.reserve(tokens(50), node.now).unwrap().settle(tokens(50)).used_after, 50);
    assert!(ledger.check(node.now).is_err());
    assert!(ledger.wait_for(tokens(1), node.now, node.now).is_none(), "no use to wait");
    drop(waiting);
    node.later(2);
    assert!(ledger.check(node.now).is_ok(), "worth another ask");
    assert!(ledger.wait_for(tokens(1), node.now, node.now).is_some());
}

#[test]
fn what_a_quiet_node_holds_goes_back_and_the_database_is_told_until_it_knows() {
    let mut node = Node::new();
    let ledger = node.open(1_000);
    let waiting = ledger.wait_for(tokens(100), node.now, node.now);
    node.round(Some(400));
    drop(waiting);
    ledger.reserve(tokens(100), node.now).unwrap().settle(tokens(70));
    node.later(9);
    assert_eq!(node.asks(), []);
    node.later(10);
    assert_eq!(node.asks(), [(70, 0, 0)], "not answered");
    assert!(ledger.reserve(tokens(1), node.now).is_err(), "it is gone whether or not the database knows");
    assert_eq!(node.asks(), [], "no faster than once a second");
    node.later(1);
    assert_eq!(node.round(Some(70)), [(70, 0, 0)]);
    node.later(100);
    assert_eq!(node.asks(), []);
    assert_eq!(node.lessee.active(), 0);
    assert!(ledger.wait_for(tokens(5), node.now, node.now).is_some());
    assert_eq!(node.asks(), [], "nobody waits any more");
    let _waiting = ledger.wait_for(tokens(5), node.now, node.now);
    assert_eq!(node.asks(), [(70, 75, 80)]);
}

#[test]
fn what_is_reserved_for_long_is_prolonged() {
    let mut node = Node::new();
    let ledger = node.open(1_000);
    let waiting = ledger.wait_for(tokens(100), node.now, node.now);
    node.round(Some(100));
    drop(waiting);
    let _hold = ledger.reserve(tokens(100), node.now).unwrap();
    assert_eq!(node.round(Some(100)), [(100, 0, 1_100)], "more is wanted, and not to be had");
    node.later(19);
    assert_eq!(node.asks(), []);
    node.later(1);
    assert_eq!(node.round(Some(100)), [(100, 0, 0)]);
    node.later(20);
    assert_eq!(node.round(Some(100)), [(100, 0, 0)]);
}

#[test]
fn a_window_begins_with_what_was_asked_for_before() {
    let mut node = Node::new();
    let minute = BudgetSpec { window: Window::Minute, ..spec(1_000) };
    let ledger = node.book.open(key(), &minute, node.now);
    let waiting = ledger.wait_for(tokens(100), node.now, node.now);
    node.round(Some(200));
    drop(waiting);
    node.later(54);
    ledger.reserve(tokens(10), node.now).unwrap().settle(tokens(10));
    assert_eq!(node.round(Some(106)), [(106, 0, 0)]);
    node.later(2);
    assert_eq!(node.round(Some(96)), [(0, 0, 96)], "as much as the last answer left free");
    node.later(4);
    let hold = ledger.reserve(tokens(90), node.now).unwrap();
    assert_eq!(hold.window_start(), node.now);
    assert_eq!(numbers(&ledger, node.now), (0, 90));
}

#[test]
fn a_changed_limit_takes_back_what_was_granted_by_the_old_one() {
    let mut node = Node::new();
    let ledger = node.open(1_000);
    let waiting = ledger.wait_for(tokens(100), node.now, node.now);
    node.round(Some(500));
    drop(waiting);
    let _hold = ledger.reserve(tokens(100), node.now).unwrap();
    let _narrower = node.open(50);
    assert!(ledger.reserve(tokens(1), node.now).is_err());
    node.later(1);
    let asks = node.lessee.asks(node.now);
    assert_eq!((asks[0].ask.have, asks[0].ask.limit), (100, 50));
}

#[test]
fn without_the_database_a_node_goes_on_up_to_the_limit_and_then_pays_back() {
    let mut node = Node::new();
    let ledger = node.open(100);
    assert!(ledger.go_without(tokens(60), node.now));
    let hold = ledger.reserve(tokens(60), node.now).unwrap();
    assert!(hold.record().unreachable && hold.settle(tokens(50)).unreachable);
    // What is left of that was granted by nobody either.
    assert!(ledger.reserve(tokens(10), node.now).unwrap().settle(tokens(10)).unreachable);
    assert!(!ledger.go_without(tokens(41), node.now));
    assert!(ledger.go_without(tokens(40), node.now));
    let _waiting = ledger.wait_for(tokens(50), node.now, node.now);
    // The database is back and says what the others had.
    assert_eq!(node.round(Some(30)), [(100, 110, 160)]);
    assert!(ledger.reserve(tokens(0), node.now).is_err());
}

#[test]
fn threads_that_wait_reserve_and_settle_beside_the_lessee_never_pass_what_was_granted() {
    let (book, mut lessee) = LedgerBook::leased();
    let ledger = book.open(key(), &spec(u64::MAX), noon());
    let (done, spent) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut granted = 0;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut left = 500;
                while left > 0 {
                    match ledger.reserve(tokens(3), noon()) {
                        Ok(hold) => {
                            spent.fetch_add(2, Ordering::SeqCst);
                            hold.settle(tokens(2));
                            left -= 1;
                        }
                        Err(_) => {
                            let _waiting = ledger.wait_for(tokens(3), noon(), noon());
                            std::thread::yield_now();
                        }
                    }
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        let mut now = noon();
        while done.load(Ordering::SeqCst) < 4 {
            now += TimeDelta::milliseconds(1);
            for pending in lessee.asks(now) {
                let PendingAsk { ask, .. } = &pending;
                assert!(ask.have <= granted, "{ask:?} after {granted}");
                granted = ask.have.max(ask.need);
                pending.answered(&LeaseAnswer { granted, others_settled: 0 }, now);
                assert!(spent.load(Ordering::SeqCst) <= granted);
            }
        }
    });
    assert_eq!(numbers(&ledger, noon()), (4 * 500 * 2, 4 * 500 * 2));
}

#[test]
fn a_clock_that_was_far_ahead_leaves_the_window_that_it_opened() {
    let mut node = Node::new();
    let ledger = node.open(1_000);
    let spend = |node: &mut Node| {
        let waiting = ledger.wait_for(tokens(100), node.now, node.now);
        let asks = node.lessee.asks(node.now);
        asks.iter().for_each(|pending| {
            pending.answered(&LeaseAnswer { granted: 100, others_settled: 30 }, node.now);
        });
        drop(waiting);
        let record = ledger.reserve(tokens(10), node.now).unwrap().settle(tokens(10));
        (asks[0].ask.opening, record.window_start, record.used_before)
    };
    let today = at("2026-03-10T00:00:00Z");
    let (first, window, _) = spend(&mut node);
    assert_eq!(window, today);
    node.later(30 * 24 * 3_600);
    assert_eq!(spend(&mut node).1, at("2026-04-09T00:00:00Z"));
    node.later(-30 * 24 * 3_600);
    let (again, window, used_before) = spend(&mut node);
    assert_eq!((window, used_before), (today, 30), "by its first grant");
    assert_ne!(first, again, "which takes no part of what the first count was granted");
    // Set back over the window's start by a little: it stays.
    node.later(12 * 3_600);
    assert_eq!(spend(&mut node).1, at("2026-03-11T00:00:00Z"));
    node.later(-60);
    assert_eq!(ledger.state(node.now).window_start, at("2026-03-11T00:00:00Z"));
}

#[test]
fn going_without_covers_what_was_overdrawn_at_once() {
    let node = Node::new();
    let ledger = node.open(u64::MAX);
    assert!(ledger.go_without(tokens(1), node.now));
    ledger.reserve(tokens(1), node.now).unwrap().settle(tokens(1_000_000_000));
    assert!(ledger.go_without(tokens(5), node.now));
    assert_eq!(ledger.reserve(tokens(5), node.now).unwrap().reserved(), 5);
    assert!(!ledger.go_without(tokens(i64::MAX.unsigned_abs()), node.now), "more than can be counted");
}

#[test]
fn what_requests_wait_for_never_wraps() {
    let mut node = Node::new();
    let ledger = node.open(1_000);
    let waiting = [u64::MAX, 80].map(|amount| ledger.wait_for(tokens(amount), node.now, node.now));
    let (_, need, want) = node.asks()[0];
    assert_eq!((need, want), (u64::MAX, u64::MAX));
    drop(waiting);
    let _waiting = ledger.wait_for(tokens(80), node.now, node.now);
    node.later(1);
    assert_eq!(node.asks()[0].1, 80, "nothing is left of the others");
}

#[test]
fn what_was_asked_for_without_an_answer_is_given_back() {
    let mut node = Node::new();
    let ledger = node.open(1_000);
    let waiting = ledger.wait_for(tokens(100), node.now, node.now);
    assert_eq!(node.asks(), [(0, 100, 200)], "the answer is lost, what was granted is not");
    drop(waiting);
    assert_eq!(node.asks(), [], "no faster than once a second");
    node.later(1);
    assert_eq!(node.round(Some(0)), [(0, 0, 0)]);
    node.later(1);
    assert_eq!(node.asks(), []);
    assert_eq!(node.lessee.active(), 0);
}

#[test]
fn what_is_held_and_not_used_up_soon_goes_back_also_where_the_node_is_never_quiet() {
    // At once where it was too little for the request that it was for; else by halves.
    for (granted, seconds, left) in [(1_000_000, 3, 1_000), (2_000_000, 130, 100_000)] {
        let mut node = Node::new();
        let ledger = node.open(4_000_000);
        let waiting = ledger.wait_for(tokens(1_500_000), node.now, node.now);
        node.round(Some(granted));
        drop(waiting);
        for _ in 0..seconds {
            ledger.reserve(tokens(10), node.now).unwrap().settle(tokens(10));
            node.later(1);
            for pending in node.lessee.asks(node.now) {
                let granted = pending.ask.have.max(pending.ask.want);
                pending.answered(&LeaseAnswer { granted, others_settled: 0 }, node.now);
            }
        }
        assert!(ledger.reserve(tokens(left), node.now).is_err(), "{granted}");
        assert!(ledger.reserve(tokens(50), node.now).is_ok(), "{granted}");
    }
}

#[test]
fn counts_of_two_calendars_ask_for_themselves_also_where_their_windows_begin_alike() {
    let mut node = Node::new();
    node.now = "2025-06-01T00:30:00Z".parse().unwrap();
    let asks = [Window::Hour, Window::Day].map(|window| {
        let ledger = node.book.open(key(), &BudgetSpec { window, ..spec(1_000) }, node.now);
        let _waiting = ledger.wait_for(tokens(500), node.now, node.now);
        node.lessee.asks(node.now).remove(0).ask
    });
    assert_eq!(asks[0].window_start, asks[1].window_start);
    assert_ne!(asks[0].opening, asks[1].opening);
}

#[test]
fn a_clock_that_was_ahead_past_midnight_leaves_no_ring_of_windows() {
    let mut node = Node::new();
    let ledger = node.open(1_000);
    let spend = |node: &mut Node| {
        let waiting = ledger.wait_for(tokens(100), node.now, node.now);
        node.round(Some(100));
        drop(waiting);
        ledger.reserve(tokens(10), node.now).unwrap().settle(tokens(10)).window_start
    };
    let at_midnight = |node: &mut Node| {
        node.now = at("2026-03-10T23:59:57Z");
        let today = spend(node);
        // Looks ahead to the next window.
        node.round(Some(100));
        today
    };
    assert_eq!(at_midnight(&mut node), at("2026-03-10T00:00:00Z"));
    node.later(1_800);
    assert_eq!(spend(&mut node), at("2026-03-11T00:00:00Z"));
    // The clock was two hours ahead.
    node.later(-2 * 3_600);
    assert_eq!(spend(&mut node), at("2026-03-10T00:00:00Z"));
    assert_eq!(at_midnight(&mut node), at("2026-03-10T00:00:00Z"));
    node.later(60);
    assert_eq!(spend(&mut node), at("2026-03-11T00:00:00Z"));
    let (done, wait) = std::sync::mpsc::channel();
    let now = node.now;
    let Node { book, .. } = node;
    std::thread::spawn(move || {
        book.forget_closed(now);
        let _nobody_waits = done.send(());
    });
    assert_eq!(
        wait.recv_timeout(std::time::Duration::from_secs(5)),
        Ok(()),
        "still walking, with the book's lock"
    );
}
