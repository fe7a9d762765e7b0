//! The real binary as a child process, with a folder and a PostgreSQL of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::client::Client;
use crate::eventually;

/// How long a start may take: the first one creates a PostgreSQL cluster.
const START: Duration = Duration::from_secs(120);

/// Ends what a test leaves behind, even where the test process is killed: its standard input is a
/// pipe whose other end only the test process holds.
const GUARD: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
[ -f "$1/pid" ] && kill -9 "$(cat "$1/pid")" 2>/dev/null
find "$1" -name postmaster.pid 2>/dev/null | while read -r file; do
  kill -QUIT "$(head -n 1 "$file")" 2>/dev/null
done
tries=0
while [ -n "$(find "$1" -name postmaster.pid 2>/dev/null)" ] && [ "$tries" -lt 50 ]; do
  tries=$((tries + 1)); sleep 0.1
done
rm -rf "$1"
"#;

/// How a Bulkhead is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The demo tenant's policy, as YAML.
    pub policy: Option<String>,
    /// The base URL of the provider.
    pub upstream: Option<String>,
    /// More arguments of `bulkhead dev`.
    pub arguments: Vec<String>,
    /// More environment variables.
    pub environment: Vec<(String, String)>,
}

/// What `bulkhead dev --json` prints when it is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Base URL of the proxy.
    pub proxy_url: String,
    /// Base URL of the metrics listener.
    pub metrics_url: String,
    /// The private cluster's administrator.
    pub database_url: String,
    /// The demo tenant.
    pub tenant: String,
    /// The demo agent.
    pub agent: String,
    /// The demo agent's key.
    pub api_key: String,
}

impl Ready {
    fn parse(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"));
        let field =
            |name: &str| value[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}")).to_owned();
        Self {
            proxy_url: field("proxy_url"),
            metrics_url: field("metrics_url"),
            database_url: field("database_url"),
            tenant: field("tenant"),
            agent: field("agent"),
            api_key: field("api_key"),
        }
    }
}

/// A running `bulkhead dev`.
#[derive(Debug)]
pub struct Bulkhead {
    /// The line it printed.
    pub ready: Ready,
    folder: PathBuf,
    options: Options,
    child: Child,
    guard: Child,
}

impl Bulkhead {
    /// Starts the binary and waits for its line.
    pub async fn start(options: Options) -> Self {
        let folder = new_folder();
        let guard = guard(&folder);
        let (child, ready) = spawn(&folder, &options).await;
        Self { ready, folder, options, child, guard }
    }

    /// A client of the proxy with the demo agent's key.
    pub fn client(&self) -> Client {
        Client::new(&self.ready.proxy_url, Some(&self.ready.api_key))
    }

    /// A client of the metrics listener.
    pub fn metrics_client(&self) -> Client {
        Client::new(&self.ready.metrics_url, None)
    }

    /// The metrics in the text format.
    pub async fn metrics(&self) -> String {
        self.metrics_client().get("/metrics").await.expect(200).text()
    }

    /// The folder that `--data-dir` names.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A folder for the test's own files; goes away with this Bulkhead.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything the process has logged.
    pub fn logs(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The process id of the binary.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process id of its PostgreSQL.
    pub fn postmaster(&self) -> Option<i32> {
        find(&self.folder, "postmaster.pid")
            .and_then(|file| std::fs::read_to_string(file).ok()?.lines().next()?.parse().ok())
    }

    /// Every file below the data folder whose name is `name`.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        find(&self.data_dir(), name)
    }

    /// Kills the process, and nothing else, with SIGKILL.
    pub fn kill_9(&mut self) {
        self.child.kill().expect("kill the binary");
        self.child.wait().expect("wait for the binary");
    }

    /// Sends SIGTERM and returns at once.
    pub fn sigterm(&self) {
        kill(pid(self.child.id()), Signal::SIGTERM).expect("signal the binary");
    }

    /// Lets no file of the process grow until what is returned is dropped, its log included.
    pub fn fill_disk(&self) -> FullDisk {
        FullDisk::of(self.pid())
    }

    /// Waits for the process to end and returns its exit code; `None` if a signal ended it.
    pub async fn exited(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let exited = || std::future::ready(child.try_wait().expect("wait for the binary"));
        eventually("the binary exits", exited).await.code()
    }

    /// Kills PostgreSQL with SIGKILL and waits until its socket is dead.
    pub async fn kill_postgres(&self) {
        let postmaster = self.postmaster().expect("a running PostgreSQL");
        kill(Pid::from_raw(postmaster), Signal::SIGKILL).expect("signal PostgreSQL");
        let gone = || std::future::ready(kill(Pid::from_raw(postmaster), None).is_err().then_some(()));
        eventually("PostgreSQL is gone", gone).await;
    }

    /// Starts the binary again on the same folder.
    pub async fn restart(&mut self) {
        let (child, ready) = spawn(&self.folder, &self.options).await;
        self.child = child;
        self.ready = ready;
    }

    /// The environment of the next [`Self::restart`], and of commands.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The options for the next [`Self::restart`].
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Starts the binary again on the same folder and waits for its end instead of its line.
    pub async fn restart_fails(&mut self) -> Option<i32> {
        self.child =
            command(&self.folder, &self.options).stdout(Stdio::null()).spawn().expect("start the binary");
        note_pid(&self.folder, self.child.id());
        self.exited().await
    }
}

impl Drop for Bulkhead {
    fn drop(&mut self) {
        // The pipe's end is what the guard waits for; then it cleans up.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
        let _ = self.child.wait();
    }
}

/// A disk that takes nothing, as far as one process can tell: its limit on the size of files is zero. That needs no rights, and a
/// write fails for the process where it would with a full disk, in the same call.
#[derive(Debug)]
pub struct FullDisk(u32);

impl FullDisk {
    fn of(pid: u32) -> Self {
        limit_files(pid, "0");
        Self(pid)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        limit_files(self.0, "unlimited");
    }
}

/// Sets the soft limit, which its owner may lift again.
fn limit_files(pid: u32, bytes: &str) {
    let mut prlimit = Command::new("prlimit");
    let prlimit = prlimit.arg(format!("--fsize={bytes}:")).args(["--pid", &pid.to_string()]);
    assert!(prlimit.status().expect("run prlimit").success(), "limit the size of files to {bytes}");
}

/// Where `make test` has put the binary.
pub fn binary() -> PathBuf {
    let named = std::env::var_os("BULKHEAD_BIN").map(PathBuf::from);
    let path = named.unwrap_or_else(|| {
        // Beside a benchmark's binary, one folder above a test's.
        let own = std::env::current_exe().expect("path of the test");
        let folders = own.ancestors().skip(1).take(2).map(|folder| folder.join("bulkhead"));
        let found: Vec<PathBuf> = folders.collect();
        found.iter().find(|path| path.is_file()).or(found.last()).expect("two folders").clone()
    });
    assert!(
        path.is_file(),
        "{} is missing: build it first (`cargo build`), or set BULKHEAD_BIN",
        path.display()
    );
    path
}

fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Short, because a unix socket below it has a path of at most 107 bytes.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("bh-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("create the test's folder");
    folder
}

fn guard(folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", GUARD, "guard"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start the guard")
}

fn command(folder: &Path, options: &Options) -> Command {
    let log =
        std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("open the log");
    let mut command = Command::new(binary());
    command.args([
        "dev",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
        "--data-dir",
    ]);
    command.arg(folder.join("data"));
    if let Some(upstream) = &options.upstream {
        command.args(["--upstream", upstream]);
    }
    if let Some(policy) = &options.policy {
        let file = folder.join("policy.yaml");
        std::fs::File::create(&file)
            .and_then(|mut f| f.write_all(policy.as_bytes()))
            .expect("write the policy");
        command.arg("--policy").arg(file);
    }
    command.args(&options.arguments);
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stderr(log);
    command
}

async fn spawn(folder: &Path, options: &Options) -> (Child, Ready) {
    let mut child = command(folder, options).stdout(Stdio::piped()).spawn().expect("start the binary");
    note_pid(folder, child.id());
    let stdout = child.stdout.take().expect("stdout is piped");
    let (sender, receiver) = mpsc::channel();
    // A thread, because it keeps reading as long as the child lives: a closed pipe could end it.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let line =
        tokio::task::spawn_blocking(move || receiver.recv_timeout(START)).await.expect("read the line");
    match line {
        Ok(line) => (child, Ready::parse(&line)),
        Err(error) => {
            let _ = child.kill();
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            panic!("bulkhead dev printed no line ({error}); its log:\n{log}");
        }
    }
}

fn note_pid(folder: &Path, id: u32) {
    std::fs::write(folder.join("pid"), id.to_string()).expect("note the process id");
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a process id"))
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if entry.file_name() == name {
            return Some(path);
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}
