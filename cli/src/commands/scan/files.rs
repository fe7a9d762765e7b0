//! Which files a path stands for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The folder that git keeps its own data in.
const GIT: &str = ".git";

/// How much of a file tells whether it is text.
const HEAD_BYTES: usize = 8 * 1024;

/// A file, or why a folder could not be read.
type Found = Result<PathBuf, Failure>;

/// The file itself, or all files in a folder and the folders below, in order of their names.
///
/// Leaves out `.git`, and links: what they point to is scanned where it is.
///
/// # Errors
/// [`Failure::Usage`] if there is no such file or folder.
pub(super) fn below(path: &Path) -> Result<impl Iterator<Item = Found> + use<>, Failure> {
    if path != Path::new(super::STDIN) {
        fs::metadata(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    }
    Ok(Walk { open: vec![path.to_owned()] })
}

/// Folders and files that are still to be looked at, the next one last.
struct Walk {
    open: Vec<PathBuf>,
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let path = self.open.pop()?;
            if !path.is_dir() {
                return Some(Ok(path));
            }
            if let Err(error) = self.enter(&path) {
                return Some(Err(Failure::Usage(format!("{}: {error}", path.display()))));
            }
        }
    }
}

impl Walk {
    fn enter(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_file() || kind.is_dir() && entry.file_name() != GIT {
                entries.push(entry.path());
            }
        }
        entries.sort_unstable_by(|left, right| right.cmp(left));
        self.open.append(&mut entries);
        Ok(())
    }
}

/// Whether a file is no text, by its first bytes: text has no zero byte.
pub(super) fn is_binary(text: &[u8]) -> bool {
    let head = text.get(..HEAD_BYTES).unwrap_or(text);
    memchr::memchr(0, head).is_some()
}
