//! The task that owns a sandbox: it alone changes the record, and does one thing at a time.

use std::collections::VecDeque;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ow_db::{Claim, SandboxRecord};
use ow_types::{ExecutionId, SandboxId, State, Timestamp};

use crate::command::{Asked, Command, Reply, answer_all, fail_asked};
use crate::failure::Failure;
use crate::guest::Side;
use crate::recover::Holdings;
use crate::registry::Ends;
use crate::resume::Attempt;
use crate::secure::{self, Securing};
use crate::shared::Shared;
use crate::timeout::Backoff;
use crate::work::{Outcome, Remains, Work};
use crate::{Found, Route};

/// How a driver comes to its sandbox.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Something was asked of a sandbox that had no driver.
    Summoned,
    /// A sandbox that is to be made.
    New(Box<SandboxRecord>, Option<Claim>, Reply<SandboxRecord>),
    /// A sandbox that the server found when it started.
    Found(Box<SandboxRecord>, Arc<Holdings>),
}

/// Who waits for the work in flight.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) creates: Vec<Reply<SandboxRecord>>,
    pub(crate) pauses: Vec<Asked>,
    pub(crate) resumes: Vec<Reply<(SandboxRecord, Found)>>,
    pub(crate) routes: Vec<Reply<Route>>,
    pub(crate) egress: Vec<Reply<()>>,
    pub(crate) kills: Vec<Reply<()>>,
}

impl Joined {
    /// Tells all but who waits for a kill that the work will not be done.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        answer_all(&mut self.creates, &Err(failure.clone()));
        fail_asked(&mut self.pauses, failure);
        answer_all(&mut self.resumes, &Err(failure.clone()));
        answer_all(&mut self.routes, &Err(failure.clone()));
        answer_all(&mut self.egress, &Err(failure.clone()));
    }
}

/// A driver at work.
pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) record: SandboxRecord,
    pub(crate) ends: Ends,
    /// The one thing that is being done.
    pub(crate) work: Option<Work>,
    pub(crate) joined: Joined,
    /// Commands to be admitted again when the work in flight is over.
    pub(crate) waiting: VecDeque<Command>,
    /// The resume in flight.
    pub(crate) attempt: Option<Attempt>,
    /// What makes the newest snapshot safer, beside the work.
    pub(crate) securing: Option<Securing>,
    /// Who waits for a snapshot to be safer than it is.
    pub(crate) secures: Vec<Asked>,
    /// How often a sandbox that is acknowledged to be paused was not saved.
    pub(crate) failed_saves: u32,
    /// Whether the record in memory is newer than the one in the database.
    pub(crate) unsaved: bool,
    /// Runs that ended before the work that began them was over.
    pub(crate) ended_early: Option<ExecutionId>,
    /// What is asked of the guest beside the work.
    pub(crate) side: Side,
    /// When a timeout's action is tried again.
    pub(crate) backoff: Backoff,
    /// What a kill in flight removes.
    pub(crate) remains: Option<Remains>,
    /// How often a kill did not succeed.
    pub(crate) failed_kills: u32,
    /// Where its ports are, while it runs and its guest agent answers.
    pub(crate) address: Option<Ipv4Addr>,
    /// When the transition in flight began.
    pub(crate) begun: Instant,
}

/// How long until a record that could not be saved is saved again.
const SAVE_AGAIN: Duration = Duration::from_secs(1);

/// Drives a sandbox until it is gone, or paused with nothing asked of it.
pub(crate) async fn run(shared: Arc<Shared>, id: SandboxId, mut ends: Ends, entry: Entry) {
    let (record, new, holdings) = match entry {
        Entry::New(record, claim, reply) => (*record, Some((claim, reply)), None),
        Entry::Found(record, holdings) => (*record, None, Some(holdings)),
        Entry::Summoned => match shared.parts.db.get(&id).await {
            Ok(Some(record)) => (record, None, None),
            Ok(None) => return refuse(&shared, &id, &mut ends, &Failure::Gone).await,
            Err(error) => return refuse(&shared, &id, &mut ends, &error.into()).await,
        },
    };
    let mut driver = Box::new(Driver::new(shared, record, ends));
    match (new, holdings) {
        (Some((claim, reply)), _) => driver.begin_create(claim, reply).await,
        (None, Some(holdings)) => driver.recover(&holdings).await,
        (None, None) => driver.recover_alone().await,
    }
    driver.keep().await;
}

/// Answers everything with the same failure until nothing more is asked.
async fn refuse(shared: &Shared, id: &SandboxId, ends: &mut Ends, failure: &Failure) {
    while !shared.registry.retire(id, ends) {
        match ends.commands.recv().await {
            Some(command) => command.refuse(failure.clone()),
            None => return,
        }
    }
}

/// The outcome of the work in flight; never, if there is none.
async fn ended(work: &mut Option<Work>) -> Outcome {
    match work {
        Some(in_flight) => {
            let outcome = in_flight.await;
            *work = None;
            outcome
        }
        None => pending().await,
    }
}

impl Driver {
    fn new(shared: Arc<Shared>, record: SandboxRecord, ends: Ends) -> Self {
        Self {
            shared,
            record,
            ends,
            work: None,
            joined: Joined::default(),
            waiting: VecDeque::new(),
            attempt: None,
            securing: None,
            secures: Vec::new(),
            failed_saves: 0,
            unsaved: false,
            ended_early: None,
            side: Side::default(),
            backoff: Backoff::default(),
            remains: None,
            failed_kills: 0,
            address: None,
            begun: Instant::now(),
        }
    }

    async fn keep(&mut self) {
        let (shared, clock) = (Arc::clone(&self.shared), Arc::clone(&self.shared.parts.clock));
        loop {
            if self.has_nothing_to_do() && shared.registry.retire(&self.record.id, &self.ends) {
                return;
            }
            let (deadline, look) = (self.deadline(), self.next_look());
            tokio::select! {
                biased;
                () = shared.stopping.cancelled(), if self.may_stop() => break,
                outcome = ended(&mut self.work) => self.finish(outcome).await,
                command = self.ends.commands.recv() => match command {
                    Some(command) => self.receive(command).await,
                    None => break,
                },
                () = at(&*clock, deadline) => self.time_out().await,
                secured = secure::ended(&mut self.securing) => self.secured(secured).await,
                seen = self.side.seen() => self.see(seen).await,
                () = at(&*clock, look) => self.look(),
                () = tokio::time::sleep(SAVE_AGAIN), if self.unsaved => self.save().await,
            }
        }
        self.stop().await;
    }

    /// Leaves a running sandbox running, and everyone who waits with an answer.
    async fn stop(&mut self) {
        if self.unsaved {
            self.save().await;
        }
        self.joined.fail(&Failure::ShuttingDown);
        fail_asked(&mut self.secures, &Failure::ShuttingDown);
        for command in std::mem::take(&mut self.waiting) {
            command.refuse(Failure::ShuttingDown);
        }
        let (id, shared) = (self.record.id.clone(), Arc::clone(&self.shared));
        refuse(&shared, &id, &mut self.ends, &Failure::ShuttingDown).await;
    }

    /// Work in flight is waited for; what stands frozen and is not saved goes on at the next start.
    const fn may_stop(&self) -> bool {
        self.work.is_none() || self.failed_saves > 0
    }

    fn has_nothing_to_do(&self) -> bool {
        let settled = matches!(self.record.state, State::Paused { .. } | State::Killed { .. });
        settled
            && self.work.is_none()
            && self.securing.is_none()
            && self.waiting.is_empty()
            && !self.unsaved
    }

    /// Whether it runs and nothing else is being done with it.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.record.state, State::Running { .. }) && self.work.is_none()
    }

    async fn receive(&mut self, command: Command) {
        match command {
            Command::Pause { options, reply } => self.pause(options, reply).await,
            Command::Connect { timeout, reply } => self.connect(timeout, reply).await,
            Command::Resume { timeout, reply } => self.resume(timeout, reply).await,
            Command::Kill { reason, reply } => self.kill(reason, reply).await,
            Command::SetTimeout { timeout, only_extend, reply } => {
                self.set_timeout(timeout, only_extend, reply).await;
            }
            Command::SetEgress { egress, reply } => self.set_egress(egress, reply).await,
            Command::Route { reply } => self.route(reply).await,
            Command::Secure { reply } => self.secure(reply).await,
            Command::Expire { reply } => self.expire(reply).await,
            Command::Ended(execution) => self.run_ended(execution).await,
        }
    }

    /// Takes in what became of the work, then what waited for it.
    async fn finish(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Started(result) => self.finish_create(result).await,
            Outcome::Resumed(result) => self.finish_resume(result).await,
            Outcome::Frozen(result) => self.finish_freeze(result).await,
            Outcome::Paused(result) => self.finish_pause(result).await,
            Outcome::TakenBack(outcome) => self.finish_take_back(outcome).await,
            Outcome::Probed(options, result) => self.finish_probe(options, result).await,
            Outcome::EgressSet(result) => self.finish_set_egress(result),
            Outcome::Killed(result) => self.finish_kill(result).await,
        }
        self.readmit().await;
    }

    /// Admits once more what waited.
    pub(crate) async fn readmit(&mut self) {
        if self.shared.stopping.is_cancelled() {
            return;
        }
        for command in std::mem::take(&mut self.waiting) {
            // Not a recursion without end: what has to wait again is only put aside.
            Box::pin(self.receive(command)).await;
        }
    }
}

/// Returns at the moment; never, if there is none.
async fn at(clock: &dyn ow_types::Clock, moment: Option<Timestamp>) {
    match moment {
        Some(moment) => clock.sleep_until(moment).await,
        None => pending().await,
    }
}
