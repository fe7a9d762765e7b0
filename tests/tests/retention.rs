//! What nodes remove by themselves: one tenant's after its policy's days, everybody's after the configuration's.

use std::process::{Child, Command, Stdio};

use bulkhead_tests::process::binary;
use bulkhead_tests::shapes::chat;
use bulkhead_tests::{Fixture, eventually, run};
use serde_json::Value;

const DATABASE: &str = "apart";
const VARIABLE: &str = "BULKHEAD_DATABASES_APART_URL";

/// A node of its own; killed when dropped.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tenant with a trace of now and one of each of these days ago, each with a body; its id.
async fn tenant(fixture: &Fixture, name: &str, policy: &str, is_placed: bool) -> String {
    let bulkhead = &fixture.bulkhead;
    let policy = format!("{}capture: masked\n{policy}\n", fixture.upstreams());
    let tenant = bulkhead.tenant(name, &format!("sk-{name}"), &policy).await;
    if is_placed {
        bulkhead.cli(&["tenant", "place", name, "--database", DATABASE]).await.ok();
    }
    tenant.client.post("/v1/chat/completions", &chat("gpt-old", "hi")).await.expect(200);
    let id = bulkhead.sql(&format!("select id from tenants where name = '{name}'")).trim().to_owned();
    eventually("the trace", || async { (ages(fixture, &id, is_placed)[0].len() == 1).then_some(()) }).await;
    bulkhead.age_traces(is_placed.then_some(DATABASE), &id, "10 days", 4);
    id
}

/// How many days old a tenant's traces and bodies are.
fn ages(fixture: &Fixture, tenant: &str, is_placed: bool) -> [Vec<u32>; 2] {
    ["traces", "trace_bodies"].map(|table| {
        let statement = format!(
            "select extract(day from now() - at) from {table} where tenant_id = '{tenant}' order by at desc"
        );
        let bulkhead = &fixture.bulkhead;
        let days = if is_placed { bulkhead.sql_in(DATABASE, &statement) } else { bulkhead.sql(&statement) };
        days.lines().map(|days| days.parse().expect("a number")).collect()
    })
}

/// How many traces a node has removed.
fn expired(metrics: &str) -> u32 {
    let name = "bulkhead_expired_rows_total{kind=\"traces\"} ";
    let counted = metrics.lines().find_map(|line| line.strip_prefix(name));
    counted.map_or(0, |count| count.parse().expect("a count"))
}

async fn assert_left(fixture: &Fixture, tenant: &str, is_placed: bool, traces: &[u32], bodies: &[u32]) {
    eventually(&format!("{traces:?} and {bodies:?} are left"), || async {
        (ages(fixture, tenant, is_placed) == [traces.to_vec(), bodies.to_vec()]).then_some(())
    })
    .await;
}

#[test]
fn nodes_remove_what_is_too_old_where_its_tenant_is_placed() {
    run(async {
        let mut fixture = Fixture::start("{}").await;
        fixture.bulkhead.sql(&format!("create database {DATABASE}"));
        let url = fixture.bulkhead.url_of(DATABASE);
        fixture.bulkhead.options_mut().environment.push((VARIABLE.to_owned(), url.clone()));
        fixture.bulkhead.kill_9();
        fixture.bulkhead.restart().await;
        const BRIEF: &str = "traces: { keep_days: 25, keep_body_days: 5 }";
        let shared = tenant(&fixture, "shared", BRIEF, false).await;
        let placed = tenant(&fixture, "placed", BRIEF, true).await;
        let keepers =
            [tenant(&fixture, "keeper", "", false).await, tenant(&fixture, "archive", "", true).await];

        // A node looks when it starts.
        let before = expired(&fixture.bulkhead.metrics().await);
        fixture.bulkhead.kill_9();
        fixture.bulkhead.restart().await;
        assert_left(&fixture, &shared, false, &[0, 10, 20], &[0]).await;
        assert_left(&fixture, &placed, true, &[0, 10, 20], &[0]).await;
        let all = [0, 10, 20, 30, 40];
        for (keeper, is_placed) in keepers.iter().zip([false, true]) {
            assert_eq!(ages(&fixture, keeper, is_placed), [all.to_vec(), all.to_vec()]);
        }
        // Counted after they are gone, by the node before the last start too if its first look came late.
        eventually("the removed rows are counted", || async {
            let metrics = fixture.bulkhead.metrics().await;
            assert!(metrics.contains("bulkhead_retention_failures_total 0"), "{metrics}");
            (before + expired(&metrics) == 4).then_some(())
        })
        .await;

        let folder = fixture.bulkhead.folder();
        let master_key = fixture.bulkhead.find("master.key").expect("a master key");
        let config = folder.join("days.toml");
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n[database]\nurl = {:?}\n\
             [databases.{DATABASE}]\nurl = {url:?}\n[master_key]\nfile = {master_key:?}\n\
             [spool]\nfolder = \"days-spool\"\n[retention]\nkeep_days = 35\nkeep_body_days = 15\n",
            fixture.bulkhead.ready.database_url
        );
        std::fs::write(&config, text).expect("write the configuration");
        // Commands find the databases in the same file.
        let mut list = Command::new(binary());
        list.args(["trace", "list", "--tenant", "archive", "--json", "--config"]).arg(&config);
        let listed = list.output().expect("run the command");
        let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        assert_eq!(listed.as_array().map(Vec::len), Some(5), "{listed}");
        let mut node = Command::new(binary());
        node.args(["proxy", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _node = Node(node.spawn().expect("start the binary"));
        for (keeper, is_placed) in keepers.iter().zip([false, true]) {
            assert_left(&fixture, keeper, is_placed, &[0, 10, 20, 30], &[0, 10]).await;
        }
        assert_left(&fixture, &shared, false, &[0, 10, 20], &[0]).await;
    });
}
