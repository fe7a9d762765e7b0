//! Tells what DLP cannot read in a request: binary parts and token numbers.

use crate::json::{Kind, Value};

pub(super) fn is_data_url(value: Value<'_, '_>) -> bool {
    value.as_str().is_some_and(|url| {
        let scheme = url.trim_start().as_bytes().get(..5);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
    })
}

/// Whether an `input` or `prompt` is given as token numbers: `[1,2]` or `[[1,2],[3]]`.
pub(super) fn is_token_array(value: Value<'_, '_>) -> bool {
    value.items().any(|item| match item.kind() {
        Kind::Number => true,
        _ => item.items().any(|inner| inner.kind() == Kind::Number),
    })
}

/// How many prompts a `prompt` is: an array of numbers is one, an array of anything else is many.
pub(super) fn prompts(value: Value<'_, '_>) -> u64 {
    let many = value.items().filter(|item| item.kind() != Kind::Number).count();
    u64::try_from(many.max(1)).unwrap_or(u64::MAX)
}
