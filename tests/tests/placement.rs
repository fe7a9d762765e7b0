//! Tenants with a database of their own beside tenants that share one: every trace in its place, once, whatever is killed.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use bulkhead_tests::commands::{Printed, Tenant};
use bulkhead_tests::load::Load;
use bulkhead_tests::samples::CARD;
use bulkhead_tests::shapes::{chat, chat_answer};
use bulkhead_tests::{Answer, Client, Fixture, eventually, run};
use serde_json::Value;

/// The placed database, as PostgreSQL and as the configuration calls it.
const DATABASE: &str = "acme_eu";
const NAME: &str = "acme-eu";
const VARIABLE: &str = "BULKHEAD_DATABASES_ACME_EU_URL";
const TABLES: [&str; 3] = ["traces", "trace_bodies", "trace_detectors"];
const PACE: Duration = Duration::from_millis(40);
const POLICY: &str = "capture: sealed\ndlp: { rules: [{ detect: [CREDIT_CARD], on: both, action: mask }] }\n\
                      budgets: [{ id: all, scope: tenant, unit: requests, limit: 100000, window: total, at_limit: refuse }]\n";

/// An installation with a second database, which commands know by its name.
async fn start() -> Fixture {
    let mut fixture = Fixture::start("{}").await;
    fixture.bulkhead.sql(&format!("create database {DATABASE}"));
    let url = fixture.bulkhead.url_of(DATABASE);
    fixture.bulkhead.options_mut().environment.push((VARIABLE.to_owned(), url));
    fixture
}

/// The same with a node that knows the name, too.
async fn start_knowing() -> Fixture {
    let mut fixture = start().await;
    fixture.bulkhead.kill_9();
    fixture.bulkhead.restart().await;
    fixture
}

async fn tenant(fixture: &Fixture, name: &str) -> Tenant {
    fixture.bulkhead.tenant(name, &format!("sk-{name}"), &(fixture.upstreams() + POLICY)).await
}

async fn place(fixture: &Fixture, tenant: &str, to: &[&str]) -> Printed {
    fixture.bulkhead.cli(&[&["tenant", "place", tenant, "--json"], to].concat()).await
}

async fn placed(fixture: &Fixture, name: &str) -> Tenant {
    let tenant = tenant(fixture, name).await;
    place(fixture, name, &["--database", NAME]).await.ok();
    tenant
}

async fn ask(client: &Client, text: &str) -> String {
    client.post("/v1/chat/completions", &chat("gpt-placed", text)).await.expect(200).trace_id()
}

fn id_of(fixture: &Fixture, tenant: &str) -> String {
    fixture.bulkhead.sql(&format!("select id from tenants where name = '{tenant}'")).trim().to_owned()
}

/// Ids of a tenant's traces: in the shared database, and in the placed one.
fn traces(fixture: &Fixture, tenant: &str) -> [Vec<String>; 2] {
    let statement = format!("select id from traces where tenant_id = '{tenant}' order by 1");
    let ids = |text: String| text.lines().map(str::to_owned).collect();
    [ids(fixture.bulkhead.sql(&statement)), ids(fixture.bulkhead.sql_in(DATABASE, &statement))]
}

/// Rows of a tenant in all tables of traces of the shared database, or of the placed one.
fn rows(fixture: &Fixture, tenant: &str, is_placed: bool) -> [u64; 3] {
    TABLES.map(|table| {
        let statement = format!("select count(*) from {table} where tenant_id = '{tenant}'");
        let bulkhead = &fixture.bulkhead;
        let count = if is_placed { bulkhead.sql_in(DATABASE, &statement) } else { bulkhead.sql(&statement) };
        count.trim().parse().expect("a number")
    })
}

/// Waits until every answered request has its trace in the one database, and proves that the other has none.
async fn assert_each_in_place(fixture: &Fixture, tenant: &str, answered: &[String], is_placed: bool) {
    let there = eventually("every answered request has its trace", || async {
        let [shared, placed] = traces(fixture, tenant);
        let (there, elsewhere) = if is_placed { (placed, shared) } else { (shared, placed) };
        assert_eq!(elsewhere, [""; 0], "in the wrong database");
        let ids: BTreeSet<&String> = there.iter().collect();
        answered.iter().all(|id| ids.contains(id)).then_some(there)
    })
    .await;
    let ids: BTreeSet<&String> = there.iter().collect();
    assert_eq!(ids.len(), there.len(), "more than one row");
}

async fn metric(fixture: &Fixture, name: &str) -> f64 {
    let metrics = fixture.bulkhead.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// Lets nobody into the placed database, or everybody again.
fn allow(fixture: &Fixture, is_allowed: bool) {
    let bulkhead = &fixture.bulkhead;
    bulkhead.sql(&format!("alter database {DATABASE} with allow_connections {is_allowed}"));
    if !is_allowed {
        bulkhead.sql(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{DATABASE}'"
        ));
    }
}

fn charged(fixture: &Fixture, tenant: &str) -> usize {
    let sum = format!("select coalesce(sum(amount), 0) from budget_usage where tenant_id = '{tenant}'");
    fixture.bulkhead.sql(&sum).trim().parse().expect("a number")
}

/// What the command said, after it has failed with `code`.
#[track_caller]
fn refused(printed: Printed, code: i32) -> String {
    assert_eq!(printed.code, Some(code), "{}{}", printed.out, printed.err);
    printed.err
}

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
