//! Spans of time as people write them: `45s`, `90m`, `24h`, `30d`.

use chrono::{DateTime, TimeDelta, Utc};

/// Ten years: more is a typing error.
const SECONDS_MAX: i64 = 10 * 366 * 24 * 3600;

/// Reads a moment of the past: a time as RFC 3339 has it, or how long ago it was.
///
/// # Errors
/// A sentence for the person who typed it.
pub(crate) fn parse_moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    parse(text)
        .map(|span| Utc::now() - span)
        .map_err(|wrong| format!("{wrong}; or a time such as 2026-01-31T18:00:00Z"))
}

/// Reads a number and a unit.
///
/// # Errors
/// A sentence for the person who typed it.
pub(crate) fn parse(text: &str) -> Result<TimeDelta, String> {
    let wrong = || "expected a number and a unit: 45s, 90m, 24h or 30d, at most ten years".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .filter(|seconds| *seconds <= SECONDS_MAX)
        .and_then(TimeDelta::try_seconds)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_moment};

    #[test]
    fn spans_are_a_number_and_a_unit() {
        for (text, seconds) in [("45s", 45), ("90m", 5400), ("24h", 86_400), ("30d", 2_592_000), ("0s", 0)] {
            assert_eq!(parse(text).map(|span| span.num_seconds()), Ok(seconds), "{text}");
        }
        for text in ["", "24", "h", "-1h", "1.5h", "1w", "24 h", "99999999999999999999d", "4000d", "\u{663}h"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_times_or_spans_ago() {
        let time = parse_moment("2026-01-31T20:00:00+02:00").map(|time| time.to_rfc3339());
        assert_eq!(time.as_deref(), Ok("2026-01-31T18:00:00+00:00"));
        let ago = parse_moment("24h").map(|time| (chrono::Utc::now() - time).num_hours());
        assert_eq!(ago, Ok(24));
        for text in ["", "2026-01-31", "yesterday"] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }
}
