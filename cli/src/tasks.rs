//! Tasks without which a node must not go on: a policy feed that is gone would leave revoked keys working.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Starts tasks and hears of the first that ends, however it does.
pub(crate) struct Tasks {
    tells: mpsc::UnboundedSender<&'static str>,
    ended: mpsc::UnboundedReceiver<&'static str>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        let (tells, ended) = mpsc::unbounded_channel();
        Self { tells, ended }
    }

    /// Starts a task; the caller waits for it or ends it.
    pub(crate) fn start(
        &self,
        runtime: &Handle,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let tells = TellsWhenDropped { name, tells: self.tells.clone() };
        runtime.spawn(async move {
            let _dropped_at_the_end_and_by_a_panic = tells;
            work.await;
        })
    }

    /// Waits for the first task that ends and gives its name.
    pub(crate) async fn first_ended(&mut self) -> &'static str {
        match self.ended.recv().await {
            Some(name) => name,
            // This very value holds a sender.
            None => std::future::pending().await,
        }
    }
}

struct TellsWhenDropped {
    name: &'static str,
    tells: mpsc::UnboundedSender<&'static str>,
}

impl Drop for TellsWhenDropped {
    fn drop(&mut self) {
        // Nobody listens any more once the node ends by itself.
        let _ = self.tells.send(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_task_that_ends_is_named_whether_it_returns_or_panics() {
        let runtime = Handle::current();
        let mut tasks = Tasks::new();
        let lives = tasks.start(&runtime, "lives", std::future::pending());
        let panics = tasks.start(&runtime, "panics", async { panic!("on purpose") });
        assert_eq!(tasks.first_ended().await, "panics");
        assert!(panics.await.unwrap_err().is_panic());
        tasks.start(&runtime, "returns", async {}).await.unwrap();
        assert_eq!(tasks.first_ended().await, "returns");
        assert!(!lives.is_finished());
        lives.abort();
        assert_eq!(tasks.first_ended().await, "lives");
    }
}
