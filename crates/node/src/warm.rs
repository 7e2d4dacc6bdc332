//! Templates' images with all that they start already up.
//!
//! A sandbox that is restored from such an image has its interpreter running from the beginning. All
//! sandboxes of a template then begin as the same process, so each is given random numbers of its
//! own before user code runs. The image is a snapshot like any other, named by all that it depends
//! on, and verified once when the node first uses it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ow_engine::{EngineError, Place};
use ow_node_api::{Identity, NodeError};
use ow_snapshots::{Cancel, Safety, Store};
use ow_types::{Egress, PauseMode, Phases, SandboxId, SnapshotId};

use crate::begin::{GUEST_UP, introduce, unresponsive};
use crate::inner::{Inner, blocking};
use crate::pause::about;
use crate::place::{Placed, Wanted};
use crate::run::Run;
use crate::stopwatch::Stopwatch;
use crate::{Template, errors, network};

/// How long a template may take until all that it starts is up: kernels of interpreters take
/// seconds on an idle machine of two processors.
const READY: Duration = Duration::from_secs(120);

/// An image that was verified.
#[derive(Debug, Clone)]
pub(crate) struct WarmImage {
    image: PathBuf,
}

impl WarmImage {
    pub(crate) async fn restore(
        &self,
        inner: &Inner,
        place: &Place,
    ) -> Result<Phases, EngineError> {
        inner.engine.restore(place, &self.image, PauseMode::Full).await
    }
}

/// The image that a start in such a place is restored from; none if it is to boot.
pub(crate) async fn image_for(
    inner: &Inner,
    template: &Template,
    wanted: &Wanted,
) -> Option<WarmImage> {
    let fits = template.warm && template.resources == wanted.resources;
    if !fits {
        return None;
    }
    inner.warm_images().get(&name(inner, wanted)).cloned()
}

/// Makes or finds a template's image, and verifies it.
pub(crate) async fn warm(inner: &Arc<Inner>, template: &str) -> Result<(), NodeError> {
    let template = inner.template(template)?;
    if !template.warm {
        return Ok(());
    }
    let wanted = inner.wanted(&template);
    let name = name(inner, &wanted);
    let directory = template.directory.join("warm");
    let store = blocking(move || {
        Store::open(directory).map_err(|error| errors::failed("opening a template's image", &error))
    })
    .await?;
    let image = match verify(&store, &name).await {
        Ok(image) => image,
        Err(NodeError::NoSuchSnapshot { .. }) => make(inner, &store, &name, wanted).await?,
        Err(error) => {
            tracing::warn!(template = template.name, %error, "a template's image is made anew");
            make(inner, &store, &name, wanted).await?
        }
    };
    inner.warm_images().insert(name, WarmImage { image });
    Ok(())
}

/// A name that is the same only for what reads the same image.
fn name(inner: &Inner, wanted: &Wanted) -> SnapshotId {
    let resources = serde_json::to_string(&wanted.resources).unwrap_or_default();
    let features = inner.cpu_features.join(" ");
    let parts = [
        wanted.template_digest.as_str(),
        &wanted.agent,
        &wanted.engine.name,
        &wanted.engine.version,
        &resources,
        &features,
    ];
    let digest = blake3::hash(parts.join("\0").as_bytes()).to_hex();
    format!("s{}", &digest[..32]).parse().expect("hexadecimal digits make an id")
}

async fn verify(store: &Store, name: &SnapshotId) -> Result<PathBuf, NodeError> {
    let (store, name) = (store.clone(), name.clone());
    blocking(move || {
        let verified = store.verify(&name, &Cancel::default());
        verified.map(|verified| verified.image).map_err(|error| errors::snapshot(&name, &error))
    })
    .await
}

/// Boots the template, waits until all is up, and saves it.
async fn make(
    inner: &Arc<Inner>,
    store: &Store,
    name: &SnapshotId,
    wanted: Wanted,
) -> Result<PathBuf, NodeError> {
    let placed = inner.make_place(wanted).await?;
    let saved = save(inner, store, name, &placed).await;
    inner.remove_place(&placed).await;
    saved
}

async fn save(
    inner: &Arc<Inner>,
    store: &Store,
    name: &SnapshotId,
    placed: &Placed,
) -> Result<PathBuf, NodeError> {
    let execution = &placed.place.execution;
    let of_engine = |error| errors::engine(execution, &error);
    let identity = Identity {
        sandbox: SandboxId::random(),
        template: placed.wanted.template.clone(),
        env_vars: std::collections::BTreeMap::new(),
        access_token: None,
    };
    // What it starts must not depend on what is outside: no sandbox's rules are known yet.
    let closed = inner.rules(&Egress { internet: false, ..Egress::default() })?;
    network::set_egress(placed.slot, &closed).await?;
    inner.engine.start(&placed.place).await.map_err(of_engine)?;
    let run = Run::new(execution.clone(), identity.sandbox.clone());
    introduce(inner, &run, placed, &identity, false, &mut Stopwatch::begin()).await?;
    let guest = crate::guest::Guest::at(placed.slot.address());
    let ready = guest.wait_until_ready(READY.max(GUEST_UP)).await;
    ready.map_err(|error| unresponsive(execution, "its template started", &error))?;
    inner.engine.freeze(execution).await.map_err(of_engine)?;
    let (to_begin, id) = (store.clone(), name.clone());
    let partial = blocking(move || {
        // What is there under this name is damaged.
        to_begin.remove(&id).map_err(|error| errors::snapshot(&id, &error))?;
        to_begin.begin(&id).map_err(|error| errors::snapshot(&id, &error))
    })
    .await?;
    let captured = inner.engine.capture(execution, partial.image(), PauseMode::Full).await;
    captured.map_err(of_engine)?;
    let about = about(inner, placed, identity.sandbox, 1, PauseMode::Full);
    let id = name.clone();
    blocking(move || {
        let written = partial.commit(about, Safety::Durable, &Cancel::default());
        written.map_err(|error| errors::snapshot(&id, &error))
    })
    .await?;
    verify(store, name).await
}
