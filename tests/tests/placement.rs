//! Tenants with a database of their own beside tenants that share one: every trace in its place, once, also while they move.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use bulkhead_tests::load::Load;
use bulkhead_tests::placed::{
    DATABASE, NAME, ask, assert_each_in_place, charged, id_of, metric, place, placed, refused, rows, start,
    start_knowing, tenant, traces,
};
use bulkhead_tests::samples::CARD;
use bulkhead_tests::shapes::chat_answer;
use bulkhead_tests::{Answer, eventually, run};
use serde_json::Value;

const PACE: Duration = Duration::from_millis(40);

#[test]
fn placed_and_shared_tenants_live_side_by_side() {
    run(async {
        let fixture = start_knowing().await;
        let bulkhead = &fixture.bulkhead;
        fixture.provider.on("gpt-placed", Answer::json(200, &chat_answer("hello")));
        let (acme, other) = (placed(&fixture, "acme").await, tenant(&fixture, "other").await);
        let (acme_id, other_id) = (id_of(&fixture, "acme"), id_of(&fixture, "other"));
        let loads = [&acme, &other].map(|tenant| Load::start(&tenant.client, 2, PACE, "gpt-placed"));
        for load in &loads {
            load.more(25).await;
        }
        let [mut ours, mut theirs] = [vec![], vec![]];
        for (load, ids) in loads.into_iter().zip([&mut ours, &mut theirs]) {
            ids.extend(load.stop().await.into_iter().map(|answer| answer.id));
        }
        let card = ask(&acme.client, &format!("pay {CARD}")).await;
        ours.push(card.clone());
        assert_each_in_place(&fixture, &acme_id, &ours, true).await;
        assert_each_in_place(&fixture, &other_id, &theirs, false).await;
        // What nodes need to judge is counted in one place.
        assert_eq!(charged(&fixture, &acme_id), ours.len());
        let used = format!("select count(*) from api_key_usage where tenant_id = '{acme_id}'");
        assert_eq!((bulkhead.sql(&used).trim(), bulkhead.sql_in(DATABASE, &used).trim()), ("1", "0"));
        eventually("nothing waits", || async {
            (metric(&fixture, "bulkhead_placed_spool_records").await == 0.0).then_some(())
        })
        .await;

        let listed = bulkhead.trace_list("acme", 1000).await;
        assert_eq!(listed.len(), ours.len());
        assert_eq!(listed[0]["id"], card.as_str());
        let after = ["trace", "list", "--tenant", "acme", "--after", &card, "--limit", "5", "--json"];
        assert_eq!(bulkhead.cli(&after).await.json(), Value::Array(listed[1..6].to_vec()));
        let found = ["trace", "list", "--tenant", "acme", "--detector", "CREDIT_CARD", "--json"];
        assert_eq!(bulkhead.cli(&found).await.json()[0]["id"], card.as_str());
        assert_eq!(bulkhead.trace_show("acme", &card).await.json()["has_originals"], true);
        refused(bulkhead.trace_show("other", &card).await, 1);

        // First the entry, in the tenant's trail and in that of the database that holds the body.
        let revealed = bulkhead.reveal("acme", &card, "ticket 4711, the customer asks").await.json();
        assert!(revealed["request"]["text"].as_str().expect("a request").contains(CARD));
        let reveals = bulkhead.audit_list(&["--tenant", "acme", "--action", "trace.reveal"]).await;
        assert_eq!(reveals.as_array().map(Vec::len), Some(1));
        let there = "select count(*) from audit where action = 'trace.reveal'";
        assert_eq!(bulkhead.sql_in(DATABASE, there).trim(), "1");
        refused(bulkhead.reveal("other", &card, "ticket 4711, the customer asks").await, 1);

        let file = bulkhead.folder().join("acme.archive");
        let file = file.to_str().expect("UTF-8");
        let exported =
            bulkhead.cli(&["tenant", "export", "--tenant", "acme", "--out", file, "--json"]).await.json();
        assert_eq!(exported["rows"]["traces"], ours.len());
        let text = std::fs::read_to_string(file).expect("UTF-8");
        assert!(ours.iter().all(|id| text.contains(id)) && !theirs.iter().any(|id| text.contains(id)));

        bulkhead.cli(&["tenant", "erase", "acme", "--yes-erase", "acme"]).await.ok();
        assert_eq!([rows(&fixture, &acme_id, false), rows(&fixture, &acme_id, true)], [[0; 3]; 2]);
        let left = bulkhead.sql_in(DATABASE, "select count(*) from tenants");
        assert_eq!(left.trim(), "0");
        assert_each_in_place(&fixture, &other_id, &theirs, false).await;

        // It comes back, to where it was.
        bulkhead.cli(&["tenant", "import", file, "--database", NAME]).await.ok();
        assert_each_in_place(&fixture, &acme_id, &ours, true).await;
        let listed = bulkhead.cli(&["tenant", "list", "--json"]).await.json();
        let acme = listed.as_array().expect("a list").iter().find(|tenant| tenant["name"] == "acme");
        assert_eq!(acme.map(|tenant| &tenant["database"]), Some(&NAME.into()));
        assert_eq!(bulkhead.trace_list("acme", 1000).await.len(), ours.len());
    });
}

#[test]
fn a_name_that_is_not_known_is_refused_by_commands_and_held_back_by_nodes() {
    run(async {
        let mut fixture = start().await;
        let (unlucky, other) = (tenant(&fixture, "unlucky").await, tenant(&fixture, "other").await);
        let said = refused(place(&fixture, "unlucky", &["--database", "nowhere"]).await, 2);
        assert!(said.contains("known: acme-eu") && said.contains("BULKHEAD_DATABASES_NOWHERE_URL"), "{said}");
        assert!(
            refused(place(&fixture, "unlucky", &["--database", "../x"]).await, 2).contains("database name")
        );
        // The name leads to the database of all tenants.
        let own = fixture.bulkhead.ready.database_url.clone();
        let wrong = fixture
            .bulkhead
            .command(&["tenant", "place", "unlucky", "--database", "wrong"])
            .env("BULKHEAD_DATABASES_WRONG_URL", &own)
            .output()
            .expect("run the command");
        assert_eq!(wrong.status.code(), Some(1), "{}", String::from_utf8_lossy(&wrong.stderr));

        // The command knows the name, the node does not.
        place(&fixture, "unlucky", &["--database", NAME]).await.ok();
        let unlucky_id = id_of(&fixture, "unlucky");
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(ask(&unlucky.client, "hi").await);
        }
        let passed = ask(&other.client, "hi").await;
        fixture.bulkhead.trace_of("other", &passed).await;
        eventually("they are held back and counted", || async {
            let waits = metric(&fixture, "bulkhead_placed_waits_total{reason=\"unknown_database\"}").await;
            let records = metric(&fixture, "bulkhead_placed_spool_records").await;
            (waits > 0.0 && records == 5.0).then_some(())
        })
        .await;
        assert!(fixture.bulkhead.logs().contains("[databases.acme-eu] is not configured"));
        assert_eq!(traces(&fixture, &unlucky_id), [vec![], Vec::<String>::new()]);

        fixture.bulkhead.sigterm();
        assert_eq!(fixture.bulkhead.exited().await, Some(0));
        fixture.bulkhead.restart().await;
        assert_each_in_place(&fixture, &unlucky_id, &held, true).await;
    });
}

#[test]
fn a_tenant_with_a_history_moves_and_moves_back_while_it_is_at_work() {
    run(async {
        let fixture = start_knowing().await;
        let bulkhead = &fixture.bulkhead;
        placed(&fixture, "first").await;
        let tenant = tenant(&fixture, "acme").await;
        let id = id_of(&fixture, "acme");
        ask(&tenant.client, &format!("pay {CARD}")).await;
        eventually("one to copy", || async { (rows(&fixture, &id, false) == [1, 2, 1]).then_some(()) }).await;
        // A history of three weeks.
        bulkhead.age_traces(None, &id, "10 minutes", 3000);
        let history = traces(&fixture, &id)[0].len();
        assert_eq!(history, 3001);

        let load = Load::start(&tenant.client, 2, PACE, "gpt-placed");
        load.more(5).await;
        for (to, is_placed) in [(["--database", NAME].as_slice(), true), (&["--shared"], false)] {
            let arguments = [&["tenant", "place", "acme"], to].concat();
            let mut child =
                bulkhead.command(&arguments).stdout(Stdio::null()).spawn().expect("start the command");
            eventually("a part has moved", || async {
                let [shared, placed] = traces(&fixture, &id).map(|ids| ids.len());
                (if is_placed { placed } else { shared } > 300).then_some(())
            })
            .await;
            child.kill().expect("kill the command");
            child.wait().expect("wait for the command");
            // Half here, half there: a reader sees all of it, once.
            let seen = bulkhead.trace_list("acme", 1000).await;
            let seen: BTreeSet<&str> = seen.iter().filter_map(|trace| trace["id"].as_str()).collect();
            assert_eq!(seen.len(), 1000);
            let archive = bulkhead.folder().join("half");
            let export = ["tenant", "export", "--tenant", "acme", "--out", archive.to_str().expect("UTF-8")];
            assert!(refused(bulkhead.cli(&export).await, 1).contains("being moved"));
            load.more(10).await;
            eventually("the command goes on where it was", || async {
                let again = place(&fixture, "acme", to).await;
                // The session of the killed one may hold its lock for a moment.
                assert!(again.code == Some(0) || again.err.contains("is being moved"), "{}", again.err);
                (again.code == Some(0)).then_some(())
            })
            .await;
            let [shared, placed] = traces(&fixture, &id).map(|ids| ids.len());
            let (there, left) = if is_placed { (placed, shared) } else { (shared, placed) };
            assert!(there >= history && left == 0, "{there} there, {left} left");
            assert_eq!(rows(&fixture, &id, !is_placed), [0; 3]);
            load.more(5).await;
        }
        let answered: Vec<String> = load.stop().await.into_iter().map(|answer| answer.id).collect();
        assert_each_in_place(&fixture, &id, &answered, false).await;
        eventually("one row for each", || async {
            (traces(&fixture, &id)[0].len() == history + answered.len()).then_some(())
        })
        .await;
        let whole = bulkhead.audit_verify(&["--tenant", "acme"]).await.json();
        assert_eq!(whole[0]["whole"], true);
        let entries = bulkhead.audit_list(&["--tenant", "acme", "--action", "tenant"]).await;
        let actions: Vec<&str> =
            entries.as_array().expect("a list").iter().filter_map(|entry| entry["action"].as_str()).collect();
        assert_eq!(
            actions,
            ["tenant.moved", "tenant.place", "tenant.moved", "tenant.place", "tenant.create"]
        );
    });
}
