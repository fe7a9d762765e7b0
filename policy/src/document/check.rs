//! Checks that one document can pass or fail alone.

use std::collections::HashSet;
use std::num::NonZeroU32;

use bulkhead_dlp::{HOLD_LIMIT, catalogue};
use chrono_tz::Tz;

use super::{
    AllowDocument, BudgetDocument, CheckOptions, Decimal, DetectorDocument, DlpDocument, DocumentError,
    Limit, OPERATIONS, PolicyDocument, PriceDocument, RuleAction, RuleDirection, RuleDocument, UnknownPrice,
};
use crate::address::BaseUrl;
use crate::compile::ModelPattern;
use crate::ids::BudgetId;
use crate::ledger::BudgetUnit;
use crate::money::NanoUsd;

const UPSTREAMS_MAX: usize = 64;
const ROUTES_MAX: usize = 256;
const LIST_MAX: usize = 256;
/// Each may take [`bulkhead_dlp::CompileLimits::automaton_bytes_max`] of memory.
const DETECTORS_MAX: usize = 50;
const RULES_MAX: usize = 256;
/// The most that [`bulkhead_dlp::Detector::keep_last_max`] gives.
const KEEP_LAST_MAX: u8 = 8;
const ALLOW_VALUES_MAX: usize = 1_000;
const ALLOW_VALUE_BYTES_MAX: usize = 1_024;
const BUDGETS_MAX: usize = 32;
const PRICES_MAX: usize = 1_000;
/// A thousand times the dearest model there is; more is a slip of the keyboard.
const PRICE_MAX: NanoUsd = NanoUsd::new(600_000 * 1_000_000_000);
/// A hundred times what any model writes, and the most that a request may ask for.
const OUTPUT_TOKENS_MAX: u64 = 100_000_000;

/// Three of the intervals at which nodes compare with the database: less would refuse requests on a healthy day.
const STALENESS_SECONDS_MIN: u64 = 15;
/// A hundred years; longer is forever, which is said by saying nothing.
const KEEP_DAYS_MAX: u32 = 36_500;

type Checked = Result<(), DocumentError>;

pub(super) fn check(document: &PolicyDocument, options: &CheckOptions) -> Checked {
    check_upstreams(document, options)?;
    check_routes(document)?;
    check_allow(&document.allow)?;
    check_dlp(&document.dlp)?;
    check_count("budgets", document.budgets.len(), BUDGETS_MAX)?;
    let mut ids = HashSet::new();
    for (index, budget) in document.budgets.iter().enumerate() {
        let path = format!("budgets[{index}]");
        if !ids.insert(&budget.id) {
            return Err(DocumentError::found(
                format!("{path}.id"),
                &budget.id,
                "an id that no other budget has",
            ));
        }
        check_budget(&path, budget)?;
    }
    if let Some(seconds) = document.max_staleness_seconds.filter(|seconds| *seconds < STALENESS_SECONDS_MIN) {
        let expected = format!("at least {STALENESS_SECONDS_MIN}: nodes look for changes every 5 seconds");
        return Err(DocumentError::found("max_staleness_seconds", seconds.to_string(), &expected));
    }
    check_days("traces.keep_days", document.traces.keep_days)?;
    check_days("traces.keep_body_days", document.traces.keep_body_days)?;
    check_count("prices", document.prices.len(), PRICES_MAX)?;
    for (model, price) in &document.prices {
        let path = format!("prices.{model}");
        check_priced_model(&path, model)?;
        check_price(&path, price)?;
    }
    match &document.unknown_price {
        Some(UnknownPrice::Assume(price)) => check_assumed_price("unknown_price.assume", price),
        _ => Ok(()),
    }
}

fn check_days(path: &str, days: Option<NonZeroU32>) -> Checked {
    match days.filter(|days| days.get() > KEEP_DAYS_MAX) {
        Some(days) => Err(DocumentError::found(path, days, format!("from 1 to {KEEP_DAYS_MAX}"))),
        None => Ok(()),
    }
}

fn check_upstreams(document: &PolicyDocument, options: &CheckOptions) -> Checked {
    check_count("upstreams", document.upstreams.len(), UPSTREAMS_MAX)?;
    for (name, upstream) in &document.upstreams {
        let path = format!("upstreams.{name}");
        check_name(&path, name)?;
        BaseUrl::parse(&upstream.base_url, &options.upstreams)
            .map_err(|error| DocumentError::new(format!("{path}.base_url"), &format!("expected {error}")))?;
        if let Some(credential) = &upstream.credential {
            check_name(&format!("{path}.credential"), credential)?;
        }
    }
    Ok(())
}

fn check_routes(document: &PolicyDocument) -> Checked {
    let routes = document.routes.as_deref().unwrap_or_default();
    check_count("routes", routes.len(), ROUTES_MAX)?;
    for (index, route) in routes.iter().enumerate() {
        check_models(&format!("routes[{index}].models"), &route.models)?;
        check_list(&format!("routes[{index}].to"), route.to.len(), LIST_MAX)?;
    }
    Ok(())
}

fn check_allow(allow: &AllowDocument) -> Checked {
    if let Some(operations) = &allow.operations {
        check_list("allow.operations", operations.len(), LIST_MAX)?;
    }
    for (index, operation) in allow.operations.iter().flatten().enumerate() {
        if !OPERATIONS.contains(&operation.as_str()) {
            let expected = format!("one of {}", OPERATIONS.join(", "));
            return Err(DocumentError::found(format!("allow.operations[{index}]"), operation, expected));
        }
    }
    match &allow.models {
        Some(models) => check_models("allow.models", models),
        None => Ok(()),
    }
}

fn check_models(path: &str, models: &[String]) -> Checked {
    check_list(path, models.len(), LIST_MAX)?;
    for (index, model) in models.iter().enumerate() {
        ModelPattern::new(model)
            .map_err(|error| DocumentError::found(format!("{path}[{index}]"), format!("{model:?}"), error))?;
    }
    Ok(())
}

fn check_dlp(dlp: &DlpDocument) -> Checked {
    check_count("dlp.detectors", dlp.detectors.len(), DETECTORS_MAX)?;
    let mut ids = HashSet::new();
    for (index, detector) in dlp.detectors.iter().enumerate() {
        let path = format!("dlp.detectors[{index}]");
        check_detector(&path, detector)?;
        if !ids.insert(detector.id.to_ascii_uppercase()) {
            return Err(DocumentError::found(
                format!("{path}.id"),
                &detector.id,
                "an id that no other detector has",
            ));
        }
    }
    check_count("dlp.rules", dlp.rules.len(), RULES_MAX)?;
    for (index, rule) in dlp.rules.iter().enumerate() {
        check_rule(&format!("dlp.rules[{index}]"), rule)?;
    }
    let values = dlp.allow_values.as_deref().unwrap_or_default();
    check_count("dlp.allow_values", values.len(), ALLOW_VALUES_MAX)?;
    match values.iter().position(|value| value.is_empty() || value.len() > ALLOW_VALUE_BYTES_MAX) {
        Some(index) => {
            let found = format!("{} bytes", values.get(index).map_or(0, String::len));
            let expected = format!("1 to {ALLOW_VALUE_BYTES_MAX}");
            Err(DocumentError::found(format!("dlp.allow_values[{index}]"), found, expected))
        }
        None => Ok(()),
    }
}

/// Whether a mask's length fits the detectors is judged when they are known.
fn check_rule(path: &str, rule: &RuleDocument) -> Checked {
    check_list(&format!("{path}.detect"), rule.detect.len(), LIST_MAX)?;
    if rule.action == RuleAction::Tokenize && rule.on != RuleDirection::Request {
        let message = "tokenize protects requests; write on: request, and use mask for answers";
        return Err(DocumentError::new(format!("{path}.on"), message));
    }
    if rule.mask.is_some() && rule.action != RuleAction::Mask {
        return Err(DocumentError::new(format!("{path}.mask"), "mask goes with action: mask"));
    }
    if let Some(mask) = rule.mask.filter(|mask| mask.keep_last > KEEP_LAST_MAX) {
        let expected = format!("at most {KEEP_LAST_MAX}");
        return Err(DocumentError::found(format!("{path}.mask.keep_last"), mask.keep_last, expected));
    }
    match rule.min_confidence.filter(|confidence| !(0.0..=1.0).contains(confidence)) {
        Some(found) => Err(DocumentError::found(format!("{path}.min_confidence"), found, "0 to 1")),
        None => Ok(()),
    }
}

/// The pattern itself is judged when it is compiled.
fn check_detector(path: &str, detector: &DetectorDocument) -> Checked {
    let clashes = catalogue().iter().any(|known| {
        std::iter::once(known.id().as_str())
            .chain(known.aliases())
            .any(|name| name.eq_ignore_ascii_case(&detector.id))
    });
    if clashes || detector.id.eq_ignore_ascii_case(HOLD_LIMIT) {
        return Err(DocumentError::found(
            format!("{path}.id"),
            &detector.id,
            "an id that no built-in detector has",
        ));
    }
    match (&detector.terms, &detector.regex) {
        (Some(_), None) => Ok(()),
        (None, Some(_)) if detector.ignore_case.is_none() => Ok(()),
        (None, Some(_)) => {
            let message = "ignore_case goes with terms; in a regex write (?i)";
            Err(DocumentError::new(format!("{path}.ignore_case"), message))
        }
        (Some(_), Some(_)) => Err(DocumentError::found(path, "both terms and regex", "one of them")),
        (None, None) => Err(DocumentError::found(path, "neither terms nor regex", "one of them")),
    }
}

fn check_budget(path: &str, budget: &BudgetDocument) -> Checked {
    check_name(&format!("{path}.id"), &budget.id)?;
    let at = format!("{path}.limit");
    let limit = budget_limit(budget)
        .ok_or_else(|| DocumentError::found(&at, limit_text(&budget.limit), limit_expected(budget.unit)))?;
    if limit == 0 {
        return Err(DocumentError::found(at, "0", "more than 0"));
    }
    if let Some(zone) = budget.time_zone.as_ref().filter(|zone| zone.parse::<Tz>().is_err()) {
        let expected = "an IANA time zone such as Europe/Berlin";
        return Err(DocumentError::found(format!("{path}.time_zone"), format!("{zone:?}"), expected));
    }
    if let Some(models) = &budget.models {
        check_models(&format!("{path}.models"), models)?;
    }
    check_count(&format!("{path}.alert_at"), budget.alert_at.len(), LIST_MAX)?;
    match budget.alert_at.iter().position(|part| !(*part > 0.0 && *part <= 1.0)) {
        Some(index) => {
            let found = budget.alert_at.get(index).copied().unwrap_or_default();
            Err(DocumentError::found(format!("{path}.alert_at[{index}]"), found, "more than 0 and at most 1"))
        }
        None => Ok(()),
    }
}

/// Returns the limit in the budget's unit; `None` if it has the wrong form for that.
pub(crate) fn budget_limit(budget: &BudgetDocument) -> Option<u64> {
    match (budget.unit, budget.limit) {
        (BudgetUnit::Usd, Limit::Dollars(amount)) => Some(amount.get()),
        (BudgetUnit::Usd, Limit::Whole(dollars)) => dollars.checked_mul(1_000_000_000),
        (BudgetUnit::Tokens | BudgetUnit::Requests, Limit::Whole(number)) => Some(number),
        (BudgetUnit::Tokens | BudgetUnit::Requests, Limit::Dollars(_)) => None,
    }
}

fn limit_text(limit: &Limit) -> String {
    match limit {
        Limit::Whole(number) => number.to_string(),
        Limit::Dollars(amount) => format!("{:?}", amount.to_string()),
    }
}

fn limit_expected(unit: BudgetUnit) -> String {
    match unit {
        BudgetUnit::Usd => "at most 18446744073 dollars".to_owned(),
        _ => format!("a whole number of {unit}, without quotes"),
    }
}

/// A price under a name that no request can have would never count.
fn check_priced_model(path: &str, model: &str) -> Checked {
    if ModelPattern::new(model).is_ok() && !model.contains('*') {
        return Ok(());
    }
    let expected = "the name of one model, as requests give it: visible characters, no *";
    Err(DocumentError::found(path, format!("{model:?}"), expected))
}

/// What nobody has named a price for is never free.
fn check_assumed_price(path: &str, price: &PriceDocument) -> Checked {
    check_price(path, price)?;
    let parts = [
        ("input_usd_per_mtok", price.input_usd_per_mtok),
        ("output_usd_per_mtok", price.output_usd_per_mtok),
    ];
    match parts.into_iter().find(|(_, Decimal(value))| *value == NanoUsd::ZERO) {
        Some((name, _)) => Err(DocumentError::found(format!("{path}.{name}"), "0", "more than 0")),
        None => Ok(()),
    }
}

fn check_price(path: &str, price: &PriceDocument) -> Checked {
    let parts: [(&str, Option<Decimal>); 7] = [
        ("input_usd_per_mtok", Some(price.input_usd_per_mtok)),
        ("output_usd_per_mtok", Some(price.output_usd_per_mtok)),
        ("cached_input_usd_per_mtok", price.cached_input_usd_per_mtok),
        ("cache_write_usd_per_mtok", price.cache_write_usd_per_mtok),
        ("long_cache_write_usd_per_mtok", price.long_cache_write_usd_per_mtok),
        ("audio_input_usd_per_mtok", price.audio_input_usd_per_mtok),
        ("audio_output_usd_per_mtok", price.audio_output_usd_per_mtok),
    ];
    if let Some((name, value)) =
        parts.into_iter().find(|(_, value)| value.is_some_and(|Decimal(value)| value > PRICE_MAX))
    {
        let found = value.map(|Decimal(value)| value).unwrap_or_default();
        return Err(DocumentError::found(
            format!("{path}.{name}"),
            found,
            format!("at most {PRICE_MAX} dollars"),
        ));
    }
    match price.max_output_tokens.filter(|tokens| tokens.get() > OUTPUT_TOKENS_MAX) {
        Some(tokens) => {
            let expected = format!("at most {OUTPUT_TOKENS_MAX}");
            Err(DocumentError::found(format!("{path}.max_output_tokens"), tokens, expected))
        }
        None => Ok(()),
    }
}

fn check_name(path: &str, name: &str) -> Checked {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=BudgetId::LENGTH_MAX).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    let expected = format!("1 to {} characters of A-Z a-z 0-9 - _ .", BudgetId::LENGTH_MAX);
    Err(DocumentError::found(path, format!("{name:?}"), expected))
}

fn check_count(path: &str, count: usize, max: usize) -> Checked {
    if count <= max {
        Ok(())
    } else {
        Err(DocumentError::found(path, format!("{count} entries"), format!("at most {max}")))
    }
}

fn check_list(path: &str, count: usize, max: usize) -> Checked {
    if count == 0 {
        return Err(DocumentError::found(path, "an empty list", "at least one entry"));
    }
    check_count(path, count, max)
}
