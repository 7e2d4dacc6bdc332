//! What a start and a resume have in common: a run gets a turn, a place, and a guest in it that
//! knows who it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ow_guest_proto::control::Init;
use ow_node_api::{Identity, NodeError, Started};
use ow_types::{ExecutionId, Phases, Tier};
use rand::RngCore as _;

use crate::guest::{Guest, GuestError};
use crate::inner::Inner;
use crate::network::{self, Rules};
use crate::place::{Placed, Wanted};
use crate::run::Run;
use crate::stopwatch::Stopwatch;
use crate::{errors, kill};

/// How long a guest may take until its agent answers. It takes 50 to 400 ms on an idle machine;
/// this is reached by what never will.
pub(crate) const GUEST_UP: Duration = Duration::from_secs(20);

/// How long the agent may take to take over an identity.
const INIT: Duration = Duration::from_secs(10);

/// Begins a run, or waits for the beginning that is in flight; one that fails leaves nothing.
pub(crate) async fn begin_once(
    inner: &Arc<Inner>,
    run: Run,
    begin: impl AsyncFnOnce(&Arc<Run>) -> Result<Started, NodeError>,
) -> Result<Started, NodeError> {
    let (run, is_new) = inner.register(run);
    let turn = run.work.lock().await;
    if !is_new && (run.is_ready() || inner.run(&run.execution).is_none()) {
        let placed = run.placed().filter(|_| run.is_ready()).ok_or_else(|| run.gone())?;
        // What is not known proves as little as what came from memory.
        let tier = run.tier.get().copied().unwrap_or(Tier::Memory);
        return Ok(Started { address: placed.slot.address(), tier, phases: Phases::default() });
    }
    let begun = begin(&run).await;
    match begun {
        Ok(started) => {
            let _ = run.tier.set(started.tier);
            kill::watch(inner, run.clone());
            Ok(started)
        }
        Err(error) => {
            kill::retire(inner, &run, &turn).await?;
            Err(error)
        }
    }
}

/// Where a guest comes from.
#[async_trait]
pub(crate) trait Origin: Sync {
    /// What must be known before it boots.
    type Known: Send;

    /// Finds that out, while a place is made.
    async fn look(&self) -> Result<Self::Known, NodeError>;

    /// Lets it boot in a place.
    async fn boot(&self, placed: &Placed, known: Self::Known) -> Result<Phases, NodeError>;
}

/// What a run begins with, wherever its guest comes from.
pub(crate) struct Beginning<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) run: &'a Run,
    pub(crate) wanted: &'a Wanted,
    pub(crate) rules: &'a Rules,
    pub(crate) identity: &'a Identity,
    /// Whether others began as the same process.
    pub(crate) reseed: bool,
    /// What the time is called until the guest can boot.
    pub(crate) lap: &'static str,
}

impl Beginning<'_> {
    /// Lets a guest boot in a place that is ready; if that fails, once more in a new one.
    pub(crate) async fn begin(&self, origin: &impl Origin) -> Result<Started, NodeError> {
        let first = self.attempt(true, origin).await;
        let Err(error) = &first else { return first };
        if !may_go_otherwise(error) || self.run.killed.is_cancelled() {
            return first;
        }
        // The place or the moment may be to blame: it gets another of both.
        let execution = &self.run.execution;
        tracing::warn!(%execution, %error, "a run did not begin, and is tried again");
        leave_place(self.inner, self.run).await;
        self.attempt(false, origin).await
    }

    async fn attempt(
        &self,
        may_be_prepared: bool,
        origin: &impl Origin,
    ) -> Result<Started, NodeError> {
        let Self { inner, run, wanted, .. } = self;
        let mut watch = Stopwatch::begin();
        let _turn = run.unless_killed(inner.turns.to_start()).await?;
        watch.lap("queue");
        let place = enter_place(inner, run, (*wanted).clone(), may_be_prepared);
        let (known, placed) = tokio::join!(origin.look(), place);
        let (known, placed) = (known?, placed?);
        watch.lap(self.lap);
        let phases = begin_guest(run, &placed, self.rules, origin.boot(&placed, known)).await?;
        watch.lap_with(phases);
        introduce(inner, run, &placed, self.identity, self.reseed, &mut watch).await?;
        Ok(Started { address: placed.slot.address(), tier: Tier::Disk, phases: watch.phases })
    }
}

/// Whether a second attempt may have another outcome.
///
/// Also where the engine blames the snapshot: an engine whose process is killed in a restore may
/// leave the same trace as one that fell over what it read, and a snapshot that is blamed is given
/// up for the one before it.
const fn may_go_otherwise(error: &NodeError) -> bool {
    matches!(
        error,
        NodeError::Failed { .. }
            | NodeError::GuestUnresponsive { .. }
            | NodeError::BadSnapshot { .. }
    )
}

/// Removes the place of a run that goes on in another.
pub(crate) async fn leave_place(inner: &Inner, run: &Run) {
    if let Some(placed) = run.placed() {
        run.set_placed(None);
        inner.remove_place(&placed).await;
    }
}

/// Puts a run into a place that is ready, or else a new one, and notes that on disk.
///
/// This is never dropped half done: a kill waits for the 50 ms.
async fn enter_place(
    inner: &Inner,
    run: &Run,
    wanted: Wanted,
    may_be_prepared: bool,
) -> Result<Placed, NodeError> {
    let prepared = if may_be_prepared { inner.pool.take(&wanted) } else { None };
    let placed = match prepared {
        Some(placed) => placed,
        None => inner.make_place(wanted).await?,
    };
    run.set_placed(Some(placed.clone()));
    write_record(run, &placed, false)?;
    if run.killed.is_cancelled() { Err(run.gone()) } else { Ok(placed) }
}

pub(crate) fn write_record(run: &Run, placed: &Placed, ready: bool) -> Result<(), NodeError> {
    let written = run.record(placed, ready).write(&placed.place.directory);
    written.map_err(|error| errors::io(format!("noting run {}", run.execution), &error))
}

/// Lets `boot` run while the network's rules are set: until they are, no packet passes.
async fn begin_guest(
    run: &Run,
    placed: &Placed,
    rules: &Rules,
    boot: impl Future<Output = Result<Phases, NodeError>>,
) -> Result<Phases, NodeError> {
    let both = async { tokio::try_join!(boot, network::set_egress(placed.slot, rules)) };
    run.unless_killed(both).await.map(|(phases, ())| phases)
}

/// Waits for the guest's agent and tells it who it is.
pub(crate) async fn introduce(
    inner: &Inner,
    run: &Run,
    placed: &Placed,
    identity: &Identity,
    reseed: bool,
    watch: &mut Stopwatch,
) -> Result<(), NodeError> {
    let guest = Guest::at(placed.slot.address());
    let blame = |doing: &'static str| move |error| unresponsive(&run.execution, doing, &error);
    let up = async { wait_until_up(inner, guest, placed).await.map_err(blame("it booted")) };
    run.unless_killed(up).await?;
    watch.lap("guest");
    let init = init(inner, identity, reseed);
    let told = async { guest.init(&init, INIT).await.map_err(blame("it was told who it is")) };
    run.unless_killed(told).await?;
    watch.lap("init");
    write_record(run, placed, true)?;
    run.set_ready();
    Ok(())
}

/// Returns early if what runs in the place has ended.
async fn wait_until_up(inner: &Inner, guest: Guest, placed: &Placed) -> Result<(), GuestError> {
    tokio::select! {
        up = guest.wait_until_up(GUEST_UP) => up,
        () = inner.engine.ended(&placed.place.execution) => {
            Err(GuestError::Unreachable("it ended".into()))
        }
    }
}

pub(crate) fn unresponsive(execution: &ExecutionId, doing: &str, error: &GuestError) -> NodeError {
    NodeError::GuestUnresponsive {
        execution: execution.clone(),
        doing: format!("{doing} ({error})"),
    }
}

/// What the guest is told, with the time as late as possible.
fn init(inner: &Inner, identity: &Identity, reseed: bool) -> Init {
    let seed = || {
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        BASE64.encode(seed)
    };
    Init {
        sandbox_id: identity.sandbox.to_string(),
        hostname: identity.sandbox.to_string(),
        template_id: identity.template.clone(),
        default_user: None,
        env_vars: identity.env_vars.clone(),
        access_token: identity.access_token.clone(),
        now_unix_millis: inner.clock.now().unix_millis(),
        reseed: reseed.then(seed),
    }
}
