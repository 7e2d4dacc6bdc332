//! What is where in the object store.

use object_store::path::Path;
use ow_types::{SandboxId, SnapshotId};

use super::RemoteError;
use crate::ChunkDigest;

/// The directory of all sandboxes.
pub(super) const SANDBOXES: &str = "sandboxes";

/// The directory of all files.
pub(super) const FILES: &str = "files";

/// The directory of a sandbox's or file's chunks. No snapshot has this name.
const CHUNKS: &str = "chunks";

/// All sandboxes.
pub(super) fn sandboxes() -> Path {
    Path::from(SANDBOXES)
}

/// Everything of a sandbox.
pub(super) fn sandbox(sandbox: &SandboxId) -> Path {
    sandboxes().join(sandbox.as_str())
}

/// What the caller keeps of a sandbox.
pub(super) fn record(of: &SandboxId) -> Path {
    sandbox(of).join("record.json")
}

/// Everything of a snapshot but its chunks.
pub(super) fn snapshot(of: &SandboxId, snapshot: &SnapshotId) -> Path {
    sandbox(of).join(snapshot.as_str())
}

/// What makes a snapshot exist.
pub(super) fn manifest(of: &SandboxId, named: &SnapshotId) -> Path {
    snapshot(of, named).join("manifest.json")
}

/// Everything of a file.
pub(super) fn file(digest: &str) -> Result<Path, RemoteError> {
    match blake3::Hash::from_hex(digest) {
        Ok(digest) => Ok(Path::from(FILES).join(digest.to_hex().as_str())),
        Err(_) => Err(RemoteError::NotADigest { name: digest.chars().take(64).collect() }),
    }
}

/// What makes a file exist.
pub(super) fn index(digest: &str) -> Result<Path, RemoteError> {
    Ok(file(digest)?.join("index.json"))
}

/// The chunks of a sandbox or file.
pub(super) fn chunks(of: &Path) -> Path {
    of.clone().join(CHUNKS)
}

/// One of them.
pub(super) fn chunk(of: &Path, digest: &ChunkDigest) -> Path {
    chunks(of).join(digest.to_string())
}

/// The snapshot that a directory of a sandbox is of; none for its chunks.
pub(super) fn snapshot_named(directory: &Path) -> Option<SnapshotId> {
    directory.filename().filter(|name| *name != CHUNKS)?.parse().ok()
}
