//! `bulkhead trace`: what happened to requests.

mod dead_letters;
mod describe;
mod reveal;

use bulkhead_policy::ids::TraceId;
use bulkhead_policy::ledger::Alert;
use bulkhead_policy::trace::Outcome;
use bulkhead_store::tenant::{TenantTx, TraceFilter, TracePage, TraceSummary};
use bulkhead_store::{StoreError, system};
use chrono::{DateTime, Days, Utc};
use clap::Subcommand;
use dead_letters::DeadLetterArgs;
use serde_json::{Value, json};

use crate::context::{DatabaseArgs, MasterKeyArgs, TenantArgs, actor, block_on, named};
use crate::duration;
use crate::failure::Failure;
use crate::output::{Format, Table, moment, or_dash, print, print_json, print_list, print_one, printable};

#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// List requests, newest first
    ///
    /// Filters narrow the list together. The next page begins after the last trace of this one: `--after` its id.
    List {
        /// At most this many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only from this time on: 15m, 24h, 7d ago, or 2026-01-31T18:00:00Z
        #[arg(long, value_name = "TIME", value_parser = duration::parse_moment)]
        since: Option<DateTime<Utc>>,
        /// Only before this time, written likewise
        #[arg(long, value_name = "TIME", value_parser = duration::parse_moment)]
        until: Option<DateTime<Utc>>,
        /// Only this agent's
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// Only with this outcome
        #[arg(long, value_parser = outcome)]
        outcome: Option<Outcome>,
        /// Only those in which this detector found something
        #[arg(long, value_name = "ID")]
        detector: Option<String>,
        /// Only those that asked for this model
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,
        /// Go on after this trace: the last of the page before
        #[arg(long, value_name = "ID")]
        after: Option<TraceId>,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Drop the traces of all tenants that are older than a number of days, day by day
    Prune {
        /// Days to keep; today is not counted
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        keep_days: u32,
        /// Days to keep bodies, if fewer
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        keep_body_days: Option<u32>,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List traces that the database will never take, which a node keeps in its spool's folder
    ///
    /// The folder's newest 16 to 32 MiB of them are kept. What another key or another version had to read can be tried again.
    DeadLetters(DeadLetterArgs),
    /// Show one request in full
    Show {
        /// Its id: what the answer's `x-request-id` says
        id: TraceId,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Show the original bodies of one request, which its policy has sealed
    ///
    /// The reason is in the audit trail before anything is read.
    Reveal {
        /// The request's id
        id: TraceId,
        /// Why, for the audit trail: at least 8 characters
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        tenant: TenantArgs,
        #[command(flatten)]
        master_key: MasterKeyArgs,
    },
}

pub(crate) fn run(command: TraceCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            TraceCommand::List { limit, since, until, agent, outcome, detector, model, after, tenant } => {
                let filter =
                    TraceFilter { since, until, outcome, detector, model, limit, ..TraceFilter::default() };
                list(filter, agent.as_deref(), after, &tenant, format).await
            }
            TraceCommand::Prune { keep_days, keep_body_days, database } => {
                prune(keep_days, keep_body_days, &database, format).await
            }
            TraceCommand::DeadLetters(args) => dead_letters::run(args, format),
            TraceCommand::Show { id, tenant } => show(id, &tenant, format).await,
            TraceCommand::Reveal { id, reason, tenant, master_key } => {
                reveal::run(id, &reason, &tenant, &master_key, format).await
            }
        }
    })
}

/// An operator's doing, hence in the audit trail; what nodes remove by themselves they remove with a lesser role.
async fn prune(
    keep_days: u32,
    keep_body_days: Option<u32>,
    database: &DatabaseArgs,
    format: Format,
) -> Result<(), Failure> {
    let stores = database.connect_to_all().await?;
    let before = |days: u32| Utc::now().date_naive() - Days::new(days.into());
    let (traces, bodies) = (before(keep_days), keep_body_days.map(before));
    let mut days = 0;
    for store in &stores {
        days += system::drop_partitions(store, &actor(), traces).await?;
    }
    let mut text = format!("dropped {days} days of traces before {traces}");
    let mut body_days = 0;
    if let Some(bodies) = bodies {
        for store in &stores {
            body_days += system::drop_body_partitions(store, &actor(), bodies).await?;
        }
        text.push_str(&format!(" and {body_days} days of bodies before {bodies}"));
    }
    let value = json!({
        "before": traces, "days_dropped": days, "bodies_before": bodies, "body_days_dropped": body_days,
    });
    print_one(format, &text, &value)
}

async fn list(
    mut filter: TraceFilter,
    agent: Option<&str>,
    after: Option<TraceId>,
    tenant: &TenantArgs,
    format: Format,
) -> Result<(), Failure> {
    let scope = tenant.connect().await?;
    if let Some(name) = agent {
        let found = scope.begin().await?.agent_by_name(name).await;
        filter.agent = Some(found.map_err(|error| named(error, name))?.id);
    }
    let mut places = scope.begin_in_each().await?;
    if let Some(id) = after {
        filter.after = Some(in_any(&mut places, id, async |tx| tx.trace_cursor(id).await).await?);
    }
    let mut pages = Vec::new();
    for tx in &mut places {
        pages.push(tx.traces(&filter).await?);
    }
    let page = TracePage::merged(pages, filter.limit);
    let mut table = Table::new(&[
        "TIME",
        "ID",
        "OPERATION",
        "MODEL",
        "STATUS",
        "OUTCOME",
        "REASON",
        "IN",
        "OUT",
        "COST",
        "MS",
        "FINDINGS",
    ]);
    for trace in &page.traces {
        table.row([
            moment(trace.at),
            trace.id.to_string(),
            trace.operation.clone(),
            or_dash(trace.model_asked.as_deref()),
            trace.status.to_string(),
            trace.outcome.to_string(),
            or_dash(trace.reason.as_deref()),
            trace.input_tokens.to_string(),
            trace.output_tokens.to_string(),
            trace.cost.to_string(),
            milliseconds(trace.total_micros),
            trace.findings_total.to_string(),
        ]);
    }
    print_list(format, &table, &page.traces.iter().map(summary_json).collect::<Vec<_>>())?;
    match page.next {
        Some(next) if format == Format::People => print(&format!("older ones: add --after {}\n", next.id)),
        _ => Ok(()),
    }
}

/// Asks each database that traces of the tenant may be in for one of them.
async fn in_any<T>(
    places: &mut [TenantTx],
    id: TraceId,
    ask: impl AsyncFn(&mut TenantTx) -> Result<T, StoreError>,
) -> Result<T, Failure> {
    let mut absent = StoreError::NotFound { what: "trace" };
    for tx in places {
        match ask(tx).await {
            Err(error @ StoreError::NotFound { .. }) => absent = error,
            found => return found.map_err(Failure::from),
        }
    }
    Err(named(absent, &id.to_string()))
}

async fn show(id: TraceId, tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let scope = tenant.connect().await?;
    let mut places = scope.begin_in_each().await?;
    let found =
        in_any(&mut places, id, async |tx| Ok((tx.trace(id).await?, tx.has_sealed_bodies(id).await?)));
    let (record, has_originals) = found.await?;
    let alerts = scope.begin().await?.budget_alerts_of(id).await?;
    match format {
        Format::Machines => {
            let mut value = serde_json::to_value(&record)?;
            if let Some(fields) = value.as_object_mut() {
                fields.insert("has_originals".to_owned(), has_originals.into());
                fields.insert("alerts".to_owned(), alerts.iter().map(alert_json).collect());
            }
            print_json(&value)
        }
        Format::People => {
            print(&describe::trace(&record, &alerts))?;
            if has_originals {
                print(&format!("\nthe originals are sealed: bulkhead trace reveal {id} --reason TEXT\n"))?;
            }
            Ok(())
        }
    }
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros % 1000 / 100)
}

fn summary_json(trace: &TraceSummary) -> Value {
    json!({
        "id": trace.id, "at": trace.at, "agent": trace.agent, "operation": trace.operation,
        "model_asked": trace.model_asked, "upstream": trace.upstream, "status": trace.status,
        "outcome": trace.outcome, "reason": trace.reason, "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens, "cost_usd": trace.cost.to_string(),
        "overhead_micros": trace.overhead_micros, "total_micros": trace.total_micros,
        "findings_total": trace.findings_total,
    })
}

/// Amounts in the budget's unit: nano-dollars, tokens or requests.
fn alert_json(alert: &Alert) -> Value {
    let Alert { key, unit, window_start, line, limit, used, .. } = alert;
    json!({
        "budget": key.budget.as_str(), "subject": key.subject, "unit": unit, "window_start": window_start, "line": line,
        "limit": limit, "used": used,
    })
}

fn outcome(text: &str) -> Result<Outcome, String> {
    text.parse().map_err(|_| {
        let allowed: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        format!("expected one of {}", allowed.join(", "))
    })
}
