//! The few things a spool asks of a file system.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder that holds nothing but one spool.
///
/// Names are plain file names. Everything else about the folder is the implementation's.
pub trait Files: Debug + Send + Sync + 'static {
    /// A file that is open for appending.
    type Append: Append;

    /// Returns the names of all files.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Reads at most `bytes` bytes from `offset` on; fewer only at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>>;

    /// Opens a file for appending and creates it if need be; returns it with its length.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn append(&self, name: &str) -> io::Result<(Self::Append, u64)>;

    /// Puts a file with this content in place of whatever has the name, so that any reader sees the one or the other;
    /// `synced`: also after the loss of power.
    ///
    /// # Errors
    /// It could not be written; then the old one is still there.
    fn replace(&self, name: &str, content: &[u8], synced: bool) -> io::Result<()>;

    /// Gives a file another name, in place of whatever has that.
    ///
    /// # Errors
    /// It could not be renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// It could not be removed.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A file that is open for appending.
pub trait Append: Debug + Send + 'static {
    /// Writes at the end.
    ///
    /// # Errors
    /// Not all was written; a part may have been.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything written survives the loss of power.
    ///
    /// # Errors
    /// Whether it does is unknown.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to a length.
    ///
    /// # Errors
    /// The length is unchanged.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// Why a spool's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("spool folder {folder}: in use by another process; every process needs a folder of its own")]
    InUse {
        /// The folder.
        folder: String,
    },
    /// It cannot be created, locked or listed.
    #[error("spool folder {folder}: cannot {doing}: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// What was attempted.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A folder of the real file system, locked for this process as long as it is open.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The folder itself: syncing it makes new names survive the loss of power.
    handle: Arc<File>,
    _lock: File,
}

const LOCK: &str = "lock";

impl Folder {
    /// Opens a folder, creates it if need be, and locks it. The lock ends with the process, however that ends.
    ///
    /// # Errors
    /// [`OpenError`], which names the folder.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed =
            |doing| move |source| OpenError::Folder { folder: path.display().to_string(), doing, source };
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(path).map_err(failed("create it"))?;
        let handle = Arc::new(File::open(path).map_err(failed("open it"))?);
        let lock = OpenOptions::new().create(true).append(true).open(path.join(LOCK));
        let lock = lock.map_err(failed("open its lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), handle, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.display().to_string() }),
            Err(TryLockError::Error(source)) => Err(failed("lock it")(source)),
        }
    }
}

impl Files for Folder {
    type Append = AppendFile;

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        read_file(&self.path.join(name), offset, bytes)
    }

    fn append(&self, name: &str) -> io::Result<(AppendFile, u64)> {
        let file = OpenOptions::new().create(true).append(true).open(self.path.join(name))?;
        let length = file.metadata()?.len();
        Ok((AppendFile { file, folder: (length == 0).then(|| Arc::clone(&self.handle)) }, length))
    }

    fn replace(&self, name: &str, content: &[u8], synced: bool) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        if synced {
            file.sync_data()?;
        }
        std::fs::rename(&temporary, self.path.join(name))?;
        if synced { self.handle.sync_all() } else { Ok(()) }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }
}

pub(crate) fn read_file(path: &Path, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let left = file.metadata()?.len().saturating_sub(offset);
    file.seek(SeekFrom::Start(offset))?;
    // One allocation, where growing to a batch's megabytes would take many.
    let mut content = Vec::with_capacity(bytes.min(usize::try_from(left).unwrap_or(0)));
    file.take(bytes as u64).read_to_end(&mut content)?;
    Ok(content)
}

/// A file of a [`Folder`].
#[derive(Debug)]
pub struct AppendFile {
    file: File,
    /// The folder, until the new file's name in it was synced.
    folder: Option<Arc<File>>,
}

impl Append for AppendFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if let Some(folder) = &self.folder {
            folder.sync_all()?;
            self.folder = None;
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
}
