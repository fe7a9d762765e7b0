//! Nodes that draw on one budget: together they never spend more than its limit, and what they spent is what was billed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bulkhead_tests::client::Ended;
use bulkhead_tests::provider::Seen;
use bulkhead_tests::shapes::{chat, chat_answer, openai_stream, streamed};
use bulkhead_tests::{Answer, Bulkhead, Client, FakeProvider, Options, eventually, run};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Nano-dollars per token of the model, and how many tokens the provider counts in each request.
const INPUT_NANO: u64 = 150;
const OUTPUT_NANO: u64 = 600;
const INPUT_TOKENS: u64 = 11;
const OUTPUT_TOKENS_MAX: u64 = 100;
/// Room for fifty requests at their worst.
const LIMIT_NANO: u64 = 50 * (40 * INPUT_NANO + OUTPUT_TOKENS_MAX * OUTPUT_NANO);

/// One model under three names, by what the provider does.
const ANSWERS: &str = "gpt-4o-mini";
const FAILS: &str = "gpt-4o-mini-2024-07-18";
const IS_LEFT: &str = "gpt-4o-mini-2030-01-01";

/// A provider that keeps account of what it bills.
async fn provider() -> (FakeProvider, Arc<AtomicU64>) {
    let provider = FakeProvider::start().await;
    let (billed, calls) = (Arc::new(AtomicU64::new(0)), AtomicUsize::new(0));
    let bill = {
        let billed = Arc::clone(&billed);
        move |output: u64| {
            billed.fetch_add(INPUT_TOKENS * INPUT_NANO + output * OUTPUT_NANO, Ordering::SeqCst)
        }
    };
    provider.on_call(ANSWERS, move |seen: &Seen| {
        // As much as was allowed, or less.
        let allowed = seen.json()["max_tokens"].as_u64().expect("a ceiling").min(OUTPUT_TOKENS_MAX);
        let output = allowed - calls.fetch_add(1, Ordering::SeqCst) as u64 % 40 % allowed;
        bill(output);
        if seen.json()["stream"] == true {
            let words = vec!["a "; usize::try_from(output).expect("few")];
            return Answer::events(openai_stream(&words));
        }
        let mut answer = chat_answer("many words");
        answer["usage"] = json!({
            "prompt_tokens": INPUT_TOKENS, "completion_tokens": output, "total_tokens": INPUT_TOKENS + output
        });
        Answer::json(200, &answer)
    });
    let busy = json!({"error": {"message": "busy", "type": "server_error", "param": null, "code": null}});
    provider.on(FAILS, Answer::json(500, &busy));
    provider.on(IS_LEFT, Answer::never());
    (provider, billed)
}

async fn nodes(provider: &FakeProvider, count: usize) -> Vec<Bulkhead> {
    let limit = format!("0.{LIMIT_NANO:09}");
    let policy = format!(
        "budgets: [{{ id: wall, scope: tenant, unit: usd, limit: \"{limit}\", window: total, at_limit: refuse }}]"
    );
    nodes_with(provider, &policy, count).await
}

async fn nodes_with(provider: &FakeProvider, policy: &str, count: usize) -> Vec<Bulkhead> {
    let policy = Some(policy.to_owned());
    let first = Options { upstream: Some(provider.url()), policy, ..Options::default() };
    let mut nodes = vec![Bulkhead::start(first).await];
    for _ in 1..count {
        let arguments = vec!["--beside".to_owned(), nodes[0].data_dir().display().to_string()];
        nodes.push(Bulkhead::start(Options { arguments, ..Options::default() }).await);
    }
    nodes
}

fn request(model: &str) -> Value {
    let mut request = chat(model, "hi");
    request["max_tokens"] = json!(OUTPUT_TOKENS_MAX);
    request
}

/// Makes a request of one of five kinds; true if it was answered whole.
async fn call(client: Client, kind: usize) -> bool {
    const PATH: &str = "/v1/chat/completions";
    match kind % 5 {
        0 | 1 => client.post(PATH, &request(ANSWERS)).await.status == 200,
        2 | 3 => client.post(PATH, &streamed(request(ANSWERS))).await.status == 200,
        _ if kind.is_multiple_of(2) => {
            let reply = client.post(PATH, &request(FAILS)).await;
            assert!(matches!(reply.status, 500 | 429), "{}: {}", reply.status, reply.text());
            false
        }
        _ => {
            let (head, body) = client.call("POST", PATH).json(&request(IS_LEFT)).wire();
            let mut live = client.connect().await;
            live.write(&head).await;
            live.write(&body).await;
            // Long enough to be refused, or to have reached the provider.
            let _refused_or_left = tokio::time::timeout(Duration::from_secs(3), live.read_head("POST")).await;
            false
        }
    }
}

fn number(bulkhead: &Bulkhead, query: &str) -> u64 {
    let text = bulkhead.sql(&format!("select coalesce(({query}), 0)::bigint"));
    text.trim().parse().unwrap_or_else(|_| panic!("{text}"))
}

const USED: &str = "select sum(amount) from budget_usage";
const HELD: &str = "select sum(greatest(granted - reported, 0)) from budget_leases";

fn five_hundred_against_room_for_fifty(count: usize, least_served: usize) {
    run(async {
        let (provider, billed) = provider().await;
        let nodes = nodes(&provider, count).await;
        let mut crowd = JoinSet::new();
        for kind in 0..500 {
            crowd.spawn(call(nodes[kind % count].client(), kind));
        }
        let served = crowd.join_all().await.into_iter().filter(|is_served| *is_served).count();
        assert!(served >= least_served, "{served} of the fifty that fit");
        let billed = billed.load(Ordering::SeqCst);
        assert!(billed <= LIMIT_NANO, "{billed} billed of {LIMIT_NANO}");

        let first = &nodes[0];
        eventually("every request has a trace", || async {
            (number(first, "select count(*) from traces") == 500).then_some(())
        })
        .await;
        let settled = "select sum(cost_nano_usd) from traces where not tokens_estimated";
        assert_eq!(number(first, settled), billed, "what the provider counted, to the nano-dollar");
        let used = number(first, USED);
        assert_eq!(used, number(first, "select sum(cost_nano_usd) from traces"));
        assert!(used <= LIMIT_NANO, "{used} used of {LIMIT_NANO}");
        eventually("nothing is held for nobody", || async { (number(first, HELD) == 0).then_some(()) }).await;
        assert_eq!(number(first, USED), used);
    });
}

#[test]
fn five_hundred_at_once_against_room_for_fifty_on_one_node() {
    five_hundred_against_room_for_fifty(1, 40);
}

#[test]
fn five_hundred_at_once_against_room_for_fifty_on_three_nodes() {
    five_hundred_against_room_for_fifty(3, 25);
}

#[test]
fn nodes_that_are_killed_overspend_nothing_and_forget_nothing() {
    run(async {
        let (provider, billed) = provider().await;
        let mut nodes = nodes(&provider, 3).await;
        let mut served = 0;
        for round in 0..10 {
            let mut crowd = JoinSet::new();
            for kind in 0..60 {
                crowd.spawn(attempt(nodes[kind % 3].client(), kind));
            }
            tokio::time::sleep(Duration::from_millis(20 * round)).await;
            // The first one is the database's as well.
            let victim = 1 + usize::try_from(round).expect("few") % 2;
            nodes[victim].kill_9();
            served += crowd.join_all().await.into_iter().filter(|is_served| *is_served).count();
            nodes[victim].restart().await;
        }
        assert!(served > 10, "{served}");
        let billed = billed.load(Ordering::SeqCst);
        assert!(billed <= LIMIT_NANO, "{billed} billed of {LIMIT_NANO}");
        let first = &nodes[0];
        let all_told = || number(first, USED) + number(first, HELD);
        assert!(all_told() <= LIMIT_NANO, "{} of {LIMIT_NANO}", all_told());
        eventually("every answer is charged", || async {
            let settled = "select count(*) from traces where status = 200 and not tokens_estimated";
            (number(first, settled) >= served as u64).then_some(())
        })
        .await;
        assert_eq!(number(first, USED), number(first, "select sum(cost_nano_usd) from traces"));
        let late =
            "select count(*) from budget_leases where expires_at > clock_timestamp() + interval '60 seconds'";
        assert_eq!(number(first, late), 0, "a lease ends a minute after its holder was last heard of");
        // What the killed were granted and did not report stays with them, and nobody else spends it.
        let dead = "select count(*) from budget_leases where granted > reported";
        eventually("the living have given back", || async {
            let held = number(first, dead);
            (held <= 10).then_some(())
        })
        .await;
        assert!(all_told() <= LIMIT_NANO, "{} of {LIMIT_NANO}", all_told());
    });
}

#[test]
fn an_alert_line_is_told_once_over_nodes_and_kills() {
    run(async {
        let (provider, _) = provider().await;
        let policy = "budgets: [{ id: wall, scope: tenant, unit: requests, limit: 1000, window: total, at_limit: refuse, \
                      alert_at: [0.01, 0.02] }]";
        let mut nodes = nodes_with(&provider, policy, 3).await;
        for round in 0..4 {
            let mut crowd = JoinSet::new();
            for kind in 0..6 {
                crowd.spawn(attempt(nodes[kind % 3].client(), kind));
            }
            let victim = 1 + round % 2;
            crowd.join_next().await;
            nodes[victim].kill_9();
            crowd.join_all().await;
            nodes[victim].restart().await;
        }
        let first = &nodes[0];
        eventually("enough is used", || async {
            attempt(first.client(), 0).await;
            (number(first, USED) > 20).then_some(())
        })
        .await;
        let entries = eventually("both lines are in the trail", || async {
            let entries = first.audit_list(&["--tenant", &first.ready.tenant]).await;
            let entries: Vec<_> =
                entries.as_array()?.iter().filter(|e| e["action"] == "budget.alert").cloned().collect();
            (!entries.is_empty()).then_some(entries)
        })
        .await;
        let mut lines: Vec<_> = entries.iter().map(|entry| entry["detail"]["line"].as_u64()).collect();
        lines.sort_unstable();
        assert_eq!(lines, [Some(10), Some(20)], "{entries:?}");
        for entry in &entries {
            let trace = entry["detail"]["trace"].as_str().expect("a request");
            let told = first.trace(trace).await["alerts"].clone();
            assert!(
                told.as_array().expect("alerts").iter().any(|alert| alert["line"] == entry["detail"]["line"])
            );
        }
    });
}

/// A request whose node may be killed meanwhile; true if it was answered whole.
async fn attempt(client: Client, kind: usize) -> bool {
    let request = if kind.is_multiple_of(2) { request(ANSWERS) } else { streamed(request(ANSWERS)) };
    let Some(mut live) = client.try_connect().await else { return false };
    if !live.try_send(&client.call("POST", "/v1/chat/completions").json(&request)).await {
        return false;
    }
    let reply = live.rest().await;
    reply.status == 200 && reply.ended == Ended::Complete
}
