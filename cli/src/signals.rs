//! SIGTERM and SIGINT, and a limit on the size of files, from the moment the command starts.

use std::io;
use std::thread;

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Turns true at the first signal. Signals no longer end the process by themselves.
#[derive(Clone, Debug)]
pub(crate) struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Begins to listen, on a thread that lives as long as the process. A write beyond the limit on files fails from now on like
    /// one to a full disk; by itself its signal would end the process.
    ///
    /// # Errors
    /// When no thread or no signal handler can be made.
    pub(crate) fn install() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut terminate, mut interrupt) = {
            let _entered = runtime.enter();
            // Caught is enough: the call that hit the limit has its error.
            let _nobody_listens = signal(SignalKind::from_raw(Signal::SIGXFSZ as i32))?;
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let (stop, stopped) = watch::channel(false);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                    stop.send_replace(true);
                }
            });
        })?;
        Ok(Self(stopped))
    }

    /// True once a signal came.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the first signal.
    pub(crate) async fn wait(&self) {
        // The sender lives as long as the process.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }
}
