//! One agent floods; the others get their share.

use proptest::prelude::*;

use super::super::fair::{ActiveAgents, Share};
use super::*;

/// A tenant's agents; the first one floods.
fn agents(tenant: Limits, number: usize) -> Vec<CallerLimits> {
    let tenant = TenantLimiter::new(TENANT, tenant, None, &Nodes::default());
    (0..number).map(|_| CallerLimits::new(Arc::clone(&tenant), Arc::default(), None)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn who_asks_for_a_share_of_the_requests_gets_it(
        others in 1..6_usize,
        per_minute in 120..1_200_u32,
        offset in 0..1_000_i64,
    ) {
        let agents = agents(limits(per_minute, 0, 0), others + 1);
        let per_share_millis = 60_000 * i64::try_from(others + 1).unwrap() / i64::from(per_minute) + 1;
        let (mut flooded, mut asked, mut refused) = (0_u32, 0_u32, 0_u32);
        let mut due: Vec<i64> = (0..others).map(|other| offset + i64::try_from(other).unwrap() * 37).collect();
        for millis in 0..90_000 {
            flooded += u32::from(agents[0].admit(ANY, at(millis)).is_ok());
            for (due, agent) in due.iter_mut().zip(&agents[1..]) {
                if millis < *due {
                    continue;
                }
                *due += per_share_millis;
                let is_refused = agent.admit(ANY, at(millis)).is_err();
                // Nobody knew of an agent before it asked; the flood may have been everywhere until then.
                if millis > 30_000 {
                    asked += 1;
                    refused += u32::from(is_refused);
                }
            }
        }
        prop_assert_eq!(refused, 0, "of {} requests", asked);
        let share = per_minute * 3 / 2 / u32::try_from(others + 1).unwrap();
        prop_assert!(flooded + 2 >= share, "the flood got {} and its share is {}", flooded, share);
    }

    #[test]
    fn who_asks_for_a_share_of_the_tokens_gets_it(others in 1..5_usize, units in 20..60_u64) {
        let agents = agents(limits(0, 6_000, 0), others + 1);
        let per_share_millis = i64::try_from(units * 10 * (others as u64 + 1)).unwrap() + 1;
        let mut due: Vec<i64> = (0..others).map(|other| i64::try_from(other).unwrap() * 11).collect();
        for millis in 0..180_000 {
            // What it holds is more than it uses.
            if let Ok(hold) = agents[0].take_tokens(200, at(millis)) {
                hold.settle(150, at(millis));
            }
            for (due, agent) in due.iter_mut().zip(&agents[1..]) {
                if millis < *due {
                    continue;
                }
                *due += per_share_millis;
                let taken = agent.take_tokens(units, at(millis));
                prop_assert!(taken.is_ok() || millis < 90_000, "{taken:?} at {millis} ms");
                taken.into_iter().for_each(|hold| hold.settle(units, at(millis)));
            }
        }
    }

    #[test]
    fn the_last_quarter_of_the_places_is_for_those_below_their_share(others in 1..8_usize, places in 1..200_usize) {
        let agents = agents(limits(0, 0, u32::try_from(places).unwrap()), others + 1);
        // All are known to ask.
        for agent in &agents {
            drop(agent.admit(ANY, at(0)));
        }
        let flood: Vec<_> = std::iter::from_fn(|| agents[0].admit(ANY, at(1)).ok()).collect();
        let share = (places / (others + 1)).max(1);
        prop_assert!(flood.len() >= share, "the flood has {} places", flood.len());
        let kept = places - flood.len();
        prop_assert!(kept >= places.div_ceil(4).min(places - share));
        let found = (0..kept).map_while(|turn| agents[1 + turn % others].admit(ANY, at(1)).ok());
        // Each takes up to its share; where shares are smaller than what was kept, only those.
        prop_assert!(found.collect::<Vec<_>>().len() >= kept.min(share));
    }

    #[test]
    fn places_that_come_back_go_to_those_below_their_share(others in 1..4_usize, places in 8..64_usize) {
        let agents = agents(limits(0, 0, u32::try_from(places).unwrap()), others + 1);
        let mut flood: Vec<_> = std::iter::from_fn(|| agents[0].admit(ANY, at(0)).ok()).collect();
        prop_assert_eq!(flood.len(), places, "alone it may have all");
        let share = places / (others + 1);
        let mut held: Vec<Vec<Admission>> = agents[1..].iter().map(|_| Vec::new()).collect();
        for turn in 0..places * 2 {
            // It asks again as soon as one of its requests has ended, and before anybody else.
            flood.pop();
            let now = at(i64::try_from(turn).unwrap());
            flood.extend(agents[0].admit(ANY, now).ok());
            for (agent, held) in agents[1..].iter().zip(&mut held) {
                if held.len() < share {
                    held.extend(agent.admit(ANY, now).ok());
                }
            }
        }
        for held in &held {
            prop_assert_eq!(held.len(), share);
        }
    }
}

#[test]
fn one_active_agent_may_have_everything() {
    let agents = agents(limits(60, 600, 10), 2);
    drop(agents[1].admit(ANY, at(0)).unwrap());
    let places: Vec<_> = std::iter::from_fn(|| agents[0].admit(ANY, at(30_000)).ok()).collect();
    assert_eq!(places.len(), 10, "the other one has not asked for half a minute");
    agents[0].take_tokens(600, at(30_000)).unwrap().settle(600, at(30_000));
}

#[test]
fn who_is_refused_for_the_others_is_told_so() {
    let agents = agents(limits(0, 0, 8), 2);
    drop(agents[1].admit(ANY, at(0)));
    let _places: Vec<_> = std::iter::from_fn(|| agents[0].admit(ANY, at(0)).ok()).collect();
    let refused = agents[0].admit(ANY, at(0)).unwrap_err();
    assert!(refused.is_kept_for_others, "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "what is left of the tenant's 8 requests at once is for its other agents"
    );
}

#[test]
fn agents_are_counted_while_they_ask() {
    let (active, share) = (ActiveAgents::default(), [(); 3].map(|()| Share::default()));
    let note = |agent: usize, seconds: i64| active.note(&share[agent], at(seconds * 1_000)).get();
    assert_eq!([note(0, 0), note(0, 1), note(1, 2), note(2, 3), note(1, 4)], [1, 1, 2, 3, 3]);
    assert_eq!([note(0, 11), note(0, 12), note(1, 13)], [3, 3, 3], "those of the slice before count too");
    assert_eq!([note(0, 21), note(1, 22)], [2, 2], "the third has not asked for a whole slice");
    assert_eq!(note(2, 9), 3, "a request that began earlier is counted late");
    assert_eq!(note(0, 60), 1);
    assert_eq!(note(0, -3_600), 1, "the clock was set back");
}
