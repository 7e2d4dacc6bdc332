//! Snapshots in an object store: brought there, fetched when this disk does not have them whole.
//!
//! ```text
//! <data>/fetched/<digest>     templates' images and guest agents that came from there
//! <data>/owed/<snapshot>      a snapshot that is to be removed there, and in it whose it is
//! ```

use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ow_node_api::{NodeError, Secure};
use ow_snapshots::{Cancel, Manifest, RemoteConfig, RemoteError, RemoteStore};
use ow_types::PauseMode;

use crate::errors;
use crate::inner::{Inner, blocking};
use crate::stopwatch::Stopwatch;

mod fetch;
mod owed;

pub(crate) use fetch::{fetch, fetch_files};
pub(crate) use owed::{hurry, owe, pay};

/// The object store of a node.
#[derive(Debug)]
pub(crate) struct Remote {
    store: RemoteStore,
    fetched: PathBuf,
    under_way: fetch::UnderWay,
    owed: owed::Owed,
}

impl Remote {
    /// Opens the store that the configuration names, if it does.
    pub(crate) fn open(
        config: Option<&RemoteConfig>,
        data: &Path,
    ) -> Result<Option<Self>, NodeError> {
        let Some(config) = config else { return Ok(None) };
        let store = RemoteStore::open(config)
            .map_err(|error| errors::failed("opening the object store", &error))?;
        let fetched = data.join("fetched");
        let made = fs::create_dir_all(&fetched)
            // Sandboxes' processes reach what is in it, and do not see it.
            .and_then(|()| fs::set_permissions(&fetched, Permissions::from_mode(0o711)));
        made.map_err(|error| errors::io(format!("creating `{}`", fetched.display()), &error))?;
        let owed = owed::Owed::open(data.join("owed"))?;
        Ok(Some(Self { store, fetched, under_way: fetch::UnderWay::default(), owed }))
    }
}

/// Brings a snapshot that is durable here to the object store, with all that it needs to run.
pub(crate) async fn upload(
    inner: &Inner,
    secure: &Secure,
    watch: &mut Stopwatch,
) -> Result<(), NodeError> {
    let Some(remote) = &inner.remote else {
        let what = format!("durability `{}`", secure.durability.as_str());
        return Err(NodeError::Unsupported { what });
    };
    let (store, snapshot, cancel) = (&inner.store, &secure.snapshot, Cancel::default());
    let of_snapshot = |error: RemoteError| of_remote(secure, &error);
    let (of_thread, name) = (store.clone(), snapshot.clone());
    let manifest =
        blocking(move || of_thread.read(&name).map_err(|error| errors::snapshot(&name, &error)))
            .await?;
    let files = async {
        for (digest, path) in files_of(inner, &manifest)? {
            remote.store.put_file(&digest, &path, &cancel).await.map_err(of_snapshot)?;
        }
        Ok(())
    };
    unless_stopping(inner, files).await?;
    watch.lap("remote-files");
    let upload = remote.store.upload(store, snapshot, &secure.record, &cancel);
    let uploaded = async { upload.await.map_err(of_snapshot) };
    let uploaded = unless_stopping(inner, uploaded).await?;
    tracing::info!(
        %snapshot,
        sandbox = %secure.sandbox,
        stored = uploaded.stored,
        deduplicated = uploaded.deduplicated,
        zero = uploaded.zero,
        "snapshot is in the object store"
    );
    watch.lap_with(uploaded.phases);
    Ok(())
}

/// The template's image and, where memory goes on, the agent that a snapshot needs.
fn files_of(inner: &Inner, manifest: &Manifest) -> Result<Vec<(String, PathBuf)>, NodeError> {
    let missing = |what: &str, digest: &str| NodeError::BadSnapshot {
        snapshot: manifest.snapshot.clone(),
        reason: format!("its {what} {digest} is not here"),
    };
    let digest = &manifest.template.digest;
    let template = inner.template_of(digest).ok_or_else(|| missing("image", digest))?;
    let mut files = vec![(digest.clone(), template.rootfs)];
    if manifest.mode == PauseMode::Full {
        let agent = &manifest.agent;
        let path = inner.agents.find(agent).ok_or_else(|| missing("agent", agent))?;
        files.push((agent.clone(), path));
    }
    Ok(files)
}

fn of_remote(secure: &Secure, error: &RemoteError) -> NodeError {
    match error {
        RemoteError::Snapshot(error) => errors::snapshot(&secure.snapshot, error),
        _ => errors::remote(format!("securing snapshot {}", secure.snapshot), error),
    }
}

/// Drops work when the node is shut down: what it leaves in the store does no harm.
async fn unless_stopping<T>(
    inner: &Inner,
    work: impl Future<Output = Result<T, NodeError>>,
) -> Result<T, NodeError> {
    tokio::select! {
        biased;
        () = inner.stopping.cancelled() => Err(NodeError::Failed {
            doing: "the work with the object store".into(),
            reason: "the node is being shut down".into(),
        }),
        done = work => done,
    }
}
