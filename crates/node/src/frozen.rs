//! What is saved and still frozen in memory, so that a quick return costs milliseconds.
//!
//! It is a cache of a snapshot that is complete, and no run any more: nobody is told of its end,
//! and a server that starts anew removes it. It is given up after a while, when others need the
//! memory, and with its snapshot; all that this costs is time.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ow_types::{ExecutionId, SandboxId, SnapshotId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::inner::Inner;
use crate::memory::Memory;
use crate::place::Placed;

/// How often the machine's memory is looked at while anything is frozen.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One that is saved and frozen.
#[derive(Debug)]
pub(crate) struct Kept {
    snapshot: SnapshotId,
    sandbox: SandboxId,
    pub(crate) placed: Placed,
    /// How much memory it takes, as far as is known.
    bytes: u64,
    /// Set when it goes on or is given up.
    gone: CancellationToken,
}

impl Kept {
    /// What was saved to `snapshot`, in an image of this size.
    pub(crate) fn new(
        snapshot: SnapshotId,
        sandbox: SandboxId,
        placed: Placed,
        image_bytes: u64,
    ) -> Self {
        // Files that it wrote are in the image and not in memory, which is limited.
        let bytes = image_bytes.min(placed.wanted.resources.memory_mib << 20);
        Self { snapshot, sandbox, placed, bytes, gone: CancellationToken::new() }
    }
}

/// All that are frozen.
#[derive(Debug)]
pub(crate) struct Frozen {
    table: Mutex<Table>,
    changed: Notify,
    /// How much memory all of them may take, in bytes.
    limit: u64,
}

#[derive(Debug, Default)]
struct Table {
    /// Oldest first.
    kept: Vec<Kept>,
    closed: bool,
}

impl Table {
    fn bytes(&self) -> u64 {
        self.kept.iter().map(|kept| kept.bytes).sum()
    }

    /// Takes out the oldest ones, until as many bytes are freed.
    fn shed(&mut self, bytes: u64) -> Vec<Kept> {
        let mut freed = 0;
        let enough = |kept: &Kept| {
            let is_enough = freed >= bytes;
            freed += kept.bytes;
            is_enough
        };
        let count = self.kept.iter().position(enough).unwrap_or(self.kept.len());
        self.kept.drain(..count).collect()
    }
}

impl Frozen {
    /// None yet, with the limits of a node.
    pub(crate) fn of(config: &Config) -> Self {
        let quarter = || Memory::of_machine().map_or(0, |memory| memory.total / 4);
        Self::new(config.frozen_memory_mib.map_or_else(quarter, |mib| mib << 20))
    }

    fn new(limit: u64) -> Self {
        Self { table: Mutex::default(), changed: Notify::new(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while it holds what is frozen")
    }

    /// Takes one in, and returns what has to go for that, which may be itself.
    fn put(&self, kept: Kept) -> Vec<Kept> {
        let mut table = self.lock();
        if table.closed {
            return vec![kept];
        }
        let is_older = |other: &mut Kept| other.sandbox == kept.sandbox;
        let mut gone: Vec<_> = table.kept.extract_if(.., is_older).collect();
        table.kept.push(kept);
        let beyond = table.bytes().saturating_sub(self.limit);
        gone.extend(table.shed(beyond));
        drop(table);
        self.changed.notify_one();
        gone
    }

    /// Takes out the one of a sandbox that was saved to a snapshot.
    pub(crate) fn take(&self, snapshot: &SnapshotId, sandbox: &SandboxId) -> Option<Kept> {
        let mut table = self.lock();
        let is_it = |kept: &Kept| kept.snapshot == *snapshot && kept.sandbox == *sandbox;
        let at = table.kept.iter().position(is_it)?;
        let kept = table.kept.remove(at);
        kept.gone.cancel();
        Some(kept)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().kept.len()
    }

    /// Takes in no more; all that are frozen are to be given up by the caller.
    pub(crate) fn close(&self) -> Vec<Kept> {
        let mut table = self.lock();
        table.closed = true;
        table.kept.drain(..).collect()
    }

    fn shed(&self, bytes: u64) -> Vec<Kept> {
        self.lock().shed(bytes)
    }
}

impl Inner {
    /// Keeps what was saved frozen for a while, if that is wanted.
    pub(crate) fn keep_frozen(self: &Arc<Self>, kept: Kept) {
        if self.config.frozen_for.is_zero() {
            return self.give_up([kept]);
        }
        let (snapshot, sandbox) = (kept.snapshot.clone(), kept.sandbox.clone());
        let (place, gone) = (kept.placed.place.execution.clone(), kept.gone.clone());
        let watched = watch(self.clone(), snapshot, sandbox, place, gone);
        let gone = self.frozen.put(kept);
        self.tracker.spawn(watched);
        self.give_up(gone);
    }

    /// Removes what was saved from memory, in its own time.
    pub(crate) fn give_up(self: &Arc<Self>, all: impl IntoIterator<Item = Kept>) {
        for kept in all {
            kept.gone.cancel();
            let inner = self.clone();
            self.tracker.spawn(async move { inner.remove_place(&kept.placed).await });
        }
    }
}

/// Gives one up after a while, or when it ends by itself.
async fn watch(
    inner: Arc<Inner>,
    snapshot: SnapshotId,
    sandbox: SandboxId,
    place: ExecutionId,
    gone: CancellationToken,
) {
    tokio::select! {
        () = gone.cancelled() => return,
        () = inner.stopping.cancelled() => return,
        () = inner.engine.ended(&place) => {
            tracing::info!(%snapshot, "what was frozen in memory has ended");
        }
        () = tokio::time::sleep(inner.config.frozen_for) => {}
    }
    inner.give_up(inner.frozen.take(&snapshot, &sandbox));
}

/// Gives up what is frozen for as long as the machine is short of memory, until the node stops.
pub(crate) async fn watch_memory(inner: Arc<Inner>) {
    while !inner.stopping.is_cancelled() {
        let nothing_is_frozen = inner.frozen.len() == 0;
        let lacking = Memory::of_machine().filter(|_| !nothing_is_frozen).map(Memory::lacking);
        if let Some(bytes @ 1..) = lacking {
            let gone = inner.frozen.shed(bytes);
            tracing::info!(count = gone.len(), bytes, "the machine is short of memory");
            inner.give_up(gone);
        }
        let look_again = async {
            if nothing_is_frozen {
                inner.frozen.changed.notified().await;
            } else {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::select! {
            () = look_again => {}
            () = inner.stopping.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests;
