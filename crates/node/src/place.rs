//! The place of a run: its directory, slot and network, and what the engine makes of them ahead.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ow_engine::{EngineVersion, Place};
use ow_node_api::NodeError;
use ow_types::{ExecutionId, Resources};

use crate::inner::Inner;
use crate::network::{self, Slot};
use crate::{Template, errors};

/// What a place must be like for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) template: String,
    pub(crate) template_digest: String,
    pub(crate) rootfs: PathBuf,
    /// The guest agent's digest.
    pub(crate) agent: String,
    pub(crate) resources: Resources,
    /// The engine's version.
    pub(crate) engine: EngineVersion,
}

impl Wanted {
    /// A place for a new run of a template.
    pub(crate) fn of(template: &Template, agent: &str, engine: EngineVersion) -> Self {
        Self {
            template: template.name.clone(),
            template_digest: template.digest.clone(),
            rootfs: template.rootfs.clone(),
            agent: agent.to_owned(),
            resources: template.resources,
            engine,
        }
    }
}

/// A place that is there.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) wanted: Wanted,
    pub(crate) slot: Slot,
    pub(crate) place: Place,
}

/// The host name that programs see before the guest is told its own.
const HOSTNAME: &str = "sandbox";

impl Inner {
    /// What a new run of a template needs.
    pub(crate) fn wanted(&self, template: &Template) -> Wanted {
        Wanted::of(template, self.agents.current(), self.engine.version())
    }

    /// Makes a place; if that fails, nothing of it is left.
    pub(crate) async fn make_place(&self, wanted: Wanted) -> Result<Placed, NodeError> {
        let name = ExecutionId::random();
        let directory = self.runs_directory().join(name.as_str());
        let made = fs::DirBuilder::new().mode(0o711).create(&directory);
        made.map_err(|error| errors::io(format!("creating `{}`", directory.display()), &error))?;
        let slot = match self.slots.claim(&directory) {
            Ok(slot) => slot,
            Err(error) => {
                let _ = fs::remove_dir(&directory);
                return Err(error);
            }
        };
        let placed = match self.placed(wanted, slot, name) {
            Ok(placed) => placed,
            Err(error) => {
                self.slots.release(slot);
                let _ = fs::remove_dir(&directory);
                return Err(error);
            }
        };
        if let Err(error) = network::create(slot).await {
            self.remove_place(&placed).await;
            return Err(error);
        }
        Ok(placed)
    }

    /// Makes a place and lets the engine prepare it.
    pub(crate) async fn prepare_place(&self, wanted: Wanted) -> Result<Placed, NodeError> {
        let placed = self.make_place(wanted).await?;
        match self.engine.prepare(&placed.place).await {
            Ok(()) => Ok(placed),
            Err(error) => {
                self.remove_place(&placed).await;
                Err(errors::engine(&placed.place.execution, &error))
            }
        }
    }

    /// Describes a place that is there or about to be.
    pub(crate) fn placed(
        &self,
        wanted: Wanted,
        slot: Slot,
        name: ExecutionId,
    ) -> Result<Placed, NodeError> {
        let gone = || NodeError::Failed {
            doing: format!("finding the guest agent {}", wanted.agent),
            reason: "it is not here any more".into(),
        };
        let place = Place {
            directory: self.runs_directory().join(name.as_str()),
            rootfs: wanted.rootfs.clone(),
            guest: self.agents.find(&wanted.agent).ok_or_else(gone)?,
            network_namespace: slot.inner_path(),
            cgroup: format!("{}/{name}", self.cgroup),
            first_uid: slot.first_uid(),
            resources: wanted.resources,
            hostname: HOSTNAME.into(),
            engine: Some(wanted.engine.clone()),
            execution: name,
        };
        Ok(Placed { wanted, slot, place })
    }

    /// Ends what is in a place and removes the place.
    ///
    /// What cannot be removed is logged, keeps its slot, and is tried again when the node opens.
    pub(crate) async fn remove_place(&self, placed: &Placed) {
        let name = &placed.place.execution;
        if let Err(error) = self.engine.kill(name).await {
            tracing::error!(place = %name, error = errors::chain(&error), "a place stays");
            return;
        }
        self.remove_rest(&placed.place.directory, Some(placed.slot)).await;
    }

    /// Removes a place's network, directory and claim, in an order in which a failure of one leaves
    /// those by which the others are found again.
    pub(crate) async fn remove_rest(&self, directory: &Path, slot: Option<Slot>) {
        if let Some(slot) = slot
            && let Err(error) = network::destroy(slot).await
        {
            tracing::error!(slot = slot.number(), %error, "a network stays");
            return;
        }
        if let Err(error) = remove_directory(directory) {
            tracing::error!(path = %directory.display(), %error, "a place stays");
            return;
        }
        if let Some(slot) = slot {
            self.slots.release(slot);
        }
    }
}

fn remove_directory(directory: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A name for the control groups of a data directory's runs, which no other's have.
pub(crate) fn cgroup_of(data: &Path) -> std::io::Result<String> {
    let metadata = fs::metadata(data)?;
    Ok(format!("/overwinter/{:x}-{:x}", metadata.dev(), metadata.ino()))
}
