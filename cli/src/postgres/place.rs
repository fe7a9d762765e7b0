//! Where the private PostgreSQL keeps its files, and as which user it runs.
//!
//! - PostgreSQL refuses to run as root. As root the server runs as `postgres`, else `nobody`, and owns its own folder only.
//! - That user must reach the folder. A data dir under a closed home (`/root` in most containers) is out of its reach:
//!   then the server's files live under `/var/lib/bulkhead-dev`, in a folder whose name the data dir keeps. It is random:
//!   who removes the data dir to start afresh must not find the old database under the new master key.
//! - A Unix socket's path is at most 103 bytes everywhere. Long data dirs get a short socket folder under `/tmp`.
//! - The socket folder is 0700: who can enter it may connect, so no password is needed.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};

use super::StartError;

/// 103 bytes (macOS) less `/.s.PGSQL.5432`.
const SOCKET_DIRECTORY_BYTES_MAX: usize = 89;

/// Holds the servers of data dirs that the server's user cannot reach.
const REACHABLE_ROOT: &str = "/var/lib/bulkhead-dev";
/// In the data dir: the name of its server's folder there.
const APART_FILE: &str = "postgres.apart";

/// An unprivileged user, when the command itself runs as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerUser {
    uid: u32,
    gid: u32,
}

/// The server's folder, ready to be used.
#[derive(Debug)]
pub(crate) struct Place {
    base: PathBuf,
    socket_directory: PathBuf,
    user: Option<ServerUser>,
}

impl Place {
    /// Chooses and creates the folders for the server of `data_dir`, which exists.
    pub(crate) fn prepare(data_dir: &Path) -> Result<Self, StartError> {
        let data_dir = fs::canonicalize(data_dir).map_err(|source| folder_error(data_dir, source))?;
        let inside = data_dir.join("postgres");
        let (base, user) = if geteuid().is_root() {
            let apart = kept_apart(&data_dir);
            let existing =
                std::iter::once(&inside).chain(&apart).find_map(|base| Some((base, owner_of(base)?)));
            match existing {
                // Made by an earlier run, perhaps without root: its owner goes on.
                Some((base, owner)) => (base.clone(), Some(owner)),
                None => {
                    let user = unprivileged_user()?;
                    (if can_enter(&data_dir, user) { inside } else { keep_apart(&data_dir)? }, Some(user))
                }
            }
        } else {
            (inside, None)
        };
        create_folder(&base, user)?;
        let socket_directory = socket_directory(&base);
        create_folder(&socket_directory, user)?;
        let place = Self { base, socket_directory, user };
        place.refuse_foreign_socket_directory()?;
        Ok(place)
    }

    /// The cluster itself, `PGDATA`.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.base.join("cluster")
    }

    /// Where `initdb` works; renamed to [`Self::cluster`] when it is complete.
    pub(crate) fn unfinished_cluster(&self) -> PathBuf {
        self.base.join("cluster.unfinished")
    }

    /// What the server writes on standard error.
    pub(crate) fn log(&self) -> PathBuf {
        self.base.join("server.log")
    }

    /// The folder of the Unix socket, and the only way in.
    pub(crate) fn socket_directory(&self) -> &Path {
        &self.socket_directory
    }

    /// A command that runs as the server's user and sees no setting of another PostgreSQL.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // `PGDATA`, `PGPORT` and their like would point at somebody else's server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        // A locale that is named but not installed would stop the server from starting.
        command.env("LC_ALL", "C").env_remove("LANG").env_remove("LANGUAGE");
        // The caller's folder may be closed to the server's user.
        command.current_dir("/").stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Writes a file that the server's user owns.
    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<(), StartError> {
        fs::write(path, text)
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o600)))
            .and_then(|()| self.user.map_or(Ok(()), |user| user.own(path)))
            .map_err(|source| folder_error(path, source))
    }

    /// `/tmp` is open to all: a folder that somebody else put there first would hand them the connections.
    fn refuse_foreign_socket_directory(&self) -> Result<(), StartError> {
        let wanted = self.user.map_or_else(|| geteuid().as_raw(), |user| user.uid);
        let metadata = fs::symlink_metadata(&self.socket_directory)
            .map_err(|source| folder_error(&self.socket_directory, source))?;
        let private = metadata.is_dir() && metadata.uid() == wanted && metadata.mode() & 0o077 == 0;
        if private { Ok(()) } else { Err(StartError::ForeignFolder { path: self.socket_directory.clone() }) }
    }
}

impl ServerUser {
    fn own(self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
    }
}

/// Where an earlier run put the server because its user could not enter the data dir.
fn kept_apart(data_dir: &Path) -> Option<PathBuf> {
    let name = fs::read_to_string(data_dir.join(APART_FILE)).ok()?;
    let name = name.trim();
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| Path::new(REACHABLE_ROOT).join(name))
}

fn keep_apart(data_dir: &Path) -> Result<PathBuf, StartError> {
    let name = uuid::Uuid::now_v7().simple().to_string();
    let file = data_dir.join(APART_FILE);
    fs::write(&file, format!("{name}\n")).map_err(|source| folder_error(&file, source))?;
    Ok(Path::new(REACHABLE_ROOT).join(name))
}

fn folder_error(path: &Path, source: io::Error) -> StartError {
    StartError::Folder { path: path.to_owned(), source }
}

fn unprivileged_user() -> Result<ServerUser, StartError> {
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .filter(|user| !user.uid.is_root())
        .map(|user| ServerUser { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
        .ok_or(StartError::NoUnprivilegedUser)
}

/// The owner of a folder that exists; none for root, who cannot run a server.
fn owner_of(folder: &Path) -> Option<ServerUser> {
    let metadata = fs::symlink_metadata(folder).ok().filter(fs::Metadata::is_dir)?;
    (metadata.uid() != 0).then(|| ServerUser { uid: metadata.uid(), gid: metadata.gid() })
}

/// Asked by trying: modes alone do not tell (access lists, mounts).
fn can_enter(folder: &Path, user: ServerUser) -> bool {
    Command::new("/bin/sh")
        .args(["-c", "cd \"$1\"", "sh"])
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .uid(user.uid)
        .gid(user.gid)
        .status()
        .is_ok_and(|status| status.success())
}

fn create_folder(path: &Path, user: Option<ServerUser>) -> Result<(), StartError> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let create = || -> io::Result<()> {
        if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
            // On the way to the folder; the server's user passes through, nobody lists it.
            DirBuilder::new().recursive(true).create(parent)?;
            fs::set_permissions(parent, Permissions::from_mode(0o711))?;
        }
        DirBuilder::new().mode(0o700).create(path)?;
        user.map_or(Ok(()), |user| user.own(path))
    };
    create().map_err(|source| folder_error(path, source))
}

/// The folder itself where its path is short and plain, else one under `/tmp`, the same at every start.
fn socket_directory(base: &Path) -> PathBuf {
    let inside = base.join("run");
    let bytes = inside.as_os_str().as_encoded_bytes();
    // PostgreSQL's setting is a comma-separated list with quotes of its own, and a URL carries this path too.
    let plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(byte));
    if plain && bytes.len() <= SOCKET_DIRECTORY_BYTES_MAX {
        inside
    } else {
        Path::new("/tmp").join(format!("bulkhead-{}", short_name(base)))
    }
}

/// A name of 16 characters for a path, always the same.
fn short_name(path: &Path) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, path.as_os_str().as_encoded_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{SOCKET_DIRECTORY_BYTES_MAX, socket_directory};
    use std::path::Path;

    #[test]
    fn short_plain_folders_keep_their_socket() {
        for base in ["/home/ada/bulkhead/.bulkhead/postgres", "/srv/x-1.2/data_dir"] {
            assert_eq!(socket_directory(Path::new(base)), Path::new(base).join("run"), "{base}");
        }
    }

    #[test]
    fn long_or_odd_folders_get_a_short_socket_elsewhere() {
        let long = format!("/home/{}", "deep/".repeat(30));
        for base in [long.as_str(), "/home/ada/my project", "/srv/a,b", "/srv/it's", "/srv/\u{e9}t\u{e9}"] {
            let chosen = socket_directory(Path::new(base));
            assert!(chosen.starts_with("/tmp"), "{base}: {}", chosen.display());
            assert!(chosen.as_os_str().len() <= SOCKET_DIRECTORY_BYTES_MAX);
            assert_eq!(chosen, socket_directory(Path::new(base)), "the same at every start");
        }
        assert_ne!(socket_directory(Path::new("/srv/a b")), socket_directory(Path::new("/srv/a c")));
    }

    #[test]
    fn the_longest_socket_path_fits_everywhere() {
        // macOS: 104 bytes with the closing zero.
        assert!(SOCKET_DIRECTORY_BYTES_MAX + "/.s.PGSQL.5432".len() <= 103);
    }
}
