//! The PostgreSQL of a `bulkhead dev`, treated as no operator should.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::Bulkhead;

impl Bulkhead {
    /// Runs statements as a superuser, in the schema, and returns the rows they print: one a line, columns behind `|`.
    pub fn sql(&self, statements: &str) -> String {
        self.client_program(
            "psql",
            &["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", "set search_path = bulkhead", "-c", statements],
            &self.ready.database_url,
        )
    }

    /// The same in another database of this PostgreSQL.
    pub fn sql_in(&self, database: &str, statements: &str) -> String {
        self.client_program(
            "psql",
            &["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", "set search_path = bulkhead", "-c", statements],
            &self.url_of(database),
        )
    }

    /// The URL of another database of this PostgreSQL.
    pub fn url_of(&self, database: &str) -> String {
        let (server, parameters) = self.ready.database_url.split_once('?').expect("parameters");
        let (server, _) = server.rsplit_once('/').expect("a name");
        format!("{server}/{database}?{parameters}")
    }

    /// Everything that the database holds, as text; bytes are in hexadecimal.
    pub fn dump(&self) -> String {
        self.client_program("pg_dump", &[], &self.ready.database_url)
    }

    fn client_program(&self, name: &str, arguments: &[&str], url: &str) -> String {
        let server = format!("/proc/{}/exe", self.postmaster().expect("a running PostgreSQL"));
        let server = std::fs::read_link(server).expect("the server's program");
        let output = Command::new(server.with_file_name(name))
            .args(arguments)
            .arg(url)
            .output()
            .expect("run a client of PostgreSQL");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Stops processes where they stand until this is dropped: they neither answer nor refuse.
#[derive(Debug)]
pub struct Frozen(Vec<Pid>);

impl Frozen {
    /// Stops the PostgreSQL of a Bulkhead.
    pub fn of(bulkhead: &Bulkhead) -> Self {
        let postmaster = bulkhead.postmaster().expect("a running PostgreSQL");
        // The parent first, so that it starts no more children.
        let mut frozen = Self::process(postmaster);
        frozen.0.extend(children_of(postmaster));
        frozen.send(Signal::SIGSTOP);
        frozen
    }

    /// Stops one process.
    pub fn process(pid: i32) -> Self {
        let frozen = Self(vec![Pid::from_raw(pid)]);
        frozen.send(Signal::SIGSTOP);
        frozen
    }

    fn send(&self, signal: Signal) {
        for pid in &self.0 {
            // A child may have ended by itself.
            let _ = kill(*pid, signal);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.send(Signal::SIGCONT);
    }
}

fn children_of(parent: i32) -> Vec<Pid> {
    let printed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().expect("run ps");
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    let child = |line: &str| {
        let mut numbers = line.split_whitespace().filter_map(|number| number.parse::<i32>().ok());
        let (pid, ppid) = (numbers.next()?, numbers.next()?);
        (ppid == parent).then_some(Pid::from_raw(pid))
    };
    text.lines().filter_map(child).collect()
}
