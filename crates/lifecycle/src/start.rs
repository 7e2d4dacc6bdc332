//! Starting and stopping the lifecycle.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ow_node_api::NodeError;
use ow_types::{ExecutionId, SandboxId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::driver::{self, Entry};
use crate::journal::Journal;
use crate::observe::Samples;
use crate::recover::Holdings;
use crate::registry::Registry;
use crate::shared::{Guard, Shared};
use crate::{Lifecycle, LifecycleError, Parts, Result, collect, guest, retention, secure};

/// How often a node is asked what it holds before the server gives up to start.
const ATTEMPTS: u32 = 3;

/// How long until it is asked again.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// How long answers to requests that named themselves are kept.
pub(crate) const KEEP_CLAIMS: Duration = Duration::from_secs(24 * 60 * 60);

impl Lifecycle {
    /// Recovers what the records and the node hold, and starts to keep the sandboxes.
    ///
    /// Returns once every sandbox can be asked for.
    ///
    /// # Errors
    ///
    /// [`LifecycleError`] if the records cannot be read, or the node does not say what it holds.
    pub async fn start(parts: Parts) -> Result<Self> {
        let ended = parts.node.ended();
        let (stopping, abort) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let journal = Journal::start(parts.log_directory.clone(), &tasks, &abort);
        let shared = Arc::new(Shared {
            parts,
            registry: Registry::default(),
            journal,
            samples: Samples::default(),
            tasks,
            stopping,
            abort: abort.clone(),
        });
        let lifecycle = Self { shared: Arc::clone(&shared), _guard: Arc::new(Guard { abort }) };
        shared.recover().await?;
        shared.spawn(guest::watch(Arc::clone(&shared), ended));
        shared.spawn(retention::sweep(Arc::clone(&shared)));
        shared.spawn(collect::keep_collecting(Arc::clone(&shared)));
        shared.spawn(secure::keep_securing(Arc::clone(&shared)));
        Ok(lifecycle)
    }

    /// Refuses new work, lets what is in flight end, and leaves running sandboxes running.
    pub async fn shut_down(&self) {
        let shared = &self.shared;
        shared.stopping.cancel();
        shared.tasks.close();
        let grace = shared.parts.config.shutdown_grace_period;
        let in_flight = shared.registry.drivers_gone();
        if tokio::time::timeout(grace, in_flight).await.is_err() {
            let left = shared.registry.names();
            tracing::warn!(?left, "work in flight is abandoned; the next start recovers");
        }
        shared.journal.flush().await;
        shared.abort.cancel();
        shared.tasks.wait().await;
    }
}

impl Shared {
    async fn recover(self: &Arc<Self>) -> Result<()> {
        let db = &self.parts.db;
        let holdings = Arc::new(self.holdings().await?);
        let unsettled = db.unsettled().await?;
        let known: HashSet<SandboxId> = unsettled.iter().map(|record| record.id.clone()).collect();
        tracing::info!(unsettled = unsettled.len(), runs = holdings.runs.len(), "recovering");
        for record in unsettled {
            let id = record.id.clone();
            let ends = self.registry.add(&id);
            let entry = Entry::Found(Box::new(record), Arc::clone(&holdings));
            self.spawn(driver::run(Arc::clone(self), id, ends, entry));
        }
        let unknown =
            holdings.runs.values().flatten().filter(|held| !known.contains(&held.sandbox));
        let unknown: Vec<ExecutionId> = unknown.map(|held| held.execution.clone()).collect();
        self.spawn(end_unknown(Arc::clone(self), unknown));
        Ok(())
    }

    async fn holdings(&self) -> Result<Holdings> {
        let mut last = NodeError::Failed { doing: String::new(), reason: String::new() };
        for attempt in 1..=ATTEMPTS {
            match Holdings::of(&*self.parts.node).await {
                Ok(holdings) => return Ok(holdings),
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::error!(attempt, error = cause, "the node does not say what it holds");
                    last = error;
                }
            }
            tokio::time::sleep(BETWEEN_ATTEMPTS).await;
        }
        Err(LifecycleError::Recovery(last))
    }
}

/// Ends runs that no record speaks of.
async fn end_unknown(shared: Arc<Shared>, runs: Vec<ExecutionId>) {
    for execution in runs {
        tracing::warn!(%execution, "no record speaks of this run: it is ended");
        shared.end(&execution).await;
    }
}
