//! Callers that ask again and again, and remember what they got.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, Ended};
use crate::shapes::{chat, streamed};
use crate::{eventually, runtime};

/// A request that was answered to its last byte.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its trace.
    pub id: String,
    /// From the connection's opening to the last byte.
    pub took: Duration,
}

/// Callers at work; every other one asks for a stream.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<Mutex<Vec<Answered>>>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Starts so many callers, each of which waits for `pace` after an answer.
    pub fn start(client: &Client, callers: usize, pace: Duration, model: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(Mutex::new(Vec::new()));
        let caller = |number: usize| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let (client, request) = (client.clone(), chat(model, "hi"));
            let request = if number.is_multiple_of(2) { request } else { streamed(request) };
            runtime().spawn(async move {
                while !stop.load(Ordering::Acquire) {
                    match ask(&client, &request).await {
                        Some(answer) => {
                            answered.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
                            tokio::time::sleep(pace).await;
                        }
                        // Killed meanwhile: nobody listens until it is started again.
                        None => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
            })
        };
        let callers = (0..callers).map(caller).collect();
        Self { stop, answered, callers }
    }

    /// How many requests were answered so far.
    pub fn count(&self) -> usize {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until so many more requests were answered.
    pub async fn more(&self, count: usize) {
        let wanted = self.count() + count;
        eventually("more answers", || async { (self.count() >= wanted).then_some(()) }).await;
    }

    /// Ends the callers and returns what they got.
    pub async fn stop(self) -> Vec<Answered> {
        self.stop.store(true, Ordering::Release);
        for caller in self.callers {
            caller.await.expect("a caller");
        }
        std::mem::take(&mut *self.answered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One request; `None` unless it was answered to its last byte.
async fn ask(client: &Client, request: &Value) -> Option<Answered> {
    let started = Instant::now();
    let mut live = client.try_connect().await?;
    let call = client.call("POST", "/v1/chat/completions").json(request);
    if !live.try_send(&call).await {
        return None;
    }
    let reply = live.rest().await;
    let is_whole = reply.status == 200 && reply.ended == Ended::Complete;
    is_whole.then(|| Answered { id: reply.trace_id(), took: started.elapsed() })
}
