//! What the object store holds.

use std::collections::HashSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use ow_types::{PauseMode, SandboxId, SnapshotId, Timestamp};

use super::objects::Object;
use super::{RemoteError, RemoteStore, Result, layout};
use crate::manifest::Manifest;
use crate::{ChunkDigest, Damage, SnapshotError};

/// How many small objects are read at a time.
const PARALLEL: usize = 16;

/// The most bytes of a manifest that is read: about 900 GiB of images.
const MOST_MANIFEST_BYTES: u64 = 64 << 20;

/// The most bytes of a record that is read.
const MOST_RECORD_BYTES: u64 = 1 << 20;

/// A snapshot in the object store, as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSnapshot {
    /// Whose it is.
    pub sandbox: SandboxId,
    /// Its name.
    pub snapshot: SnapshotId,
    /// 1 for a sandbox's first pause, and one more for each that followed.
    pub generation: u64,
    /// What it holds.
    pub mode: PauseMode,
    /// When it was taken.
    pub taken_at: Timestamp,
}

impl From<Manifest> for RemoteSnapshot {
    fn from(manifest: Manifest) -> Self {
        Self {
            sandbox: manifest.sandbox,
            snapshot: manifest.snapshot,
            generation: manifest.generation,
            mode: manifest.mode,
            taken_at: manifest.taken_at,
        }
    }
}

impl RemoteStore {
    /// Whether a snapshot is complete in the store.
    ///
    /// # Errors
    ///
    /// If the store refuses or fails.
    pub async fn contains(&self, sandbox: &SandboxId, snapshot: &SnapshotId) -> Result<bool> {
        self.objects.contains(&layout::manifest(sandbox, snapshot)).await
    }

    /// Every sandbox of which there is something in the store.
    ///
    /// # Errors
    ///
    /// If the store refuses or fails.
    pub async fn sandboxes(&self) -> Result<Vec<SandboxId>> {
        let directories = self.objects.directories(&layout::sandboxes()).await?;
        Ok(directories.iter().filter_map(|path| path.filename()?.parse().ok()).collect())
    }

    /// Every complete snapshot whose manifest can be read; the others are logged and stay.
    ///
    /// # Errors
    ///
    /// If the store refuses or fails.
    pub async fn list(&self) -> Result<Vec<RemoteSnapshot>> {
        let sandboxes = self.sandboxes().await?;
        let manifests = |sandbox: SandboxId| async move { self.manifests(&sandbox).await };
        let of_all = stream::iter(sandboxes).map(manifests).buffer_unordered(PARALLEL);
        let found: Vec<Vec<_>> = of_all.try_collect().await?;
        let whole = found.into_iter().flatten().filter_map(|(snapshot, read)| match read {
            Ok(manifest) => Some(manifest.into()),
            Err(damage) => {
                tracing::warn!(%snapshot, %damage, "a snapshot in the object store cannot be read");
                None
            }
        });
        Ok(whole.collect())
    }

    /// What the caller gave with the newest upload of a sandbox; none if there was none.
    ///
    /// # Errors
    ///
    /// If the store refuses or fails.
    pub async fn record(&self, sandbox: &SandboxId) -> Result<Option<Vec<u8>>> {
        match self.objects.get(&layout::record(sandbox), MOST_RECORD_BYTES).await? {
            Object::Whole(record) => Ok(Some(record.into())),
            Object::Missing => Ok(None),
            Object::TooLong(length) => {
                tracing::warn!(%sandbox, length, "a record in the object store is too long");
                Ok(None)
            }
        }
    }

    /// The manifests of a sandbox, or what is wrong with them.
    pub(super) async fn manifests(
        &self,
        sandbox: &SandboxId,
    ) -> Result<Vec<(SnapshotId, std::result::Result<Manifest, Damage>)>> {
        let directories = self.objects.directories(&layout::sandbox(sandbox)).await?;
        let snapshots: Vec<_> = directories.iter().filter_map(layout::snapshot_named).collect();
        let read = |snapshot: SnapshotId| async move {
            match self.manifest(sandbox, &snapshot).await {
                Ok((manifest, _)) => Ok(Some((snapshot, Ok(manifest)))),
                Err(RemoteError::Snapshot(SnapshotError::Damaged { damage, .. })) => {
                    Ok(Some((snapshot, Err(damage))))
                }
                Err(RemoteError::Snapshot(SnapshotError::NotFound { .. })) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let read = stream::iter(snapshots).map(read).buffer_unordered(PARALLEL);
        read.try_filter_map(async |found| Ok(found)).try_collect().await
    }

    /// A manifest and its text, believed only if it is whole and of this snapshot.
    pub(super) async fn manifest(
        &self,
        sandbox: &SandboxId,
        snapshot: &SnapshotId,
    ) -> Result<(Manifest, Vec<u8>)> {
        let damaged =
            |damage| Err(SnapshotError::Damaged { snapshot: snapshot.clone(), damage }.into());
        let path = layout::manifest(sandbox, snapshot);
        let text = match self.objects.get(&path, MOST_MANIFEST_BYTES).await? {
            Object::Whole(text) => text,
            Object::Missing => {
                return Err(SnapshotError::NotFound { snapshot: snapshot.clone() }.into());
            }
            Object::TooLong(length) => {
                let reason = format!("it has {length} bytes");
                return damaged(Damage::ManifestUnreadable { reason });
            }
        };
        match Manifest::from_text(&text) {
            Err(damage) => damaged(damage),
            Ok(manifest) if manifest.snapshot != *snapshot => {
                damaged(Damage::OtherSnapshot { other: manifest.snapshot })
            }
            Ok(manifest) if manifest.sandbox != *sandbox => {
                damaged(Damage::OtherSandbox { other: manifest.sandbox })
            }
            Ok(manifest) => Ok((manifest, text.into())),
        }
    }

    /// The chunks in a directory that are whole for sure, among them those in `named`.
    ///
    /// A directory of a file system may hold chunks that were being written when power was lost: of
    /// those only what a manifest names is believed, which was written when they were on the disk.
    pub(super) async fn known_chunks(
        &self,
        home: &Path,
        named: &HashSet<ChunkDigest>,
    ) -> Result<HashSet<ChunkDigest>> {
        let believed =
            |digest: &ChunkDigest| self.objects.writes_are_durable() || named.contains(digest);
        let found = self.objects.list(&layout::chunks(home)).await?;
        let digests = found.into_iter().filter(|chunk| chunk.size > 0).filter_map(|chunk| {
            ChunkDigest::try_from(chunk.location.filename()?.to_owned()).ok().filter(believed)
        });
        Ok(digests.collect())
    }
}

/// Every chunk that manifests name.
pub(super) fn chunks_named<'a>(
    manifests: impl Iterator<Item = &'a Manifest>,
) -> HashSet<ChunkDigest> {
    let files = manifests.flat_map(|manifest| &manifest.files);
    files.flat_map(|file| file.chunks.iter().copied()).collect()
}
