//! Starting, stopping, and being killed, with and without a database.

use std::time::Duration;

use bulkhead_tests::shapes::{CHANNELS, chat};
use bulkhead_tests::{Answer, Bulkhead, FakeProvider, Gate, Options, eventually, run};

async fn start() -> (FakeProvider, Bulkhead) {
    let provider = FakeProvider::start().await;
    let options =
        Options { upstream: Some(provider.url()), policy: Some("{}".to_owned()), ..Options::default() };
    let bulkhead = Bulkhead::start(options).await;
    (provider, bulkhead)
}

#[test]
fn sigterm_lets_a_stream_finish_and_then_exits() {
    run(async {
        let (provider, mut bulkhead) = start().await;
        let channel = &CHANNELS[0];
        let gate = Gate::new();
        let events = channel.events(&["one ", "two ", "three "]);
        provider.on("gpt-drain", Answer::events(events).gate(2, &gate));
        let mut live = bulkhead.client().stream(channel.path, &channel.request("gpt-drain")).await;
        live.next_event().await.expect("the first event");
        gate.reached().await;
        let (id, tenant) = (live.trace_id(), bulkhead.ready.tenant.clone());

        bulkhead.sigterm();
        let metrics = bulkhead.metrics_client();
        eventually("readiness fails", || async {
            let mut connection = metrics.connect().await;
            let answered = connection.try_send(&metrics.call("GET", "/readyz")).await;
            (!answered || connection.status == 503).then_some(())
        })
        .await;
        gate.open();
        let reply = live.rest().await;
        assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
        assert_eq!(bulkhead.exited().await, Some(0), "{}", bulkhead.logs());

        bulkhead.restart().await;
        assert_eq!(bulkhead.trace_of(&tenant, &id).await["outcome"], "allowed", "shipped before the end");
    });
}

#[test]
fn an_idle_process_stops_at_once() {
    run(async {
        let (_provider, mut bulkhead) = start().await;
        // A kept-alive connection without a request must not hold the process.
        let _idle = bulkhead.client().connect().await;
        let asked = std::time::Instant::now();
        bulkhead.sigterm();
        assert_eq!(bulkhead.exited().await, Some(0), "{}", bulkhead.logs());
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        assert_eq!(bulkhead.postmaster(), None, "its PostgreSQL must stop with it");
    });
}

#[test]
fn after_a_kill_the_same_tenant_goes_on_with_its_traces() {
    run(async {
        let (_provider, mut bulkhead) = start().await;
        let before = bulkhead.ready.clone();
        for _ in 0..20 {
            bulkhead.client().post("/v1/chat/completions", &chat("gpt-kill", "hi")).await.expect(200);
        }
        // That what was not stored yet is not lost either, tests/spool.rs says.
        let stored = bulkhead.traces_for("gpt-kill", 20).await;
        bulkhead.kill_9();
        bulkhead.restart().await;
        assert_eq!(bulkhead.ready.tenant, before.tenant);
        assert_eq!(bulkhead.ready.api_key, before.api_key);
        bulkhead.client().post("/v1/chat/completions", &chat("gpt-kill", "hi")).await.expect(200);
        let traces = bulkhead.traces_for("gpt-kill", 21).await;
        assert_eq!(traces.len(), 21);
        for trace in &stored {
            assert_eq!(traces.iter().filter(|again| again["id"] == trace["id"]).count(), 1, "{trace}");
        }
    });
}

#[test]
fn requests_go_on_while_postgresql_is_dead() {
    run(async {
        let (provider, bulkhead) = start().await;
        bulkhead.client().post("/v1/chat/completions", &chat("gpt-before", "hi")).await.expect(200);
        bulkhead.kill_postgres().await;
        let mut ids = Vec::new();
        for _ in 0..20 {
            let reply =
                bulkhead.client().post("/v1/chat/completions", &chat("gpt-without", "hi")).await.expect(200);
            ids.push(reply.trace_id());
        }
        assert_eq!(provider.seen("gpt-without").len(), 20);
        // The database is started again; then every trace is there, once.
        let traces = bulkhead.traces_for("gpt-without", 20).await;
        for id in &ids {
            assert_eq!(traces.iter().filter(|trace| trace["id"] == id.as_str()).count(), 1, "trace {id}");
        }
    });
}

#[test]
fn everything_killed_at_once_comes_back() {
    run(async {
        let (_provider, mut bulkhead) = start().await;
        let reply = bulkhead.client().post("/v1/chat/completions", &chat("gpt-all", "hi")).await.expect(200);
        bulkhead.trace(&reply.trace_id()).await;
        bulkhead.kill_postgres().await;
        bulkhead.kill_9();
        bulkhead.restart().await;
        bulkhead.client().post("/v1/chat/completions", &chat("gpt-all", "hi")).await.expect(200);
        assert_eq!(bulkhead.trace(&reply.trace_id()).await["status"], 200);
    });
}

#[test]
fn two_processes_on_one_folder_are_refused() {
    run(async {
        let (_provider, bulkhead) = start().await;
        let folder = bulkhead.data_dir();
        let arguments = ["dev", "--json", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let printed = bulkhead.cli(&arguments).await;
        assert!(printed.code == Some(1) || printed.code == Some(2), "{printed:?}");
        assert!(!printed.err.trim().is_empty(), "no reason given");
        assert!(folder.is_dir());
        bulkhead.client().post("/v1/chat/completions", &chat("gpt-alone", "hi")).await.expect(200);
    });
}
