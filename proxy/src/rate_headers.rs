//! What a caller is told of its limits, in the headers of the dialect it speaks.
//!
//! Told is the tightest limit of key, agent and tenant that it falls under: the one with the least left. Where it has one,
//! the provider's own headers are taken out: they speak of the tenant's credential, which all its agents share, and two answers
//! to one question help nobody. Where it has none they pass, because then the provider's are the limits it will meet.

use bulkhead_dialect::Dialect;
use bulkhead_policy::limiter::{CallerLimits, Standing, Standings};
use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use http::{HeaderName, HeaderValue};
use std::time::Duration;

/// Names of `limit`, `remaining` and `reset`.
type Names = [&'static str; 3];

const OPENAI_REQUESTS: Names =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const OPENAI_TOKENS: Names =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
const ANTHROPIC_REQUESTS: Names = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
/// Not those of input and output tokens alone: the limit is on both together.
const ANTHROPIC_TOKENS: Names = [
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];

/// Whether a header speaks of limits, ours or a provider's.
pub(crate) fn is_rate_limit(name: &HeaderName) -> bool {
    let name = name.as_str();
    ["x-ratelimit-", "anthropic-ratelimit-", "ratelimit"].iter().any(|start| name.starts_with(start))
}

/// The headers that tell a caller what it has left; none where it has no limit, or where its dialect has no such headers.
pub(crate) fn rate_headers(
    limits: &CallerLimits,
    dialect: Dialect,
    now: DateTime<Utc>,
) -> Vec<(HeaderName, HeaderValue)> {
    headers(limits.standings(now), dialect, now)
}

fn headers(standings: Standings, dialect: Dialect, now: DateTime<Utc>) -> Vec<(HeaderName, HeaderValue)> {
    let (requests, tokens) = match dialect {
        Dialect::OpenAi => (OPENAI_REQUESTS, OPENAI_TOKENS),
        Dialect::Anthropic => (ANTHROPIC_REQUESTS, ANTHROPIC_TOKENS),
        Dialect::Gemini => return Vec::new(),
    };
    let told = [(requests, standings.requests), (tokens, standings.tokens)];
    let told = told.into_iter().filter_map(|(names, standing)| Some((names, standing?)));
    told.flat_map(|(names, standing)| {
        let Standing { limit, remaining, reset } = standing;
        let reset = match dialect {
            Dialect::Anthropic => moment(now, reset),
            Dialect::OpenAi | Dialect::Gemini => span(reset),
        };
        let values = [Ok(limit.get().into()), Ok(remaining.into()), HeaderValue::from_str(&reset)];
        let named = names.map(HeaderName::from_static).into_iter().zip(values);
        named.filter_map(|(name, value)| Some((name, value.ok()?)))
    })
    .collect()
}

/// A span as OpenAI writes it: `6m0s`, `1.5s`, `20ms`; rounded up to milliseconds.
fn span(span: Duration) -> String {
    let millis = span.as_nanos().div_ceil(1_000_000);
    let (minutes, millis_left) = (millis / 60_000, millis % 60_000);
    let seconds = || {
        let (whole, part) = (millis_left / 1_000, millis_left % 1_000);
        let part = format!(".{part:03}");
        format!("{whole}{}s", part.trim_end_matches(['0', '.']))
    };
    match (minutes, millis_left) {
        (0, 0) => "0s".to_owned(),
        (0, 1..1_000) => format!("{millis_left}ms"),
        (0, _) => seconds(),
        (minutes, _) if minutes < 60 => format!("{minutes}m{}", seconds()),
        (minutes, _) => format!("{}h{}m{}", minutes / 60, minutes % 60, seconds()),
    }
}

/// A moment as RFC 3339, in whole seconds, rounded up.
fn moment(now: DateTime<Utc>, reset: Duration) -> String {
    let at = TimeDelta::from_std(reset).ok().and_then(|reset| now.checked_add_signed(reset)).unwrap_or(now);
    let whole = at.trunc_subsecs(0);
    let at = if whole == at { whole } else { whole + TimeDelta::seconds(1) };
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn standing(limit: u32, remaining: u64, reset_millis: u64) -> Option<Standing> {
        let limit = NonZeroU32::new(limit).unwrap();
        Some(Standing { limit, remaining, reset: Duration::from_millis(reset_millis) })
    }

    fn told(standings: Standings, dialect: Dialect) -> Vec<(String, String)> {
        let now = DateTime::from_timestamp_millis(1_700_000_000_250).unwrap();
        let headers = headers(standings, dialect, now);
        headers.into_iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn each_dialect_has_its_names_and_its_way_of_writing_time() {
        let standings =
            Standings { requests: standing(600, 99, 1_500), tokens: standing(40_000, 12, 61_000) };
        let own = |headers: &[(&str, &str)]| -> Vec<(String, String)> {
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            told(standings, Dialect::OpenAi),
            own(&[
                ("x-ratelimit-limit-requests", "600"),
                ("x-ratelimit-remaining-requests", "99"),
                ("x-ratelimit-reset-requests", "1.5s"),
                ("x-ratelimit-limit-tokens", "40000"),
                ("x-ratelimit-remaining-tokens", "12"),
                ("x-ratelimit-reset-tokens", "1m1s"),
            ])
        );
        assert_eq!(
            told(Standings { tokens: None, ..standings }, Dialect::Anthropic),
            own(&[
                ("anthropic-ratelimit-requests-limit", "600"),
                ("anthropic-ratelimit-requests-remaining", "99"),
                ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:22Z"),
            ])
        );
        assert_eq!(told(standings, Dialect::Gemini), []);
        assert_eq!(told(Standings::default(), Dialect::OpenAi), []);
    }

    #[test]
    fn spans_are_written_as_openai_writes_them() {
        for (nanos, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (20_000_000, "20ms"),
            (999_000_001, "1s"),
            (1_000_000_000, "1s"),
            (8_640_000_000, "8.64s"),
            (10_000_000_000, "10s"),
            (59_951_000_000, "59.951s"),
            (60_000_000_000, "1m0s"),
            (360_000_000_000, "6m0s"),
            (90_500_000_000, "1m30.5s"),
            (3_723_000_000_000, "1h2m3s"),
        ] {
            assert_eq!(span(Duration::from_nanos(nanos)), expected, "{nanos}");
        }
    }
}
