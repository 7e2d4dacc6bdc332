//! Snapshots in an object store, where they survive the loss of the machine.
//!
//! ```text
//! <prefix>/sandboxes/<sandbox>/<snapshot>/manifest.json   as on disk; written last: it makes it exist
//! <prefix>/sandboxes/<sandbox>/chunks/<BLAKE3>            a mebibyte of an image, packed with zstd
//! <prefix>/sandboxes/<sandbox>/record.json                what the caller knows of the sandbox
//! <prefix>/files/<BLAKE3>/index.json                      a template's image or a guest agent
//! <prefix>/files/<BLAKE3>/chunks/<BLAKE3>                 and its mebibytes
//! ```
//!
//! The chunks are those that the manifest has digests of. Those of zeros are not stored, and one
//! that an earlier generation brought is not stored again. What is interrupted leaves chunks that
//! no manifest names: the next upload uses them, and the next deletion removes them.
//!
//! | Reading | Writing |
//! |---|---|
//! | [`RemoteStore::fetch`], [`RemoteStore::contains`], [`RemoteStore::list`] | [`RemoteStore::upload`], [`RemoteStore::delete`] |
//! | [`RemoteStore::record`], [`RemoteStore::sandboxes`] | |
//! | [`RemoteStore::fetch_file`], [`RemoteStore::has_file`] | [`RemoteStore::put_file`] |
//!
//! One server at a time uses a prefix; within it, a deletion and an upload of a sandbox wait for each
//! other. Every request ends in bounded time. The reasons are in docs/decisions/0011-object-store.md.

use std::future::Future;
use std::time::Duration;

use object_store::path::Path;
use ow_types::{SandboxId, SnapshotId};

use crate::{Cancel, Damage, SnapshotError};

mod chunks;
mod config;
mod delete;
mod error;
mod fetch;
mod file;
mod layout;
mod list;
mod locks;
mod objects;
mod upload;

pub use config::RemoteConfig;
pub use error::RemoteError;
pub use list::RemoteSnapshot;
pub use upload::Uploaded;

use locks::Locks;
use objects::Objects;

type Result<T> = std::result::Result<T, RemoteError>;

/// How soon work ends that was asked to stop while the store does not answer.
const LOOK_FOR_CANCEL: Duration = Duration::from_millis(50);

/// An object store that holds snapshots, and the files that they need to run.
#[derive(Debug)]
pub struct RemoteStore {
    objects: Objects,
    locks: Locks,
}

impl RemoteStore {
    /// Opens an object store. A directory is made; a bucket must be there and is not yet asked for.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Address`] if the address or an option makes no sense; otherwise a directory
    /// cannot be made.
    pub fn open(config: &RemoteConfig) -> Result<Self> {
        Ok(Self { objects: Objects::open(config)?, locks: Locks::default() })
    }
}

/// Whose chunks are moved.
#[derive(Debug, Clone)]
enum Owner {
    Snapshot(SandboxId, SnapshotId),
    /// A file, by its digest.
    File(String),
}

impl Owner {
    /// The directory that holds the chunks' directory.
    fn home(&self) -> Result<Path> {
        match self {
            Self::Snapshot(sandbox, _) => Ok(layout::sandbox(sandbox)),
            Self::File(digest) => layout::file(digest),
        }
    }

    fn damaged(&self, damage: Damage) -> RemoteError {
        match self {
            Self::Snapshot(_, snapshot) => {
                SnapshotError::Damaged { snapshot: snapshot.clone(), damage }.into()
            }
            Self::File(digest) => RemoteError::FileDamaged { digest: digest.clone(), damage },
        }
    }
}

/// Does what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(SnapshotError::io("work on a thread", std::io::Error::other(error)).into())
    })
}

/// Stops work also while it waits for the store.
async fn unless_cancelled<T>(cancel: &Cancel, work: impl Future<Output = Result<T>>) -> Result<T> {
    let cancelled = async {
        while !cancel.is_cancelled() {
            tokio::time::sleep(LOOK_FOR_CANCEL).await;
        }
    };
    tokio::select! {
        biased;
        () = cancelled => Err(SnapshotError::Cancelled.into()),
        done = work => done,
    }
}
