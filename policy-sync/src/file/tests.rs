//! The file comes back as it was written, or not at all.

use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::Revision;
use bulkhead_policy::raw::RawPolicy;
use chrono::Utc;

use super::{Contents, FileError, SnapshotFile};
use crate::tests::Folder;

fn snapshot_file(folder: &Folder, key: &str) -> SnapshotFile {
    let key = MasterKey::parse(&key.repeat(32)).unwrap();
    SnapshotFile::new(folder.0.join("snapshot"), key.snapshot_authenticator())
}

fn contents(document: &str) -> Contents {
    let platform = Some(RawPolicy { revision: Revision::new(3), document: document.into() });
    Contents { saved_at: Utc::now(), platform, tenants: Vec::new() }
}

#[test]
fn what_is_written_is_read_again() {
    let folder = Folder::new("round");
    let file = snapshot_file(&folder, "5a");
    assert!(file.read().unwrap().is_none());
    file.write(&contents("old")).unwrap();
    file.write(&contents("new")).unwrap();
    assert_eq!(file.read().unwrap().unwrap().platform.unwrap().document, "new");
    let left: Vec<_> = std::fs::read_dir(&folder.0).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(folder.0.join("snapshot")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_was_touched_anywhere_is_refused() {
    let folder = Folder::new("touched");
    let file = snapshot_file(&folder, "5a");
    file.write(&contents("document")).unwrap();
    let path = folder.0.join("snapshot");
    let good = std::fs::read(&path).unwrap();
    for position in 0..good.len() {
        let mut bad = good.clone();
        bad[position] ^= 1;
        std::fs::write(&path, bad).unwrap();
        assert!(file.read().is_err(), "byte {position}");
    }
    for length in 0..good.len() {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(file.read().is_err(), "cut to {length} bytes");
    }
    std::fs::write(&path, [good.as_slice(), b" "].concat()).unwrap();
    assert!(matches!(file.read(), Err(FileError::Tampered)));
    std::fs::write(&path, &good).unwrap();
    assert!(file.read().is_ok());
    assert!(matches!(snapshot_file(&folder, "a5").read(), Err(FileError::Tampered)), "another master key");
}
