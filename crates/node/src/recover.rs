//! What a node does with what the one before it left, whatever ended that.
//!
//! Runs go on: they are taken over. Everything else (places that were prepared, half made or half
//! removed, with their networks, slots and control groups) is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use ow_engine::RunState;
use ow_node_api::NodeError;
use ow_types::ExecutionId;

use crate::inner::Inner;
use crate::network::{self, Slot};
use crate::place::Wanted;
use crate::record::Record;
use crate::run::Run;
use crate::{errors, kill};

/// Takes over what runs and removes the rest.
pub(crate) async fn recover(inner: &Arc<Inner>) -> Result<(), NodeError> {
    let directory = inner.runs_directory();
    let cannot = |error| errors::io(format!("listing `{}`", directory.display()), &error);
    let mut slots: BTreeMap<_, _> = claims(inner).await?;
    let mut names: BTreeSet<ExecutionId> = BTreeSet::new();
    for entry in fs::read_dir(&directory).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name();
        names.extend(name.to_str().and_then(|name| name.parse().ok()));
    }
    let of_engine = inner.engine.runs().await;
    names.extend(of_engine.map_err(|error| errors::failed("asking for the runs", &error))?);
    for name in names {
        let slot = slots.remove(&name);
        if let Err(error) = adopt(inner, &name, slot).await {
            tracing::info!(place = %name, reason = %error, "a place is removed");
            remove(inner, &name, slot).await;
        }
    }
    for (name, slot) in slots {
        remove(inner, &name, Some(slot)).await;
    }
    sweep_agents(inner).await
}

/// The slots of this data directory, by place; stale ones of others are given back.
async fn claims(inner: &Inner) -> Result<BTreeMap<ExecutionId, Slot>, NodeError> {
    let claims = inner.slots.claims();
    let claims = claims.map_err(|error| errors::io("listing the slots", &error))?;
    let mut ours = BTreeMap::new();
    for (slot, run) in claims {
        let name = run.file_name().and_then(|name| name.to_str()?.parse().ok());
        match name {
            Some(name) if run.parent() == Some(&*inner.runs_directory()) => {
                ours.insert(name, slot);
            }
            // Nobody makes or removes a place there any more: its directory goes after its network.
            _ if !run.exists() => match network::destroy(slot).await {
                Ok(()) => inner.slots.release(slot),
                Err(error) => tracing::warn!(slot = slot.number(), %error, "a stale slot stays"),
            },
            _ => {}
        }
    }
    Ok(ours)
}

/// Takes over the run in a place, or says why there is none.
async fn adopt(
    inner: &Arc<Inner>,
    name: &ExecutionId,
    slot: Option<Slot>,
) -> Result<(), NodeError> {
    let no = |reason: &str| NodeError::Failed {
        doing: format!("taking over place {name}"),
        reason: reason.to_owned(),
    };
    let record = Record::read(&inner.runs_directory().join(name.as_str()))
        .ok_or_else(|| no("no run is in it"))?;
    if !record.ready {
        return Err(no("its run was being started"));
    }
    if slot.is_none_or(|slot| slot.number() != record.slot) {
        return Err(no("its slot is not claimed"));
    }
    let state = inner.engine.state(name).await;
    let state = state.map_err(|error| errors::engine(&record.execution, &error))?;
    if !matches!(state, Some(RunState::Running | RunState::Frozen)) {
        return Err(no("its run has ended"));
    }
    let wanted = Wanted {
        template: record.template,
        template_digest: record.template_digest,
        rootfs: record.rootfs,
        agent: record.agent,
        resources: record.resources,
        engine: record.engine.unwrap_or_else(|| inner.engine.version()),
    };
    let placed = inner.placed(wanted, Slot::of(record.slot), name.clone())?;
    let run = Run::new(record.execution, record.sandbox);
    run.set_placed(Some(placed));
    run.set_ready();
    let (run, _) = inner.register(run);
    kill::watch(inner, run);
    Ok(())
}

async fn remove(inner: &Inner, name: &ExecutionId, slot: Option<Slot>) {
    if let Err(error) = inner.engine.kill(name).await {
        tracing::error!(place = %name, error = errors::chain(&error), "a place stays");
        return;
    }
    inner.remove_rest(&inner.runs_directory().join(name.as_str()), slot).await;
}

/// Removes guest agents that neither a run nor a snapshot needs.
async fn sweep_agents(inner: &Arc<Inner>) -> Result<(), NodeError> {
    let mut needed: BTreeSet<String> = inner
        .all_runs()
        .iter()
        .filter_map(|run| run.placed().map(|placed| placed.wanted.agent))
        .collect();
    let of_disk = inner.clone();
    crate::inner::blocking(move || {
        let snapshots = of_disk.store.list();
        let snapshots =
            snapshots.map_err(|error| errors::failed("listing the snapshots", &error))?;
        needed.extend(snapshots.into_iter().map(|snapshot| snapshot.agent));
        let swept = of_disk.agents.sweep(&needed);
        swept.map_err(|error| errors::io("removing old guest agents", &error))
    })
    .await
}
