//! Nothing lost and nothing doubled: the proxy and PostgreSQL are killed, the spool is damaged and filled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bulkhead_tests::load::Load;
use bulkhead_tests::postgres::Frozen;
use bulkhead_tests::shapes::{chat, streamed};
use bulkhead_tests::{Bulkhead, FakeProvider, Options, eventually, run};
use serde_json::Value;

/// The most that `trace list` shows; tests stay below.
const ROWS_MAX: usize = 1000;

/// How long a caller waits before it asks again: so many rows that a list shows them all.
const PACE: Duration = Duration::from_millis(60);

async fn start(policy: &str, environment: &[(&str, &str)]) -> (FakeProvider, Bulkhead) {
    let provider = FakeProvider::start().await;
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let options = Options {
        upstream: Some(provider.url()),
        policy: Some(policy.to_owned()),
        environment: environment.iter().map(owned).collect(),
        ..Options::default()
    };
    (provider, Bulkhead::start(options).await)
}

/// Every id has one row, and the rows have as many ids; waits until all have come.
async fn assert_each_has_one_row(bulkhead: &Bulkhead, answered: &[String]) {
    assert!(answered.len() < ROWS_MAX, "{} are too many for the list", answered.len());
    let rows = eventually("every answered request has its trace", || async {
        let traces = bulkhead.trace_list(&bulkhead.ready.tenant, ROWS_MAX).await;
        let mut rows = BTreeMap::new();
        for trace in traces {
            *rows.entry(trace["id"].as_str().expect("an id").to_owned()).or_insert(0) += 1;
        }
        answered.iter().all(|id| rows.contains_key(id)).then_some(rows)
    })
    .await;
    assert!(rows.len() < ROWS_MAX, "the list shows not all of them");
    let doubled: BTreeMap<_, _> = rows.iter().filter(|(_, count)| **count != 1).collect();
    assert!(doubled.is_empty(), "more than one row: {doubled:?}");
}

async fn metric(bulkhead: &Bulkhead, name: &str) -> f64 {
    let metrics = bulkhead.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

#[test]
fn a_proxy_killed_under_load_loses_and_doubles_no_trace() {
    run(async {
        let (_provider, mut bulkhead) = start("{}", &[]).await;
        let mut answered = Vec::new();
        for round in 0..5 {
            let load = Load::start(&bulkhead.client(), 8, PACE, "gpt-killed");
            load.more(40 + 7 * round).await;
            bulkhead.kill_9();
            answered.extend(load.stop().await.into_iter().map(|answer| answer.id));
            bulkhead.restart().await;
        }
        assert_each_has_one_row(&bulkhead, &answered).await;
        bulkhead.sigterm();
        assert_eq!(bulkhead.exited().await, Some(0), "{}", bulkhead.logs());
        let left = std::fs::read_dir(bulkhead.data_dir().join("spool")).expect("the spool's folder");
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".segment")), "{left:?}");
    });
}

#[test]
fn a_proxy_killed_under_load_forgets_and_doubles_no_charge() {
    run(async {
        let limit = 1500;
        let budget = format!(
            "budgets: [{{ id: few, scope: tenant, unit: requests, limit: {limit}, window: total, at_limit: refuse }}]"
        );
        let (_provider, mut bulkhead) = start(&budget, &[]).await;
        let mut answered = Vec::new();
        for round in 0..6 {
            let load = Load::start(&bulkhead.client(), 8, PACE, "gpt-charged");
            load.more(10 + 3 * round).await;
            bulkhead.kill_9();
            answered.extend(load.stop().await.into_iter().map(|answer| answer.id));
            bulkhead.restart().await;
        }
        assert_each_has_one_row(&bulkhead, &answered).await;
        // Each row is a charge; what was killed on its way upstream has neither.
        let charged = bulkhead.trace_list(&bulkhead.ready.tenant, ROWS_MAX).await.len();
        assert!(charged < limit, "{charged} requests leave nothing to look at");
        assert_eq!(bulkhead.sql("select sum(amount) from budget_usage").trim(), charged.to_string());
        // Nobody knows what the killed ones had forwarded: what they held stays charged.
        let held = "select sum(greatest(granted - reported, 0)) from budget_leases";
        let held: usize = bulkhead.sql(held).trim().parse().expect("a sum");
        let mut passed = 0;
        while bulkhead.client().post("/v1/chat/completions", &chat("gpt-charged", "hi")).await.status == 200 {
            passed += 1;
        }
        assert_eq!(charged + held + passed, limit);
        assert!(passed > limit / 4, "{passed} passed, {held} held by the dead");
    });
}

#[test]
fn a_spool_that_has_forgotten_what_was_shipped_ships_nothing_twice() {
    run(async {
        let budget = "budgets: [{ id: all, scope: tenant, unit: requests, limit: 1000, window: total, at_limit: refuse, when_unreachable: allow }]";
        let (_provider, mut bulkhead) = start(budget, &[]).await;
        let answered = leave_behind(&mut bulkhead, 20).await;
        // What a crash between the commit and the position leaves: the folder as it was before the batch.
        let copy: Vec<(PathBuf, Vec<u8>)> = files(&bulkhead, |_| true);
        for _ in 0..3 {
            bulkhead.restart().await;
            assert_each_has_one_row(&bulkhead, &answered).await;
            bulkhead.kill_9();
            for (path, content) in &copy {
                std::fs::write(path, content).expect("restore a file");
            }
        }
        bulkhead.restart().await;
        let after =
            bulkhead.client().post("/v1/chat/completions", &chat("gpt-after", "hi")).await.expect(200);
        let marked = r#"select count(*) from traces where budgets @> '[{"unreachable": true}]'"#;
        let went_without = answered.len().to_string();
        let all = [answered, vec![after.trace_id()]].concat();
        assert_each_has_one_row(&bulkhead, &all).await;
        assert_eq!(bulkhead.sql("select sum(amount) from budget_usage").trim(), all.len().to_string());
        assert_eq!(bulkhead.sql("select count(*) from traces").trim(), all.len().to_string());
        assert_eq!(bulkhead.sql(marked).trim(), went_without, "those that nobody could be asked for");
    });
}

#[test]
fn an_answer_is_never_ahead_of_its_trace() {
    run(async {
        let (_provider, mut bulkhead) = start("capture: masked", &[]).await;
        // A record that takes its time to be written.
        let long = "word ".repeat(40_000);
        let mut answered = Vec::new();
        for round in 0..4_usize {
            let request = chat("gpt-ahead", &long);
            let request = if round.is_multiple_of(2) { request } else { streamed(request) };
            let reply = bulkhead.client().post("/v1/chat/completions", &request).await;
            bulkhead.kill_9();
            answered.push(reply.expect(200).trace_id());
            bulkhead.restart().await;
        }
        assert_each_has_one_row(&bulkhead, &answered).await;
    });
}

#[test]
fn traces_of_an_outage_of_postgresql_are_all_there_afterwards() {
    run(async {
        let (_provider, mut bulkhead) = start("{}", &[]).await;
        let load = Load::start(&bulkhead.client(), 8, PACE, "gpt-outage");
        for _ in 0..2 {
            load.more(20).await;
            bulkhead.kill_postgres().await;
            load.more(60).await;
        }
        let mut answered: Vec<String> = load.stop().await.into_iter().map(|answer| answer.id).collect();
        assert_each_has_one_row(&bulkhead, &answered).await;

        // Frozen, it answers nothing and refuses nothing; and the proxy dies meanwhile.
        let frozen = Frozen::of(&bulkhead);
        let load = Load::start(&bulkhead.client(), 8, PACE, "gpt-outage");
        load.more(100).await;
        bulkhead.kill_9();
        answered.extend(load.stop().await.into_iter().map(|answer| answer.id));
        drop(frozen);
        bulkhead.restart().await;
        assert_each_has_one_row(&bulkhead, &answered).await;
    });
}

#[test]
fn an_answer_waits_for_the_disk_where_its_policy_says_so_and_only_there() {
    run(async {
        let (provider, bulkhead) = start("{ traces: { durability: synced } }", &[]).await;
        let upstreams = bulkhead_tests::fixture::upstreams(&provider);
        let written = bulkhead.tenant("written", "sk-written", &upstreams).await;
        for (client, syncs_each) in [(&bulkhead.client(), 1.0), (&written.client, 0.0)] {
            for _ in 0..5 {
                let before = metric(&bulkhead, "bulkhead_spool_sync_seconds_count").await;
                client.post("/v1/chat/completions", &chat("gpt-synced", "hi")).await.expect(200);
                let after = metric(&bulkhead, "bulkhead_spool_sync_seconds_count").await;
                assert_eq!(after - before, syncs_each, "by the end of the answer");
            }
        }
    });
}

#[test]
fn a_damaged_segment_costs_what_is_damaged_and_is_kept() {
    run(async {
        let (_provider, mut bulkhead) = start("{ traces: { durability: synced } }", &[]).await;
        let answered = leave_behind(&mut bulkhead, 20).await;
        let (segment, mut bytes) = segments(&bulkhead).pop().expect("a segment with what was left");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&segment, &bytes).expect("damage the segment");
        // And what a torn write leaves at the end.
        let mut torn = std::fs::OpenOptions::new().append(true).open(&segment).expect("open the segment");
        std::io::Write::write_all(&mut torn, &bytes[..33]).expect("tear the segment");

        bulkhead.restart().await;
        assert_each_has_one_row(&bulkhead, &answered[answered.len() - 1..]).await;
        let rows = bulkhead.traces_for("gpt-left", 19).await;
        assert_eq!(rows.len(), 19, "one record was damaged");
        eventually("the segment is kept aside", || async {
            segment.with_extension("quarantined").is_file().then_some(())
        })
        .await;
        eventually("it is counted", || async {
            (metric(&bulkhead, "bulkhead_spool_quarantined_segments").await > 0.0).then_some(())
        })
        .await;
        let reply =
            bulkhead.client().post("/v1/chat/completions", &chat("gpt-after", "hi")).await.expect(200);
        bulkhead.trace(&reply.trace_id()).await;
    });
}

#[test]
fn traces_that_can_never_be_stored_stop_nobody_and_are_listed() {
    run(async {
        let (_provider, mut bulkhead) = start("{}", &[]).await;
        let answered = leave_behind(&mut bulkhead, 5).await;
        let folder = bulkhead.data_dir().join("spool");
        let settings = bulkhead_spool::Settings::default();
        let origin = bulkhead_spool::Origin { id: [0; 16], segment: 1 };
        let (mut writer, mut reader) = bulkhead_spool::open(
            bulkhead_spool::Folder::open(&folder).expect("the folder"),
            settings,
            origin,
        )
        .expect("the spool");
        let limits = bulkhead_spool::BatchLimits::default();
        let batch = reader.take(bulkhead_spool::Lane::Oldest, limits).expect("readable").expect("a batch");
        let mut poisoned = batch.records[0].clone();
        let mut spooled: Value = serde_json::from_slice(&poisoned.payload).expect("JSON");
        let id = "01900000-0000-7000-8000-000000000001";
        // Earlier than any time that PostgreSQL knows.
        spooled["trace"]["at"] = "-10000-01-01T00:00:00Z".into();
        spooled["trace"]["id"] = id.into();
        poisoned.payload = spooled.to_string().into_bytes();
        writer.push(&poisoned).expect("short");
        poisoned.payload = b"not a trace at all".to_vec();
        writer.push(&poisoned).expect("short");
        writer.push(&batch.records[1]).expect("short");
        writer.commit().expect("a disk with room");
        drop((writer, reader));

        bulkhead.restart().await;
        assert_each_has_one_row(&bulkhead, &answered).await;
        let listed = eventually("the dead letters are listed", || async {
            let listed = bulkhead.cli(&["trace", "dead-letters", "--json"]).await.json();
            (listed.as_array().expect("a list").len() == 2).then_some(listed)
        })
        .await;
        let listed = listed.as_array().expect("a list");
        assert!(listed.iter().any(|letter| letter["id"] == id), "{listed:?}");
        assert!(
            listed.iter().all(|letter| letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()))
        );
        assert!(listed.iter().any(|letter| letter["id"].is_null()), "{listed:?}");

        // The node that runs is asked, and finds them as they were.
        let told = bulkhead.cli(&["trace", "dead-letters", "--retry", "--json"]).await.json();
        assert_eq!((&told["dead_letters"], &told["node_asked"]), (&2.into(), &true.into()));
        eventually("they are set aside once more", || async {
            let count = metric(&bulkhead, "bulkhead_spool_dead_letters_total").await;
            (count == 4.0).then_some(())
        })
        .await;
        bulkhead.kill_9();
        let unconfirmed = ["trace", "dead-letters", "--clear", "--yes-clear", "7"];
        let refused = bulkhead.cli(&unconfirmed).await;
        assert!(refused.code == Some(2) && refused.err.contains("--yes-clear"), "{refused:?}");
        let confirmed = ["trace", "dead-letters", "--clear", "--yes-clear", "2", "--json"];
        assert_eq!(bulkhead.cli(&confirmed).await.json()["node_asked"], false);
        assert_eq!(bulkhead.cli(&["trace", "dead-letters", "--json"]).await.json(), serde_json::json!([]));
    });
}

#[test]
fn a_full_share_refuses_its_own_tenant_before_anything_is_forwarded() {
    run(async {
        let quota = [("BULKHEAD_SPOOL_QUOTA_BYTES", "1048576"), ("BULKHEAD_SPOOL_TENANT_PERCENT", "10")];
        let (provider, bulkhead) = start("{ capture: masked, traces: { when_full: refuse } }", &quota).await;
        let other =
            bulkhead.tenant("other", "sk-other", &bulkhead_tests::fixture::upstreams(&provider)).await;
        let frozen = Frozen::of(&bulkhead);
        let mut answered = Vec::new();
        let long = "word ".repeat(2_000);
        let refused = loop {
            let reply = bulkhead.client().post("/v1/chat/completions", &chat("gpt-full", &long)).await;
            match reply.status {
                200 => answered.push(reply.trace_id()),
                _ => break reply.expect(503),
            }
            assert!(answered.len() < ROWS_MAX, "a tenth of 1 MiB is enough for everything");
        };
        assert_eq!(refused.json()["error"]["code"], "traces_full");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(provider.seen("gpt-full").len(), answered.len(), "a refused request was forwarded");
        assert!(answered.len() > 20, "bodies are dropped first: {}", answered.len());
        let spared = other.client.post("/v1/chat/completions", &chat("gpt-spared", "hi")).await.expect(200);

        drop(frozen);
        assert_each_has_one_row(&bulkhead, &answered).await;
        bulkhead.trace_of("other", &spared.trace_id()).await;
        let bodies = bulkhead.trace(&answered[0]).await["bodies"].clone();
        assert!(bodies["request"].as_str().is_some_and(|body| body.contains("word")), "{bodies}");
        assert!(bulkhead.trace(&answered[answered.len() - 1]).await["bodies"].is_null());
        eventually("there is room again", || async {
            let reply = bulkhead.client().post("/v1/chat/completions", &chat("gpt-room", "hi")).await;
            (reply.status == 200).then_some(())
        })
        .await;
    });
}

#[test]
fn a_full_share_drops_and_counts_where_the_policy_does_not_refuse() {
    run(async {
        let quota = [("BULKHEAD_SPOOL_QUOTA_BYTES", "1048576"), ("BULKHEAD_SPOOL_TENANT_PERCENT", "5")];
        let (_provider, bulkhead) = start("{}", &quota).await;
        let frozen = Frozen::of(&bulkhead);
        let mut asked = 0;
        while metric(&bulkhead, "bulkhead_traces_dropped_total{reason=\"spool_full\"}").await < 3.0 {
            bulkhead.client().post("/v1/chat/completions", &chat("gpt-dropped", "hi")).await.expect(200);
            asked += 1;
            assert!(asked < ROWS_MAX, "nothing is ever dropped");
        }
        drop(frozen);
        let dropped = metric(&bulkhead, "bulkhead_traces_dropped_total{reason=\"spool_full\"}").await;
        let kept = asked - 3;
        let rows = bulkhead.traces_for("gpt-dropped", kept).await;
        assert_eq!((rows.len(), dropped), (kept, 3.0));
    });
}

#[test]
fn two_processes_never_share_a_spool() {
    run(async {
        let (_provider, bulkhead) = start("{}", &[]).await;
        let spool = bulkhead.data_dir().join("spool");
        let config = bulkhead.folder().join("second.toml");
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n\
             [database]\nurl = {:?}\n[spool]\nfolder = {spool:?}\n",
            bulkhead.ready.database_url
        );
        std::fs::write(&config, text).expect("write the configuration");
        let second = std::process::Command::new(bulkhead_tests::process::binary())
            .args(["proxy", "--config"])
            .arg(&config)
            .env("BULKHEAD_MASTER_KEY", "5a".repeat(32))
            .output()
            .expect("run the binary");
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains(&spool.display().to_string()) && said.contains("another process"), "{said}");
    });
}

/// Has `count` requests answered whose traces no database takes, and kills the proxy; returns their ids.
async fn leave_behind(bulkhead: &mut Bulkhead, count: usize) -> Vec<String> {
    let frozen = Frozen::of(bulkhead);
    let mut answered = Vec::new();
    for _ in 0..count {
        let reply = bulkhead.client().post("/v1/chat/completions", &chat("gpt-left", "hi")).await.expect(200);
        answered.push(reply.trace_id());
    }
    bulkhead.kill_9();
    drop(frozen);
    answered
}

fn segments(bulkhead: &Bulkhead) -> Vec<(PathBuf, Vec<u8>)> {
    files(bulkhead, |path| path.extension().is_some_and(|kind| kind == "segment"))
}

/// Files of the spool with what is in them, sorted.
fn files(bulkhead: &Bulkhead, is_wanted: impl Fn(&Path) -> bool) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = std::fs::read_dir(bulkhead.data_dir().join("spool")).expect("the spool's folder");
    let paths = folder.flatten().map(|entry| entry.path()).filter(|path| is_wanted(path));
    let mut files: Vec<_> =
        paths.map(|path| (path.clone(), std::fs::read(&path).expect("read a file"))).collect();
    files.sort();
    files
}
