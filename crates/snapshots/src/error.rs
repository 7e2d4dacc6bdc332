//! How the store refuses and fails.

use std::io;

use nix::errno::Errno;
use ow_types::{SandboxId, SnapshotId};

/// Why a snapshot was not written, read or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// There is no complete snapshot of that name.
    #[error("snapshot {snapshot} does not exist")]
    NotFound {
        /// Its name.
        snapshot: SnapshotId,
    },
    /// A snapshot of that name is there or being written.
    #[error("snapshot {snapshot} already exists")]
    Exists {
        /// Its name.
        snapshot: SnapshotId,
    },
    /// It is not what was written: it must never be restored.
    #[error("snapshot {snapshot} is damaged: {damage}")]
    Damaged {
        /// Its name.
        snapshot: SnapshotId,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The disk has no room, in bytes, inodes or quota.
    #[error("no space left on the disk to {doing}")]
    NoSpace {
        /// What was tried.
        doing: String,
    },
    /// The file system takes no writes.
    #[error("the file system is read-only: cannot {doing}")]
    ReadOnly {
        /// What was tried.
        doing: String,
    },
    /// Its caller stopped the work.
    #[error("the work was cancelled")]
    Cancelled,
    /// The machine failed, which says nothing of the snapshot.
    #[error("cannot {doing}")]
    Io {
        /// What was tried, on what.
        doing: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What is wrong with a snapshot, by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// No manifest.
    #[error("its manifest is missing")]
    NoManifest,
    /// The manifest is no manifest.
    #[error("its manifest cannot be read: {reason}")]
    ManifestUnreadable {
        /// Why not.
        reason: String,
    },
    /// The manifest was changed after it was written.
    #[error("its manifest does not match its own digest")]
    ManifestChanged,
    /// The manifest is of a later version of this software.
    #[error("its manifest has the unknown version {version}")]
    ManifestVersion {
        /// The version.
        version: u64,
    },
    /// The manifest speaks of another snapshot.
    #[error("its manifest is of snapshot {other}")]
    OtherSnapshot {
        /// The other.
        other: SnapshotId,
    },
    /// The manifest speaks of another sandbox.
    #[error("its manifest is of sandbox {other}")]
    OtherSandbox {
        /// The other.
        other: SandboxId,
    },
    /// Its bytes have another digest than its name says.
    #[error("its bytes have another digest")]
    OtherDigest,
    /// A file is not there.
    #[error("`{file}` is missing")]
    Missing {
        /// Its name.
        file: String,
    },
    /// Something is there that was not written.
    #[error("`{file}` does not belong to it")]
    Foreign {
        /// Its name.
        file: String,
    },
    /// A link, directory or device is where a file should be.
    #[error("`{file}` is no regular file")]
    NotAFile {
        /// Its name.
        file: String,
    },
    /// A file is shorter or longer than it was.
    #[error("`{file}` has {found} bytes instead of {expected}")]
    Size {
        /// Its name.
        file: String,
        /// As written.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// Bytes were changed.
    #[error("`{file}` was changed in the {CHUNK} bytes from {offset}", CHUNK = crate::CHUNK_BYTES)]
    Changed {
        /// Its name.
        file: String,
        /// Where the chunk begins.
        offset: u64,
    },
    /// A part of a file is not in the object store.
    #[error("the {CHUNK} bytes of `{file}` from {offset} are missing", CHUNK = crate::CHUNK_BYTES)]
    ChunkMissing {
        /// The file's name.
        file: String,
        /// Where the chunk begins.
        offset: u64,
    },
    /// A part of a file in the object store was cut short, or is not what was packed there.
    #[error(
        "the {CHUNK} bytes of `{file}` from {offset} cannot be unpacked",
        CHUNK = crate::CHUNK_BYTES
    )]
    ChunkUnreadable {
        /// The file's name.
        file: String,
        /// Where the chunk begins.
        offset: u64,
    },
}

impl SnapshotError {
    /// Wraps what the disk said, by what it means to the caller.
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        let doing = doing.into();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => Self::NoSpace { doing },
            Some(Errno::EROFS) => Self::ReadOnly { doing },
            _ => Self::Io { doing, source },
        }
    }

    /// Whether the same call may succeed later without a change by anyone.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NoSpace { .. } | Self::ReadOnly { .. } | Self::Cancelled | Self::Io { .. } => {
                true
            }
            Self::NotFound { .. } | Self::Exists { .. } | Self::Damaged { .. } => false,
        }
    }
}
