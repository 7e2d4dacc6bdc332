//! Bringing a snapshot back from the object store.

use std::fs::File;

use ow_types::{SandboxId, SnapshotId};

use super::{Owner, RemoteStore, Result, blocking, chunks, unless_cancelled};
use crate::manifest::{FileEntry, Manifest};
use crate::{Cancel, Partial, Store, disk};

impl RemoteStore {
    /// Brings a snapshot to this machine's disk, in place of one of its name.
    ///
    /// Every byte was compared with its digest and is on the disk once this returns. Until the whole
    /// of it is there, what is on this machine stays.
    ///
    /// # Errors
    ///
    /// [`crate::SnapshotError::NotFound`] if it is not in the store,
    /// [`crate::SnapshotError::Damaged`] if it is not what was brought there,
    /// [`crate::SnapshotError::NoSpace`] if this machine's disk is full, and
    /// [`crate::SnapshotError::Exists`] if it is being fetched or written; otherwise the store
    /// refuses or fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped or cancelled, it leaves nothing.
    pub async fn fetch(
        &self,
        sandbox: &SandboxId,
        snapshot: &SnapshotId,
        local: &Store,
        cancel: &Cancel,
    ) -> Result<Manifest> {
        unless_cancelled(cancel, Box::pin(self.fetch_all(sandbox, snapshot, local, cancel))).await
    }

    async fn fetch_all(
        &self,
        sandbox: &SandboxId,
        snapshot: &SnapshotId,
        local: &Store,
        cancel: &Cancel,
    ) -> Result<Manifest> {
        let _no_deletion = self.locks.shared(sandbox).await;
        let (manifest, text) = self.manifest(sandbox, snapshot).await?;
        let (store, name, entries) = (local.clone(), snapshot.clone(), manifest.files.clone());
        let (partial, files) = blocking(move || {
            let partial = store.begin_again(&name)?;
            let files = make_files(&partial, &entries)?;
            Ok((partial, files))
        })
        .await?;
        let owner = Owner::Snapshot(sandbox.clone(), snapshot.clone());
        chunks::receive(&self.objects, &owner, &manifest.files, files, cancel).await?;
        blocking(move || Ok(partial.commit_copy(&text)?)).await?;
        Ok(manifest)
    }
}

/// Makes files of the image with their lengths and no bytes, so that zeros take no disk.
fn make_files(partial: &Partial, entries: &[FileEntry]) -> Result<Vec<File>> {
    let make = |entry: &FileEntry| disk::make_empty(&partial.image().join(&entry.name), entry.size);
    Ok(entries.iter().map(make).collect::<std::result::Result<_, _>>()?)
}
