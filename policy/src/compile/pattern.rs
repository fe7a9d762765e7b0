//! Model patterns: literal text and `*`.

use std::fmt;

/// A pattern for model names in which `*` stands for any text, also none.
///
/// ```
/// use bulkhead_policy::compile::ModelPattern;
/// let pattern = ModelPattern::new("claude-*-4-5*")?;
/// assert!(pattern.matches("claude-sonnet-4-5-20250929"));
/// assert!(!pattern.matches("claude-sonnet-4-6"));
/// assert_eq!(pattern.to_string(), "claude-*-4-5*");
/// # Ok::<(), bulkhead_policy::compile::InvalidPattern>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPattern {
    /// The texts between the stars; one text where there is no star.
    parts: Vec<Box<str>>,
}

/// Says what a model pattern must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a model name of 1 to {LENGTH_MAX} visible ASCII characters in which only * is special (at most {STARS_MAX} of them)"
)]
pub struct InvalidPattern;

const LENGTH_MAX: usize = 128;
const STARS_MAX: usize = 8;

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("*"))
    }
}

impl ModelPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`] if it is empty, too long, or uses characters of other pattern languages.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        let legal = |byte: u8| byte.is_ascii_graphic() && !b"?[]{}\\^$|\"".contains(&byte);
        let stars = text.bytes().filter(|byte| *byte == b'*').count();
        if text.is_empty() || text.len() > LENGTH_MAX || stars > STARS_MAX || !text.bytes().all(legal) {
            return Err(InvalidPattern);
        }
        Ok(Self { parts: text.split('*').map(Box::from).collect() })
    }

    /// Says whether the whole of `model` fits the pattern.
    #[must_use]
    pub fn matches(&self, model: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return **first == *model };
        // Taking each middle part where it first occurs leaves the most room for what follows.
        let between = model.strip_prefix(&**first).and_then(|model| model.strip_suffix(&**last));
        let after = between.and_then(|between| {
            middle.iter().try_fold(between, |text, part| text.split_once(&**part).map(|(_, after)| after))
        });
        after.is_some()
    }
}
