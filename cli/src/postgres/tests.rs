use std::fs;
use std::path::PathBuf;

use super::Postgres;

/// A folder that goes away with the test; under `/tmp`, so that the server's user can reach it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(format!("/tmp/bulkhead-test-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder under /tmp");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_half_made_cluster_is_made_again_and_a_crashed_server_recovers() {
    let folder = Folder::new("crash");
    let base = folder.0.join("postgres");

    let first = Postgres::start(&folder.0).expect("the first start creates the cluster");
    let url = first.url();
    let process = first.process().expect("it runs");
    assert!(!base.join("cluster.unfinished").exists());

    // What a kill -9 of the command leaves: the server runs on, and is taken over.
    std::mem::forget(first);
    let second = Postgres::start(&folder.0).expect("takes over the running server");
    assert_eq!(second.process(), Some(process));
    assert_eq!(second.url(), url);

    // What a kill -9 of both leaves: stale lock files, here with a number that is in use by another program.
    second.stop().expect("stops");
    fs::write(base.join("cluster/postmaster.pid"), format!("{}\n", std::process::id()))
        .expect("a stale file");
    let third = Postgres::start(&folder.0).expect("ignores the stale lock files");
    assert!(third.process().is_some_and(|process| process != std::process::id()));
    third.stop().expect("stops");

    // What a kill -9 in the middle of initdb leaves.
    fs::rename(base.join("cluster"), base.join("cluster.unfinished")).expect("renames");
    let fourth = Postgres::start(&folder.0).expect("makes the cluster again");
    drop(fourth);
    assert!(!base.join("cluster.unfinished").exists());
    assert!(!base.join("cluster/postmaster.pid").exists(), "dropping stops the server");
}
