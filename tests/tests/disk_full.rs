//! A disk that is full, in two ways: for the process alone, which every machine can do, and really, by a small file system of its
//! own under the spool's folder. What the second shows beyond the first is a disk that gets full and empty by the spool itself;
//! mounting takes rights that not everybody has, and without them that one says so and passes.

use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::postgres::Frozen;
use bulkhead_tests::shapes::chat;
use bulkhead_tests::{Bulkhead, FakeProvider, Options, eventually, run};

/// A file system in memory that holds so much; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(folder: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("create the folder");
        let options = format!("size={bytes},mode=0700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        mount.is_ok_and(|mount| mount.status.success()).then(|| Self(folder.to_owned()))
    }

    /// Takes all the room that is left.
    fn fill(&self) -> Ballast {
        let file = self.0.join("ballast");
        let refused = std::fs::write(&file, vec![0; 64 << 20]);
        assert!(refused.is_err(), "the disk is not small");
        Ballast(file)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// What takes the room, until it is dropped.
struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("remove the ballast");
    }
}

async fn dropped(bulkhead: &Bulkhead) -> usize {
    let metrics = bulkhead.metrics().await;
    let lines = metrics.lines().filter(|line| line.starts_with("bulkhead_traces_dropped_total{"));
    let counts = lines.filter(|line| !line.contains("body_only")).filter_map(|line| line.rsplit(' ').next());
    counts.map(|count| count.parse::<usize>().expect("a number")).sum()
}

/// Asks until so many more traces are dropped; every request is answered. Returns how many were sent.
async fn ask_until_dropped(bulkhead: &Bulkhead, count: usize) -> usize {
    let wanted = dropped(bulkhead).await + count;
    let mut asked = 0;
    while dropped(bulkhead).await < wanted {
        bulkhead
            .client()
            .post("/v1/chat/completions", &chat("gpt-full", &"word ".repeat(50)))
            .await
            .expect(200);
        asked += 1;
        assert!(asked < 2_000, "nothing is ever dropped");
    }
    asked
}

/// Every request was charged, and left a trace unless that was dropped.
async fn assert_complete(bulkhead: &Bulkhead, asked: usize) {
    let count = |statement: &str| bulkhead.sql(statement).trim().parse::<usize>().unwrap_or_default();
    eventually("each request is charged, and has its trace or is counted", || async {
        let charged = count("select coalesce(sum(amount), 0) from budget_usage");
        let traced = count("select count(*) from traces");
        (charged == asked && traced + dropped(bulkhead).await == asked).then_some(())
    })
    .await;
}

async fn start(policy: &str) -> (FakeProvider, Bulkhead) {
    let provider = FakeProvider::start().await;
    let budget = "budgets: [{ id: all, scope: tenant, unit: requests, limit: 100000, window: total, at_limit: refuse, when_unreachable: allow }]";
    let options = Options {
        upstream: Some(provider.url()),
        policy: Some(format!("{budget}\ncapture: masked\n{policy}\n")),
        ..Options::default()
    };
    let bulkhead = Bulkhead::start(options).await;
    (provider, bulkhead)
}

/// Asks until a trace is kept, and looks at it; returns how many were sent.
async fn ask_until_kept(bulkhead: &Bulkhead) -> usize {
    let mut asked = 0;
    let kept = loop {
        let before = dropped(bulkhead).await;
        let reply = bulkhead.client().post("/v1/chat/completions", &chat("gpt-full", "hi")).await.expect(200);
        asked += 1;
        assert!(asked < 2_000, "nothing is ever kept again");
        if dropped(bulkhead).await == before {
            break reply.trace_id();
        }
    };
    bulkhead.trace(&kept).await;
    asked
}

#[test]
fn a_full_disk_costs_traces_and_neither_answers_nor_charges() {
    run(async {
        let (_provider, mut bulkhead) = start("").await;
        // Some wait for the database when the disk takes nothing any more.
        let frozen = Frozen::of(&bulkhead);
        for _ in 0..5 {
            bulkhead.client().post("/v1/chat/completions", &chat("gpt-full", "hi")).await.expect(200);
        }
        let full = bulkhead.fill_disk();
        assert_eq!(ask_until_dropped(&bulkhead, 5).await, 5, "each of them");
        drop(frozen);
        // They go and give their place back, although not even how far they were read can be written.
        assert_complete(&bulkhead, 10).await;
        eventually("no segment is left", || async { segments(&bulkhead).is_empty().then_some(()) }).await;
        drop(full);
        let asked = 10 + ask_until_kept(&bulkhead).await;
        assert_complete(&bulkhead, asked).await;
        bulkhead.sigterm();
        assert_eq!(bulkhead.exited().await, Some(0));
    });
}

#[test]
fn who_insists_on_traces_is_refused_while_the_disk_is_full_and_let_in_when_it_has_room() {
    run(async {
        let (provider, bulkhead) = start("traces: { when_full: refuse }").await;
        let (client, request) = (bulkhead.client(), chat("gpt-insisted", "hi"));
        let ask = || client.post("/v1/chat/completions", &request);
        ask().await.expect(200);
        let full = bulkhead.fill_disk();
        // The one that finds out was let in.
        let refused = eventually("requests are refused", || async {
            let reply = ask().await;
            (reply.status == 503 && reply.json()["error"]["code"] == "traces_full").then_some(())
        });
        refused.await;
        let forwarded = provider.seen("gpt-insisted").len();
        assert_eq!(ask().await.expect(503).json()["error"]["code"], "traces_full");
        assert_eq!(provider.seen("gpt-insisted").len(), forwarded, "a refused request was forwarded");
        drop(full);
        let kept = eventually("requests are let in again", || async {
            let reply = ask().await;
            (reply.status == 200).then(|| reply.trace_id())
        });
        bulkhead.trace(&kept.await).await;
    });
}

fn segments(bulkhead: &Bulkhead) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(bulkhead.data_dir().join("spool")).expect("the spool's folder");
    let paths = folder.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "segment")).collect()
}

#[test]
fn a_disk_that_the_spool_itself_has_filled_gets_empty() {
    run(async {
        let (_provider, mut bulkhead) = start("").await;
        bulkhead.kill_9();
        let Some(disk) = SmallDisk::mount(&bulkhead.data_dir().join("spool"), 256 << 10) else {
            println!("skipped: a file system cannot be mounted here");
            return;
        };
        bulkhead.restart().await;

        // Full of traces that the database does not take.
        let frozen = Frozen::of(&bulkhead);
        let mut asked = ask_until_dropped(&bulkhead, 5).await;
        drop(frozen);
        assert_complete(&bulkhead, asked).await;

        // Full of something else, while the database takes what there is.
        let ballast = disk.fill();
        asked += ask_until_dropped(&bulkhead, 5).await;
        drop(ballast);
        assert_complete(&bulkhead, asked).await;
        assert!(dropped(&bulkhead).await >= 10);

        asked += ask_until_kept(&bulkhead).await;
        assert_complete(&bulkhead, asked).await;
        bulkhead.sigterm();
        assert_eq!(bulkhead.exited().await, Some(0));
    });
}
