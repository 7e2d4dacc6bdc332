//! A node without sandboxes, for tests of what sits above it.
//!
//! A run here is two counters: [`FakeNode::remember`] changes its memory, [`FakeNode::write`] its
//! files. A pause saves both and a resume brings them back, so a test can tell whether what was
//! acknowledged is what goes on. The calls of a node that hang, fail or come too late are made
//! with [`FakeNode::hang_next`], [`FakeNode::fail_next`], [`FakeNode::fail_after_next`] and
//! [`FakeNode::delay_next`]. [`FakeNode::keep_frozen`] makes it keep what it saved in memory too.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ow_guest_proto::control::Observation;
use ow_types::{
    Clock, Durability, Egress, ExecutionId, PauseMode, Resources, SandboxId, SnapshotId,
    SystemClock,
};
use tokio::sync::broadcast;

use crate::{Capacity, Held, Identity, NodeError, Resume, Start, Stored, TemplateOffer};

mod faults;
mod verbs;

#[cfg(test)]
mod tests;

use faults::{Fault, Faults, Gate};
pub use faults::{Hang, Verb};

/// A run of the fake node.
#[derive(Debug, Clone)]
pub struct FakeRun {
    /// Who it is.
    pub identity: Identity,
    /// Where its ports would be.
    pub address: Ipv4Addr,
    /// Whether it is stopped in memory.
    pub frozen: bool,
    /// How often its memory was changed.
    pub memory: u64,
    /// How often its files were changed.
    pub files: u64,
    /// What it may reach.
    pub egress: Egress,
    /// The snapshot that it goes on from.
    pub resumed_from: Option<SnapshotId>,
    /// Whether its random numbers were renewed.
    pub reseeded: bool,
}

/// A snapshot of the fake node.
#[derive(Debug, Clone)]
pub struct FakeSnapshot {
    /// What the node says of it.
    pub stored: Stored,
    /// The memory's counter; 0 if only files were kept.
    pub memory: u64,
    /// The files' counter.
    pub files: u64,
    /// How safe it is.
    pub durability: Durability,
    /// Why it cannot be restored, if it cannot.
    pub damage: Option<String>,
}

/// A call that the node received, in the order of their arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub verb: Verb,
    /// The run or snapshot that it named; empty if none.
    pub name: String,
}

#[derive(Debug, Default)]
struct Inner {
    templates: Vec<TemplateOffer>,
    runs: BTreeMap<ExecutionId, FakeRun>,
    snapshots: BTreeMap<SnapshotId, FakeSnapshot>,
    /// What is saved and still in memory.
    frozen: BTreeMap<SnapshotId, FakeRun>,
    keep_frozen: bool,
    durability: Option<Durability>,
    faults: Faults,
    calls: Vec<Call>,
    addresses: u8,
    observation: Observation,
    guest_unhealthy: bool,
}

/// A node in memory, with faults that tests set.
#[derive(Debug)]
pub struct FakeNode {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    ended: broadcast::Sender<ExecutionId>,
}

impl Default for FakeNode {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

/// Counts of runs that a listener of [`crate::NodeApi::ended`] may fall behind.
const ENDED_CAPACITY: usize = 1024;

impl FakeNode {
    /// A node that offers the template `base` and holds nothing.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let base = TemplateOffer {
            name: "base".into(),
            digest: "fake".into(),
            resources: Resources::default(),
        };
        let inner = Inner { templates: vec![base], ..Inner::default() };
        let ended = broadcast::channel(ENDED_CAPACITY).0;
        Self { clock, inner: Mutex::new(inner), ended }
    }

    /// Offers `template` too.
    pub fn offer(&self, template: TemplateOffer) {
        self.lock().templates.push(template);
    }

    /// Lets the next call of `verb` fail and change nothing.
    pub fn fail_next(&self, verb: Verb, error: NodeError) {
        self.lock().faults.push(verb, Fault::Fail(error));
    }

    /// Lets the next call of `verb` do its work, and then say that it failed.
    pub fn fail_after_next(&self, verb: Verb, error: NodeError) {
        self.lock().faults.push(verb, Fault::FailAfter(error));
    }

    /// Lets the next call of `verb` hang until it is released; a pause hangs frozen.
    pub fn hang_next(&self, verb: Verb) -> Hang {
        let gate = Gate::closed();
        self.lock().faults.push(verb, Fault::Hang(gate.clone()));
        Hang(gate)
    }

    /// Lets the next call of `verb` take this long by the node's clock.
    pub fn delay_next(&self, verb: Verb, delay: Duration) {
        self.lock().faults.push(verb, Fault::Delay(delay));
    }

    /// Forgets every run and says nothing of it, as a machine that lost power.
    ///
    /// Snapshots stay, also those that were only captured: whether they would is chance.
    pub fn crash(&self) {
        let mut inner = self.lock();
        inner.runs.clear();
        inner.frozen.clear();
    }

    /// Whether what is saved from now on stays in memory too, until [`FakeNode::evict`].
    pub fn keep_frozen(&self, keep: bool) {
        self.lock().keep_frozen = keep;
    }

    /// Gives up what is kept in memory.
    pub fn evict(&self) {
        self.lock().frozen.clear();
    }

    /// How safe it says that it can make snapshots: durable-local, unless told otherwise.
    pub fn set_durability(&self, durability: Durability) {
        self.lock().durability = Some(durability);
    }

    /// Ends a run as if its process had died.
    pub fn die(&self, execution: &ExecutionId) {
        if self.lock().runs.remove(execution).is_some() {
            let _ = self.ended.send(execution.clone());
        }
    }

    /// Leaves a run stopped in memory, as a server that died in a pause does.
    pub fn leave_frozen(&self, execution: &ExecutionId) {
        self.with_run(execution, |run| run.frozen = true);
    }

    /// Makes a snapshot one that never restores.
    pub fn corrupt(&self, snapshot: &SnapshotId, damage: &str) {
        if let Some(snapshot) = self.lock().snapshots.get_mut(snapshot) {
            snapshot.damage = Some(damage.to_owned());
        }
    }

    /// Loses a snapshot, as a disk that was wiped.
    pub fn lose(&self, snapshot: &SnapshotId) {
        self.lock().snapshots.remove(snapshot);
    }

    /// Changes a run's memory; its new counter, or 0 if there is no such run.
    pub fn remember(&self, execution: &ExecutionId) -> u64 {
        self.with_run(execution, |run| {
            run.memory += 1;
            run.memory
        })
    }

    /// Changes a run's files; their new counter, or 0 if there is no such run.
    pub fn write(&self, execution: &ExecutionId) -> u64 {
        self.with_run(execution, |run| {
            run.files += 1;
            run.files
        })
    }

    /// What every guest answers to `observe`; events up to the number asked for are left out.
    pub fn set_observation(&self, observation: Observation) {
        self.lock().observation = observation;
    }

    /// Whether guests answer before they are frozen.
    pub fn set_guest_healthy(&self, healthy: bool) {
        self.lock().guest_unhealthy = !healthy;
    }

    /// A run, if there is one of that name.
    #[must_use]
    pub fn run(&self, execution: &ExecutionId) -> Option<FakeRun> {
        self.lock().runs.get(execution).cloned()
    }

    /// The runs of a sandbox: more than one is a mistake of who asked for them.
    #[must_use]
    pub fn runs_of(&self, sandbox: &SandboxId) -> Vec<(ExecutionId, FakeRun)> {
        let of_sandbox = |run: &FakeRun| run.identity.sandbox == *sandbox;
        let runs = &self.lock().runs;
        runs.iter()
            .filter(|(_, run)| of_sandbox(run))
            .map(|(x, r)| (x.clone(), r.clone()))
            .collect()
    }

    /// How many runs there are.
    #[must_use]
    pub fn run_count(&self) -> usize {
        self.lock().runs.len()
    }

    /// A snapshot, if there is one of that name.
    #[must_use]
    pub fn snapshot(&self, snapshot: &SnapshotId) -> Option<FakeSnapshot> {
        self.lock().snapshots.get(snapshot).cloned()
    }

    /// The snapshots of a sandbox, oldest generation first.
    #[must_use]
    pub fn snapshots_of(&self, sandbox: &SandboxId) -> Vec<FakeSnapshot> {
        let mut found: Vec<_> = self.lock().snapshots.values().cloned().collect();
        found.retain(|snapshot| snapshot.stored.sandbox == *sandbox);
        found.sort_by_key(|snapshot| snapshot.stored.generation);
        found
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How often a method was called.
    #[must_use]
    pub fn call_count(&self, verb: Verb) -> usize {
        self.lock().calls.iter().filter(|call| call.verb == verb).count()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the fake's state")
    }

    fn with_run<T: Default>(
        &self,
        execution: &ExecutionId,
        change: impl FnOnce(&mut FakeRun) -> T,
    ) -> T {
        self.lock().runs.get_mut(execution).map(change).unwrap_or_default()
    }
}
