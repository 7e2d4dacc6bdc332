//! Bringing a snapshot to the object store.

use std::collections::HashSet;
use std::time::Instant;

use ow_types::{Phases, SandboxId, SnapshotId};

use super::list::chunks_named;
use super::{Owner, RemoteStore, Result, blocking, chunks, layout, unless_cancelled};
use crate::digest::Source;
use crate::manifest::Manifest;
use crate::{Cancel, ChunkDigest, SnapshotError, Store};

/// What an upload took, in bytes.
#[derive(Debug, Clone, Default)]
pub struct Uploaded {
    /// Sent to the store, packed.
    pub stored: u64,
    /// Of the image, in chunks that were in the store or twice in the image.
    pub deduplicated: u64,
    /// Of the image, in chunks of zeros.
    pub zero: u64,
    /// Where the time went.
    pub phases: Phases,
}

/// A snapshot on this machine, open.
struct Local {
    manifest: Manifest,
    text: Vec<u8>,
    sources: Vec<Source>,
}

impl RemoteStore {
    /// Brings a snapshot to the store, and with it `record`, in place of the sandbox's last one.
    ///
    /// It is in the store, and on its disk, once this returns. What is in the store already is not
    /// sent again, so that an upload that was interrupted goes on where it was; one that is complete
    /// may be repeated. What does not have its digest is not sent. Whoever deletes a snapshot while it
    /// is brought to the store removes it here first, and then there.
    ///
    /// # Errors
    ///
    /// [`crate::SnapshotError::NotFound`] or [`crate::SnapshotError::Damaged`] if the snapshot on
    /// this machine is missing or damaged; otherwise the store refuses or fails, and the snapshot
    /// does not exist in it.
    ///
    /// # Cancel safety
    ///
    /// Dropped or cancelled, it leaves only chunks.
    pub async fn upload(
        &self,
        local: &Store,
        snapshot: &SnapshotId,
        record: &[u8],
        cancel: &Cancel,
    ) -> Result<Uploaded> {
        unless_cancelled(cancel, Box::pin(self.upload_all(local, snapshot, record, cancel))).await
    }

    async fn upload_all(
        &self,
        local: &Store,
        snapshot: &SnapshotId,
        record: &[u8],
        cancel: &Cancel,
    ) -> Result<Uploaded> {
        let mut phases = Phases::default();
        let begun = Instant::now();
        let (store, name) = (local.clone(), snapshot.clone());
        let opened = blocking(move || open(&store, &name)).await?;
        let sandbox = &opened.manifest.sandbox;
        let _no_deletion = self.locks.shared(sandbox).await;
        if !local.contains(snapshot) {
            // Removed here, and perhaps there: it must not come back.
            return Err(SnapshotError::NotFound { snapshot: snapshot.clone() }.into());
        }
        let known = self.known_chunks_of(sandbox).await?;
        phases.push("remote-list", begun.elapsed());

        let begun = Instant::now();
        let owner = Owner::Snapshot(sandbox.clone(), snapshot.clone());
        let files = &opened.manifest.files;
        let moved =
            chunks::send(&self.objects, &owner, files, opened.sources, known, cancel).await?;
        phases.push("remote-chunks", begun.elapsed());

        let begun = Instant::now();
        // Each is there before what needs it.
        self.objects.settle().await?;
        self.objects.put(&layout::record(sandbox), record.to_vec()).await?;
        self.objects.put(&layout::manifest(sandbox, snapshot), opened.text).await?;
        self.objects.settle().await?;
        phases.push("remote-commit", begun.elapsed());
        let chunks::Moved { stored, deduplicated, zero } = moved;
        Ok(Uploaded { stored, deduplicated, zero, phases })
    }

    async fn known_chunks_of(&self, sandbox: &SandboxId) -> Result<HashSet<ChunkDigest>> {
        let manifests = match self.objects.writes_are_durable() {
            // Then it does not matter who names them.
            true => Vec::new(),
            false => self.manifests(sandbox).await?,
        };
        let named = chunks_named(manifests.iter().filter_map(|(_, read)| read.as_ref().ok()));
        self.known_chunks(&layout::sandbox(sandbox), &named).await
    }
}

fn open(store: &Store, snapshot: &SnapshotId) -> Result<Local> {
    let (manifest, text) = store.read_text(snapshot)?;
    let sources = store.open_files(&manifest)?;
    Ok(Local { manifest, text, sources })
}
