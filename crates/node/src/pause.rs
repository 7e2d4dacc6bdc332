//! Saving a run and ending it; on any failure it goes on running, or stays frozen if it was.
//!
//! Until the snapshot is committed every step gives way to a kill and to a thaw; from then on the
//! run is over, and neither finds it. So a run never goes on beside a snapshot that was taken of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ow_engine::RunState;
use ow_node_api::{NodeError, Pause, Paused};
use ow_snapshots::{About, Bytes, Cancel, Partial, Safety, SnapshotError, TemplateRef, Written};
use ow_types::{Durability, PauseMode, Phases, SandboxId};
use tokio_util::sync::CancellationToken;

use crate::freeze::{HEALTHY, go_on};
use crate::frozen::Kept;
use crate::inner::{Inner, blocking};
use crate::place::Placed;
use crate::record::Record;
use crate::run::Run;
use crate::stopwatch::Stopwatch;
use crate::{cgroup, errors, kill, secure};

/// Saves a run and ends it.
pub(crate) async fn pause(inner: &Arc<Inner>, pause: Pause) -> Result<Paused, NodeError> {
    let safety = safety(pause.durability)?;
    let Some(run) = inner.run(&pause.execution) else { return was_paused(inner, &pause).await };
    // Before the turn: a thaw that comes while this waits for it is about this pause too.
    let called_off = run.pauses();
    let turn = run.work.lock().await;
    let Some(placed) = run.placed().filter(|_| run.is_ready()) else {
        return was_paused(inner, &pause).await;
    };
    if pause.frozen && !stands_still(inner, &placed).await? {
        return Err(run.called_off());
    }
    let mut watch = Stopwatch::begin();
    let guest_healthy = if pause.frozen {
        run.was_healthy.load(Ordering::Relaxed)
    } else {
        run.look_at_health(HEALTHY).await
    };
    watch.lap("health");
    let _turn_of_node = run.unless(&called_off, inner.turns.to_pause()).await?;
    watch.lap("queue");
    let saving = Saving { inner, run: &run, placed: &placed, pause: &pause, called_off };
    let bytes = match saving.save(safety, &mut watch).await {
        Ok(written) => written.bytes,
        Err(error) => {
            if !pause.frozen {
                go_on(inner, &run, &placed).await;
            }
            return Err(error);
        }
    };
    hand_over(inner, &run, placed, &pause, bytes);
    drop(turn);
    watch.lap("release");
    let (durability, bytes) = (pause.durability, by_name(bytes));
    Ok(Paused { durability, phases: watch.phases, bytes, guest_healthy })
}

/// Whether a run that was frozen is so still: a thaw may have come between the call of the pause and
/// its turn, and what was thawed must not be ended.
async fn stands_still(inner: &Inner, placed: &Placed) -> Result<bool, NodeError> {
    let name = &placed.place.execution;
    let state = inner.engine.state(name).await.map_err(|error| errors::engine(name, &error))?;
    Ok(state == Some(RunState::Frozen))
}

/// What a commit does for a level of durability; the levels beyond are `secure`'s.
fn safety(durability: Durability) -> Result<Safety, NodeError> {
    match durability {
        Durability::Captured => Ok(Safety::Cached),
        Durability::DurableLocal => Ok(Safety::Durable),
        Durability::Frozen | Durability::DurableRemote => {
            let what = format!("a pause at durability `{}`", durability.as_str());
            Err(NodeError::Unsupported { what })
        }
    }
}

/// A run that is being saved.
struct Saving<'a> {
    inner: &'a Inner,
    run: &'a Run,
    placed: &'a Placed,
    pause: &'a Pause,
    /// Set by a kill or thaw.
    called_off: CancellationToken,
}

impl Saving<'_> {
    /// Freezes, captures and commits.
    async fn save(&self, safety: Safety, watch: &mut Stopwatch) -> Result<Written, NodeError> {
        let Self { inner, run, placed, pause, called_off } = self;
        let (store, snapshot) = (inner.store.clone(), pause.snapshot.clone());
        let partial = blocking(move || {
            store.begin(&snapshot).map_err(|error| errors::snapshot(&snapshot, &error))
        })
        .await?;
        watch.lap("begin");
        let name = &placed.place.execution;
        let of_engine = |error| errors::engine(&pause.execution, &error);
        // A thaw waits for this one: see `freeze`.
        run.unless_killed(async { inner.engine.freeze(name).await.map_err(of_engine) }).await?;
        watch.lap("freeze");
        let image = partial.image().to_owned();
        let captured = inner.engine.capture(name, &image, pause.mode);
        // The guest stands still: the limit would only hold back what is written of it.
        cgroup::lift_memory_limit(&placed.place);
        let captured = run.unless(called_off, async { captured.await.map_err(of_engine) }).await?;
        watch.lap_with(captured.phases);
        let about = about(inner, placed, pause.sandbox.clone(), pause.generation, pause.mode);
        let mut written = self.commit(partial, about, safety).await?;
        watch.lap_with(std::mem::take(&mut written.phases));
        Ok(written)
    }

    /// Commits on another thread, and stops that when it is called off; what it then did counts.
    async fn commit(
        &self,
        partial: Partial,
        about: About,
        safety: Safety,
    ) -> Result<Written, NodeError> {
        let (cancel, snapshot) = (Cancel::default(), partial.snapshot().clone());
        let of_thread = cancel.clone();
        let work = blocking(move || match partial.commit(about, safety, &of_thread) {
            Err(SnapshotError::Cancelled) => Ok(None),
            Err(error) => Err(errors::snapshot(&snapshot, &error)),
            Ok(written) => Ok(Some(written)),
        });
        tokio::pin!(work);
        let written = tokio::select! {
            biased;
            written = &mut work => written,
            () = self.called_off.cancelled() => {
                cancel.cancel();
                work.await
            }
        };
        written?.ok_or_else(|| self.run.called_off())
    }
}

/// What a manifest says of the run in a place, beside its files.
pub(crate) fn about(
    inner: &Inner,
    placed: &Placed,
    sandbox: SandboxId,
    generation: u64,
    mode: PauseMode,
) -> About {
    About {
        sandbox,
        generation,
        mode,
        engine: placed.wanted.engine.clone(),
        cpu_features: inner.cpu_features.clone(),
        template: TemplateRef {
            name: placed.wanted.template.clone(),
            digest: placed.wanted.template_digest.clone(),
        },
        agent: placed.wanted.agent.clone(),
        resources: placed.wanted.resources,
        taken_on: inner.hostname.clone(),
        taken_at: inner.clock.now(),
    }
}

/// Ends what was saved: a resume is another run.
///
/// It is no run any more from here on, also for a server that starts anew. Its place goes after the
/// answer, or stays as it is for a quick return.
fn hand_over(inner: &Arc<Inner>, run: &Run, placed: Placed, pause: &Pause, bytes: Bytes) {
    let forgotten = Record::remove(&placed.place.directory);
    if let Err(error) = &forgotten {
        tracing::warn!(execution = %run.execution, %error, "a paused run's record stays");
    }
    run.set_placed(None);
    let may_stay = forgotten.is_ok() && !run.killed.is_cancelled();
    let kept = Kept::new(pause.snapshot.clone(), pause.sandbox.clone(), placed, bytes.captured);
    if may_stay && pause.mode == PauseMode::Full {
        inner.keep_frozen(kept);
    } else {
        inner.give_up([kept]);
    }
    kill::tell(inner, run);
}

/// Answers for a run that is not there: a pause of these names may have been done before.
async fn was_paused(inner: &Inner, pause: &Pause) -> Result<Paused, NodeError> {
    let (store, snapshot) = (inner.store.clone(), pause.snapshot.clone());
    let read = blocking(move || Ok(store.read(&snapshot).ok())).await?;
    let Some(manifest) = read.filter(|manifest| manifest.sandbox == pause.sandbox) else {
        return Err(NodeError::NoSuchRun { execution: pause.execution.clone() });
    };
    if pause.durability == Durability::DurableLocal {
        // The pause that was done before may have been asked for less.
        secure::sync(inner, &pause.snapshot).await?;
    }
    Ok(Paused {
        durability: pause.durability,
        phases: Phases::default(),
        bytes: BTreeMap::from([("captured".into(), manifest.image_bytes())]),
        guest_healthy: false,
    })
}

fn by_name(bytes: Bytes) -> BTreeMap<String, u64> {
    let named = [("captured", bytes.captured), ("zero", bytes.zero), ("stored", bytes.stored)];
    named.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}
