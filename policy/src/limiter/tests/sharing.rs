//! What nodes have of a rate: never more than there is, all of it where one wants it, the same where all want more.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::fair::Share;
use super::*;

const KEY: RateKey = RateKey { tenant: TENANT, subject: Subject::Tenant, counted: Counted::Requests };

/// The row of one rate: what each node wants and has, and until when that counts.
#[derive(Default)]
struct Row(HashMap<usize, (Portion, DateTime<Utc>)>);

impl Row {
    fn answer(&mut self, node: usize, wanted: u32, nodes: u32, now: DateTime<Utc>) -> u32 {
        self.0.retain(|_, (_, until)| *until > now);
        self.0.remove(&node);
        let others: Vec<Portion> = self.0.values().map(|(portion, _)| *portion).collect();
        let part = fitting_part(wanted, &others, nodes);
        self.0.insert(node, (Portion { wanted, part }, now + COUNTS_FOR));
        part
    }

    fn sum(&self) -> u32 {
        self.0.values().map(|(portion, _)| portion.part).sum()
    }
}

fn parts(wanted: &[u32], nodes: u32) -> Vec<u32> {
    let mut row = Row::default();
    let mut round = || -> Vec<u32> {
        wanted.iter().enumerate().map(|(node, wanted)| row.answer(node, *wanted, nodes, at(0))).collect()
    };
    (0..4).map(|_| round()).last().unwrap()
}

#[test]
fn what_is_wanted_is_given_and_the_rest_is_for_all_that_serve() {
    assert_eq!(parts(&[WHOLE], 3), [WHOLE], "all of it, where nobody else wants any");
    assert_eq!(parts(&[120_120], 3), [320_320], "a third of what is left over");
    assert_eq!(parts(&[0, 0, 0], 3), [WHOLE / 3; 3]);
    assert_eq!(parts(&[WHOLE, WHOLE], 2), [WHOLE / 2; 2]);
    assert_eq!(parts(&[WHOLE, 20_720, WHOLE], 3), [350_000, 20_720, 350_000]);
    assert_eq!(parts(&[200_000, 300_000], 2), [310_360, 410_360]);
}

proptest! {
    #[test]
    fn all_parts_together_are_never_more_than_the_rate(
        asks in prop::collection::vec((0..5_usize, 0..=WHOLE, 0..4_000_i64, 1..6_u32), 1..200),
    ) {
        let (mut row, mut now) = (Row::default(), at(0));
        for (node, wanted, millis, nodes) in asks {
            now += TimeDelta::milliseconds(millis);
            row.answer(node, wanted, nodes, now);
            prop_assert!(row.sum() <= WHOLE + 5, "{}", row.sum());
        }
    }
}

/// One of several nodes, with its own view of the rate.
struct Node {
    nodes: Nodes,
    rate: Gcra,
    sharing: Sharing,
    taken: i64,
}

impl Node {
    fn new(per_minute: u32, nodes: u32) -> Self {
        let count = Nodes::default();
        count.set(nodes);
        let rate = Gcra::of_requests(NonZeroU32::new(per_minute).unwrap()).among(&count, KEY);
        Self { rate, sharing: Sharing::new(count.clone()), nodes: count, taken: 0 }
    }

    fn ask_for(&mut self, units: u32, now: DateTime<Utc>) {
        self.taken += (0..units).filter(|_| self.rate.take(1, now).is_ok()).count() as i64;
    }

    fn look(&mut self, number: usize, row: Option<&mut Row>, now: DateTime<Utc>) {
        let (asks, nodes) = (self.sharing.asks(now), self.sharing.nodes());
        let Some(row) = row else { return };
        let parts: Vec<_> = asks.iter().map(|ask| Some(row.answer(number, ask.wanted, nodes, now))).collect();
        self.sharing.answered(&asks, &parts, now, now);
    }
}

const PER_MINUTE: u32 = 600;
const BURST: i64 = 100;
const PER_SECOND: i64 = 10;
const STEP_MILLIS: i64 = 50;

/// Runs nodes for so many seconds, each wanting so many requests per second in each stretch of ten; returns what each has
/// taken in each. `is_reachable` says in which stretches the database answers.
fn run(wanted: &[[u32; 3]], is_reachable: impl Fn(usize) -> bool) -> Vec<[i64; 3]> {
    let mut row = Row::default();
    let mut nodes = [(); 3].map(|()| Node::new(PER_MINUTE, 3));
    let mut taken = Vec::new();
    for (stretch, wanted) in wanted.iter().enumerate() {
        let before = nodes.each_ref().map(|node| node.taken);
        for step in 0..10_000 / STEP_MILLIS {
            let now = at((i64::try_from(stretch).unwrap() * 10_000) + step * STEP_MILLIS);
            for (number, (node, wanted)) in nodes.iter_mut().zip(wanted).enumerate() {
                // Twenty steps a second.
                let due = |step: i64| i64::from(*wanted) * step / 20;
                node.ask_for(u32::try_from(due(step + 1) - due(step)).unwrap(), now);
                if step % 5 == i64::try_from(number).unwrap() {
                    node.look(number, is_reachable(stretch).then_some(&mut row), now);
                }
            }
        }
        let after = nodes.each_ref().map(|node| node.taken);
        taken.push([0, 1, 2].map(|node| after[node] - before[node]));
    }
    taken
}

#[test]
fn a_caller_that_comes_to_one_node_gets_the_whole_rate_there() {
    let taken = run(&[[40, 0, 0]; 6], |_| true);
    for later in &taken[1..] {
        assert!((99..=101).contains(&later[0]), "{taken:?}");
    }
    // It goes on at another.
    let taken = run(&[[40, 0, 0], [40, 0, 0], [0, 40, 0], [0, 40, 0], [0, 40, 0], [0, 40, 0]], |_| true);
    assert!(taken[5][1] >= 99, "{taken:?}");
}

#[test]
fn where_more_is_wanted_than_there_is_all_nodes_get_the_same() {
    let taken = run(&[[40, 40, 2], [40, 40, 2], [40, 40, 2]], |_| true);
    assert!((38..=42).contains(&taken[2][0]) && (38..=42).contains(&taken[2][1]), "{taken:?}");
    assert_eq!(taken[2][2], 20, "what it asks for: {taken:?}");
}

#[test]
fn a_node_without_a_database_goes_by_an_equal_part() {
    let taken = run(&[[40, 0, 0]; 5], |stretch| stretch < 2);
    assert!((99..=101).contains(&taken[1][0]), "{taken:?}");
    assert!((33..=34).contains(&taken[4][0]), "{taken:?}");
}

#[test]
fn what_was_taken_ahead_stays_as_many_units_when_the_part_changes() {
    let mut node = Node::new(PER_MINUTE, 2);
    let rate = |node: &Node| node.rate.standing(at(0)).remaining;
    node.ask_for(60, at(0));
    assert_eq!(rate(&node), 40);
    let ask = node.sharing.asks(at(0))[0];
    for part in [WHOLE, 10, 250_000, 1, WHOLE] {
        node.sharing.answered(&[ask], &[Some(part)], at(0), at(0));
        assert_eq!(rate(&node), 40, "{part}");
    }
    node.rate.give_back(10);
    assert_eq!(rate(&node), 50);
}

#[test]
fn what_was_taken_ahead_stays_as_many_units_when_nodes_come_and_go() {
    for (per_minute, nodes, part) in
        [(60, 2, WHOLE / 2), (60, 2, WHOLE / 60), (60, 2, 1), (60_000, 5, WHOLE / 5), (60_000, 2, WHOLE / 10)]
    {
        let mut node = Node::new(per_minute, nodes);
        node.ask_for(1, at(0));
        let asks = node.sharing.asks(at(0));
        node.sharing.answered(&asks, &[Some(part)], at(0), at(0));
        while node.rate.take(1, at(0)).is_ok() {}
        node.nodes.set(1);
        assert_eq!(node.sharing.asks(at(0)), []);
        assert!(node.rate.take(1, at(0)).is_err(), "nothing is given for it");
        assert!(node.rate.take(1, at(1_100)).is_ok(), "{per_minute} per minute of {nodes}, {part}");
    }
    // Nobody looks: it is in use on one node only.
    let mut node = Node::new(PER_MINUTE, 1);
    while node.rate.take(1, at(0)).is_ok() {}
    node.nodes.set(8);
    assert!(node.rate.take(1, at(0)).is_err(), "another burst for more nodes");
    node.nodes.set(1);
    node.sharing.asks(at(0));
    assert!(node.rate.take(1, at(200)).is_ok());
}

#[test]
fn what_is_owed_stays_owed_when_nodes_go() {
    let mut node = Node::new(PER_MINUTE, 2);
    node.rate.owe(6_000, at(0));
    node.sharing.asks(at(0));
    node.nodes.set(1);
    node.sharing.asks(at(0));
    assert!(node.rate.take(1, at(500_000)).is_err());
    assert!(node.rate.take(1, at(601_000)).is_ok());
}

#[test]
fn a_limit_that_comes_back_goes_on_and_its_node_has_one_part() {
    let mut node = Node::new(PER_MINUTE, 2);
    node.ask_for(60, at(0));
    let asks = node.sharing.asks(at(0));
    node.sharing.answered(&asks, &[Some(WHOLE / 4)], at(0), at(0));
    // The policy had no limit meanwhile.
    node.rate = Gcra::of_requests(NonZeroU32::new(PER_MINUTE).unwrap()).among(&node.nodes, KEY);
    node.ask_for(10, at(0));
    let asks = node.sharing.asks(at(2_000));
    assert_eq!(asks.len(), 1);
    assert!(node.rate.standing(at(2_000)).remaining < 60, "what was taken before");
    assert_eq!(node.sharing.asks(at(4_000)).len(), 1);
    // Nobody answers any more: it has not the part of that time for ever.
    node.sharing.asks(at(9_000));
    assert_eq!(node.rate.usual_costs(1).0, node.rate.cost(1));
}

#[test]
fn a_clock_that_is_set_back_stops_nobody() {
    for part in [None, Some(WHOLE / 100), Some(1)] {
        let mut node = Node::new(60, 2);
        let later = at(7_200_000);
        node.ask_for(1, later);
        let asks = node.sharing.asks(later);
        node.sharing.answered(&asks, &[part], later, later);
        node.ask_for(20, later);
        // The database is away.
        let waited = (0..8_000).find(|second| {
            let now = at(second * 1_000);
            node.sharing.asks(now);
            node.rate.take(1, now).is_ok()
        });
        assert!(waited.unwrap() <= 20, "{part:?}: {waited:?}");
    }
}

#[test]
fn who_waits_for_a_part_is_not_told_to_come_back_tomorrow() {
    let mut node = Node::new(60, 2);
    node.ask_for(1, at(0));
    let asks = node.sharing.asks(at(0));
    node.sharing.answered(&asks, &[Some(1)], at(0), at(0));
    while node.rate.take(1, at(0)).is_ok() {}
    assert_eq!(node.rate.take(1, at(0)).unwrap_err().seconds(), 2, "at half the rate");
    assert_eq!(node.rate.standing(at(0)).reset.as_secs(), 20);
}

#[test]
fn an_agents_share_does_not_swing_with_the_part() {
    let two = NonZeroU32::new(2).unwrap();
    let mut node = Node::new(PER_MINUTE, 2);
    node.ask_for(1, at(0));
    let asks = node.sharing.asks(at(0));
    node.sharing.answered(&asks, &[Some(100)], at(0), at(0));
    let share = Share::default();
    let share = share.schedule(Counted::Requests);
    share.take(&node.rate, two, 1, at(0));
    node.sharing.answered(&asks, &[Some(WHOLE)], at(0), at(0));
    assert!(!share.is_beyond(&node.rate, two, at(0)), "one request is not more than its share");
    for _ in 0..100 {
        share.take(&node.rate, two, 1, at(0));
    }
    node.sharing.answered(&asks, &[Some(1)], at(0), at(0));
    share.give_back(&node.rate, two, 1);
    assert!(share.is_beyond(&node.rate, two, at(0)), "a hundred were");
}

#[test]
fn a_node_alone_asks_nobody() {
    let mut node = Node::new(PER_MINUTE, 1);
    node.ask_for(5, at(0));
    assert_eq!(node.sharing.asks(at(0)), []);
    let mut one_of_two = Node::new(PER_MINUTE, 2);
    assert_eq!(one_of_two.sharing.asks(at(0)), [], "nothing is in use");
    one_of_two.ask_for(5, at(0));
    let asks: Vec<PartAsk> = one_of_two.sharing.asks(at(0));
    assert_eq!(asks.iter().map(|ask| ask.wanted).collect::<Vec<_>>(), [WHOLE / 4], "5 in two seconds, of 20");
    assert_eq!(one_of_two.sharing.asks(at(1_000)), [], "not so soon");
    assert_eq!(one_of_two.sharing.asks(at(2_000))[0].wanted, WHOLE / 8, "it takes time to want less");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn all_nodes_together_take_the_rate_and_a_burst_each(
        wanted in prop::collection::vec(prop::array::uniform3(prop_oneof![Just(0_u32), 1..15_u32, Just(60)]), 3..12),
    ) {
        let taken = run(&wanted, |_| true);
        let all: i64 = taken.iter().flatten().sum();
        let seconds = 10 * i64::try_from(wanted.len()).unwrap();
        // A node that begins to use the rate has an equal part until it is answered, which takes a quarter of a second here.
        let begun = i64::try_from(wanted.len()).unwrap() * PER_SECOND;
        prop_assert!(all <= PER_SECOND * seconds + 3 * BURST + begun, "{} in {} s", all, seconds);
    }
}
