//! A disk in memory that can be full, unreadable, and stop in the middle of any call.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::files::{Append, Files};

/// What a crash takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Memory of the process; what was handed to the system stays.
    Process,
    /// Power: what was not synced may be gone.
    Power,
}

#[derive(Debug, Clone, Default)]
struct Stored {
    content: Vec<u8>,
    /// So many bytes survive the loss of power.
    synced: usize,
}

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<String, Stored>,
    unreadable: BTreeSet<String>,
    /// Bytes that still fit.
    room: Option<usize>,
    /// Changes that still happen; the one after them happens by half, later ones not at all.
    changes_left: Option<u32>,
    /// How much of a change by half happens.
    half: usize,
    /// Counts the crashes: handles of an earlier process do nothing.
    process: u32,
}

/// Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<Inner>>, u32);

fn stopped() -> io::Error {
    io::Error::other("the process has ended")
}

impl Disk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(super) fn put(&self, name: &str, content: &[u8]) {
        let stored = Stored { content: content.to_vec(), synced: content.len() };
        self.inner().files.insert(name.to_owned(), stored);
    }

    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.inner().files.get(name).map(|stored| stored.content.clone())
    }

    pub(super) fn segments(&self) -> Vec<(String, Vec<u8>)> {
        let inner = self.inner();
        let segments = inner.files.iter().filter(|(name, _)| name.ends_with(".segment"));
        segments.map(|(name, stored)| (name.clone(), stored.content.clone())).collect()
    }

    pub(super) fn set_room(&self, room: Option<usize>) {
        self.inner().room = room;
    }

    pub(super) fn make_unreadable(&self, name: &str) {
        self.inner().unreadable.insert(name.to_owned());
    }

    /// The process ends in the middle of the change after `changes` more.
    pub(super) fn stop_after(&self, changes: u32, half: usize) {
        let mut inner = self.inner();
        inner.changes_left = Some(changes);
        inner.half = half;
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.inner().changes_left == Some(0)
    }

    /// Ends the process, if it has not ended, and takes what is lost with it; `luck` chooses how much that is.
    pub(super) fn crash(&self, loss: Loss, luck: usize) {
        let mut inner = self.inner();
        inner.changes_left = None;
        inner.process += 1;
        if loss == Loss::Power {
            for stored in inner.files.values_mut() {
                let unsynced = stored.content.len() - stored.synced.min(stored.content.len());
                let kept = stored.content.len() - unsynced + luck % (unsynced + 1);
                stored.content.truncate(kept);
            }
        }
        inner.files.values_mut().for_each(|stored| stored.synced = stored.content.len());
    }

    /// The disk as the next process finds it.
    pub(super) fn of_next_process(&self) -> Self {
        Self(Arc::clone(&self.0), self.inner().process)
    }

    /// Says whether a change happens, `None`: by half.
    fn change(&self, inner: &mut Inner) -> io::Result<bool> {
        if inner.process != self.1 {
            return Err(stopped());
        }
        match &mut inner.changes_left {
            None => Ok(true),
            Some(0) => Err(stopped()),
            Some(left) => {
                *left -= 1;
                Ok(*left > 0)
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let is_whole = self.change(&mut inner)?;
        let fits = inner.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        let half = inner.half % (bytes.len() + 1);
        let written = if is_whole { fits } else { fits.min(half) };
        if let Some(room) = &mut inner.room {
            *room -= written;
        }
        let stored = inner.files.entry(name.to_owned()).or_default();
        stored.content.extend_from_slice(&bytes[..written]);
        match (is_whole, written == bytes.len()) {
            (true, true) => Ok(()),
            (true, false) => Err(io::ErrorKind::StorageFull.into()),
            (false, _) => Err(stopped()),
        }
    }

    /// Does what cannot happen by half.
    fn at_once(&self, work: impl FnOnce(&mut Inner) -> io::Result<()>) -> io::Result<()> {
        let mut inner = self.inner();
        let is_whole = self.change(&mut inner)?;
        if !is_whole && inner.half.is_multiple_of(2) {
            return Err(stopped());
        }
        work(&mut inner)?;
        if is_whole { Ok(()) } else { Err(stopped()) }
    }
}

impl Files for Disk {
    type Append = Handle;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().files.keys().cloned().collect())
    }

    fn read(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let inner = self.inner();
        if inner.unreadable.contains(name) {
            return Err(io::Error::other("bad sector"));
        }
        let stored = inner.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let rest = stored.content.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        Ok(rest[..rest.len().min(bytes)].to_vec())
    }

    fn append(&self, name: &str) -> io::Result<(Handle, u64)> {
        self.at_once(|inner| {
            inner.files.entry(name.to_owned()).or_default();
            Ok(())
        })?;
        let length = self.inner().files[name].content.len() as u64;
        Ok((Handle { disk: self.clone(), name: name.to_owned() }, length))
    }

    fn replace(&self, name: &str, content: &[u8], synced: bool) -> io::Result<()> {
        let temporary = format!("{name}.new");
        self.at_once(|inner| {
            inner.files.insert(temporary.clone(), Stored::default());
            Ok(())
        })?;
        self.write(&temporary, content)?;
        self.at_once(|inner| {
            let mut stored = inner.files.remove(&temporary).ok_or(io::ErrorKind::NotFound)?;
            stored.synced = if synced { stored.content.len() } else { 0 };
            inner.files.insert(name.to_owned(), stored);
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.at_once(|inner| {
            let stored = inner.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            inner.files.insert(to.to_owned(), stored);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.at_once(|inner| inner.files.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

#[derive(Debug)]
pub(super) struct Handle {
    disk: Disk,
    name: String,
}

impl Append for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(&self.name, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let name = self.name.clone();
        self.disk.at_once(|inner| {
            let stored = inner.files.get_mut(&name).ok_or(io::ErrorKind::NotFound)?;
            stored.synced = stored.content.len();
            Ok(())
        })
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let name = self.name.clone();
        self.disk.at_once(|inner| {
            let stored = inner.files.get_mut(&name).ok_or(io::ErrorKind::NotFound)?;
            stored.content.truncate(usize::try_from(length).unwrap());
            stored.synced = stored.synced.min(stored.content.len());
            Ok(())
        })
    }
}
