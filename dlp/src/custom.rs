//! A tenant's own detectors: lists of terms and bounded regular expressions.

mod terms;

use regex_syntax::hir::Hir;

use crate::automaton::{self, Automaton, BuildError, Built};
use crate::detector::{CUSTOM, Description, Detector, Matcher};
use crate::gate::Gate;
use crate::validate;
use crate::view;
use terms::Spaces;
pub(crate) use terms::fixed_start;

/// Terms whose white space stands for other white space take twice the memory, and so long to compile; of a long list all would
/// count against what a policy may take.
const ANY_SPACES_BYTES_MAX: usize = 1 << 20;

/// The longest id of a custom detector in bytes; it becomes part of every masked text.
const ID_BYTES_MAX: usize = 64;

/// A tenant's own detector, as written in its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomDetector {
    /// The detector's name, which is also the text of its placeholder.
    pub id: String,
    /// What it looks for.
    pub pattern: CustomPattern,
}

/// What a custom detector looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomPattern {
    /// Fixed texts, found wherever they or what looks like them stands, inside words too; not inside an escape,
    /// see [`crate::RuleSet`]. White space inside a term, behind its first three bytes, also stands for other white
    /// space of up to four bytes, such as a line break and an indent, in lists of up to about a hundred terms.
    Terms {
        /// The texts, none of them empty.
        terms: Vec<String>,
        /// Whether `a` finds `A` and the reverse, for the letters a to z. Other letters stay exact.
        ignore_case: bool,
    },
    /// A regular expression over the bytes of the view, see [`crate::RuleSet`]; its own characters are folded
    /// like the text's, and a class with a look-alike contains what it looks like. Classes and `\b` are ASCII, `.` and negated classes match any other
    /// byte, and only matches that are whole characters count. Look-around and back references do not
    /// exist; every repetition needs an upper bound.
    Regex(String),
}

/// What one custom detector may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// The longest match in bytes; as much text may be held back while a match is possible.
    pub match_bytes_max: usize,
    /// The size of the compiled automaton in bytes.
    pub automaton_bytes_max: usize,
    /// The number of terms in one list.
    pub terms_max: usize,
    /// The length of a regular expression, or of all terms together, in bytes.
    pub pattern_bytes_max: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            match_bytes_max: 1024,
            automaton_bytes_max: 4 * 1024 * 1024,
            terms_max: 1000,
            pattern_bytes_max: 64 * 1024,
        }
    }
}

/// Why a custom detector was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The id cannot stand in a placeholder.
    #[error("detector id {id:?}: expected 1 to {max} of the characters A-Z a-z 0-9 _ - .")]
    Id {
        /// The id as given.
        id: String,
        /// The longest id allowed.
        max: usize,
    },
    /// The pattern's text is too long.
    #[error("detector {id}: the pattern has {len} bytes, the limit is {max}")]
    PatternTooLong {
        /// The detector's id.
        id: String,
        /// The length found.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The list of terms is empty, or holds a term that is empty or shows nothing.
    #[error("detector {id}: expected one or more terms, none of them empty or invisible")]
    EmptyTerm {
        /// The detector's id.
        id: String,
    },
    /// The list of terms is too long.
    #[error("detector {id}: {count} terms, the limit is {max}; split the list into several detectors")]
    TooManyTerms {
        /// The detector's id.
        id: String,
        /// The number of terms found.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The regular expression cannot be read.
    #[error("detector {id}: invalid regex at byte {offset}: {reason}")]
    Syntax {
        /// The detector's id.
        id: String,
        /// Where in the expression the error stands.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The regular expression needs Unicode tables or boundaries.
    #[error(
        "detector {id}: unicode classes and unicode word boundaries are not supported; \
         use ASCII classes such as [A-Za-z0-9], or write the other characters out as (?:ä|ö|ü)"
    )]
    Unicode {
        /// The detector's id.
        id: String,
    },
    /// The regular expression matches the empty text, or nothing at all.
    #[error(
        "detector {id}: the regex matches the empty text or nothing; a match must have at least one byte"
    )]
    EmptyMatch {
        /// The detector's id.
        id: String,
    },
    /// The regular expression has no upper bound.
    #[error(
        "detector {id}: a match could have any length; replace *, + and {{n,}} by a bounded repetition \
         such as {{1,64}}, at most {max} bytes in all"
    )]
    Unbounded {
        /// The detector's id.
        id: String,
        /// The longest match allowed.
        max: usize,
    },
    /// The longest match is too long.
    #[error("detector {id}: a match could have {len} bytes, the limit is {max}; lower the repetition counts")]
    MatchTooLong {
        /// The detector's id.
        id: String,
        /// The longest possible match.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The compiled form is too large.
    #[error(
        "detector {id}: the compiled pattern exceeds the limit of {max} bytes; \
         use smaller repetition counts or fewer alternatives"
    )]
    TooLarge {
        /// The detector's id.
        id: String,
        /// The limit.
        max: usize,
    },
}

impl Detector {
    /// Compiles a tenant's own detector.
    ///
    /// Costs up to a few hundred milliseconds for patterns near the limits: not for the request path.
    ///
    /// ```
    /// use bulkhead_dlp::{CompileLimits, CustomDetector, CustomPattern, Detector};
    ///
    /// let spec = CustomDetector { id: "EMPLOYEE_ID".into(), pattern: CustomPattern::Regex("EMP-[0-9]{6}".into()) };
    /// let detector = Detector::custom(&spec, &CompileLimits::default())?;
    /// assert_eq!(detector.max_len(), Some(10));
    /// # Ok::<(), bulkhead_dlp::CompileError>(())
    /// ```
    ///
    /// # Errors
    /// [`CompileError`] when the pattern cannot be read or exceeds one of the limits.
    pub fn custom(spec: &CustomDetector, limits: &CompileLimits) -> Result<Self, CompileError> {
        check_id(&spec.id)?;
        let (hir, automaton, gate) = match &spec.pattern {
            CustomPattern::Terms { terms, ignore_case } => {
                let terms = folded_terms(&spec.id, terms, limits)?;
                let gate = Gate::from_terms(&terms, *ignore_case);
                let compiled = |spaces, limits: &CompileLimits| {
                    let hir = terms::hir(&terms, *ignore_case, spaces);
                    compiled(&spec.id, &hir, limits).map(|automaton| (hir, automaton))
                };
                let few = limits.automaton_bytes_max.min(ANY_SPACES_BYTES_MAX);
                let few = CompileLimits { automaton_bytes_max: few, ..*limits };
                let (hir, automaton) =
                    compiled(Spaces::Any, &few).or_else(|_| compiled(Spaces::Exact, limits))?;
                (hir, automaton, gate)
            }
            CustomPattern::Regex(pattern) => {
                let hir = regex_hir(&spec.id, pattern, limits)?;
                let automaton = compiled(&spec.id, &hir, limits)?;
                let gate = Gate::from_prefixes(&hir);
                (hir, automaton, gate)
            }
        };
        let description = Description {
            category: CUSTOM,
            aliases: &[],
            confidence: 1.0,
            validator: (!hir.properties().is_utf8()).then_some(validate::CHARACTERS),
            context: &[],
            samples: None,
        };
        Ok(Self::new(&spec.id, &spec.id, description, move || Matcher { automaton: automaton.into(), gate }))
    }
}

fn check_id(id: &str) -> Result<(), CompileError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(plain) {
        return Err(CompileError::Id { id: id.chars().take(ID_BYTES_MAX).collect(), max: ID_BYTES_MAX });
    }
    Ok(())
}

/// The terms as they look in a view.
fn folded_terms(id: &str, terms: &[String], limits: &CompileLimits) -> Result<Vec<String>, CompileError> {
    if terms.len() > limits.terms_max {
        return Err(CompileError::TooManyTerms {
            id: id.to_owned(),
            count: terms.len(),
            max: limits.terms_max,
        });
    }
    check_pattern_bytes(id, terms.iter().map(String::len).sum(), limits)?;
    let folded: Vec<String> = terms.iter().map(|term| view::fold(term)).collect();
    if folded.is_empty() || folded.iter().any(String::is_empty) {
        return Err(CompileError::EmptyTerm { id: id.to_owned() });
    }
    Ok(folded)
}

fn compiled(id: &str, hir: &Hir, limits: &CompileLimits) -> Result<Automaton, CompileError> {
    check_lengths(id, hir, limits)?;
    Automaton::compile(hir, limits.automaton_bytes_max, Built::Compact)
        .map_err(|error| build_error(id, &error, limits))
}

fn regex_hir(id: &str, pattern: &str, limits: &CompileLimits) -> Result<Hir, CompileError> {
    check_pattern_bytes(id, pattern.len(), limits)?;
    automaton::parse(pattern).map_err(|error| syntax_error(id, &error))
}

fn check_pattern_bytes(id: &str, len: usize, limits: &CompileLimits) -> Result<(), CompileError> {
    if len > limits.pattern_bytes_max {
        return Err(CompileError::PatternTooLong { id: id.to_owned(), len, max: limits.pattern_bytes_max });
    }
    Ok(())
}

fn check_lengths(id: &str, hir: &Hir, limits: &CompileLimits) -> Result<(), CompileError> {
    let (id, max) = (id.to_owned(), limits.match_bytes_max);
    // No minimum means that the expression matches nothing, such as an empty class.
    match (hir.properties().minimum_len(), hir.properties().maximum_len()) {
        (None | Some(0), _) => Err(CompileError::EmptyMatch { id }),
        (_, None) => Err(CompileError::Unbounded { id, max }),
        (_, Some(len)) if len > max => Err(CompileError::MatchTooLong { id, len, max }),
        _ => Ok(()),
    }
}

fn syntax_error(id: &str, error: &regex_syntax::Error) -> CompileError {
    use regex_syntax::hir::ErrorKind;
    let id = id.to_owned();
    match error {
        regex_syntax::Error::Parse(error) => {
            CompileError::Syntax { id, offset: error.span().start.offset, reason: error.kind().to_string() }
        }
        regex_syntax::Error::Translate(error) => match error.kind() {
            ErrorKind::UnicodeNotAllowed
            | ErrorKind::UnicodePropertyNotFound
            | ErrorKind::UnicodePropertyValueNotFound
            | ErrorKind::UnicodePerlClassNotFound
            | ErrorKind::UnicodeCaseUnavailable => CompileError::Unicode { id },
            kind => CompileError::Syntax { id, offset: error.span().start.offset, reason: kind.to_string() },
        },
        other => CompileError::Syntax { id, offset: 0, reason: other.to_string() },
    }
}

fn build_error(id: &str, error: &BuildError, limits: &CompileLimits) -> CompileError {
    let too_large = match error {
        BuildError::Nfa(error) => error.size_limit().is_some(),
        BuildError::Dfa(error) => error.is_size_limit_exceeded(),
        BuildError::TooLarge => true,
    };
    let id = id.to_owned();
    // What an automaton over bytes cannot do at all is Unicode word boundaries, reachable by `(?u:\b)`.
    if too_large {
        CompileError::TooLarge { id, max: limits.automaton_bytes_max }
    } else {
        CompileError::Unicode { id }
    }
}

#[cfg(test)]
mod tests;
