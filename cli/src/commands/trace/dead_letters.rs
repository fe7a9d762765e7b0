//! `bulkhead trace dead-letters`: what a node could not have stored, to be looked at, tried again or removed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bulkhead_policy::ids::{TenantId, TraceId};
use bulkhead_proxy::{SpoolError, answer_dead_letter_requests, spooled_id};
use bulkhead_spool::{DeadLetter, DeadLetterRequest, OpenError};
use chrono::DateTime;
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use crate::dev_state::{DATA_DIR_DEFAULT, DataDir, SPOOL};
use crate::failure::Failure;
use crate::output::{Format, Table, moment, print_list, print_one};

#[derive(Debug, Args)]
pub(crate) struct DeadLetterArgs {
    /// The spool's folder; without it, that of the `bulkhead dev` in the data dir
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// The data dir of a `bulkhead dev`
    #[arg(long, default_value = DATA_DIR_DEFAULT, value_name = "DIR")]
    data_dir: PathBuf,
    /// Hand all of them back to the node that has the folder, or to the next one: it stores them, or sets them aside once more
    #[arg(long, conflicts_with = "clear")]
    retry: bool,
    /// Remove all of them
    #[arg(long, requires = "yes_clear")]
    clear: bool,
    /// How many are listed: nothing brings them back
    #[arg(long, requires = "clear", value_name = "COUNT")]
    yes_clear: Option<usize>,
}

/// Asks no database, which has nothing of them. The node may be running or not.
pub(super) fn run(args: DeadLetterArgs, format: Format) -> Result<(), Failure> {
    let folder = args.spool.unwrap_or_else(|| DataDir::new(&args.data_dir).file(SPOOL));
    let wrong = |reason: std::io::Error| Failure::Usage(format!("--spool {}: {reason}", folder.display()));
    std::fs::read_dir(&folder).map_err(wrong)?;
    let letters = listed(bulkhead_spool::read_dead_letters(&folder).map_err(wrong)?);
    let count = letters.len();
    if let Some(confirmed) = args.yes_clear.filter(|confirmed| *confirmed != count) {
        return Err(Failure::Usage(format!("--yes-clear: {confirmed} is not how many are listed, {count}")));
    }
    match (args.retry, args.clear) {
        (true, _) => ask(&folder, DeadLetterRequest::Retry, count, format),
        (_, true) => ask(&folder, DeadLetterRequest::Clear, count, format),
        (false, false) => list(&letters, format),
    }
}

/// The letters with their traces' ids.
fn listed(letters: Vec<DeadLetter>) -> Vec<(Option<TraceId>, DeadLetter)> {
    let mut seen = HashSet::new();
    let letters = letters.into_iter().map(|letter| (spooled_id(&letter.record), letter));
    // Set aside once more after a crash.
    letters.filter(|(id, _)| id.is_none_or(|id| seen.insert(id))).collect()
}

fn list(letters: &[(Option<TraceId>, DeadLetter)], format: Format) -> Result<(), Failure> {
    let mut table = Table::new(&["TIME", "ID", "TENANT", "REASON"]);
    let mut values = Vec::new();
    for (id, letter) in letters {
        let at = i64::try_from(letter.record.at_millis).ok().and_then(DateTime::from_timestamp_millis);
        let tenant = TenantId::from_uuid(Uuid::from_bytes(letter.record.owner.0));
        table.row([
            at.map_or_else(|| "-".to_owned(), moment),
            id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            tenant.to_string(),
            letter.reason.clone(),
        ]);
        values.push(json!({ "at": at, "id": id, "tenant": tenant, "reason": letter.reason }));
    }
    print_list(format, &table, &values)
}

/// A node that runs has the folder to itself, so it is asked. Where none does, its next start need not be waited for.
fn ask(folder: &Path, request: DeadLetterRequest, count: usize, format: Format) -> Result<(), Failure> {
    let mut is_node_asked = false;
    if count > 0 {
        let wrong = |reason: &dyn std::fmt::Display| {
            Failure::Usage(format!("--spool {}: {reason}", folder.display()))
        };
        request.leave(folder).map_err(|reason| wrong(&reason))?;
        match answer_dead_letter_requests(folder) {
            Ok(()) => {}
            Err(SpoolError::Folder(OpenError::InUse { .. })) => is_node_asked = true,
            Err(error) => return Err(wrong(&error)),
        }
    }
    let when = match (request, is_node_asked) {
        _ if count == 0 => "there are none",
        (DeadLetterRequest::Retry, true) => "the node that runs here tries them again within a second",
        (DeadLetterRequest::Retry, false) => "the next node that starts here tries them again",
        (DeadLetterRequest::Clear, true) => "the node that runs here removes them within a second",
        (DeadLetterRequest::Clear, false) => "removed",
    };
    let value = json!({ "dead_letters": count, "node_asked": is_node_asked });
    print_one(format, &format!("{count} dead letters: {when}"), &value)
}
