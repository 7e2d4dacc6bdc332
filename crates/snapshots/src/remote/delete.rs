//! Taking a snapshot out of the object store.

use ow_types::{SandboxId, SnapshotId};

use super::list::chunks_named;
use super::{RemoteStore, Result, layout};
use crate::ChunkDigest;

impl RemoteStore {
    /// Removes a snapshot, and what no other of its sandbox needs; no error if there is none.
    ///
    /// It is gone for good as soon as its manifest is, which is removed first. With the last
    /// snapshot of a sandbox its record goes too.
    ///
    /// # Errors
    ///
    /// If the store refuses or fails; then the same call removes the rest later.
    pub async fn delete(&self, sandbox: &SandboxId, snapshot: &SnapshotId) -> Result<()> {
        let _alone = self.locks.exclusive(sandbox).await;
        self.objects.delete(&layout::manifest(sandbox, snapshot)).await?;
        self.objects.settle().await?;
        let left = self.manifests(sandbox).await?;
        if left.is_empty() {
            return self.objects.delete_tree(&layout::sandbox(sandbox)).await;
        }
        self.objects.delete_tree(&layout::snapshot(sandbox, snapshot)).await?;
        let whole: Vec<_> = left.iter().filter_map(|(_, read)| read.as_ref().ok()).collect();
        if whole.len() < left.len() {
            // A manifest that cannot be read may be one of a later version.
            tracing::warn!(%sandbox, "chunks in the object store stay, since a manifest is damaged");
            return Ok(());
        }
        let named = chunks_named(whole.into_iter());
        let found = self.objects.list(&layout::chunks(&layout::sandbox(sandbox))).await?;
        let paths = found.into_iter().map(|chunk| chunk.location);
        let is_named = |name: &str| {
            ChunkDigest::try_from(name.to_owned()).is_ok_and(|digest| named.contains(&digest))
        };
        let unnamed = paths.filter(|path| !path.filename().is_some_and(is_named));
        self.objects.delete_all(unnamed.collect()).await
    }
}
