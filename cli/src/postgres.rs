//! A private PostgreSQL for `bulkhead dev` and the tests.
//!
//! - Reached only through a Unix socket in a folder of its own: no TCP port, no password, no clash with another server.
//! - Touches nothing but its own folder, and never another PostgreSQL.
//! - Survives a kill -9 of everything at any moment: a cluster counts once `initdb` is complete (it is made under another
//!   name and renamed), a server that still runs is taken over, a crashed one recovers.
//! - Blocks the calling thread; never called from an async task.

mod binaries;
mod place;

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use binaries::Binaries;
use place::Place;

/// The cluster's administrator, and owner of everything the migrations do not give away.
const ADMINISTRATOR: &str = "postgres";
const DATABASE: &str = "bulkhead";
/// Only names the socket file: nothing listens on it.
const PORT: u16 = 5432;
/// Recovery after a crash replays the log first, which can take a while.
const READY_SECONDS_MAX: u64 = 120;
const STOP_SECONDS_MAX: u64 = 30;
const ORPHAN_SECONDS_MAX: u64 = 10;

/// Why the private PostgreSQL did not start or stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(
        "no PostgreSQL {} or newer found (initdb, pg_ctl and postgres); install it with: {}",
        binaries::MAJOR_MIN,
        binaries::install_command()
    )]
    NotInstalled,
    #[error("{} was made by PostgreSQL {made_by}, which is not installed here (found: {found}); install it, or remove the folder to start afresh", path.display())]
    OtherVersion { path: PathBuf, made_by: String, found: String },
    #[error(
        "PostgreSQL does not run as root, and neither user postgres nor nobody exists here; run as another user"
    )]
    NoUnprivilegedUser,
    #[error("{} belongs to somebody else or is open to others; remove it", path.display())]
    ForeignFolder { path: PathBuf },
    #[error("folder or file {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{program} could not be run")]
    Run {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("{what} failed: {output}")]
    Failed { what: &'static str, output: String },
}

/// A running server; stopped when dropped, at the latest.
#[derive(Debug)]
pub(crate) struct Postgres {
    binaries: Binaries,
    place: Place,
    stopped: bool,
}

impl Postgres {
    /// Starts the server of this data dir, or takes over the one that still runs; the first time creates it.
    ///
    /// The caller holds the data dir's lock, so that two commands never do this at once.
    pub(crate) fn start(data_dir: &Path) -> Result<Self, StartError> {
        let place = Place::prepare(data_dir)?;
        let cluster = place.cluster();
        let binaries = choose_binaries(&cluster)?;
        let server = Self { binaries, place, stopped: false };
        if !cluster.exists() {
            server.create_cluster()?;
        }
        server.write_settings()?;
        if server.process().is_some() {
            if server.wait_until_ready() {
                return Ok(server);
            }
            // Its socket is gone (a cleaned /tmp, a moved data dir): started again it makes a new one.
            server.run_pg_ctl_stop()?;
        } else {
            server.clear_lock_files()?;
        }
        server.launch()?;
        Ok(server)
    }

    /// The administrator's URL, for every client library: all settings are spelt out, so that `PG*` variables change nothing.
    pub(crate) fn url(&self) -> String {
        let directory = self.place.socket_directory().display();
        format!("postgres:///{DATABASE}?host={directory}&port={PORT}&user={ADMINISTRATOR}&sslmode=disable")
    }

    /// Starts the server again if it has died; true if it had.
    pub(crate) fn revive(&self) -> Result<bool, StartError> {
        if self.process().is_some() {
            return Ok(false);
        }
        self.clear_lock_files()?;
        self.launch()?;
        Ok(true)
    }

    /// Stops the server and waits for it.
    pub(crate) fn stop(mut self) -> Result<(), StartError> {
        self.stopped = true;
        self.run_pg_ctl_stop()
    }

    fn create_cluster(&self) -> Result<(), StartError> {
        let unfinished = self.place.unfinished_cluster();
        if unfinished.exists() {
            // Left by a kill in the middle of what follows.
            fs::remove_dir_all(&unfinished)
                .map_err(|source| StartError::Folder { path: unfinished.clone(), source })?;
        }
        let mut initdb = self.place.command(&self.binaries.program("initdb"));
        initdb.arg("--pgdata").arg(&unfinished).arg(format!("--username={ADMINISTRATOR}"));
        // `--no-sync` only skips flushing the fresh files; the server itself keeps fsync on.
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        run("initdb", initdb)?;
        self.create_database(&unfinished)?;
        let settings = unfinished.join("postgresql.conf");
        let stock = fs::read_to_string(&settings)
            .map_err(|source| StartError::Folder { path: settings.clone(), source })?;
        self.place.write(&settings, &format!("{stock}\ninclude_if_exists = 'bulkhead.conf'\n"))?;
        let cluster = self.place.cluster();
        fs::rename(&unfinished, &cluster).map_err(|source| StartError::Folder { path: cluster, source })
    }

    /// Single-user mode needs no client program and no running server.
    fn create_database(&self, cluster: &Path) -> Result<(), StartError> {
        use std::io::Write as _;
        use std::process::Stdio;

        let program = self.binaries.program("postgres");
        let run_error = |source| StartError::Run { program: program.display().to_string(), source };
        let mut postgres = self.place.command(&program);
        postgres.args(["--single", "-F", "-j", "-D"]).arg(cluster).arg("postgres");
        postgres.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = postgres.spawn().map_err(run_error)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(format!("create database {DATABASE};\n\n").as_bytes()).map_err(run_error)?;
        }
        let output = child.wait_with_output().map_err(run_error)?;
        let text = text_of(&output);
        // Single-user mode reports a failed statement but still exits with 0.
        if output.status.success() && !text.contains("ERROR:") {
            Ok(())
        } else {
            Err(StartError::Failed { what: "creating the database", output: text })
        }
    }

    /// Written at every start: the socket's folder follows the data dir when that is moved.
    fn write_settings(&self) -> Result<(), StartError> {
        let directory = self.place.socket_directory().display();
        let text = format!(
            "# Written by `bulkhead dev` at every start.\n\
             listen_addresses = ''\n\
             port = {PORT}\n\
             unix_socket_directories = '{directory}'\n\
             unix_socket_permissions = 0700\n\
             logging_collector = off\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n"
        );
        self.place.write(&self.place.cluster().join("bulkhead.conf"), &text)
    }

    fn launch(&self) -> Result<(), StartError> {
        let mut start = self.place.command(&self.binaries.program("pg_ctl"));
        start.arg("start").arg("--pgdata").arg(self.place.cluster()).arg("--log").arg(self.place.log());
        start.args(["--wait", "--silent", "--timeout"]).arg(READY_SECONDS_MAX.to_string());
        run("starting PostgreSQL", start).map_err(|error| match error {
            StartError::Failed { what, output } => {
                StartError::Failed { what, output: format!("{output}\n{}", self.end_of_log()) }
            }
            other => other,
        })
    }

    fn run_pg_ctl_stop(&self) -> Result<(), StartError> {
        if self.process().is_none() {
            return Ok(());
        }
        let mut stop = self.place.command(&self.binaries.program("pg_ctl"));
        stop.arg("stop").arg("--pgdata").arg(self.place.cluster());
        stop.args(["--mode=fast", "--wait", "--silent", "--timeout"]).arg(STOP_SECONDS_MAX.to_string());
        run("stopping PostgreSQL", stop)
    }

    /// The server's process, if the one in the process file really is this cluster's server.
    ///
    /// After a crash of the machine or the container, that number may belong to any other program.
    fn process(&self) -> Option<u32> {
        let process = process_in(&self.process_file())?;
        is_server_of(process, &self.place.cluster()).then_some(process)
    }

    fn process_file(&self) -> PathBuf {
        self.place.cluster().join("postmaster.pid")
    }

    /// Clears away what a killed server left, where PostgreSQL itself would take it for a running one.
    ///
    /// Its two lock files name a process. If that number is in use by another program by now, or its process is dead but
    /// was never collected (containers whose first process does not do that), PostgreSQL refuses to start. Files whose
    /// process is gone are PostgreSQL's to judge.
    fn clear_lock_files(&self) -> Result<(), StartError> {
        self.wait_for_orphans()?;
        let socket_lock = self.place.socket_directory().join(format!(".s.PGSQL.{PORT}.lock"));
        for path in [self.process_file(), socket_lock] {
            if process_in(&path).and_then(command_line).is_some() {
                fs::remove_file(&path).map_err(|source| StartError::Folder { path, source })?;
            }
        }
        Ok(())
    }

    /// The children of a killed server end by themselves, and must have: two servers on one cluster destroy it.
    fn wait_for_orphans(&self) -> Result<(), StartError> {
        let deadline = Instant::now() + Duration::from_secs(ORPHAN_SECONDS_MAX);
        loop {
            let orphans = processes_in(&self.place.cluster());
            if orphans.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let output = format!("processes of a killed server still run: {orphans:?}; end them");
                return Err(StartError::Failed { what: "starting PostgreSQL", output });
            }
            pause(Duration::from_millis(50));
        }
    }

    /// Waits until a server that is already there accepts connections; false if its socket does not answer at all.
    fn wait_until_ready(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        let socket = self.place.socket_directory().join(format!(".s.PGSQL.{PORT}"));
        while Instant::now() < deadline && self.process().is_some() {
            let text = fs::read_to_string(self.process_file()).unwrap_or_default();
            if text.lines().any(|line| line.trim() == "ready") {
                return UnixStream::connect(&socket).is_ok();
            }
            pause(Duration::from_millis(50));
        }
        false
    }

    fn end_of_log(&self) -> String {
        let text = fs::read(self.place.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<&str> = text.lines().rev().take(12).collect();
        lines.reverse();
        format!("the end of {}:\n{}", self.place.log().display(), lines.join("\n"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if !self.stopped
            && let Err(error) = self.run_pg_ctl_stop()
        {
            tracing::warn!(%error, "the private PostgreSQL was not stopped");
        }
    }
}

/// A cluster needs the major version that made it; a new one takes the newest.
fn choose_binaries(cluster: &Path) -> Result<Binaries, StartError> {
    let found = binaries::find();
    let Some(newest) = found.first() else { return Err(StartError::NotInstalled) };
    let Ok(made_by) = fs::read_to_string(cluster.join("PG_VERSION")) else { return Ok(newest.clone()) };
    let made_by = made_by.trim();
    found.iter().find(|binaries| binaries.major().to_string() == made_by).cloned().ok_or_else(|| {
        let majors: Vec<String> = found.iter().map(|binaries| binaries.major().to_string()).collect();
        StartError::OtherVersion {
            path: cluster.to_owned(),
            made_by: made_by.to_owned(),
            found: majors.join(", "),
        }
    })
}

/// The process that a lock file names, in its first line.
fn process_in(lock_file: &Path) -> Option<u32> {
    fs::read_to_string(lock_file).ok()?.lines().next()?.trim().parse().ok()
}

/// All processes that work in this folder, as a server and its children do; where there is no `/proc`, none are found
/// and PostgreSQL's own look at shared memory has to do.
fn processes_in(cluster: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|folder| folder == cluster))
        .collect()
}

/// A server works in its cluster's folder and names it on its command line.
fn is_server_of(process: u32, cluster: &Path) -> bool {
    if let Ok(folder) = fs::read_link(format!("/proc/{process}/cwd")) {
        return folder == cluster;
    }
    command_line(process).is_some_and(|line| line.contains(&*cluster.to_string_lossy()))
}

/// The arguments of a running process, if it runs.
fn command_line(process: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{process}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    let output = Command::new("ps").args(["-o", "command=", "-p"]).arg(process.to_string()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run(what: &'static str, mut command: Command) -> Result<(), StartError> {
    let output = command.output().map_err(|source| StartError::Run {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if output.status.success() { Ok(()) } else { Err(StartError::Failed { what, output: text_of(&output) }) }
}

fn text_of(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the main thread of `dev`, before any worker exists")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests;
