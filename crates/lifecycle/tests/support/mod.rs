//! A lifecycle on a fake node, with records in memory and a clock that tests move.
//!
//! The tests pause the time of tokio, so that a short sleep ends when nothing else can go on.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ow_db::{Database, MemoryDatabase, SandboxRecord};
use ow_lifecycle::{Config, Lifecycle, NewSandbox, Parts, PauseOptions, Result};
use ow_node_api::NodeError;
use ow_node_api::fake::FakeNode;
use ow_types::{
    Clock as _, Egress, ExecutionId, ManualClock, OnTimeout, PauseMode, SandboxId, Settings, State,
    TeamId, Timestamp, TransitionReport,
};

/// What outlives a server: the machine, the records, the time.
pub(crate) struct World {
    pub(crate) node: Arc<FakeNode>,
    pub(crate) db: Arc<dyn Database>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) team: TeamId,
    pub(crate) config: Config,
    pub(crate) logs: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Arc::new(MemoryDatabase::default()))
    }

    pub(crate) fn with(db: Arc<dyn Database>) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_800_000_000_000)));
        Self {
            node: Arc::new(FakeNode::new(clock.clone())),
            db,
            clock,
            team: TeamId::random(),
            config: Config::default(),
            logs: tempfile::tempdir().expect("a directory for logs"),
        }
    }

    pub(crate) async fn start(&self) -> Server<'_> {
        let parts = Parts {
            db: self.db.clone(),
            node: self.node.clone(),
            clock: self.clock.clone(),
            config: self.config.clone(),
            log_directory: self.logs.path().to_owned(),
        };
        Server { world: self, lifecycle: Lifecycle::start(parts).await.expect("it starts") }
    }

    pub(crate) fn new_sandbox(&self) -> NewSandbox {
        NewSandbox {
            template: "base".to_owned(),
            settings: Settings {
                timeout: Duration::from_secs(300),
                on_timeout: OnTimeout::Kill,
                pause_mode: PauseMode::Full,
                auto_resume: false,
            },
            metadata: BTreeMap::new(),
            env_vars: BTreeMap::new(),
            secure: true,
            egress: Egress::default(),
            idempotency: None,
        }
    }
}

/// A server of that world.
pub(crate) struct Server<'a> {
    pub(crate) world: &'a World,
    pub(crate) lifecycle: Lifecycle,
}

impl Server<'_> {
    pub(crate) async fn create(&self) -> SandboxId {
        self.create_with(|_| {}).await
    }

    pub(crate) async fn create_with(&self, change: impl FnOnce(&mut NewSandbox)) -> SandboxId {
        let mut new = self.world.new_sandbox();
        change(&mut new);
        let made = self.lifecycle.create(&self.world.team, new).await;
        made.expect("a sandbox is made").id
    }

    pub(crate) async fn pause(&self, id: &SandboxId) -> Result<TransitionReport> {
        self.lifecycle.pause(&self.world.team, id, full()).await
    }

    pub(crate) async fn connect(
        &self,
        id: &SandboxId,
    ) -> Result<(SandboxRecord, ow_lifecycle::Found)> {
        self.lifecycle.connect(&self.world.team, id, Some(Duration::from_secs(300))).await
    }

    pub(crate) async fn kill(&self, id: &SandboxId) -> Result<()> {
        self.lifecycle.kill(&self.world.team, id).await
    }

    pub(crate) async fn get(&self, id: &SandboxId) -> Result<SandboxRecord> {
        self.lifecycle.get(&self.world.team, id).await
    }

    /// The run that a sandbox's record speaks of.
    pub(crate) async fn run(&self, id: &SandboxId) -> ExecutionId {
        let record = self.get(id).await.expect("it exists");
        record.state.execution().cloned().expect("it runs")
    }

    /// Waits briefly until a record is as it should be.
    pub(crate) async fn until(&self, id: &SandboxId, what: &str, is: impl Fn(&State) -> bool) {
        for _ in 0..1000 {
            let record = self.world.db.get(id).await.expect("it is read");
            if record.is_some_and(|record| is(&record.state)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("sandbox {id} did not become {what}");
    }

    /// Waits until nothing is left of a sandbox.
    pub(crate) async fn until_gone(&self, id: &SandboxId) {
        for _ in 0..1000 {
            if self.world.db.get(id).await.expect("it is read").is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("sandbox {id} is not gone");
    }

    /// Moves the clock in steps that every task sees.
    pub(crate) async fn advance(&self, by: Duration) {
        settle().await;
        self.world.clock.set(self.world.clock.now().after(by));
        settle().await;
    }
}

/// Lets tasks that can go on do so.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

pub(crate) const fn full() -> PauseOptions {
    PauseOptions { mode: PauseMode::Full, durability: None, require_healthy_guest: false }
}

pub(crate) fn failed() -> NodeError {
    NodeError::Failed { doing: "it".into(), reason: "the test says so".into() }
}

pub(crate) const fn paused(state: &State) -> bool {
    matches!(state, State::Paused { .. })
}

pub(crate) const fn running(state: &State) -> bool {
    matches!(state, State::Running { .. })
}
