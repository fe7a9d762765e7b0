//! What happens to a text in which a detector matched.

use std::fmt;
use std::str::FromStr;

/// What a rule does with a match; a stricter action is greater.
///
/// ```
/// use bulkhead_dlp::Action;
///
/// assert!(Action::Block > Action::Mask && Action::Mask > Action::Tokenize && Action::Tokenize > Action::Alert);
/// assert_eq!("mask".parse(), Ok(Action::Mask));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Report the match and leave the text as it is.
    Alert,
    /// Put a token where the match stood that stands for its value; see [`crate::TokenMap`].
    Tokenize,
    /// Put the detector's placeholder where the match stood.
    Mask,
    /// Let nothing pass from the match on.
    Block,
}

impl Action {
    /// The name used in policies and findings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Tokenize => "tokenize",
            Self::Mask => "mask",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`Action`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown action \"{0}\", expected alert, tokenize, mask or block")]
pub struct UnknownAction(String);

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        match text {
            "alert" => Ok(Self::Alert),
            "tokenize" => Ok(Self::Tokenize),
            "mask" => Ok(Self::Mask),
            "block" => Ok(Self::Block),
            _ => Err(UnknownAction(text.to_owned())),
        }
    }
}
