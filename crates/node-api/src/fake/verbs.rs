//! The fake node's side of [`NodeApi`].

use async_trait::async_trait;
use ow_types::{Phases, Tier};

use super::*;
use crate::{NodeApi, Pause, Paused, Secure, Started};

impl Inner {
    /// Addresses from the range that real nodes use; they repeat after 254, as no test minds.
    fn next_address(&mut self) -> Ipv4Addr {
        self.addresses = self.addresses % 254 + 1;
        Ipv4Addr::new(10, 96, 0, self.addresses)
    }

    fn begin_run(&mut self, execution: ExecutionId, run: FakeRun, tier: Tier) -> Started {
        let run = self.runs.entry(execution).or_insert(run);
        Started { address: run.address, tier, phases: Phases::default() }
    }

    fn run_mut(&mut self, execution: &ExecutionId) -> Result<&mut FakeRun, NodeError> {
        let none = || NodeError::NoSuchRun { execution: execution.clone() };
        self.runs.get_mut(execution).ok_or_else(none)
    }
}

impl FakeNode {
    /// Records the call, meets its fault, and returns the error to answer with after the work.
    async fn enter(
        &self,
        verb: Verb,
        name: impl ToString,
    ) -> Result<Result<(), NodeError>, NodeError> {
        let fault = {
            let mut inner = self.lock();
            inner.calls.push(Call { verb, name: name.to_string() });
            inner.faults.take(verb)
        };
        match fault {
            None => {}
            Some(Fault::Fail(error)) => return Err(error),
            Some(Fault::FailAfter(error)) => return Ok(Err(error)),
            Some(Fault::Hang(gate)) => gate.pass().await,
            Some(Fault::Delay(delay)) => {
                self.clock.sleep_until(self.clock.now().after(delay)).await;
            }
        }
        Ok(Ok(()))
    }

    fn commit(&self, pause: &Pause) -> Result<(), NodeError> {
        let taken_at = self.clock.now();
        let mut inner = self.lock();
        let run = inner.run_mut(&pause.execution)?;
        if !run.frozen {
            return Err(NodeError::Failed {
                doing: "pause".into(),
                reason: "the run was thawed meanwhile".into(),
            });
        }
        let memory = if pause.mode == PauseMode::Full { run.memory } else { 0 };
        let snapshot = FakeSnapshot {
            stored: Stored {
                snapshot: pause.snapshot.clone(),
                sandbox: pause.sandbox.clone(),
                generation: pause.generation,
                mode: pause.mode,
                taken_at,
            },
            memory,
            files: run.files,
            durability: pause.durability,
            damage: None,
        };
        let run = inner.runs.remove(&pause.execution);
        if let Some(run) = run.filter(|_| inner.keep_frozen && pause.mode == PauseMode::Full) {
            inner.frozen.insert(pause.snapshot.clone(), run);
        }
        inner.snapshots.insert(pause.snapshot.clone(), snapshot);
        drop(inner);
        let _ = self.ended.send(pause.execution.clone());
        Ok(())
    }

    fn restore(&self, resume: &Resume) -> Result<Started, NodeError> {
        let mut inner = self.lock();
        if let Some(mut run) = inner.frozen.remove(&resume.snapshot) {
            run.frozen = false;
            run.identity = resume.identity.clone();
            run.egress = resume.egress.clone();
            run.resumed_from = Some(resume.snapshot.clone());
            return Ok(inner.begin_run(resume.execution.clone(), run, Tier::Memory));
        }
        let none = || NodeError::NoSuchSnapshot { snapshot: resume.snapshot.clone() };
        let snapshot = inner.snapshots.get(&resume.snapshot).cloned().ok_or_else(none)?;
        if let Some(reason) = snapshot.damage {
            return Err(NodeError::BadSnapshot { snapshot: resume.snapshot.clone(), reason });
        }
        let run = FakeRun {
            identity: resume.identity.clone(),
            address: inner.next_address(),
            frozen: false,
            memory: snapshot.memory,
            files: snapshot.files,
            egress: resume.egress.clone(),
            resumed_from: Some(resume.snapshot.clone()),
            reseeded: resume.reseed,
        };
        Ok(inner.begin_run(resume.execution.clone(), run, Tier::Disk))
    }
}

#[async_trait]
impl NodeApi for FakeNode {
    fn capacity(&self) -> Capacity {
        let inner = self.lock();
        let durability = inner.durability.unwrap_or(Durability::DurableLocal);
        Capacity { templates: inner.templates.clone(), durability }
    }

    async fn start(&self, start: Start) -> Result<Started, NodeError> {
        let after = self.enter(Verb::Start, &start.execution).await?;
        let mut inner = self.lock();
        if !inner.templates.iter().any(|offer| offer.name == start.identity.template) {
            return Err(NodeError::NoSuchTemplate { name: start.identity.template });
        }
        let run = FakeRun {
            identity: start.identity,
            address: inner.next_address(),
            frozen: false,
            memory: 0,
            files: 0,
            egress: start.egress,
            resumed_from: None,
            reseeded: true,
        };
        let started = inner.begin_run(start.execution, run, Tier::Disk);
        after.map(|()| started)
    }

    async fn resume(&self, resume: Resume) -> Result<Started, NodeError> {
        let after = self.enter(Verb::Resume, &resume.execution).await?;
        let started = self.restore(&resume)?;
        after.map(|()| started)
    }

    async fn freeze(&self, execution: &ExecutionId) -> Result<Phases, NodeError> {
        let after = self.enter(Verb::Freeze, execution).await?;
        self.lock().run_mut(execution)?.frozen = true;
        after.map(|()| Phases::default())
    }

    async fn pause(&self, pause: Pause) -> Result<Paused, NodeError> {
        let done = self.lock().snapshots.contains_key(&pause.snapshot);
        self.leave_frozen(&pause.execution);
        let after = match self.enter(Verb::Pause, &pause.execution).await {
            Ok(after) => after,
            Err(error) => {
                self.with_run(&pause.execution, |run| run.frozen = pause.frozen);
                return Err(error);
            }
        };
        if !done {
            self.commit(&pause)?;
        }
        let guest_healthy = !self.lock().guest_unhealthy;
        after.map(|()| Paused {
            durability: pause.durability,
            phases: Phases::default(),
            bytes: BTreeMap::from([("captured".into(), 4096), ("stored".into(), 4096)]),
            guest_healthy,
        })
    }

    async fn secure(&self, secure: Secure) -> Result<Phases, NodeError> {
        let after = self.enter(Verb::Secure, &secure.snapshot).await?;
        let none = || NodeError::NoSuchSnapshot { snapshot: secure.snapshot.clone() };
        let mut inner = self.lock();
        let snapshot = inner.snapshots.get_mut(&secure.snapshot).ok_or_else(none)?;
        snapshot.durability = snapshot.durability.max(secure.durability);
        after.map(|()| Phases::default())
    }

    async fn thaw(&self, execution: &ExecutionId) -> Result<(), NodeError> {
        let after = self.enter(Verb::Thaw, execution).await?;
        self.lock().run_mut(execution)?.frozen = false;
        after
    }

    async fn kill(&self, execution: &ExecutionId) -> Result<(), NodeError> {
        let after = self.enter(Verb::Kill, execution).await?;
        self.die(execution);
        after
    }

    async fn delete_snapshot(
        &self,
        _sandbox: &SandboxId,
        snapshot: &SnapshotId,
    ) -> Result<(), NodeError> {
        let after = self.enter(Verb::DeleteSnapshot, snapshot).await?;
        let mut inner = self.lock();
        inner.snapshots.remove(snapshot);
        inner.frozen.remove(snapshot);
        after
    }

    async fn held(&self) -> Result<Vec<Held>, NodeError> {
        let after = self.enter(Verb::Held, "").await?;
        let held = |(execution, run): (&ExecutionId, &FakeRun)| Held {
            execution: execution.clone(),
            sandbox: run.identity.sandbox.clone(),
            address: (!run.frozen).then_some(run.address),
            frozen: run.frozen,
        };
        let held = self.lock().runs.iter().map(held).collect();
        after.map(|()| held)
    }

    async fn stored(&self) -> Result<Vec<Stored>, NodeError> {
        let after = self.enter(Verb::Stored, "").await?;
        let stored = self.lock().snapshots.values().map(|s| s.stored.clone()).collect();
        after.map(|()| stored)
    }

    async fn observe(&self, execution: &ExecutionId, after: u64) -> Result<Observation, NodeError> {
        let answer = self.enter(Verb::Observe, execution).await?;
        let mut inner = self.lock();
        inner.run_mut(execution)?;
        let mut observation = inner.observation.clone();
        observation.events.retain(|event| event.number > after);
        answer.map(|()| observation)
    }

    async fn set_egress(&self, execution: &ExecutionId, egress: &Egress) -> Result<(), NodeError> {
        let after = self.enter(Verb::SetEgress, execution).await?;
        self.lock().run_mut(execution)?.egress = egress.clone();
        after
    }

    fn ended(&self) -> broadcast::Receiver<ExecutionId> {
        self.ended.subscribe()
    }
}
