//! Making a sandbox.

use std::sync::Arc;

use ow_db::{Answer, Claim, Database, SandboxRecord};
use ow_node_api::{NodeError, Start, Started, TemplateOffer};
use ow_types::{
    Event, ExecutionId, KillReason, Phases, SandboxId, State, TeamId, Timestamp, Tokens,
    TransitionKind, TransitionReport,
};
use tokio::sync::oneshot;

use crate::command::{Reply, answer_all};
use crate::driver::{self, Driver, Entry};
use crate::failure::Failure;
use crate::shared::Shared;
use crate::{Lifecycle, LifecycleError, NewSandbox, Result, work};

impl Lifecycle {
    /// Makes a sandbox and returns once it answers.
    ///
    /// A request that names itself is met once: a repetition is answered with the same sandbox.
    ///
    /// # Cancel safety
    ///
    /// The sandbox is made also if nobody waits for the answer any more.
    ///
    /// # Errors
    ///
    /// [`LifecycleError::TemplateNotFound`], [`LifecycleError::TimeoutTooLong`],
    /// [`LifecycleError::TooManyRunning`], the two of idempotency, and failures.
    pub async fn create(&self, team: &TeamId, new: NewSandbox) -> Result<SandboxRecord> {
        let shared = Arc::clone(&self.shared);
        shared.refuse_if_stopping()?;
        shared.check_timeout(new.settings.timeout)?;
        let name = &new.template;
        let not_found = || LifecycleError::TemplateNotFound { name: name.clone() };
        let offer = self.templates().into_iter().find(|offer| offer.name == *name);
        let offer = offer.ok_or_else(not_found)?;
        let (team, (done, answer)) = (team.clone(), oneshot::channel());
        self.shared.spawn(async move {
            drop(done.send(shared.create(team, new, offer).await));
        });
        answer.await.unwrap_or(Err(LifecycleError::ShuttingDown))
    }
}

impl Shared {
    async fn create(
        self: &Arc<Self>,
        team: TeamId,
        new: NewSandbox,
        offer: TemplateOffer,
    ) -> Result<SandboxRecord> {
        let Some((name, request)) = new.idempotency.clone() else {
            return self.make(team, new, offer, None).await;
        };
        if let Some(before) = self.parts.db.find_claim(&team, &name).await? {
            return self.repeat(&team, &before, request).await;
        }
        let claim = Claim { name, request, at: self.now() };
        self.make(team, new, offer, Some(claim)).await
    }

    /// Answers a request that was made before.
    async fn repeat(
        &self,
        team: &TeamId,
        before: &Answer,
        request: [u8; 32],
    ) -> Result<SandboxRecord> {
        if before.request != request {
            return Err(LifecycleError::IdempotencyMismatch);
        }
        let made = self.parts.db.get(&before.sandbox).await?.map(|record| record.state);
        if let Some(State::Starting { .. } | State::Killing { reason: KillReason::StartFailed }) =
            made
        {
            return Err(LifecycleError::IdempotencyInFlight);
        }
        self.find(team, &before.sandbox).await
    }

    async fn make(
        self: &Arc<Self>,
        team: TeamId,
        new: NewSandbox,
        offer: TemplateOffer,
        claim: Option<Claim>,
    ) -> Result<SandboxRecord> {
        let record = new_record(team, new, offer, self.now());
        let id = record.id.clone();
        let limit = self.parts.config.max_running;
        self.registry.take_slot(&record.team, &id, limit).map_err(|failure| failure.about(&id))?;
        let (reply, answer) = oneshot::channel();
        let ends = self.registry.add(&id);
        let entry = Entry::New(Box::new(record), claim, reply);
        self.spawn(driver::run(Arc::clone(self), id.clone(), ends, entry));
        self.answer(&id, answer).await
    }
}

fn new_record(
    team: TeamId,
    new: NewSandbox,
    offer: TemplateOffer,
    now: Timestamp,
) -> SandboxRecord {
    let envd = new.secure.then(random_token);
    SandboxRecord {
        id: SandboxId::random(),
        team,
        template: new.template,
        state: State::Starting { execution: ExecutionId::random() },
        revision: 0,
        created_at: now,
        started_at: now,
        end_at: now.after(new.settings.timeout),
        settings: new.settings,
        metadata: new.metadata,
        env_vars: new.env_vars,
        resources: offer.resources,
        tokens: Tokens { envd, traffic: random_token() },
        egress: new.egress,
        snapshot: None,
        previous_snapshot: None,
        guest_unresponsive_at_pause: false,
        last_transition: None,
    }
}

/// 256 random bits in hexadecimal.
fn random_token() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the record, and with it the claim of the request that it answers: who repeats the request
/// after a crash finds the sandbox that it made, or none that is kept.
async fn insert(
    db: &dyn Database,
    record: &SandboxRecord,
    claim: Option<Claim>,
) -> std::result::Result<(), Failure> {
    match claim {
        None => Ok(db.insert(record).await?),
        Some(claim) => match db.insert_claimed(record, &claim).await? {
            None => Ok(()),
            // Another request of the same name was quicker.
            Some(_) => Err(Failure::IdempotencyInFlight),
        },
    }
}

impl Driver {
    /// Writes the new record, and asks the node to start it.
    pub(crate) async fn begin_create(&mut self, claim: Option<Claim>, reply: Reply<SandboxRecord>) {
        self.joined.creates.push(reply);
        let db = Arc::clone(&self.shared.parts.db);
        if let Err(failure) = insert(&*db, &self.record, claim).await {
            self.joined.fail(&failure);
            self.forget();
            return;
        }
        let State::Starting { execution } = &self.record.state else { return };
        let start = Start {
            execution: execution.clone(),
            identity: self.identity(),
            resources: self.record.resources,
            egress: self.record.egress.clone(),
        };
        self.clock_starts();
        self.work = Some(work::start(Arc::clone(&self.shared.parts.node), start));
    }

    pub(crate) async fn finish_create(&mut self, result: std::result::Result<Started, NodeError>) {
        let started = match result {
            Ok(started) => started,
            Err(error) => {
                self.shared.tell_failed(&self.record, "created", &error);
                self.joined.fail(&Failure::Node { doing: "starting", error });
                return self.begin_kill(KillReason::StartFailed).await;
            }
        };
        let Ok(mut next) = self.after(Event::Started) else { return };
        let now = self.shared.now();
        next.started_at = now;
        next.end_at = self.capped(now, now.after(next.settings.timeout));
        next.last_transition = Some(self.report(TransitionKind::Created, started.phases, 0));
        if let Err(failure) = self.commit(next).await {
            // Its creator is told that there is none, so there must be none.
            self.joined.fail(&failure);
            return self.begin_kill(KillReason::StartFailed).await;
        }
        self.open_route(started.address);
        self.tell_done();
        answer_all(&mut self.joined.creates, &Ok(self.record.clone()));
        self.check_ended_early().await;
    }

    /// A report of what is complete now.
    pub(crate) fn report(
        &self,
        kind: TransitionKind,
        phases: Phases,
        generation: u64,
    ) -> TransitionReport {
        TransitionReport {
            kind,
            at: self.shared.now(),
            generation,
            durability: None,
            phases,
            bytes: std::collections::BTreeMap::new(),
            note: None,
        }
    }
}
