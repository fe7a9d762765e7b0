//! From text to the typed document, keeping the path of a mistake.

use std::sync::LazyLock;

use bulkhead_dlp::{Action, Rule, RuleSet, apply_edits, catalogue};

use super::PolicyDocument;

/// Largest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

const FOUND_CHARACTERS_MAX: usize = 64;
const MESSAGE_CHARACTERS_MAX: usize = 400;

/// Says where a document is wrong, what was found there and what was expected.
///
/// ```
/// use bulkhead_policy::document::{CheckOptions, PolicyDocument};
/// let text = r#"{"budgets":[{"id":"month","scope":"tenant","unit":"usd","limit":0,"window":"month","at_limit":"cut"}]}"#;
/// let error = PolicyDocument::parse(text, &CheckOptions::default()).unwrap_err();
/// assert_eq!(error.path, "budgets[0].limit");
/// assert_eq!(error.to_string(), "budgets[0].limit: found 0, expected more than 0");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct DocumentError {
    /// Place in the document, as in `budgets[0].limit`; `.` for the whole.
    pub path: String,
    /// What was found and expected; bounded, secrets masked.
    pub message: String,
}

impl DocumentError {
    /// States what was found in place of what was expected.
    pub(crate) fn found(path: impl Into<String>, found: impl ToString, expected: impl ToString) -> Self {
        let found = bounded(&found.to_string(), FOUND_CHARACTERS_MAX);
        Self::new(path, &format!("found {found}, expected {}", expected.to_string()))
    }

    /// States what is wrong in words.
    pub(crate) fn new(path: impl Into<String>, message: &str) -> Self {
        Self { path: bounded(&path.into(), MESSAGE_CHARACTERS_MAX), message: without_secrets(message) }
    }
}

pub(super) fn read(text: &str) -> Result<PolicyDocument, DocumentError> {
    if text.len() > DOCUMENT_BYTES_MAX {
        let expected = format!("at most {DOCUMENT_BYTES_MAX}");
        return Err(DocumentError::found(".", format!("{} bytes", text.len()), expected));
    }
    if text.trim().is_empty() {
        return Ok(PolicyDocument::default());
    }
    if is_json(text) { read_json(text) } else { read_yaml(text) }
}

/// A brace alone does not tell: YAML has maps in braces too, but seldom quotes their first key.
fn is_json(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.is_empty() || inside.starts_with(['"', '}']))
}

fn read_json(text: &str) -> Result<PolicyDocument, DocumentError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| DocumentError::new(path_text(error.path()), &error.inner().to_string()))?;
    deserializer.end().map_err(|error| DocumentError::new(".", &error.to_string()))?;
    Ok(document)
}

fn read_yaml(text: &str) -> Result<PolicyDocument, DocumentError> {
    let mut path = ".".to_owned();
    // Comments are of no use here, and the parser would bound how many may follow each other.
    let options = serde_saphyr::options! { with_snippet: false, emit_comments: false };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            path = path_text(error.path());
            error.into_inner()
        })
    });
    read.map_err(|error| DocumentError::new(path, &error.to_string()))
}

fn path_text(path: &serde_path_to_error::Path) -> String {
    let text = path.to_string();
    // A question mark stands for a key that could not be read.
    if text == "?" { ".".to_owned() } else { text }
}

fn bounded(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Masks what looks like a secret: someone may have pasted a key where a name belongs, and errors end up in
/// logs.
fn without_secrets(message: &str) -> String {
    static SECRETS: LazyLock<RuleSet> = LazyLock::new(|| {
        let detectors = catalogue().select("secret.*").into_iter();
        RuleSet::new(detectors.map(|detector| Rule::new(detector.clone(), Action::Mask)).collect(), vec![])
    });
    let scan = SECRETS.scan(message.as_bytes());
    let masked = apply_edits(message.as_bytes(), &scan.edits);
    bounded(&String::from_utf8_lossy(&masked), MESSAGE_CHARACTERS_MAX)
}
