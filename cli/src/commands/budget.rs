//! `bulkhead budget`: what may be spent, and what was.

use bulkhead_policy::compile::Layer as CompileLayer;
use bulkhead_policy::document::PolicyDocument;
use bulkhead_policy::ledger::{BudgetScope, BudgetSpec, BudgetUnit, LedgerUsage, Subject};
use bulkhead_policy::money::NanoUsd;
use bulkhead_store::tenant::{Agent, Layer, TenantTx};
use bulkhead_store::{Role, system};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::context::{TenantArgs, block_on};
use crate::duration;
use crate::failure::Failure;
use crate::output::{Format, Table, moment, or_dash, print_list};
use crate::policy_file::{self, Upstreams};

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetCommand {
    /// Show each budget's current window: what is used, what is left, and when it begins anew
    ///
    /// As stored: answers of the last moments are on their way, and what nodes hold for running requests is not in it.
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
}

pub(crate) fn run(command: BudgetCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            BudgetCommand::Status { tenant } => status(&tenant, format).await,
            BudgetCommand::History { since, tenant } => history(Utc::now() - since, &tenant, format).await,
        }
    })
}

/// One budget of one subject.
struct Line {
    spec: BudgetSpec,
    subject: Subject,
    who: String,
    used: u64,
    window_start: DateTime<Utc>,
    resets_at: Option<DateTime<Utc>>,
}

async fn status(tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let platform = tenant.database.connect(Role::Migrator).await?;
    let floor = system::platform_policy(&platform).await?;
    platform.close().await;
    let floor = floor.map(|policy| parse(&policy.document, "the platform's policy")).transpose()?;
    let mut tx = tenant.begin().await?;
    let lines = lines(&mut tx, floor.as_ref(), Utc::now()).await?;
    let mut table = Table::new(&[
        "BUDGET",
        "OF",
        "UNIT",
        "USED",
        "LIMIT",
        "LEFT",
        "WINDOW SINCE",
        "RESETS",
        "AT THE LIMIT",
    ]);
    let mut values = Vec::new();
    for line in &lines {
        let (unit, left) = (line.spec.unit, line.spec.limit.saturating_sub(line.used));
        let value = serde_json::to_value(line.spec.at_limit)?;
        table.row([
            line.spec.id.to_string(),
            line.who.clone(),
            unit.to_string(),
            amount(unit, line.used),
            amount(unit, line.spec.limit),
            amount(unit, left),
            moment(line.window_start),
            or_dash(line.resets_at.map(moment)),
            value.as_str().unwrap_or_default().to_owned(),
        ]);
        values.push(json!({
            "budget": line.spec.id.as_str(), "subject": line.subject, "name": line.who, "unit": unit,
            "used": number(unit, line.used), "limit": number(unit, line.spec.limit), "left": number(unit, left),
            "window_start": line.window_start, "resets_at": line.resets_at, "at_limit": value,
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
        let policy = policy_file::compile_layers(&layers, None, Upstreams::Anywhere, "the policy in force")?;
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
    usage: &[LedgerUsage],
) -> Result<Vec<(Subject, String)>, Failure> {
    Ok(match (spec.scope, agent) {
        (BudgetScope::Tenant, _) => vec![(Subject::Tenant, "tenant".to_owned())],
        (_, None) => Vec::new(),
        (BudgetScope::Agent, Some(agent)) => {
            vec![(Subject::Agent(agent.id), format!("agent {}", agent.name))]
        }
        (BudgetScope::Key, Some(agent)) => {
            let keys = tx.keys(Some(agent.id)).await?.into_iter().map(|key| Subject::Key(key.id));
            let used = keys
                .filter(|key| usage.iter().any(|row| row.key.budget == spec.id && row.key.subject == *key));
            used.map(|key| (key, key.to_string().replacen(':', " ", 1))).collect()
        }
    })
}

fn line(spec: &BudgetSpec, subject: Subject, who: String, usage: &[LedgerUsage], now: DateTime<Utc>) -> Line {
    let bounds = spec.window.bounds(spec.time_zone, now);
    let row = usage.iter().find(|row| {
        row.key.budget == spec.id
            && row.key.subject == subject
            && row.unit == spec.unit
            && row.window_start == bounds.start
    });
    Line {
        spec: spec.clone(),
        subject,
        who,
        used: row.map_or(0, |row| row.amount),
        window_start: bounds.start,
        resets_at: bounds.end,
    }
}

async fn document(tx: &mut TenantTx, layer: Layer) -> Result<Option<PolicyDocument>, Failure> {
    match tx.active_policy(layer).await? {
        Some(version) => parse(&tx.policy_document(version).await?, "the policy in force").map(Some),
        None => Ok(None),
    }
}

fn parse(text: &str, source: &str) -> Result<PolicyDocument, Failure> {
    // What is in force was judged when it was published.
    policy_file::parse(text, Upstreams::Anywhere, source)
}

async fn history(since: DateTime<Utc>, tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let mut tx = tenant.begin().await?;
    let agents = tx.agents().await?;
    let mut usage = tx.budget_usage(since).await?;
    usage.sort_by(|a, b| b.window_start.cmp(&a.window_start).then_with(|| a.key.cmp(&b.key)));
    let mut table = Table::new(&["WINDOW SINCE", "BUDGET", "OF", "UNIT", "USED"]);
    let mut values: Vec<Value> = Vec::new();
    for row in &usage {
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
            amount(row.unit, row.amount),
        ]);
        values.push(json!({
            "window_start": row.window_start, "budget": row.key.budget.as_str(), "subject": row.key.subject, "name": who,
            "unit": row.unit, "used": number(row.unit, row.amount),
        }));
    }
    print_list(format, &table, &values)
}

/// Dollars with their decimals; tokens and requests as counts.
fn amount(unit: BudgetUnit, amount: u64) -> String {
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
