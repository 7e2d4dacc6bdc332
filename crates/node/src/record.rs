//! What the node keeps of a run on disk, so that a server that starts anew takes it over.
//!
//! `<data>/runs/<place>/run.json` is there while a run is in that place. A place without it is
//! prepared, half made or half removed, and none that a new server keeps.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ow_engine::EngineVersion;
use ow_types::{ExecutionId, Resources, SandboxId};
use serde::{Deserialize, Serialize};

const NAME: &str = "run.json";

/// A run in a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) execution: ExecutionId,
    pub(crate) sandbox: SandboxId,
    pub(crate) slot: u32,
    /// What the place was made with; see `Wanted`.
    pub(crate) template: String,
    pub(crate) template_digest: String,
    pub(crate) rootfs: PathBuf,
    pub(crate) agent: String,
    pub(crate) resources: Resources,
    /// None in records of before there were several.
    #[serde(default)]
    pub(crate) engine: Option<EngineVersion>,
    /// Whether the guest was told who it is.
    pub(crate) ready: bool,
}

impl Record {
    /// Writes it, all or nothing. It need not survive a loss of power: no run does.
    pub(crate) fn write(&self, place: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let partial = place.join("run.partial");
        fs::File::create(&partial)?.write_all(&text)?;
        fs::rename(&partial, place.join(NAME))
    }

    /// The record of a place; none if it has none that can be read.
    pub(crate) fn read(place: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.join(NAME)).ok()?).ok()
    }

    /// Forgets the run of a place.
    pub(crate) fn remove(place: &Path) -> io::Result<()> {
        match fs::remove_file(place.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
