//! Snapshots in an object store: brought there, fetched when this disk does not have them whole.
//!
//! ```text
//! <data>/fetched/<digest>     templates' images that came from there
//! <data>/owed/<snapshot>      a snapshot that is to be removed there, and in it whose it is
//! ```

use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ow_node_api::{NodeError, Resume, Secure};
use ow_snapshots::{Cancel, Manifest, RemoteConfig, RemoteError, RemoteStore, SnapshotError};
use ow_types::PauseMode;
use tokio::sync::Mutex;

use crate::inner::{Inner, blocking};
use crate::run::Run;
use crate::stopwatch::Stopwatch;
use crate::{Template, errors};

mod owed;

pub(crate) use owed::{hurry, owe, pay};

/// The object store of a node.
#[derive(Debug)]
pub(crate) struct Remote {
    store: RemoteStore,
    fetched: PathBuf,
    /// Held while a file is fetched, which several snapshots may need at once.
    fetching: Mutex<()>,
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
        Ok(Some(Self { store, fetched, fetching: Mutex::new(()), owed }))
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

/// Fetches the snapshot if what is `wrong` is the copy here; whether there was one in the store.
///
/// # Errors
///
/// [`NodeError::Failed`] if the store cannot be asked: then nothing is known of the snapshot, and it
/// must not be given up.
pub(crate) async fn fetch(
    inner: &Inner,
    run: &Run,
    resume: &Resume,
    wrong: &NodeError,
) -> Result<bool, NodeError> {
    let is_of_snapshot =
        matches!(wrong, NodeError::NoSuchSnapshot { .. } | NodeError::BadSnapshot { .. });
    let Some(remote) = inner.remote.as_ref().filter(|_| is_of_snapshot) else { return Ok(false) };
    let (sandbox, snapshot) = (&resume.identity.sandbox, &resume.snapshot);
    tracing::warn!(%snapshot, error = %wrong, "a snapshot is fetched from the object store");
    let cancel = Cancel::default();
    let fetched = remote.store.fetch(sandbox, snapshot, &inner.store, &cancel);
    let fetched = async { Ok(fetched.await) };
    match run.unless_killed(unless_stopping(inner, fetched)).await? {
        Ok(_) => Ok(true),
        Err(RemoteError::Snapshot(SnapshotError::NotFound { .. })) => Ok(false),
        Err(RemoteError::Snapshot(SnapshotError::Damaged { damage, .. })) => {
            let reason = format!("{wrong}; in the object store: {damage}");
            Err(NodeError::BadSnapshot { snapshot: snapshot.clone(), reason })
        }
        Err(error) => Err(errors::remote(format!("fetching snapshot {snapshot}"), &error)),
    }
}

/// Fetches the template's image and the guest agent that a snapshot needs, if they are not here.
pub(crate) async fn fetch_files(
    inner: &Inner,
    run: &Run,
    manifest: &Manifest,
) -> Result<(), NodeError> {
    let Some(remote) = &inner.remote else { return Ok(()) };
    let (image, agent) = (&manifest.template.digest, &manifest.agent);
    let _one_at_a_time = remote.fetching.lock().await;
    if inner.template_of(image).is_none()
        && let Some(rootfs) = fetch_file(inner, run, remote, image, 0o444).await?
    {
        inner.keep(Template {
            name: manifest.template.name.clone(),
            digest: image.clone(),
            rootfs,
            directory: remote.fetched.clone(),
            resources: manifest.resources,
            warm: false,
        });
    }
    if manifest.mode == PauseMode::Full
        && inner.agents.find(agent).is_none()
        && let Some(path) = fetch_file(inner, run, remote, agent, 0o555).await?
    {
        let moved = fs::rename(path, inner.agents.path(agent));
        moved.map_err(|error| errors::io("keeping a guest agent", &error))?;
    }
    Ok(())
}

/// Fetches a file, unless it was fetched before; none if the store does not have it.
///
/// Whoever needs it says then that it is missing.
async fn fetch_file(
    inner: &Inner,
    run: &Run,
    remote: &Remote,
    digest: &str,
    mode: u32,
) -> Result<Option<PathBuf>, NodeError> {
    let doing = || format!("fetching file {digest}");
    if blake3::Hash::from_hex(digest).is_err() {
        return Ok(None);
    }
    let path = remote.fetched.join(digest);
    if !path.is_file() {
        tracing::info!(digest, "a file is fetched from the object store");
        let cancel = Cancel::default();
        let fetched = remote.store.fetch_file(digest, &path, &cancel);
        let fetched = async { Ok(fetched.await) };
        match run.unless_killed(unless_stopping(inner, fetched)).await? {
            Ok(()) => {}
            Err(RemoteError::NoSuchFile { .. }) => return Ok(None),
            Err(error) => return Err(errors::remote(doing(), &error)),
        }
    }
    let opened = fs::set_permissions(&path, Permissions::from_mode(mode));
    opened.map_err(|error| errors::io(doing(), &error))?;
    Ok(Some(path))
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
