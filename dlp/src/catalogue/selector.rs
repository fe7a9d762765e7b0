//! What a policy's selector names.

use crate::detector::Detector;

/// Whether a selector names a detector; see [`Detector::is_named_by`].
pub(crate) fn names(detector: &Detector, selector: &str) -> bool {
    let is_name = |name: &str| name == selector;
    is_name(detector.id().as_str())
        || detector.aliases().any(is_name)
        || is_category(detector.category(), selector)
        || is_id_pattern(selector) && fits(detector.id().as_str().as_bytes(), selector.as_bytes())
}

fn is_category(category: &str, selector: &str) -> bool {
    let above = selector.strip_suffix(".*").unwrap_or(selector);
    category.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A pattern with a dot before its star is meant for categories, and must not find a tenant's id like `secret.x`.
fn is_id_pattern(selector: &str) -> bool {
    selector.contains('*') && !selector.ends_with(".*")
}

/// Whether a text fits a pattern in which `*` stands for any characters and `?` for one.
///
/// Costs at most the product of both lengths: selectors come from tenants.
pub(super) fn fits(text: &[u8], pattern: &[u8]) -> bool {
    let (mut text, mut pattern) = (text, pattern);
    // After the last star: the pattern behind it, and the text that it has not swallowed.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, text) {
            ([b'*', after @ ..], _) => {
                star = Some((after, text));
                pattern = after;
            }
            ([expected, after @ ..], [found, rest @ ..]) if *expected == b'?' || expected == found => {
                (pattern, text) = (after, rest);
            }
            ([], []) => return true,
            _ => {
                let Some((after, [_, rest @ ..])) = star else { return false };
                star = Some((after, rest));
                (pattern, text) = (after, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("AWS_*", "AWS_KEY", true),
            ("AWS_*", "AWS_", true),
            ("AWS_*", "GCP_AWS_KEY", false),
            ("*_KEY", "AWS_KEY", true),
            ("*_KEY", "AWS_KEY_ID", false),
            ("*KEY*", "AWS_KEY_ID", true),
            ("A*A", "A", false),
            ("A*A", "AA", true),
            ("A*B*A", "AxBA", true),
            ("A*B*A", "ABxB", false),
            ("AWS_KEY", "AWS_KEY", true),
            ("A?B", "AxB", true),
            ("A?B", "AB", false),
            ("*A?", "AAA", true),
        ] {
            assert_eq!(fits(text.as_bytes(), pattern.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
