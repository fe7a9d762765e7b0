//! The pattern of a list of terms.

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, Repetition};

/// How many bytes of a term stand as they are, so that a scan has something to look for.
const FIXED_BYTES: usize = 3;

/// The longest white space that stands for a space.
const SPACE_BYTES_MAX: usize = 4;

/// What white space in a term stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spaces {
    /// For itself.
    Exact,
    /// For any white space, where [`fixed_start`] ends and behind it.
    Any,
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The bytes that all matches of a term begin with.
pub(crate) fn fixed_start(term: &str) -> &str {
    let inner = term.trim_end_matches([' ', '\t', '\r', '\n']);
    let space = inner.bytes().enumerate().skip(FIXED_BYTES).find(|(_, byte)| is_space(byte));
    space.and_then(|(at, _)| term.get(..at)).unwrap_or(term)
}

/// The pattern of all terms.
pub(super) fn hir(terms: &[String], ignore_case: bool, spaces: Spaces) -> Hir {
    let term = |term: &String| match spaces {
        Spaces::Exact => literal(term.as_bytes(), ignore_case),
        Spaces::Any => with_any_spaces(term, ignore_case),
    };
    Hir::alternation(terms.iter().map(term).collect())
}

fn with_any_spaces(term: &str, ignore_case: bool) -> Hir {
    let (start, rest) = term.split_at_checked(fixed_start(term).len()).unwrap_or((term, ""));
    let mut parts = vec![literal(start.as_bytes(), ignore_case)];
    let mut rest = rest.as_bytes().chunk_by(|left, right| is_space(left) == is_space(right)).peekable();
    while let Some(part) = rest.next() {
        let is_inner = part.first().is_some_and(is_space) && rest.peek().is_some();
        parts.push(if is_inner { any_space(part.len()) } else { literal(part, ignore_case) });
    }
    Hir::concat(parts)
}

/// White space that may also be as long as in the term.
fn any_space(len: usize) -> Hir {
    let bytes = [b' ', b'\t', b'\r', b'\n'].map(|byte| ClassBytesRange::new(byte, byte));
    let sub = Box::new(Hir::class(Class::Bytes(ClassBytes::new(bytes))));
    let max = u32::try_from(len.max(SPACE_BYTES_MAX)).ok();
    Hir::repetition(Repetition { min: 1, max, greedy: true, sub })
}

fn literal(text: &[u8], ignore_case: bool) -> Hir {
    if !ignore_case {
        return Hir::literal(text);
    }
    let either_case = |byte: &u8| {
        let cases = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
        Hir::class(Class::Bytes(ClassBytes::new(cases.map(|case| ClassBytesRange::new(case, case)))))
    };
    Hir::concat(text.iter().map(either_case).collect())
}
