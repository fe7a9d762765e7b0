//! `bulkhead proxy` started while its database is away, with and without a snapshot on disk.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bulkhead_tests::process::binary;
use bulkhead_tests::samples::github_token;
use bulkhead_tests::shapes::chat;
use bulkhead_tests::{Bulkhead, Client, Options, eventually, run};
use serde_json::Value;

const POLICY: &str = r#"
upstreams: { openai: { base_url: "https://api.example.com", dialect: openai } }
max_staleness_seconds: 15
dlp: { rules: [{ detect: ["secret.*"], on: both, action: block }] }
"#;

/// A node of its own; killed when dropped.
struct Node {
    child: Child,
    proxy: String,
    metrics: String,
}

impl Node {
    /// Starts a node whose database does not exist.
    fn start(folder: &Path, master_key: &Path, snapshot: &Path) -> Self {
        let config = folder.join("bulkhead.toml");
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n\
             [database]\nurl = \"postgres:///bulkhead?host={}&user=nobody\"\n\
             [master_key]\nfile = {master_key:?}\n[snapshot]\nfile = {snapshot:?}\n",
            folder.join("no-such-socket").display()
        );
        std::fs::write(&config, text).expect("write the configuration");
        let mut child = Command::new(binary())
            .args(["proxy", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the binary");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let listening = lines.by_ref().map_while(Result::ok).find(|line| line.contains("listening"));
        let line: Value =
            serde_json::from_str(&listening.expect("it says where it listens")).expect("a JSON log line");
        let address = |name: &str| {
            let found = [&line[name], &line["fields"][name]].into_iter().find_map(|value| value.as_str());
            format!("http://{}", found.unwrap_or_else(|| panic!("no {name} in {line}")))
        };
        let (proxy, metrics) = (address("proxy"), address("metrics"));
        // Keeps reading: a full pipe would stop the node.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, proxy, metrics }
    }

    async fn readiness(&self) -> u16 {
        Client::new(&self.metrics, None).get("/readyz").await.status
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `bulkhead dev` that has stopped and left its snapshot.
struct Stopped {
    bulkhead: Bulkhead,
    master_key: PathBuf,
    snapshot: PathBuf,
}

impl Stopped {
    /// Stops one that has blocked a request.
    async fn after(request: &Value, policy: String) -> Self {
        let mut bulkhead = Bulkhead::start(Options { policy: Some(policy), ..Options::default() }).await;
        bulkhead.client().post("/v1/chat/completions", request).await.expect(400);
        let snapshot = eventually("a snapshot on disk", || async { bulkhead.find("snapshot") }).await;
        let master_key = bulkhead.find("master.key").expect("a master key");
        bulkhead.sigterm();
        assert_eq!(bulkhead.exited().await, Some(0));
        Self { bulkhead, master_key, snapshot }
    }

    /// A node that serves from the snapshot.
    async fn node(&self) -> Node {
        let node = Node::start(self.bulkhead.folder(), &self.master_key, &self.snapshot);
        eventually("ready from disk", || async { (node.readiness().await == 200).then_some(()) }).await;
        node
    }

    fn client(&self, node: &Node) -> Client {
        Client::new(&node.proxy, Some(&self.bulkhead.ready.api_key))
    }
}

#[test]
fn with_a_snapshot_on_disk_it_judges_as_before_for_a_while_and_without_one_it_refuses() {
    run(async {
        let request = chat("gpt-away", &github_token(91));
        let stopped = Stopped::after(&request, POLICY.to_owned()).await;
        let Stopped { bulkhead, master_key, snapshot } = &stopped;
        let node = stopped.node().await;
        let client = stopped.client(&node);
        let reply = client.post("/v1/chat/completions", &request).await.expect(400);
        assert_eq!(reply.json()["error"]["code"], "dlp_blocked");
        client.with_key("bh_dev_unknown").post("/v1/chat/completions", &request).await.expect(401);
        let reply = eventually("what it knows is too old for the policy", || async {
            let reply = client.post("/v1/chat/completions", &request).await;
            (reply.status != 400).then_some(reply)
        })
        .await
        .expect(503);
        assert_eq!(reply.json()["error"]["code"], "policy_stale");
        assert_eq!(reply.header("retry-after"), Some("5"));
        drop(node);

        let nothing = bulkhead.folder().join("no-snapshot");
        let node = Node::start(bulkhead.folder(), master_key, &nothing);
        assert_eq!(node.readiness().await, 503);
        let client = stopped.client(&node);
        let reply = client.post("/v1/chat/completions", &request).await.expect(503);
        assert_eq!(reply.json()["error"]["code"], "not_ready");
        assert_eq!(reply.header("retry-after"), Some("1"));
        drop(node);

        // One flipped bit: the file is refused, not half believed.
        let mut bytes = std::fs::read(snapshot).expect("read the snapshot");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&nothing, bytes).expect("write the damaged snapshot");
        let node = Node::start(bulkhead.folder(), master_key, &nothing);
        assert_eq!(node.readiness().await, 503);
    });
}

#[test]
fn while_nobody_can_be_asked_for_more_a_budget_says_what_happens() {
    run(async {
        for (stated, status, code) in
            [("", 503, "budget_unknown"), (", when_unreachable: allow", 502, "upstream_unreachable")]
        {
            let budget = format!(
                "budgets: [{{ id: day, scope: tenant, unit: requests, limit: 9, window: day, at_limit: refuse{stated} }}]"
            );
            let request = chat("gpt-away", &github_token(92));
            let stopped = Stopped::after(&request, format!("{POLICY}{budget}\n")).await;
            let node = stopped.node().await;
            let client = stopped.client(&node);
            let request = chat("gpt-away", "hi");
            let reply = client.post("/v1/chat/completions", &request).await.expect(status);
            assert_eq!(reply.json()["error"]["code"], code);
        }
    });
}
