//! Fetching what a resume needs and this disk lacks.
//!
//! What is fetched may take longer than anybody waits for a resume. So it goes on when the run is
//! given up, and the next attempt joins it.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use ow_node_api::{NodeError, Resume};
use ow_snapshots::{Cancel, Manifest, RemoteError, SnapshotError};
use ow_types::{PauseMode, SandboxId, SnapshotId};
use tokio::sync::watch;

use super::{Remote, unless_stopping};
use crate::inner::Inner;
use crate::run::Run;
use crate::{Template, errors};

/// Whether it is here now; it is not if the store does not have it.
type Outcome = Result<bool, NodeError>;

/// What is being fetched, by name.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<String, watch::Receiver<Option<Outcome>>>>);

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Outcome>>>> {
        self.0.lock().expect("nothing panics while it holds the names")
    }
}

/// Waits for what is being fetched under a name, or begins it, as work that nobody has to wait for.
async fn once<Work>(inner: &Arc<Inner>, name: &str, work: impl FnOnce() -> Work) -> Outcome
where
    Work: Future<Output = Outcome> + Send + 'static,
{
    let Some(remote) = &inner.remote else { return Ok(false) };
    let mut outcome = {
        let mut under_way = remote.under_way.lock();
        let begun = under_way.get(name).cloned();
        begun.unwrap_or_else(|| {
            let (sender, receiver) = watch::channel(None);
            under_way.insert(name.to_owned(), receiver.clone());
            let (inner, name, work) = (inner.clone(), name.to_owned(), work());
            inner.clone().tracker.spawn(async move {
                let outcome = work.await;
                if let Some(remote) = &inner.remote {
                    remote.under_way.lock().remove(&name);
                }
                // Nobody may be left who waits.
                let _ = sender.send(Some(outcome));
            });
            receiver
        })
    };
    let known = outcome.wait_for(Option::is_some).await;
    let known = known.map_err(|error| errors::failed(format!("fetching {name}"), &error))?;
    known.clone().unwrap_or(Ok(false))
}

/// Fetches the snapshot if what is `wrong` is the copy here; whether there was one in the store.
///
/// # Errors
///
/// [`NodeError::Failed`] if the store cannot be asked: then nothing is known of the snapshot, and it
/// must not be given up.
pub(crate) async fn fetch(
    inner: &Arc<Inner>,
    run: &Run,
    resume: &Resume,
    wrong: &NodeError,
) -> Outcome {
    let is_of_snapshot =
        matches!(wrong, NodeError::NoSuchSnapshot { .. } | NodeError::BadSnapshot { .. });
    if !is_of_snapshot {
        return Ok(false);
    }
    let (sandbox, snapshot) = (resume.identity.sandbox.clone(), resume.snapshot.clone());
    let (of_task, wrong, name) = (inner.clone(), wrong.clone(), snapshot.to_string());
    let work = || async move { fetch_snapshot(&of_task, &sandbox, &snapshot, &wrong).await };
    run.unless_killed(once(inner, &name, work)).await
}

async fn fetch_snapshot(
    inner: &Inner,
    sandbox: &SandboxId,
    snapshot: &SnapshotId,
    wrong: &NodeError,
) -> Outcome {
    let Some(remote) = &inner.remote else { return Ok(false) };
    tracing::warn!(%snapshot, error = %wrong, "a snapshot is fetched from the object store");
    let cancel = Cancel::default();
    let fetched = remote.store.fetch(sandbox, snapshot, &inner.store, &cancel);
    match unless_stopping(inner, async { Ok(fetched.await) }).await? {
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
///
/// What the store does not have either is missed by whoever needs it.
pub(crate) async fn fetch_files(
    inner: &Arc<Inner>,
    run: &Run,
    manifest: &Manifest,
) -> Result<(), NodeError> {
    let Some(remote) = &inner.remote else { return Ok(()) };
    let (image, agent) = (&manifest.template.digest, &manifest.agent);
    if inner.template_of(image).is_none() && fetch_file(inner, run, image, 0o444).await? {
        inner.keep(Template {
            name: manifest.template.name.clone(),
            digest: image.clone(),
            rootfs: remote.place_of(image),
            directory: remote.fetched.clone(),
            resources: manifest.resources,
            warm: false,
        });
    }
    if manifest.mode == PauseMode::Full
        && inner.agents.find(agent).is_none()
        && fetch_file(inner, run, agent, 0o555).await?
    {
        let linked = fs::hard_link(remote.place_of(agent), inner.agents.path(agent));
        match linked {
            // Another resume was quicker.
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(errors::io("keeping a guest agent", &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Fetches a file, unless it was fetched before.
async fn fetch_file(inner: &Arc<Inner>, run: &Run, digest: &str, mode: u32) -> Outcome {
    if blake3::Hash::from_hex(digest).is_err() {
        return Ok(false);
    }
    let (of_task, name) = (inner.clone(), digest.to_owned());
    let work = || async move { fetch_new(&of_task, &name, mode).await };
    run.unless_killed(once(inner, digest, work)).await
}

async fn fetch_new(inner: &Inner, digest: &str, mode: u32) -> Outcome {
    let Some(remote) = &inner.remote else { return Ok(false) };
    let (doing, path) = (|| format!("fetching file {digest}"), remote.place_of(digest));
    if !path.is_file() {
        tracing::info!(digest, "a file is fetched from the object store");
        let cancel = Cancel::default();
        let fetched = remote.store.fetch_file(digest, &path, &cancel);
        match unless_stopping(inner, async { Ok(fetched.await) }).await? {
            Ok(()) => {}
            Err(RemoteError::NoSuchFile { .. }) => return Ok(false),
            Err(error) => return Err(errors::remote(doing(), &error)),
        }
    }
    let opened = fs::set_permissions(&path, Permissions::from_mode(mode));
    opened.map_err(|error| errors::io(doing(), &error))?;
    Ok(true)
}

impl Remote {
    fn place_of(&self, digest: &str) -> PathBuf {
        self.fetched.join(digest)
    }
}
