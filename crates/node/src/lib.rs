//! Makes sandboxes run on one machine: engine, networks, control groups and snapshots together.
//!
//! ```text
//! <data>/node.lock            held while a node lives: one at a time owns the directory
//! <data>/agents/<digest>      guest agents' binaries that runs and snapshots need
//! <data>/runs/<place>/        a place, with `run.json` while a run is in it
//! <data>/snapshots/           see `ow-snapshots`
//! <data>/fetched/ and owed/   what the object store gave and owes, see `remote.rs`
//! <template>/warm/            a template's image with all that it starts up, see `warm.rs`
//! /run/overwinter/slots/<n>   numbers that servers on a machine share out
//! ```
//!
//! The lifecycle's name for a run (its execution) is not the place's: places are made ready before
//! anyone asks for one, and the engine knows them by their own names.
//!
//! What is saved may stay frozen in its place for a while, see `frozen.rs`; it is no run any more.
//!
//! Each verb runs as a task of its own: a caller that stops to wait does not leave it half done. A
//! kill overtakes it at the next step, and it cleans up after itself.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use ow_engine::Engine;
use ow_guest_proto::control::Observation;
use ow_node_api::{
    Capacity, Held, NodeApi, NodeError, Pause, Paused, Resume, Secure, Start, Started, Stored,
    TemplateOffer,
};
use ow_types::{Clock, Egress, ExecutionId, Phases, SandboxId, SnapshotId};
use tokio::sync::broadcast;

mod agent;
mod begin;
mod cgroup;
mod config;
mod cpu;
mod delete;
mod errors;
mod freeze;
mod frozen;
mod guest;
mod held;
mod inner;
mod kill;
mod lock;
mod memory;
pub mod network;
mod observe;
mod pause;
mod place;
mod pool;
mod record;
mod recover;
mod remote;
mod resume;
mod run;
mod secure;
mod start;
mod stopwatch;
mod template;
mod turns;
mod warm;

pub use config::Config;
use inner::Inner;
pub use lock::DataLock;
pub use ow_snapshots::RemoteConfig;
pub use template::Template;

/// A machine that runs sandboxes.
#[derive(Debug, Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

impl Node {
    /// Opens the node's data directory, takes over the runs in it, and removes what was half done.
    ///
    /// # Errors
    ///
    /// [`NodeError::Failed`] if another node owns the directory, or the machine does not let this
    /// one make networks.
    pub async fn open(
        config: Config,
        engine: Arc<dyn Engine>,
        templates: Vec<Template>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NodeError> {
        let inner = Arc::new(Inner::open(config, engine, templates, clock).await?);
        recover::recover(&inner).await?;
        inner.tracker.spawn(pool::fill(inner.clone()));
        inner.tracker.spawn(frozen::watch_memory(inner.clone()));
        inner.tracker.spawn(remote::pay(inner.clone()));
        inner.refresh_pool();
        Ok(Self { inner })
    }

    /// Offers a template from now on, in place of one of its name.
    ///
    /// Snapshots of the one before still resume.
    pub fn offer(&self, template: Template) {
        self.inner.offer(template);
    }

    /// Knows a template that is not offered, so that snapshots of it resume.
    pub fn keep(&self, template: Template) {
        self.inner.keep(template);
    }

    /// Makes sure that a template has an image with all that it starts up, if it is to have one.
    ///
    /// Until then its sandboxes boot. An image that fits the engine, agent and processor is only
    /// verified.
    ///
    /// # Errors
    ///
    /// If the template cannot be started, is not ready in time, or there is no room.
    pub async fn warm(&self, template: &str) -> Result<(), NodeError> {
        let template = template.to_owned();
        self.detached(|inner| async move { warm::warm(&inner, &template).await }).await
    }

    /// How many places are ready for a start.
    #[must_use]
    pub fn prepared_places(&self) -> usize {
        self.inner.pool.len()
    }

    /// How many of those that were saved are still frozen in memory.
    #[must_use]
    pub fn frozen_count(&self) -> usize {
        self.inner.frozen.len()
    }

    /// Stops: no new work, what is in flight ends, sandboxes go on running.
    pub async fn shut_down(&self) {
        self.inner.stopping.cancel();
        self.inner.turns.close();
        for placed in self.inner.pool.close() {
            self.inner.remove_place(&placed).await;
        }
        self.inner.give_up(self.inner.frozen.close());
        self.inner.tracker.close();
        self.inner.tracker.wait().await;
        cgroup::remove_if_empty(&self.inner.cgroup);
    }

    /// Runs `work` to its end whether or not the caller waits for it.
    async fn detached<T, Work>(&self, work: impl FnOnce(Arc<Inner>) -> Work) -> Result<T, NodeError>
    where
        T: Send + 'static,
        Work: Future<Output = Result<T, NodeError>> + Send + 'static,
    {
        let task = self.inner.tracker.spawn(work(self.inner.clone()));
        task.await.unwrap_or_else(|error| Err(errors::failed("the node's work", &error)))
    }
}

#[async_trait]
impl NodeApi for Node {
    fn capacity(&self) -> Capacity {
        let offer = |template: &Template| TemplateOffer {
            name: template.name.clone(),
            digest: template.digest.clone(),
            resources: template.resources,
        };
        let templates = self.inner.offered().iter().map(offer).collect();
        Capacity { templates, durability: secure::most(&self.inner) }
    }

    async fn start(&self, start: Start) -> Result<Started, NodeError> {
        self.detached(|inner| async move { start::start(&inner, start).await }).await
    }

    async fn resume(&self, resume: Resume) -> Result<Started, NodeError> {
        self.detached(|inner| async move { resume::resume(&inner, resume).await }).await
    }

    async fn freeze(&self, execution: &ExecutionId) -> Result<Phases, NodeError> {
        let execution = execution.clone();
        self.detached(|inner| async move { freeze::freeze(&inner, &execution).await }).await
    }

    async fn pause(&self, pause: Pause) -> Result<Paused, NodeError> {
        self.detached(|inner| async move { pause::pause(&inner, pause).await }).await
    }

    async fn secure(&self, secure: Secure) -> Result<Phases, NodeError> {
        self.detached(|inner| async move { secure::secure(&inner, secure).await }).await
    }

    async fn thaw(&self, execution: &ExecutionId) -> Result<(), NodeError> {
        let execution = execution.clone();
        self.detached(|inner| async move { freeze::thaw(&inner, &execution).await }).await
    }

    async fn kill(&self, execution: &ExecutionId) -> Result<(), NodeError> {
        let execution = execution.clone();
        self.detached(|inner| async move { kill::kill(&inner, &execution).await }).await
    }

    async fn delete_snapshot(
        &self,
        sandbox: &SandboxId,
        snapshot: &SnapshotId,
    ) -> Result<(), NodeError> {
        let (sandbox, snapshot) = (sandbox.clone(), snapshot.clone());
        self.detached(
            |inner| async move { delete::delete_snapshot(&inner, &sandbox, snapshot).await },
        )
        .await
    }

    async fn held(&self) -> Result<Vec<Held>, NodeError> {
        held::held(&self.inner).await
    }

    async fn stored(&self) -> Result<Vec<Stored>, NodeError> {
        held::stored(&self.inner).await
    }

    async fn observe(&self, execution: &ExecutionId, after: u64) -> Result<Observation, NodeError> {
        observe::observe(&self.inner, execution, after).await
    }

    async fn set_egress(&self, execution: &ExecutionId, egress: &Egress) -> Result<(), NodeError> {
        let (execution, egress) = (execution.clone(), egress.clone());
        self.detached(|inner| async move { inner.set_egress(&execution, &egress).await }).await
    }

    fn ended(&self) -> broadcast::Receiver<ExecutionId> {
        self.inner.ended.subscribe()
    }
}
