//! Several nodes on one database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bulkhead_tests::shapes::chat;
use bulkhead_tests::{Bulkhead, FakeProvider, Options, eventually, run, runtime};

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
