//! The builds of `runsc` that there are: one for new runs, and older ones for what they wrote.
//!
//! An image is read by the version that wrote it and by no other, and sandboxes stay paused for
//! weeks. So a newer `runsc` comes beside the older, and each run is of one of them until it ends.

use std::path::{Path, PathBuf};

use ow_engine::{EngineError, EngineVersion};

use crate::runsc::Runsc;
use crate::{Config, QUESTION_TIMEOUT, start, version};

/// The name of this engine.
const NAME: &str = "gvisor";

/// All builds; each version once.
#[derive(Debug)]
pub(crate) struct Builds {
    current: Build,
    older: Vec<Build>,
}

#[derive(Debug)]
struct Build {
    version: String,
    runsc: Runsc,
}

impl Builds {
    /// Asks each program what it is. An older one that cannot be used is left out, and a warning
    /// says so.
    pub(crate) async fn open(config: &Config) -> Result<Self, EngineError> {
        let current = Build::ask(&config.runsc, &config.state_directory).await?;
        let mut builds = Self { current, older: Vec::new() };
        for program in &config.older {
            match Build::ask(program, &config.state_directory).await {
                Ok(build) if builds.find(&build.version).is_none() => builds.older.push(build),
                Ok(_) => {}
                Err(error) => {
                    let path = program.display();
                    tracing::warn!(%path, %error, "an older runsc cannot be used");
                }
            }
        }
        Ok(builds)
    }

    /// That of new runs.
    pub(crate) fn version(&self) -> EngineVersion {
        EngineVersion { name: NAME.to_owned(), version: self.current.version.clone() }
    }

    /// Whether there is a build of this version.
    pub(crate) fn has(&self, version: &EngineVersion) -> bool {
        version.name == NAME && self.find(&version.version).is_some()
    }

    /// The program of a version; that of new runs if it is not known or not here.
    pub(crate) fn of(&self, version: Option<&str>) -> &Runsc {
        let build = version.and_then(|version| self.find(version));
        &build.unwrap_or(&self.current).runsc
    }

    fn find(&self, version: &str) -> Option<&Build> {
        std::iter::once(&self.current).chain(&self.older).find(|build| build.version == version)
    }
}

impl Build {
    async fn ask(program: &Path, state_directory: &Path) -> Result<Self, EngineError> {
        let bare = Runsc::bare(PathBuf::from(program));
        let asked = |doing: &str, what: &str| bare.call(doing, QUESTION_TIMEOUT).arg(what).run();
        let version = version::parse(&asked("asking runsc for its version", "--version").await?)?;
        let known_flags = asked("asking runsc for its flags", "flags").await?;
        let runsc = bare.with_flags(start::flags(state_directory, &known_flags));
        Ok(Self { version, runsc })
    }
}
