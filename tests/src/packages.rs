//! Programs of other languages that tests run: pinned, and installed once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::binary;

/// A folder beside the binary that outlives the run, so that packages are fetched once.
pub fn cache(name: &str) -> PathBuf {
    let folder = binary().parent().and_then(Path::parent).expect("target").join("packages").join(name);
    std::fs::create_dir_all(&folder).expect("create the cache");
    folder
}

/// Installs into `folder` unless that was done for these files of pinned versions as they are now.
pub fn install_once(folder: &Path, pinned: &[PathBuf], install: impl FnOnce()) {
    let wanted: String =
        pinned.iter().map(|file| std::fs::read_to_string(file).expect("the pinned versions")).collect();
    let note = folder.join("installed");
    if std::fs::read_to_string(&note).is_ok_and(|installed| installed == wanted) {
        return;
    }
    install();
    std::fs::write(note, wanted).expect("note the versions");
}

/// Makes an environment of Python with the packages that `requirements` pins, and returns its folder of programs.
pub fn python(name: &str, requirements: &Path) -> PathBuf {
    let folder = cache(name);
    let programs = folder.join("venv/bin");
    install_once(&folder, &[requirements.to_owned()], || {
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")));
        let pip = ["-m", "pip", "install", "--quiet", "-r"];
        succeed(Command::new(programs.join("python")).args(pip).arg(requirements));
    });
    programs
}

/// Runs a program to its end; fails the test with its output unless it succeeded.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => panic!("{command:?}: {error}; `make setup` installs what the tests need"),
    };
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{text}");
    text
}
