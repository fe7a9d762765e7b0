//! One request in full, for people.

use bulkhead_policy::ledger::Alert;
use bulkhead_policy::trace::{BudgetRecord, TraceRecord};

use super::super::budget::amount;
use super::{milliseconds, printable_lines};
use crate::output::{moment, or_dash, printable};

/// How a budget stood, as the node knew it.
fn standing(record: &BudgetRecord) -> String {
    let BudgetRecord { budget, subject, unit, limit, used_before, used_after, .. } = record;
    let [before, after, limit] = [used_before, used_after, limit].map(|number| amount(*unit, *number));
    let unreachable =
        if record.unreachable { "; admitted although nobody could say what is left" } else { "" };
    format!("{budget} of {subject}: {before} used before, {after} after, of {limit} {unit}{unreachable}")
}

/// Writes down a trace, line by line.
pub(super) fn trace(record: &TraceRecord, alerts: &[Alert]) -> String {
    let tokens = &record.tokens;
    let estimated = if tokens.estimated { " (counted here, not by the provider)" } else { "" };
    let lines = [
        ("id", record.id.to_string()),
        ("time", moment(record.at)),
        ("agent", or_dash(record.agent)),
        ("key", or_dash(record.key)),
        ("policy revision", record.policy_revision.to_string()),
        (
            "call",
            format!(
                "{} {}{}",
                record.dialect,
                record.operation,
                if record.streamed { ", streamed" } else { "" }
            ),
        ),
        ("model asked", or_dash(record.model_asked.as_deref())),
        ("model served", or_dash(record.model_served.as_deref())),
        ("upstream", format!("{} ({} attempts)", or_dash(record.upstream.as_deref()), record.attempts)),
        ("status", record.status.to_string()),
        ("outcome", format!("{} {}", record.outcome, record.reason.as_deref().unwrap_or_default())),
        (
            "tokens",
            format!(
                "{} in ({} cached), {} out ({} reasoning){estimated}",
                tokens.input, tokens.cached_input, tokens.output, tokens.reasoning
            ),
        ),
        ("cost", record.cost.to_string()),
        (
            "milliseconds",
            format!(
                "{} total, {} to the first byte, {} of them ours",
                milliseconds(record.timings.total_micros),
                or_dash(record.timings.first_byte_micros.map(milliseconds)),
                milliseconds(record.timings.overhead_micros)
            ),
        ),
        ("bytes", format!("{} in, {} out", record.request_bytes, record.response_bytes)),
        ("inspected", if record.uninspected { "not everything" } else { "everything" }.to_owned()),
        ("findings", record.findings_total.to_string()),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        text.push_str(&format!("{name:16} {}\n", printable(value.trim_end())));
    }
    for budget in &record.budgets {
        text.push_str(&format!("{:16} {}\n", "budget", printable(&standing(budget))));
    }
    for Alert { key, unit, line, limit, used, .. } in alerts {
        let (line, limit, used) = (amount(*unit, *line), amount(*unit, *limit), amount(*unit, *used));
        let told =
            format!("{} of {}: {used} used, which is {line} of {limit} or more", key.budget, key.subject);
        text.push_str(&format!("{:16} {}\n", "passed an alert", printable(&told)));
    }
    for finding in &record.findings {
        text.push_str(&format!(
            "  {} {} in the {} ({}), bytes {}..{}{}\n",
            finding.action,
            finding.detector,
            finding.direction.as_str(),
            printable(&finding.channel),
            finding.start,
            finding.end,
            finding.fingerprint.as_deref().map(|value| format!(", value {value}")).unwrap_or_default()
        ));
    }
    if let Some(bodies) = &record.bodies {
        for (name, body) in [("request", &bodies.request), ("answer", &bodies.response)] {
            if let Some(body) = body {
                let cut = if bodies.truncated { ", perhaps cut" } else { "" };
                text.push_str(&format!("\n{name} as it left{cut}:\n{}\n", printable_lines(body)));
            }
        }
    }
    text
}
