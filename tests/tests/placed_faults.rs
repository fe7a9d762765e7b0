//! Whatever is killed, away or full: every trace of a placed tenant is in its place, once, and nobody else waits for it.

use std::time::Duration;

use bulkhead_tests::load::Load;
use bulkhead_tests::placed::{
    allow, assert_each_in_place, charged, id_of, metric, placed, refused, start, start_knowing, tenant,
    traces,
};
use bulkhead_tests::shapes::chat;
use bulkhead_tests::{eventually, run};

const PACE: Duration = Duration::from_millis(40);

#[test]
fn a_placed_database_that_is_away_keeps_up_nobody_else_and_loses_nothing() {
    run(async {
        let mut fixture = start_knowing().await;
        let (acme, other) = (placed(&fixture, "acme").await, tenant(&fixture, "other").await);
        let (acme_id, other_id) = (id_of(&fixture, "acme"), id_of(&fixture, "other"));
        let [mut ours, mut theirs] = [vec![], vec![]];
        for round in 0..4 {
            // Away, killed while it is away, back while everything runs.
            allow(&fixture, round == 3);
            let loads = [&acme, &other].map(|tenant| {
                let client = fixture.bulkhead.client().with_key(&tenant.key);
                Load::start(&client, 2, PACE, "gpt-placed")
            });
            for load in &loads {
                load.more(15 + 4 * round).await;
            }
            if round % 2 == 1 {
                fixture.bulkhead.kill_9();
            }
            for (load, ids) in loads.into_iter().zip([&mut ours, &mut theirs]) {
                ids.extend(load.stop().await.into_iter().map(|answer| answer.id));
            }
            if round % 2 == 1 {
                fixture.bulkhead.restart().await;
            }
            eventually("the other tenant's traces are there", || async {
                let there = fixture.bulkhead.sql("select id from traces");
                theirs.iter().all(|id| there.contains(id.as_str())).then_some(())
            })
            .await;
        }
        assert_each_in_place(&fixture, &acme_id, &ours, true).await;
        assert_each_in_place(&fixture, &other_id, &theirs, false).await;
        for id in [&acme_id, &other_id] {
            let there: usize = traces(&fixture, id).iter().map(Vec::len).sum();
            assert_eq!(charged(&fixture, id), there, "a charge for each trace");
        }
        allow(&fixture, false);
        let said = refused(fixture.bulkhead.cli(&["trace", "list", "--tenant", "acme"]).await, 1);
        assert!(said.contains("database acme-eu"), "{said}");
        fixture.bulkhead.cli(&["trace", "list", "--tenant", "other"]).await.ok();
    });
}

#[test]
fn a_node_killed_under_load_loses_and_doubles_nothing_of_a_placed_tenant() {
    run(async {
        let mut fixture = start_knowing().await;
        let acme = placed(&fixture, "acme").await;
        let id = id_of(&fixture, "acme");
        let mut answered = Vec::new();
        for round in 0..5 {
            let client = fixture.bulkhead.client().with_key(&acme.key);
            let load = Load::start(&client, 6, PACE, "gpt-placed");
            load.more(20 + 7 * round).await;
            fixture.bulkhead.kill_9();
            answered.extend(load.stop().await.into_iter().map(|answer| answer.id));
            fixture.bulkhead.restart().await;
        }
        assert_each_in_place(&fixture, &id, &answered, true).await;
        eventually("a charge for each trace", || async {
            (charged(&fixture, &id) == traces(&fixture, &id)[1].len()).then_some(())
        })
        .await;
        fixture.bulkhead.sigterm();
        assert_eq!(fixture.bulkhead.exited().await, Some(0), "{}", fixture.bulkhead.logs());
        let folder = fixture.bulkhead.data_dir().join("spool/placed").join(&id);
        let left = std::fs::read_dir(folder).expect("the tenant's own spool").flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
        assert!(left.iter().all(|name| !name.ends_with(".segment")), "{left:?}");
    });
}

#[test]
fn traces_of_a_tenant_whose_database_is_away_take_no_more_than_its_share() {
    run(async {
        let mut fixture = start().await;
        for (name, value) in [("QUOTA_BYTES", "1048576"), ("TENANT_PERCENT", "5")] {
            let variable = (format!("BULKHEAD_SPOOL_{name}"), value.to_owned());
            fixture.bulkhead.options_mut().environment.push(variable);
        }
        fixture.bulkhead.kill_9();
        fixture.bulkhead.restart().await;
        let acme = placed(&fixture, "acme").await;
        allow(&fixture, false);
        let mut asked = 0;
        while metric(&fixture, "bulkhead_traces_dropped_total{reason=\"spool_full\"}").await < 3.0 {
            acme.client.post("/v1/chat/completions", &chat("gpt-placed", "hi")).await.expect(200);
            asked += 1;
            assert!(asked < 1000, "nothing is ever dropped");
        }
        // Nobody asks any more.
        let dropped = 3;
        allow(&fixture, true);
        let id = id_of(&fixture, "acme");
        eventually("what was kept arrives", || async {
            (traces(&fixture, &id)[1].len() == asked - dropped).then_some(())
        })
        .await;
        eventually("what was dropped is charged", || async {
            (charged(&fixture, &id) == asked).then_some(())
        })
        .await;
    });
}
