//! A run as the node holds it in memory.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use ow_node_api::NodeError;
use ow_types::{ExecutionId, SandboxId, Tier};
use tokio_util::sync::CancellationToken;

use crate::guest::Guest;
use crate::place::Placed;
use crate::record::Record;

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) execution: ExecutionId,
    pub(crate) sandbox: SandboxId,
    /// One verb at a time; only a kill begins before the one in flight is over.
    pub(crate) work: tokio::sync::Mutex<()>,
    /// Set by a kill, which every step of the other verbs gives way to.
    pub(crate) killed: CancellationToken,
    /// Processor time at the last look, where the guest does not tell.
    pub(crate) cpu: Mutex<Option<(Instant, Duration)>>,
    placed: Mutex<Option<Placed>>,
    ready: AtomicBool,
    /// Where it was found; nothing for one that a server before this began.
    pub(crate) tier: OnceLock<Tier>,
    /// Whether the agent answered before the run was last frozen.
    pub(crate) was_healthy: AtomicBool,
    /// Set by a thaw, and by a kill: every pause that had begun by then is called off.
    pauses: Mutex<CancellationToken>,
    /// Set once its end was told.
    pub(crate) told: CancellationToken,
}

impl Run {
    pub(crate) fn new(execution: ExecutionId, sandbox: SandboxId) -> Self {
        let killed = CancellationToken::new();
        Self {
            execution,
            sandbox,
            work: tokio::sync::Mutex::default(),
            pauses: Mutex::new(killed.child_token()),
            killed,
            cpu: Mutex::default(),
            placed: Mutex::default(),
            ready: AtomicBool::new(false),
            tier: OnceLock::new(),
            was_healthy: AtomicBool::new(true),
            told: CancellationToken::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Placed>> {
        self.placed.lock().expect("nothing panics while it holds a place")
    }

    /// Where it is, once it is anywhere.
    pub(crate) fn placed(&self) -> Option<Placed> {
        self.lock().clone()
    }

    /// Says where it is.
    pub(crate) fn set_placed(&self, placed: Option<Placed>) {
        *self.lock() = placed;
    }

    /// Its agent.
    pub(crate) fn guest(&self) -> Option<Guest> {
        self.lock().as_ref().map(|placed| Guest::at(placed.slot.address()))
    }

    /// Whether the guest was told who it is.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    pub(crate) fn gone(&self) -> NodeError {
        NodeError::NoSuchRun { execution: self.execution.clone() }
    }

    /// Waits for `work`, or drops it when the run is killed.
    pub(crate) async fn unless_killed<T>(
        &self,
        work: impl Future<Output = Result<T, NodeError>>,
    ) -> Result<T, NodeError> {
        self.unless(&self.killed, work).await
    }

    /// Waits for `work`, or drops it when `called_off` is set.
    pub(crate) async fn unless<T>(
        &self,
        called_off: &CancellationToken,
        work: impl Future<Output = Result<T, NodeError>>,
    ) -> Result<T, NodeError> {
        tokio::select! {
            biased;
            () = called_off.cancelled() => Err(self.called_off()),
            done = work => done,
        }
    }

    /// Why what gave way to a kill or thaw was not done.
    pub(crate) fn called_off(&self) -> NodeError {
        if self.killed.is_cancelled() {
            return self.gone();
        }
        NodeError::Failed {
            doing: format!("pausing run {}", self.execution),
            reason: "it was thawed meanwhile".into(),
        }
    }

    /// What a pause that begins now gives way to.
    pub(crate) fn pauses(&self) -> CancellationToken {
        self.pauses.lock().expect("nothing panics while it holds a token").clone()
    }

    /// Calls off every pause that has begun; one that begins later is not.
    pub(crate) fn call_off_pauses(&self) {
        let later = self.killed.child_token();
        let mut pauses = self.pauses.lock().expect("nothing panics while it holds a token");
        std::mem::replace(&mut *pauses, later).cancel();
    }

    /// Asks the agent whether it is well, and keeps the answer for when it stands still.
    pub(crate) async fn look_at_health(&self, limit: Duration) -> bool {
        let healthy = match self.guest() {
            Some(guest) => guest.is_healthy(limit).await,
            None => false,
        };
        self.was_healthy.store(healthy, Ordering::Relaxed);
        healthy
    }

    /// What is kept on disk of it.
    pub(crate) fn record(&self, placed: &Placed, ready: bool) -> Record {
        Record {
            execution: self.execution.clone(),
            sandbox: self.sandbox.clone(),
            slot: placed.slot.number(),
            template: placed.wanted.template.clone(),
            template_digest: placed.wanted.template_digest.clone(),
            rootfs: placed.wanted.rootfs.clone(),
            agent: placed.wanted.agent.clone(),
            resources: placed.wanted.resources,
            engine: Some(placed.wanted.engine.clone()),
            ready,
        }
    }
}
