//! What a trace costs until it is safe, and how long a start takes: the spool on the real file system.
//!
//! The folder is `TMPDIR` or the system's: name one on the disk that counts.

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bulkhead_spool::{BatchLimits, Folder, Lane, Origin, Owner, Record, Settings, open};

/// What a trace without bodies takes.
const PAYLOAD_BYTES: usize = 850;
const GIB: u64 = 1 << 30;

struct Place(std::path::PathBuf);

impl Place {
    fn new(name: &str) -> std::io::Result<Self> {
        let place = std::env::temp_dir().join(format!("bulkhead-bench-{name}-{}", std::process::id()));
        std::fs::create_dir(&place)?;
        Ok(Self(place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

fn main() -> anyhow::Result<()> {
    println(&format!("{:<36}{:>12}{:>12}{:>14}", "records of 850 bytes", "p50 us", "p99 us", "records/s"))?;
    for (name, group, is_synced, rounds) in [
        ("written, one at a time", 1, false, 200_000),
        ("written, 64 at a time", 64, false, 10_000),
        ("synced, one at a time", 1, true, 2_000),
        ("synced, 64 at a time", 64, true, 1_000),
    ] {
        println(&acknowledge(name, group, is_synced, rounds)?)?;
    }
    println(&start()?)
}

/// How long a group takes until it is as safe as wanted.
fn acknowledge(name: &str, group: usize, is_synced: bool, rounds: usize) -> anyhow::Result<String> {
    let place = Place::new("ack")?;
    let (mut writer, mut reader) = open(Folder::open(&place.0)?, settings(), ORIGIN)?;
    let record = record();
    let mut took = Vec::with_capacity(rounds);
    let started = Instant::now();
    for _ in 0..rounds {
        let begun = Instant::now();
        for _ in 0..group {
            writer.push(&record)?;
        }
        writer.commit()?;
        if is_synced {
            writer.sync()?;
        }
        took.push(begun.elapsed());
    }
    let elapsed = started.elapsed();
    let mut read = 0;
    while let Some(batch) = reader.take(Lane::Oldest, BatchLimits::default())? {
        read += batch.records.len();
        reader.acknowledge(&batch)?;
    }
    ensure!(read == rounds * group, "what was acknowledged comes back");
    took.sort_unstable();
    let at = |per_cent: usize| micros(took.get(took.len() * per_cent / 100).copied().unwrap_or_default());
    let per_second = f64::from(u32::try_from(rounds * group)?) / elapsed.as_secs_f64();
    Ok(format!("{name:<36}{:>12.1}{:>12.1}{per_second:>14.0}", at(50), at(99)))
}

/// How long opening a spool of one GiB takes, and reading what is in it.
fn start() -> anyhow::Result<String> {
    let place = Place::new("start")?;
    let mut written = 0_u64;
    {
        let (mut writer, _reader) = open(Folder::open(&place.0)?, settings(), ORIGIN)?;
        let record = record();
        while written * record.stored_bytes() < GIB {
            for _ in 0..256 {
                writer.push(&record)?;
            }
            writer.commit()?;
            written += 256;
        }
    }
    let begun = Instant::now();
    let (_writer, mut reader) = open(Folder::open(&place.0)?, settings(), ORIGIN)?;
    let opened = begun.elapsed();
    ensure!(reader.usage().records == written, "every record is found");
    let begun = Instant::now();
    let mut read = 0_u64;
    while let Some(batch) = reader.take(Lane::Oldest, BatchLimits { records: 1_000, bytes: 4 << 20 })? {
        read += batch.records.len() as u64;
        reader.acknowledge(&black_box(batch))?;
    }
    ensure!(read == written, "every record is read");
    Ok(format!(
        "\na spool of 1 GiB, {written} records: opened in {:.2} s, read in {:.2} s",
        opened.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    ))
}

const ORIGIN: Origin = Origin { id: [7; 16], segment: 1 };

fn settings() -> Settings {
    Settings::from_quota(8 * GIB, 100)
}

fn record() -> Record {
    Record { owner: Owner([1; 16]), at_millis: 1, kind: 1, payload: vec![b'x'; PAYLOAD_BYTES] }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn println(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
