//! Restoring a run: from memory while it is there, or from a snapshot that was verified whole.
//!
//! A snapshot that is not whole here is fetched from the object store, if there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use ow_node_api::{NodeError, Resume, Started};
use ow_snapshots::{Cancel, Manifest, Verified};
use ow_types::{PauseMode, Phases, Tier};

use crate::begin::{Beginning, Origin, begin_once, introduce, leave_place, write_record};
use crate::inner::{Inner, blocking};
use crate::network::{self, Rules};
use crate::place::{Placed, Wanted};
use crate::run::Run;
use crate::stopwatch::Stopwatch;
use crate::{cgroup, errors, remote};

/// Restores a run.
pub(crate) async fn resume(inner: &Arc<Inner>, resume: Resume) -> Result<Started, NodeError> {
    let rules = inner.rules(&resume.egress)?;
    let run = Run::new(resume.execution.clone(), resume.identity.sandbox.clone());
    begin_once(inner, run, async |run| match from_memory(inner, run, &resume, &rules).await {
        Some(started) => Ok(started),
        None if run.killed.is_cancelled() => Err(run.gone()),
        None => from_disk(inner, run, &resume, &rules).await,
    })
    .await
}

/// Lets what is frozen of the snapshot go on; nothing if there is none, or it does not.
async fn from_memory(inner: &Inner, run: &Run, resume: &Resume, rules: &Rules) -> Option<Started> {
    let kept = inner.frozen.take(&resume.snapshot, &resume.identity.sandbox)?;
    run.set_placed(Some(kept.placed.clone()));
    match thaw(inner, run, &kept.placed, resume, rules).await {
        Ok(started) => Some(started),
        Err(error) => {
            let execution = &run.execution;
            tracing::warn!(%execution, %error, "a frozen run did not go on; its snapshot does");
            leave_place(inner, run).await;
            None
        }
    }
}

/// Lets a frozen guest go on as this run: with its rules, its limit, its identity and the time.
async fn thaw(
    inner: &Inner,
    run: &Run,
    placed: &Placed,
    resume: &Resume,
    rules: &Rules,
) -> Result<Started, NodeError> {
    let mut watch = Stopwatch::begin();
    let _turn = run.unless_killed(inner.turns.to_start()).await?;
    watch.lap("queue");
    write_record(run, placed, false)?;
    run.unless_killed(network::set_egress(placed.slot, rules)).await?;
    cgroup::put_back_memory_limit(&placed.place)
        .map_err(|error| errors::io(format!("limiting the memory of {}", run.execution), &error))?;
    watch.lap("place");
    let name = &placed.place.execution;
    let of_engine = |error| errors::engine(&run.execution, &error);
    run.unless_killed(async { inner.engine.thaw(name).await.map_err(of_engine) }).await?;
    watch.lap("thaw");
    introduce(inner, run, placed, &resume.identity, resume.reseed, &mut watch).await?;
    Ok(Started { address: placed.slot.address(), tier: Tier::Memory, phases: watch.phases })
}

/// Restores the snapshot.
async fn from_disk(
    inner: &Arc<Inner>,
    run: &Run,
    resume: &Resume,
    rules: &Rules,
) -> Result<Started, NodeError> {
    let origin = FromSnapshot { inner, run, resume, fetched: AtomicBool::new(false) };
    let manifest = origin.read().await?;
    remote::fetch_files(inner, run, &manifest).await?;
    let wanted = wanted(inner, resume, &manifest)?;
    let (wanted, identity, reseed) = (&wanted, &resume.identity, resume.reseed);
    let beginning = Beginning { inner, run, wanted, rules, identity, reseed, lap: "verify" };
    let mut started = beginning.begin(&origin).await?;
    if origin.fetched.into_inner() {
        started.tier = Tier::ObjectStore;
    }
    Ok(started)
}

/// A guest that is restored from a snapshot.
struct FromSnapshot<'a> {
    inner: &'a Arc<Inner>,
    run: &'a Run,
    resume: &'a Resume,
    /// Whether it had to be fetched from the object store.
    fetched: AtomicBool,
}

impl FromSnapshot<'_> {
    /// Reads the manifest, also if it has to be fetched first.
    async fn read(&self) -> Result<Manifest, NodeError> {
        let found = read(self.inner, self.resume).await;
        if self.may_be_mended(&found).await? { read(self.inner, self.resume).await } else { found }
    }

    /// Whether what failed for the snapshot may succeed now that it was fetched.
    async fn may_be_mended<T>(&self, found: &Result<T, NodeError>) -> Result<bool, NodeError> {
        let Err(wrong) = found else { return Ok(false) };
        let fetched = remote::fetch(self.inner, self.run, self.resume, wrong).await?;
        self.fetched.fetch_or(fetched, Ordering::Relaxed);
        Ok(fetched)
    }
}

#[async_trait]
impl Origin for FromSnapshot<'_> {
    type Known = Verified;

    async fn look(&self) -> Result<Verified, NodeError> {
        let found = verify(self.inner, self.run, self.resume).await;
        if self.may_be_mended(&found).await? {
            return verify(self.inner, self.run, self.resume).await;
        }
        found
    }

    async fn boot(&self, placed: &Placed, verified: Verified) -> Result<Phases, NodeError> {
        let (image, mode) = (&verified.image, verified.manifest.mode);
        let restored = self.inner.engine.restore(&placed.place, image, mode).await;
        let (execution, snapshot) = (&self.run.execution, &self.resume.snapshot);
        restored.map_err(|error| errors::restore(execution, snapshot, &error))
    }
}

async fn read(inner: &Inner, resume: &Resume) -> Result<Manifest, NodeError> {
    let (store, snapshot) = (inner.store.clone(), resume.snapshot.clone());
    blocking(move || store.read(&snapshot).map_err(|error| errors::snapshot(&snapshot, &error)))
        .await
}

/// Reads every byte, unless the run is killed meanwhile.
async fn verify(inner: &Inner, run: &Run, resume: &Resume) -> Result<Verified, NodeError> {
    let cancel = Cancel::default();
    let (store, snapshot, of_thread) =
        (inner.store.clone(), resume.snapshot.clone(), cancel.clone());
    let verified = blocking(move || {
        let verified = store.verify(&snapshot, &of_thread);
        verified.map_err(|error| errors::snapshot(&snapshot, &error))
    });
    let verified = run.unless_killed(verified).await;
    if verified.is_err() {
        cancel.cancel();
    }
    verified
}

/// What a place must be like for the snapshot, or why there can be none.
fn wanted(inner: &Inner, resume: &Resume, manifest: &Manifest) -> Result<Wanted, NodeError> {
    let refuse =
        |reason: String| Err(NodeError::BadSnapshot { snapshot: resume.snapshot.clone(), reason });
    if manifest.sandbox != resume.identity.sandbox {
        return refuse(format!("it is of another sandbox, {}", manifest.sandbox));
    }
    if !inner.engine.can_run(&manifest.engine) {
        let (theirs, ours) = (&manifest.engine, inner.engine.version());
        return refuse(format!(
            "it was written by {} {}, which is not here; this is {} {}",
            theirs.name, theirs.version, ours.name, ours.version
        ));
    }
    let beyond = manifest.cpu_features_beyond(&inner.cpu_features);
    if manifest.mode == PauseMode::Full && !beyond.is_empty() {
        return refuse(format!("the processor here has no {}", beyond.join(", ")));
    }
    let Some(template) = inner.template_of(&manifest.template.digest) else {
        let (name, digest) = (&manifest.template.name, &manifest.template.digest);
        return refuse(format!("the image {digest} of template `{name}` is not here"));
    };
    // Files are booted by any agent; memory goes on only with its own.
    let agent = match manifest.mode {
        PauseMode::Full => manifest.agent.as_str(),
        PauseMode::Filesystem => inner.agents.current(),
    };
    if inner.agents.find(agent).is_none() {
        return refuse(format!("its guest agent {agent} is not here"));
    }
    Ok(Wanted {
        resources: manifest.resources,
        ..Wanted::of(&template, agent, manifest.engine.clone())
    })
}
