//! `bulkhead scan` and `bulkhead detectors`: what they print and how they end. No database is needed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bulkhead_tests::process::binary;
use serde_json::Value;

/// Made up, and written so that no scanner of this file takes it for a key.
const KEY: &str = concat!("AKIA", "T5RMGN3GNRY2345Q");
const EXAMPLE: &str = concat!("AKIA", "IOSFODNN7EXAMPLE");

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &[u8])]) -> Self {
        let folder = std::env::temp_dir().join(format!("bulkhead-scan-{}-{name}", std::process::id()));
        for (path, content) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("make folder");
            fs::write(path, content).expect("write file");
        }
        Self(folder)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind does no harm.
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// Exit code, standard output, standard error.
fn bulkhead(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(binary())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    // It may end without reading its input.
    let _read = child.stdin.take().expect("stdin").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}

#[test]
fn findings_are_named_placed_and_masked() {
    let config = format!("a = 1\nkey = {KEY} # prod\n");
    let files: &[(&str, &[u8])] = &[
        ("config.toml", config.as_bytes()),
        ("clean.md", b"nothing\n"),
        (".git/config", config.as_bytes()),
        ("image.png", &[b"\0\x01".as_slice(), config.as_bytes()].concat()),
    ];
    let folder = Folder::new("text", files);
    let (code, out, err) = bulkhead(&["scan", "-v", folder.path()], "");
    assert_eq!(code, 1, "{err}");
    let expected = Path::new(folder.path()).join("config.toml");
    assert_eq!(
        out,
        format!("{}:2:7  AWS_ACCESS_KEY_ID  0.95  key = [AWS_ACCESS_KEY_ID]\n", expected.display())
    );
    assert!(err.contains("image.png: skipped, binary") && !err.contains(KEY), "{err}");
}

#[test]
fn json_has_offsets_and_no_value() {
    let (code, out, _) = bulkhead(&["scan", "--format", "json", "-"], &format!("one\ntwo {KEY}\n"));
    assert_eq!(code, 1);
    assert!(!out.contains(KEY));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 1, "{out}");
    let found = &lines[0];
    assert_eq!((&found["path"], &found["detector"]), (&"-".into(), &"AWS_ACCESS_KEY_ID".into()));
    assert_eq!((&found["start"], &found["end"], &found["line"]), (&8.into(), &28.into(), &2.into()));
    assert_eq!(found["confidence"], 0.95);
}

#[test]
fn sarif_names_its_rules_and_places() {
    let (code, out, _) = bulkhead(&["scan", "--format", "sarif", "-"], &format!("x {KEY}"));
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["version"], "2.1.0");
    let run = &report["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let result = &run["results"][0];
    assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{out}");
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!(
        (&region["startLine"], &region["byteOffset"], &region["byteLength"]),
        (&1.into(), &2.into(), &20.into())
    );
    assert!(!out.contains(KEY));
    let (code, out, _) = bulkhead(&["scan", "--format", "sarif", "-"], "clean");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, report["runs"][0]["results"].as_array().map(Vec::len)), (0, Some(0)));
}

#[test]
fn examples_are_left_out_unless_asked_for() {
    let text = format!("key {EXAMPLE}");
    assert_eq!(bulkhead(&["scan", "-"], &text).0, 0);
    assert_eq!(bulkhead(&["scan", "--examples", "-"], &text).0, 1);
}

#[test]
fn what_is_looked_for_can_be_chosen() {
    let text = format!("jane@acme.dev {KEY} EMP-123456");
    let policy = b"dlp:\n  detectors: [{ id: EMPLOYEE_ID, regex: 'EMP-[0-9]{6}' }]\n  \
        rules: [{ detect: [EMPLOYEE_ID], on: response, action: block }]\n";
    let folder = Folder::new("policy", &[("policy.yaml", policy)]);
    let file = format!("{}/policy.yaml", folder.path());
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["AWS_ACCESS_KEY_ID"]),
        (&["--detect", "EMAIL_ADDRESS"], &["EMAIL_ADDRESS"]),
        (&["--detect", "pii.*", "--detect", "AWS_*"], &["EMAIL_ADDRESS", "AWS_ACCESS_KEY_ID"]),
        (&["--policy", &file], &["EMPLOYEE_ID"]),
        (&["--policy", &file, "--detect", "EMAIL_*"], &["EMAIL_ADDRESS", "EMPLOYEE_ID"]),
    ];
    for (arguments, expected) in cases {
        let arguments = [&["scan", "--format", "json", "-"], *arguments].concat();
        let (code, out, err) = bulkhead(&arguments, &text);
        let name = |line: &str| {
            serde_json::from_str::<Value>(line).expect("JSON")["detector"].as_str().map(str::to_owned)
        };
        assert_eq!(code, 1, "{err}");
        assert_eq!(out.lines().filter_map(name).collect::<Vec<_>>(), *expected, "{arguments:?}");
    }
}

#[test]
fn mistakes_end_with_two_and_say_what_to_do() {
    let cases: &[(&[&str], &str)] = &[
        (&["scan", "no-such-file"], "no-such-file"),
        (&["scan", "--detect", "AWS_ACESS_KEY", "-"], "AWS_ACCESS_KEY_ID"),
        (&["scan", "--policy", "no-such-policy", "-"], "no-such-policy"),
        (&["detectors", "--category", "secrets"], "secret"),
        (&["scan"], "PATH"),
    ];
    for (arguments, part) in cases {
        let (code, _, err) = bulkhead(arguments, "");
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains(part), "{arguments:?}: {err}");
    }
}

#[test]
fn a_file_of_any_length_is_scanned_to_its_end() {
    let mut text = "an ordinary line of text\n".repeat(700_000);
    text.push_str(KEY);
    let folder = Folder::new("long", &[("long.txt", text.as_bytes())]);
    let arguments = ["scan", "--detect", "AWS_ACCESS_KEY_ID", "--format", "json", folder.path()];
    let (code, out, err) = bulkhead(&arguments, "");
    assert_eq!(code, 1, "{err}");
    let found: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&found["line"], &found["start"]), (&700_001.into(), &(text.len() - KEY.len()).into()));
}

#[test]
fn detectors_are_listed() {
    let (code, out, _) = bulkhead(&["detectors", "--category", "AWS_*"], "");
    assert_eq!(code, 0);
    assert!(out.lines().any(|line| line.starts_with("AWS_ACCESS_KEY_ID  ")), "{out}");
    let (_, out, _) = bulkhead(&["detectors", "--format", "json"], "");
    let detectors: Vec<Value> = serde_json::from_str(&out).expect("JSON");
    assert!(detectors.len() >= 250);
    let of = |id: &str| detectors.iter().find(|detector| detector["id"] == id).expect("listed");
    assert_eq!(of("US_NPI")["context"][0], "npi");
    assert_eq!(of("CREDIT_CARD")["example"], "4111 1111 1111 1111");
}
