//! What the engine keeps of a run on disk, so that a server that starts anew finds it.
//!
//! | Path below the state directory | What |
//! |---|---|
//! | `runsc/` | `runsc`'s own records, one root for all runs |
//! | `runs/<run>/record.json` | [`Record`]; written first, removed last |
//! | `runs/<run>/config.json`, `root/` | the bundle that `runsc` is given |
//! | `runs/<run>/pid` | the sandbox's process |
//! | `runs/<run>/prepared` | there while nothing has been started in it |
//! | `runs/<run>/log`, `panic` | what `runsc` said, and what a sandbox that panicked left |

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};

use ow_engine::{EngineError, Place};
use ow_types::ExecutionId;
use serde::{Deserialize, Serialize};

use crate::spec;

/// What must be known to end a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Its control group.
    pub(crate) cgroup: String,
    /// Where its writes go.
    pub(crate) upper: PathBuf,
    /// The version of its `runsc`; none if it is the one of new runs, or was when there was one.
    #[serde(default)]
    pub(crate) version: Option<String>,
}

/// The files of one run.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    directory: PathBuf,
}

/// Where all runs have theirs.
pub(crate) fn runs_directory(state_directory: &Path) -> PathBuf {
    state_directory.join("runs")
}

/// Turns the failure to do something with a path into an error that says so.
pub(crate) fn io_error(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> EngineError {
    let doing = format!("{doing} `{}`", path.display());
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => EngineError::NoSpace { doing },
        _ => EngineError::Io { doing, source },
    }
}

/// Makes a directory that only we can read.
pub(crate) fn make_private_directory(path: &Path) -> Result<(), EngineError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(io_error("making", path))
}

impl Files {
    /// Those of `run`, whether they exist or not.
    pub(crate) fn of(state_directory: &Path, run: &ExecutionId) -> Self {
        Self { directory: runs_directory(state_directory).join(run.as_str()) }
    }

    /// The bundle.
    pub(crate) fn bundle(&self) -> &Path {
        &self.directory
    }

    /// Where `runsc` writes the sandbox's process id.
    pub(crate) fn pid(&self) -> PathBuf {
        self.directory.join("pid")
    }

    /// What `runsc` said.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// What a sandbox that panicked left.
    pub(crate) fn panic(&self) -> PathBuf {
        self.directory.join("panic")
    }

    fn prepared(&self) -> PathBuf {
        self.directory.join("prepared")
    }

    /// Whether the run's place is made ready and unused.
    pub(crate) fn is_prepared(&self) -> bool {
        self.prepared().exists()
    }

    /// Whether a sandbox was made.
    pub(crate) fn is_made(&self) -> bool {
        self.pid().exists()
    }

    /// Whether there is anything of the run.
    pub(crate) fn exist(&self) -> bool {
        self.directory.exists()
    }

    /// Notes that the place is ready.
    pub(crate) fn set_prepared(&self) -> Result<(), EngineError> {
        fs::write(self.prepared(), "").map_err(io_error("writing", &self.prepared()))
    }

    /// Notes that the place is used.
    pub(crate) fn set_used(&self) -> Result<(), EngineError> {
        ignore_missing(fs::remove_file(self.prepared()))
            .map_err(io_error("removing", &self.prepared()))
    }

    /// The record; none if it is missing or damaged.
    pub(crate) fn record(&self) -> Option<Record> {
        let text = fs::read(self.directory.join("record.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes all that `runsc` needs to make a sandbox in `place`.
    pub(crate) fn write(&self, place: &Place) -> Result<Record, EngineError> {
        let upper = place.directory.join("upper");
        let version = place.engine.as_ref().map(|engine| engine.version.clone());
        let record = Record { cgroup: place.cgroup.clone(), upper, version };
        make_private_directory(&self.directory)?;
        self.write_json("record.json", &record)?;
        make_private_directory(&record.upper)?;
        chown(&record.upper, Some(place.first_uid), Some(place.first_uid))
            .map_err(io_error("giving to the run", &record.upper))?;
        let root = self.directory.join("root");
        make_private_directory(&root)?;
        self.write_json("config.json", &spec::spec(place, &root, &record.upper))?;
        Ok(record)
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), EngineError> {
        let path = self.directory.join(name);
        let text = serde_json::to_vec(value).expect("our own types can be written as JSON");
        fs::write(&path, text).map_err(io_error("writing", &path))
    }

    /// Removes all of it.
    pub(crate) fn remove(&self) -> Result<(), EngineError> {
        if let Some(record) = self.record() {
            ignore_missing(fs::remove_dir_all(&record.upper))
                .map_err(io_error("removing", &record.upper))?;
        }
        ignore_missing(fs::remove_dir_all(&self.directory))
            .map_err(io_error("removing", &self.directory))
    }
}

/// Takes it as done that what is to be removed is not there.
pub(crate) fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
