//! `bulkhead budget`: what may be spent, and what was.

use bulkhead_policy::address::Reach;
use bulkhead_policy::compile::Layer as CompileLayer;
use bulkhead_policy::document::PolicyDocument;
use bulkhead_policy::ledger::{BudgetScope, BudgetSpec, BudgetUnit, Subject};
use bulkhead_policy::money::NanoUsd;
use bulkhead_store::tenant::{Adjustment, Agent, BudgetUse, Layer, TenantTx};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::context::{TenantArgs, actor, block_on};
use crate::duration;
use crate::failure::Failure;
use crate::output::{Format, Table, moment, or_dash, print_list, print_one};
use crate::policy_file;
use crate::policy_in_force::{self, document};

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetCommand {
    /// Show each budget's current window: what is used, what is left, and when it begins anew
    ///
    /// As stored: answers of the last moments are on their way. What is leased is held by nodes: for running requests, for what comes
    /// next, and what was spent and is not stored yet. What nodes held that have died is lost: it counts as used, and nobody knows whether
    /// it was.
    Status {
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Show what was used in each window, the newest first; of budgets that are gone too
    History {
        /// Windows that began in the last 24h, 30d; at most 60 days are kept
        #[arg(long, default_value = "30d", value_name = "SPAN", value_parser = duration::parse)]
        since: TimeDelta,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Change what counts as used in a budget's current window, and say why in the audit trail
    ///
    /// Nodes go by it with the next share they ask for, within seconds; what they hold already they may still spend.
    Adjust {
        /// The budget's id, as `budget status` names it
        budget: String,
        /// Dollars, tokens or requests to count as used; below zero: to count no more
        #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
        by: String,
        /// Why
        #[arg(long)]
        reason: String,
        /// Whose count, as `budget status` names it: tenant, agent NAME, key ID
        #[arg(long, default_value = "tenant", value_name = "WHO")]
        of: String,
        #[command(flatten)]
        tenant: TenantArgs,
    },
}

pub(crate) fn run(command: BudgetCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            BudgetCommand::Status { tenant } => status(&tenant, format).await,
            BudgetCommand::History { since, tenant } => history(Utc::now() - since, &tenant, format).await,
            BudgetCommand::Adjust { budget, by, reason, of, tenant } => {
                adjust(&tenant, &budget, &of, (&by, &reason), format).await
            }
        }
    })
}

/// One budget of one subject.
struct Line {
    spec: BudgetSpec,
    subject: Subject,
    who: String,
    used: u64,
    leased: u64,
    lost: u64,
    window_start: DateTime<Utc>,
    resets_at: Option<DateTime<Utc>>,
}

/// All budgets in force, with what is used of them now, and the transaction that saw it.
async fn current(tenant: &TenantArgs) -> Result<(TenantTx, Vec<Line>), Failure> {
    let floor = policy_in_force::platform(&tenant.database).await?;
    let mut tx = tenant.begin().await?;
    let lines = lines(&mut tx, floor.as_ref(), Utc::now()).await?;
    Ok((tx, lines))
}

async fn status(tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let (_, lines) = current(tenant).await?;
    let mut table = Table::new(&[
        "BUDGET",
        "OF",
        "UNIT",
        "USED",
        "LEASED",
        "LOST",
        "LIMIT",
        "LEFT",
        "WINDOW SINCE",
        "RESETS",
        "AT THE LIMIT",
    ]);
    let mut values = Vec::new();
    for line in &lines {
        let models: Vec<String> = line.spec.models.iter().map(ToString::to_string).collect();
        let who =
            if models.is_empty() { line.who.clone() } else { format!("{}, {}", line.who, models.join(" ")) };
        let (unit, left) =
            (line.spec.unit, line.spec.limit.saturating_sub(line.used.saturating_add(line.leased)));
        let value = serde_json::to_value(line.spec.at_limit)?;
        table.row([
            line.spec.id.to_string(),
            who,
            unit.to_string(),
            amount(unit, line.used),
            amount(unit, line.leased),
            amount(unit, line.lost),
            amount(unit, line.spec.limit),
            amount(unit, left),
            moment(line.window_start),
            or_dash(line.resets_at.map(moment)),
            value.as_str().unwrap_or_default().to_owned(),
        ]);
        values.push(json!({
            "budget": line.spec.id.as_str(), "subject": line.subject, "name": line.who, "unit": unit,
            "used": number(unit, line.used), "leased": number(unit, line.leased), "lost": number(unit, line.lost), "limit": number(unit, line.spec.limit), "left": number(unit, left),
            "window_start": line.window_start, "resets_at": line.resets_at, "at_limit": value, "models": models,
        }));
    }
    print_list(format, &table, &values)
}

/// All budgets in force, with what is used of them now.
async fn lines(
    tx: &mut TenantTx,
    floor: Option<&PolicyDocument>,
    now: DateTime<Utc>,
) -> Result<Vec<Line>, Failure> {
    let own = document(tx, Layer::Tenant).await?;
    let agents = tx.agents().await?;
    let usage = tx.budget_usage(DateTime::UNIX_EPOCH).await?;
    let mut lines: Vec<Line> = Vec::new();
    // First for the tenant itself, which may have no agent yet.
    for agent in [None].into_iter().chain(agents.iter().map(Some)) {
        let narrowed = match agent {
            Some(agent) => document(tx, Layer::Agent(agent.id)).await?,
            None => None,
        };
        let layers: Vec<(CompileLayer, &PolicyDocument)> = [
            (CompileLayer::Platform, floor),
            (CompileLayer::Tenant, own.as_ref()),
            (CompileLayer::Agent, narrowed.as_ref()),
        ]
        .into_iter()
        .filter_map(|(layer, document)| Some((layer, document?)))
        .collect();
        let policy = policy_file::compile_layers(&layers, None, &Reach::Anywhere, "the policy in force")?;
        for spec in policy.budgets() {
            for (subject, who) in subjects(tx, spec, agent, &usage).await? {
                let is_new = !lines.iter().any(|line| line.spec.id == spec.id && line.subject == subject);
                // A budget over the tenant is stated for every agent and counted once.
                if is_new {
                    lines.push(line(spec, subject, who, &usage, now));
                }
            }
        }
    }
    Ok(lines)
}

/// Whom a budget counts for, as far as one agent is concerned; of its keys those that have used it.
async fn subjects(
    tx: &mut TenantTx,
    spec: &BudgetSpec,
    agent: Option<&Agent>,
    usage: &[BudgetUse],
) -> Result<Vec<(Subject, String)>, Failure> {
    Ok(match (spec.scope, agent) {
        (BudgetScope::Tenant, _) => vec![(Subject::Tenant, "tenant".to_owned())],
        (_, None) => Vec::new(),
        (BudgetScope::Agent, Some(agent)) => {
            vec![(Subject::Agent(agent.id), format!("agent {}", agent.name))]
        }
        (BudgetScope::Key, Some(agent)) => {
            let keys = tx.keys(Some(agent.id)).await?.into_iter().map(|key| Subject::Key(key.id));
            let used = keys.filter(|key| {
                usage.iter().any(|row| row.usage.key.budget == spec.id && row.usage.key.subject == *key)
            });
            used.map(|key| (key, key.to_string().replacen(':', " ", 1))).collect()
        }
    })
}

fn line(spec: &BudgetSpec, subject: Subject, who: String, usage: &[BudgetUse], now: DateTime<Utc>) -> Line {
    let bounds = spec.window.bounds(spec.time_zone, now);
    let row = usage.iter().find(|row| {
        let row = &row.usage;
        row.key.budget == spec.id
            && row.key.subject == subject
            && row.unit == spec.unit
            && row.window_start == bounds.start
    });
    Line {
        spec: spec.clone(),
        subject,
        who,
        used: row.map_or(0, |row| row.usage.amount.saturating_add(row.lost)),
        leased: row.map_or(0, |row| row.leased),
        lost: row.map_or(0, |row| row.lost),
        window_start: bounds.start,
        resets_at: bounds.end,
    }
}

async fn history(since: DateTime<Utc>, tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let mut tx = tenant.begin().await?;
    let agents = tx.agents().await?;
    let mut usage = tx.budget_usage(since).await?;
    usage.sort_by(|a, b| {
        b.usage.window_start.cmp(&a.usage.window_start).then_with(|| a.usage.key.cmp(&b.usage.key))
    });
    let mut table = Table::new(&["WINDOW SINCE", "BUDGET", "OF", "UNIT", "USED"]);
    let mut values: Vec<Value> = Vec::new();
    for BudgetUse { usage: row, lost, .. } in &usage {
        let used = row.amount.saturating_add(*lost);
        let who = match row.key.subject {
            Subject::Agent(id) => agents
                .iter()
                .find(|agent| agent.id == id)
                .map_or_else(|| format!("agent {id}"), |agent| format!("agent {}", agent.name)),
            subject => subject.to_string().replacen(':', " ", 1),
        };
        table.row([
            moment(row.window_start),
            row.key.budget.to_string(),
            who.clone(),
            row.unit.to_string(),
            amount(row.unit, used),
        ]);
        values.push(json!({
            "window_start": row.window_start, "budget": row.key.budget.as_str(), "subject": row.key.subject, "name": who,
            "unit": row.unit, "used": number(row.unit, used),
        }));
    }
    print_list(format, &table, &values)
}

async fn adjust(
    tenant: &TenantArgs,
    budget: &str,
    of: &str,
    (by, reason): (&str, &str),
    format: Format,
) -> Result<(), Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::Usage("--reason: say why, for the audit trail".to_owned()));
    }
    let (mut tx, lines) = current(tenant).await?;
    let Some(line) = lines.iter().find(|line| line.spec.id.as_str() == budget && line.who == of) else {
        let known: Vec<_> = lines.iter().map(|line| format!("{} of {}", line.spec.id, line.who)).collect();
        let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
        return Err(Failure::Usage(format!("no budget {budget} of {of:?}; budgets in use: {known}")));
    };
    let unit = line.spec.unit;
    let change = change(unit, by)?;
    let adjustment = Adjustment {
        budget: &line.spec.id,
        subject: line.subject,
        unit,
        window_start: line.window_start,
        by: change,
        reason,
    };
    let used = tx.adjust_budget(&actor(), &adjustment).await?;
    tx.commit().await?;
    let text =
        format!("{budget} of {of}: {} {unit} used since {}", amount(unit, used), moment(line.window_start));
    let value = json!({
        "budget": budget, "subject": line.subject, "unit": unit, "window_start": line.window_start,
        "used": number(unit, used),
    });
    print_one(format, &text, &value)
}

/// Reads an amount with a sign.
fn change(unit: BudgetUnit, text: &str) -> Result<i64, Failure> {
    let (is_less, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let amount = match unit {
        BudgetUnit::Usd => digits.parse::<NanoUsd>().ok().map(NanoUsd::get),
        BudgetUnit::Tokens | BudgetUnit::Requests => digits.parse().ok(),
    };
    let amount = amount.and_then(|amount| i64::try_from(amount).ok()).filter(|amount| *amount > 0);
    let Some(amount) = amount else {
        return Err(Failure::Usage(format!(
            "--by: found {text:?}, expected an amount in {unit} other than 0, such as 12 or -12"
        )));
    };
    Ok(if is_less { -amount } else { amount })
}

/// Dollars with their decimals; tokens and requests as counts.
pub(super) fn amount(unit: BudgetUnit, amount: u64) -> String {
    match unit {
        BudgetUnit::Usd => NanoUsd::new(amount).to_string(),
        BudgetUnit::Tokens | BudgetUnit::Requests => amount.to_string(),
    }
}

/// Dollars as text, because no float holds them; counts as numbers.
fn number(unit: BudgetUnit, amount: u64) -> Value {
    match unit {
        BudgetUnit::Usd => NanoUsd::new(amount).to_string().into(),
        BudgetUnit::Tokens | BudgetUnit::Requests => amount.into(),
    }
}
