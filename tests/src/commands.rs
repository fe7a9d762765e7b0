//! The management commands, as an operator types them.
//!
//! The one place of the tests that knows how they are spelled.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::client::Client;
use crate::process::{Bulkhead, binary};

/// What a command has printed.
#[derive(Debug)]
pub struct Printed {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Printed {
    /// Fails the test unless the command succeeded; returns its standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("not JSON ({error}): {out}"))
    }
}

/// A tenant that one test has made for itself.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// A client with its first key.
    pub client: Client,
    /// That key.
    pub key: String,
}

impl Bulkhead {
    /// Runs `bulkhead ARGUMENTS` against this instance's database.
    pub async fn cli(&self, arguments: &[&str]) -> Printed {
        self.cli_with_input(arguments, "").await
    }

    /// `bulkhead ARGUMENTS` against this instance's database. It knows the databases that this instance knows by name; of
    /// anything else, keys above all, a test says what a command knows.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        let databases = self.environment().filter(|(name, _)| name.starts_with("BULKHEAD_DATABASES_"));
        command.args(arguments).arg("--data-dir").arg(self.data_dir()).envs(databases);
        command
    }

    /// The same with something on standard input.
    pub async fn cli_with_input(&self, arguments: &[&str], input: &str) -> Printed {
        let command = self.command(arguments);
        let input = input.to_owned();
        let output = spawn_blocking(move || run(command, &input)).await.expect("run the command");
        Printed {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Makes a tenant with an agent, a key, a credential called `provider` and a policy.
    ///
    /// The policy is live when this returns. `secret` is what its provider must see as the credential.
    pub async fn tenant(&self, name: &str, secret: &str, policy: &str) -> Tenant {
        self.cli(&["tenant", "create", name]).await.ok();
        self.cli(&["agent", "create", "worker", "--tenant", name]).await.ok();
        self.cli_with_input(&["credential", "set", "provider", "--tenant", name], secret).await.ok();
        let key = self.new_key(name, "worker", &[]).await;
        self.apply(name, policy).await.ok();
        Tenant { name: name.to_owned(), client: self.client().with_key(&key), key }
    }

    /// Makes a key and returns it.
    pub async fn new_key(&self, tenant: &str, agent: &str, more: &[&str]) -> String {
        let mut arguments = vec!["key", "issue", agent, "--tenant", tenant, "--json"];
        arguments.extend_from_slice(more);
        let made = self.cli(&arguments).await.json();
        made["api_key"].as_str().unwrap_or_else(|| panic!("no key in {made}")).to_owned()
    }

    /// Revokes a key; live a moment later.
    pub async fn revoke(&self, tenant: &str, key: &str) {
        let id = key.rsplit('_').next().and_then(|rest| rest.get(..16)).expect("a key id");
        self.cli(&["key", "revoke", id, "--tenant", tenant]).await.ok();
    }

    /// Applies a policy and waits until every node enforces it, or says why it does not.
    pub async fn apply(&self, tenant: &str, policy: &str) -> Printed {
        let file = self.write("applied", policy);
        self.cli(&["policy", "apply", file.to_str().expect("UTF-8"), "--tenant", tenant, "--wait"]).await
    }

    /// What every node says about a tenant's policy.
    pub async fn policy_status(&self, tenant: &str) -> Value {
        self.cli(&["policy", "status", "--tenant", tenant, "--json"]).await.json()
    }

    /// The tenant's newest traces, at most `count`.
    pub async fn trace_list(&self, tenant: &str, count: usize) -> Vec<Value> {
        let count = count.to_string();
        let printed = self.cli(&["trace", "list", "--tenant", tenant, "--limit", &count, "--json"]).await;
        // While the database is away there is nothing to see; callers wait.
        if printed.code != Some(0) {
            return Vec::new();
        }
        let list = printed.json();
        list.as_array().unwrap_or_else(|| panic!("not a list: {list}")).clone()
    }

    /// One trace of a tenant.
    pub async fn trace_show(&self, tenant: &str, id: &str) -> Printed {
        self.cli(&["trace", "show", id, "--tenant", tenant, "--json"]).await
    }

    /// Reveals the original bodies of one trace of a tenant.
    pub async fn reveal(&self, tenant: &str, id: &str, reason: &str) -> Printed {
        self.cli(&["trace", "reveal", id, "--tenant", tenant, "--reason", reason, "--json"]).await
    }

    /// Lists an audit trail; `trail` says whose, and which entries.
    pub async fn audit_list(&self, trail: &[&str]) -> Value {
        self.cli(&[&["audit", "list", "--json"], trail].concat()).await.json()
    }

    /// Checks an audit trail; `trail` says whose, and against which signed head.
    pub async fn audit_verify(&self, trail: &[&str]) -> Printed {
        self.cli(&[&["audit", "verify", "--json"], trail].concat()).await
    }

    /// Signs the newest entry of a tenant's audit trail into a file.
    pub async fn audit_head(&self, tenant: &str, file: &str) -> Printed {
        self.cli(&["audit", "head", "--tenant", tenant, "--out", file]).await
    }

    /// The key that signed heads are checked with.
    pub async fn audit_public_key(&self) -> String {
        self.cli(&["audit", "public-key"]).await.ok().trim().to_owned()
    }

    /// Writes a file of the test's own.
    pub fn write(&self, stem: &str, text: &str) -> std::path::PathBuf {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let file =
            Path::new(self.folder()).join(format!("{stem}-{}.yaml", NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::write(&file, text).expect("write a file");
        file
    }
}

fn run(mut command: Command, input: &str) -> Output {
    use std::io::Write;
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("start the command");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A command that reads nothing may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("wait for the command")
}
