//! Shares the rates that are in use on this node with the other nodes, beside the requests.

use crate::metrics::Metrics;
use bulkhead_policy::limiter::{Nodes, Sharing};
use bulkhead_store::{Store, writer};
use chrono::Utc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

/// How often it is looked at what came into use; [`Sharing`] knows when to ask for what.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the database may take for an answer, which counts from when it was asked for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Rates per transaction.
const ASKS_MAX: usize = 500;

/// Asks for this node's parts of rates, as `node`, until it is aborted; `store` acts as [`bulkhead_store::Role::Writer`].
pub async fn share_rates(store: Store, node: Uuid, nodes: Nodes, metrics: Arc<Metrics>) {
    let mut sharing = Sharing::new(nodes);
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_away = false;
    loop {
        look.tick().await;
        for asks in sharing.asks(Utc::now()).chunks(ASKS_MAX) {
            let asked_at = Utc::now();
            sharing.expire(asked_at);
            let answer = writer::share_rates(&store, node, sharing.nodes(), asks);
            let error = match timeout(PATIENCE, answer).await {
                Ok(Ok(parts)) => {
                    sharing.answered(asks, &parts, asked_at, Utc::now());
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the database does not answer".to_owned()),
            };
            let outcome = if error.is_none() { "answered" } else { "failed" };
            metrics.rate_rounds.with_label_values(&[outcome]).inc();
            if let Some(error) = error.as_ref().filter(|_| !is_away) {
                tracing::warn!(error, "this node goes by an equal part of each rate");
            }
            is_away = error.is_some();
            if is_away {
                // What is left waits for the next round, and is not trusted for longer than it may be meanwhile.
                break;
            }
        }
    }
}
