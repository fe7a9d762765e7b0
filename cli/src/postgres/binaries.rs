//! Finds the programs of an installed PostgreSQL server.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest PostgreSQL that the migrations are written for.
pub(crate) const MAJOR_MIN: u32 = 14;

/// One folder with `initdb`, `pg_ctl` and `postgres` in it, and the major version of that server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    directory: PathBuf,
    major: u32,
}

impl Binaries {
    /// The program of this name.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// 15 for PostgreSQL 15.4.
    pub(crate) const fn major(&self) -> u32 {
        self.major
    }
}

/// Every usable server on this machine, the newest first.
pub(crate) fn find() -> Vec<Binaries> {
    let mut found: Vec<Binaries> = Vec::new();
    for directory in candidate_directories() {
        // Links in `PATH` lead to the real folder: `postgres` looks for its share files relative to itself.
        let Some(directory) = real_directory(&directory) else { continue };
        if found.iter().any(|known| known.directory == directory) {
            continue;
        }
        if let Some(major) = major_of(&directory).filter(|major| *major >= MAJOR_MIN) {
            found.push(Binaries { directory, major });
        }
    }
    // Stable: among equals, the one that `PATH` names first stays first.
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    found
}

/// The command which installs the server here.
pub(crate) fn install_command() -> &'static str {
    if cfg!(target_os = "macos") {
        "brew install postgresql@17"
    } else if Path::new("/usr/bin/apt-get").exists() {
        "scripts/setup (or: sudo apt-get install -y postgresql)"
    } else if Path::new("/usr/bin/dnf").exists() {
        "sudo dnf install -y postgresql-server"
    } else if Path::new("/sbin/apk").exists() {
        "apk add postgresql"
    } else if Path::new("/usr/bin/pacman").exists() {
        "sudo pacman -S postgresql"
    } else {
        "your system's package manager, package postgresql (the server)"
    }
}

/// The same places as `scripts/setup` looks at, in its order.
fn candidate_directories() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = Vec::new();
    directories.extend(std::env::var_os("BULKHEAD_POSTGRES_BIN").map(PathBuf::from));
    if let Some(path) = std::env::var_os("PATH") {
        directories.extend(std::env::split_paths(&path));
    }
    directories.extend(pg_config_bindir());
    for (parent, prefix, rest) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
    ] {
        directories.extend(children(Path::new(parent), prefix).map(|child| child.join(rest)));
    }
    directories
}

fn pg_config_bindir() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

fn children(parent: &Path, prefix: &'static str) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
}

fn real_directory(directory: &Path) -> Option<PathBuf> {
    let initdb = std::fs::canonicalize(directory.join("initdb")).ok()?;
    let real = initdb.parent()?;
    let complete = ["pg_ctl", "postgres"].iter().all(|name| real.join(name).is_file());
    complete.then(|| real.to_owned())
}

fn major_of(directory: &Path) -> Option<u32> {
    let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; beta versions read `18beta1`.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_major;

    #[test]
    fn major_version_is_read_from_every_kind_of_version_line() {
        for (line, expected) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 17.2 (Homebrew)", Some(17)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("postgres", None),
            ("", None),
            ("postgres (PostgreSQL) devel", None),
        ] {
            assert_eq!(parse_major(line), expected, "{line:?}");
        }
    }
}
