//! Several nodes on one database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bulkhead_tests::postgres::Frozen;
use bulkhead_tests::shapes::chat;
use bulkhead_tests::{Bulkhead, FakeProvider, Options, eventually, run, runtime};
use serde_json::Value;

/// A node and two beside it.
async fn three(provider: &FakeProvider, policy: &str) -> [Bulkhead; 3] {
    let first = Bulkhead::start(Options {
        upstream: Some(provider.url()),
        policy: Some(policy.to_owned()),
        ..Options::default()
    })
    .await;
    let folder = first.data_dir().display().to_string();
    let beside = || {
        let arguments = vec!["--beside".to_owned(), folder.clone()];
        Bulkhead::start(Options { arguments, ..Options::default() })
    };
    let (second, third) = (beside().await, beside().await);
    [first, second, third]
}

/// Blocks one of the words `odd` and `even`.
fn policy(blocked: &str) -> String {
    format!(
        "dlp: {{ detectors: [{{ id: ODD, terms: [odd] }}, {{ id: EVEN, terms: [even] }}], \
         rules: [{{ detect: [{blocked}], on: request, action: block }}] }}"
    )
}

#[test]
fn every_request_is_judged_by_one_revision_on_every_node() {
    run(async {
        let provider = FakeProvider::start().await;
        let nodes = three(&provider, &policy("ODD")).await;
        let stop = Arc::new(AtomicBool::new(false));
        let callers = nodes.each_ref().map(|node| {
            let (client, stop) = (node.client(), Arc::clone(&stop));
            runtime().spawn(async move {
                let mut judged = Vec::new();
                while !stop.load(Ordering::Acquire) {
                    let reply = client.post("/v1/chat/completions", &chat("gpt-both", "odd and even")).await;
                    let reply = reply.expect(400);
                    let revision: u64 = reply.header("x-bulkhead-policy-revision").unwrap().parse().unwrap();
                    let says = reply.text();
                    judged.push((revision, says.contains("ODD"), says.contains("EVEN")));
                }
                judged
            })
        });
        let tenant = nodes[0].ready.tenant.clone();
        // Which word a revision blocks. The first one is whatever `dev` published.
        let mut blocks_odd = std::collections::BTreeMap::new();
        for change in 0..12 {
            let is_odd = change % 2 == 1;
            let printed = nodes[0].apply(&tenant, &policy(if is_odd { "ODD" } else { "EVEN" })).await.ok();
            let revision = printed.split("revision ").nth(1).and_then(|rest| rest.split(' ').next());
            let revision = revision.and_then(|number| number.parse::<u64>().ok());
            blocks_odd.insert(revision.unwrap_or_else(|| panic!("no revision in {printed}")), is_odd);
        }
        stop.store(true, Ordering::Release);
        let last = *blocks_odd.keys().last().unwrap();
        for caller in callers {
            let judged = caller.await.expect("a caller");
            assert!(judged.is_sorted_by_key(|(revision, _, _)| *revision), "a node went back");
            for (revision, odd, even) in &judged {
                assert_ne!(odd, even, "revision {revision} blocks one of the two");
                if let Some(blocks_odd) = blocks_odd.get(revision) {
                    assert_eq!(odd, blocks_odd, "revision {revision}");
                }
            }
        }
        for node in &nodes {
            let reply = node.client().post("/v1/chat/completions", &chat("gpt-both", "odd and even")).await;
            let revision: u64 = reply.header("x-bulkhead-policy-revision").unwrap().parse().unwrap();
            assert!(revision >= last, "`apply --wait` returned before all nodes enforced {last}: {revision}");
        }
    });
}

#[test]
fn a_revoked_key_is_refused_by_every_node() {
    run(async {
        let provider = FakeProvider::start().await;
        let nodes = three(&provider, "{}").await;
        let tenant = nodes[0].ready.tenant.clone();
        let key = nodes[0].new_key(&tenant, &nodes[0].ready.agent, &[]).await;
        let clients = nodes.each_ref().map(|node| node.client().with_key(&key));
        for client in &clients {
            eventually("the key works", || async {
                let reply = client.post("/v1/chat/completions", &chat("gpt-revoked", "hi")).await;
                (reply.status == 200).then_some(())
            })
            .await;
        }
        nodes[0].revoke(&tenant, &key).await;
        for client in &clients {
            eventually("the key is refused", || async {
                let reply = client.post("/v1/chat/completions", &chat("gpt-revoked", "hi")).await;
                (reply.status == 401).then_some(())
            })
            .await;
        }
    });
}

#[test]
fn what_the_database_tells_nobody_every_node_finds() {
    run(async {
        let provider = FakeProvider::start().await;
        let nodes = three(&provider, &policy("ODD")).await;
        let tenant = nodes[0].ready.tenant.clone();
        let key = nodes[0].new_key(&tenant, &nodes[0].ready.agent, &[]).await;
        nodes[0].sql("alter table tenants disable trigger announce");
        nodes[0].apply(&tenant, &policy("EVEN")).await.ok();
        let clients = nodes.each_ref().map(|node| node.client().with_key(&key));
        for client in &clients {
            let says =
                client.post("/v1/chat/completions", &chat("gpt-untold", "odd and even")).await.expect(400);
            assert!(says.text().contains("EVEN"), "{}", says.text());
        }
        nodes[0].revoke(&tenant, &key).await;
        for client in &clients {
            eventually("the key is refused", || async {
                let reply = client.post("/v1/chat/completions", &chat("gpt-untold", "hi")).await;
                (reply.status == 401).then_some(())
            })
            .await;
        }
    });
}

#[test]
fn a_caller_that_comes_to_one_node_gets_the_whole_rate_and_all_nodes_together_no_more() {
    run(async {
        let provider = FakeProvider::start().await;
        let nodes = three(&provider, "limits: { requests_per_minute: 600 }").await;
        let served = async |node: &Bulkhead, seconds: u64| {
            let (client, until) = (node.client(), Instant::now() + Duration::from_secs(seconds));
            let mut served = 0;
            while Instant::now() < until {
                let reply = client.post("/v1/chat/completions", &chat("gpt-rate", "hi")).await;
                served += u32::from(reply.status == 200);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            served
        };
        eventually("nodes know that they are three and share the rate", || async {
            served(&nodes[0], 1).await;
            (nodes[0].sql("select count(*) from rate_shares, jsonb_object_keys(nodes)").trim() == "1")
                .then_some(())
        })
        .await;
        // Its burst is used up; an equal part would be 20 in these six seconds.
        served(&nodes[0], 5).await;
        let alone = served(&nodes[0], 6).await;
        assert!((45..=70).contains(&alone), "{alone} of 60");
        let [first, second, third] = &nodes;
        let all = async |seconds| {
            let (first, second, third) =
                tokio::join!(served(first, seconds), served(second, seconds), served(third, seconds));
            first + second + third
        };
        // The others have their bursts once.
        all(6).await;
        let together = all(8).await;
        assert!((60..=95).contains(&together), "{together} of 80");
    });
}

/// The only node of the tenant in this state, as `policy status` shows it.
async fn only_node(bulkhead: &Bulkhead, state: &str) -> Value {
    let status = bulkhead.policy_status(&bulkhead.ready.tenant).await;
    let nodes: Vec<&Value> =
        status.as_array().expect("a list").iter().filter(|node| node["state"] == state).collect();
    assert_eq!(nodes.len(), 1, "{status}");
    nodes[0].clone()
}

#[test]
fn apply_that_waits_names_the_node_that_refuses_and_why() {
    run(async {
        let provider = FakeProvider::start().await;
        let upstream = Some(provider.url());
        let first = Bulkhead::start(Options { upstream, ..Options::default() }).await;
        let (tenant, folder) = (first.ready.tenant.clone(), first.data_dir().display().to_string());
        let new = first.write("new.key", &"9c".repeat(32));
        let new = new.to_str().expect("UTF-8").to_owned();
        let old = first.find("master.key").expect("a master key").display().to_string();
        let environment = vec![
            ("BULKHEAD_MASTER_KEY_SEALING_FILE".to_owned(), new.clone()),
            ("BULKHEAD_MASTER_KEY_PREVIOUS_SEALING_FILE".to_owned(), old),
        ];
        let arguments = vec!["--beside".to_owned(), folder];
        let _second = Bulkhead::start(Options { arguments, environment, ..Options::default() }).await;
        // The second node knows the key that seals from now on, the first does not.
        first.cli(&["master-key", "rotate", "--new-key-file", &new]).await.ok();
        let printed = first.apply(&tenant, &policy("ODD")).await;
        assert_eq!(printed.code, Some(1), "{}{}", printed.out, printed.err);
        let refusing = only_node(&first, "refused").await;
        let name = refusing["node"].as_str().expect("a name");
        let reason = refusing["refused"]["reason"].as_str().expect("a reason");
        assert!(printed.err.contains(name) && printed.err.contains(reason), "{refusing}: {}", printed.err);
        assert!(reason.contains("cannot be opened"), "{reason}");
    });
}

#[test]
fn apply_that_waits_names_the_node_that_says_nothing() {
    run(async {
        let provider = FakeProvider::start().await;
        let [first, second, _third] = three(&provider, "{}").await;
        let tenant = first.ready.tenant.clone();
        let file = first.write("policy", &policy("ODD"));
        let _stopped = Frozen::process(second.pid().try_into().expect("a process id"));
        let apply = ["policy", "apply", file.to_str().expect("UTF-8"), "--tenant", &tenant, "--wait"];
        let printed = first.cli(&[&apply[..], &["--timeout", "2s"]].concat()).await;
        assert_eq!(printed.code, Some(1), "{}{}", printed.out, printed.err);
        let behind = only_node(&first, "behind").await;
        let name = behind["node"].as_str().expect("a name");
        let enforced = format!("node {name} enforces revision {}", behind["live_revision"]);
        assert!(printed.err.contains(&enforced), "{enforced}: {}", printed.err);
    });
}
