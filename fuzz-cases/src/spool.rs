//! A spool on a damaged disk: it opens, gives every record that is whole, and none that was never written.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_spool::{Append, BatchLimits, Files, Lane, Origin, Owner, Record, Settings, open};

/// The input's first byte says how many records there are; then three bytes each damage one place of one file: they
/// pick it, and what becomes of its byte.
pub fn spool(input: &[u8]) {
    let Some((&count, damages)) = input.split_first() else { return };
    let disk = Memory::default();
    let records: Vec<Record> = (0..count % 16).map(record).collect();
    let (mut writer, reader) = open(disk.clone(), settings(), origin(1)).expect("an empty disk");
    for record in &records {
        writer.push(record).expect("it is short");
        writer.commit().expect("there is room");
    }
    drop((writer, reader));
    let damaged = disk.damage(damages);

    let opened = open(disk, settings(), origin(2));
    let (_writer, mut reader) = opened.expect("opening never fails because of what the folder contains");
    let mut read = Vec::new();
    while let Some(batch) = reader.take(Lane::Oldest, BatchLimits::default()).expect("the disk can be read") {
        reader.acknowledge(&batch).expect("the disk can be written");
        read.extend(batch.records);
    }
    assert!(read.iter().all(|record| records.contains(record)), "a record that was never written");
    assert!(damaged || read == records, "a whole record is lost");
    // One damaged byte can cost one record.
    assert!(read.len() + damages.len() / 3 >= records.len(), "a whole record is lost with a damaged one");
}

/// Segments are short, so that there are several.
fn settings() -> Settings {
    Settings { segment_bytes: 256, ..Settings::from_quota(1 << 20, 100) }
}

fn origin(process: u64) -> Origin {
    Origin { id: [7; 16], segment: process * 1000 }
}

fn record(number: u8) -> Record {
    let payload = std::iter::repeat_n(b'a' + number, usize::from(number) * 7).collect();
    Record { owner: Owner([number; 16]), at_millis: u64::from(number), kind: number, payload }
}

/// A folder in memory; clones are the same folder.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

#[derive(Debug)]
struct OpenFile {
    folder: Memory,
    name: String,
}

impl Memory {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether anything is another than before.
    fn damage(&self, damages: &[u8]) -> bool {
        let mut files = self.files();
        let count = files.len();
        let mut damaged = false;
        for damage in damages.as_chunks::<3>().0 {
            let Some(content) = files.values_mut().nth(usize::from(damage[0]) % count) else { continue };
            let len = content.len().max(1);
            if let Some(byte) = content.get_mut(usize::from(damage[1]) % len) {
                *byte ^= damage[2];
                damaged |= damage[2] != 0;
            }
        }
        damaged
    }
}

impl Files for Memory {
    type Append = OpenFile;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn read(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let files = self.files();
        let content = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let from = usize::try_from(offset).map_or(content.len(), |offset| offset.min(content.len()));
        Ok(content[from..content.len().min(from.saturating_add(bytes))].to_vec())
    }

    fn append(&self, name: &str) -> io::Result<(OpenFile, u64)> {
        let length = self.files().entry(name.to_owned()).or_default().len() as u64;
        Ok((OpenFile { folder: self.clone(), name: name.to_owned() }, length))
    }

    fn replace(&self, name: &str, content: &[u8], _synced: bool) -> io::Result<()> {
        self.files().insert(name.to_owned(), content.to_vec());
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Append for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.folder.files().entry(self.name.clone()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.folder.files().entry(self.name.clone()).or_default().truncate(length);
        Ok(())
    }
}
