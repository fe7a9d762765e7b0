//! A private PostgreSQL for tests: one server per test binary, one migrated database per test.
//!
//! Listens on a unix socket in a short temporary folder, never runs as root, syncs nothing to disk unless told to. A watchdog
//! process stops it and removes the folder when the test binary ends, however it ends.

mod fill;

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{ConnectOptions, Connection};
use tokio::sync::OnceCell;

use crate::connect::connect_options;

pub use fill::{Filled, fill_traces};

static SHARED: OnceCell<Server> = OnceCell::const_new();
static NEXT: AtomicU64 = AtomicU64::new(0);
const TEMPLATE: &str = "template";

/// Makes a migrated database without tenants on the server that all tests of this binary share, and returns its URL.
///
/// The URL's user is the administrator; [`crate::Store`] takes the lesser roles from there.
///
/// # Errors
/// If no server can be found or started.
pub async fn database() -> io::Result<String> {
    SHARED.get_or_try_init(Server::start).await?.database().await
}

/// A server of its own, for tests that stop it.
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    settings: &'static str,
    /// Holds the pipe whose end is the sign to clean up.
    _watchdog: Child,
}

#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Server {
    /// Starts a server and prepares the database that others are copied from.
    ///
    /// # Errors
    /// If no server can be found or started.
    pub async fn start() -> io::Result<Self> {
        Self::start_with("-c fsync=off").await
    }

    /// Starts a server with settings of its own (`-c name=value`), for measurements.
    ///
    /// # Errors
    /// If no server can be found or started.
    pub async fn start_with(settings: &'static str) -> io::Result<Self> {
        let programs = find_programs()?;
        let user = if is_root()? { Some(unprivileged_user()?) } else { None };
        // Short, because the path of a unix socket must fit into about 100 bytes.
        let folder =
            PathBuf::from(format!("/tmp/bh{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&folder)?;
        if let Some(user) = user {
            std::os::unix::fs::chown(&folder, Some(user.uid), Some(user.gid))?;
        }
        let data = folder.join("data");
        let initdb =
            ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"].map(OsStr::new);
        run(command(&programs.join("initdb"), &folder, user).args(initdb).arg(&data))?;
        let watchdog = command(Path::new("/bin/sh"), &folder, user)
            .args([
                "-c",
                r#"trap "" INT TERM HUP; cat; "$1" -D "$2/data" -m immediate stop; cd /; rm -rf "$2""#,
                "watchdog",
            ])
            .arg(programs.join("pg_ctl"))
            .arg(&folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let server = Self { programs, folder, user, settings, _watchdog: watchdog };
        server.start_again()?;
        server.sql("postgres", &format!("create database {TEMPLATE}")).await?;
        crate::migrate(&server.url(TEMPLATE), &crate::Actor::new("tests")).await.map_err(io::Error::other)?;
        Ok(server)
    }

    /// Makes a migrated database without tenants and returns its URL.
    ///
    /// # Errors
    /// If the server is stopped.
    pub async fn database(&self) -> io::Result<String> {
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name} template {TEMPLATE}")).await?;
        Ok(self.url(&name))
    }

    /// Stops the server as a crash would, without saying goodbye to anyone.
    ///
    /// # Errors
    /// If it was not running.
    pub fn stop(&self) -> io::Result<()> {
        self.pg_ctl(&["-m", "immediate", "stop"])
    }

    /// Starts the server again and waits until it answers.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start_again(&self) -> io::Result<()> {
        let folder = self.folder.display();
        let settings = self.settings;
        let options = format!("-k {folder} -c listen_addresses='' -c max_connections=200 {settings}");
        self.pg_ctl(&["-w", "-o", &options, "-l", &format!("{folder}/log"), "start"])
    }

    fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=postgres", self.folder.display())
    }

    fn pg_ctl(&self, arguments: &[&str]) -> io::Result<()> {
        let mut pg_ctl = command(&self.programs.join("pg_ctl"), &self.folder, self.user);
        run(pg_ctl.arg("-D").arg(self.folder.join("data")).args(arguments))
    }

    async fn sql(&self, database: &str, statement: &str) -> io::Result<()> {
        let options = connect_options(&self.url(database)).map_err(io::Error::other)?;
        let mut connection = options.connect().await.map_err(io::Error::other)?;
        // Database names cannot be binds; these are our own.
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(&mut connection).await.map_err(io::Error::other)?;
        connection.close().await.map_err(io::Error::other)
    }
}

fn command(program: &Path, folder: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C").stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn run(command: &mut Command) -> io::Result<()> {
    let status = command.stdin(Stdio::null()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{:?} failed: {status}", command.get_program())))
}

/// Looks on the path, where `pg_config` says, and where Debian keeps servers (newest first).
fn find_programs() -> io::Result<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        candidates.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        let mut versions: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
        versions.sort_by_key(|path| std::cmp::Reverse(version(path)));
        candidates.extend(versions.into_iter().map(|path| path.join("bin")));
    }
    candidates
        .into_iter()
        .find(|folder| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file()))
        .ok_or_else(|| io::Error::other("no PostgreSQL server found; install postgresql (14 or newer)"))
}

fn is_root() -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

/// The server refuses to run as root; its own user is best, anyone without rights will do.
fn unprivileged_user() -> io::Result<User> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let find = |wanted: &str| {
        let fields: Vec<&str> = users
            .lines()
            .map(|line| line.split(':').collect())
            .find(|fields: &Vec<&str>| fields.first() == Some(&wanted))?;
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .ok_or_else(|| io::Error::other("neither user postgres nor nobody exists"))
}
