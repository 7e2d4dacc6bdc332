//! Finds the `runsc` that this server uses, and obtains one.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};

pub(crate) use build::install;
pub(crate) use kept::{keep, others};

mod build;
mod kept;

/// The oldest release that has all we use, by the date in its version. Older ones fail in network
/// namespaces of current kernels, and have no size limit of a sandbox's disk.
const OLDEST: u32 = 20_250_701;

/// A `runsc` that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

/// Finds it: the one configured, the one on `PATH`, the one in the data directory.
///
/// One that is too old is passed over, unless it is the one configured.
pub(crate) fn find(configured: Option<&Path>, data_dir: &Path) -> anyhow::Result<Found> {
    if let Some(path) = configured {
        return examine(path);
    }
    let own = own(data_dir);
    let candidates = on_path("runsc").into_iter().chain([own]).filter(|path| path.exists());
    let mut refused = Vec::new();
    for path in candidates {
        match examine(&path) {
            Ok(found) => return Ok(found),
            Err(error) => refused.push(format!("{error:#}")),
        }
    }
    if refused.is_empty() {
        bail!("there is no `runsc` on PATH or in `{}`", data_dir.display());
    }
    bail!("{}", refused.join("; "))
}

/// What the names of those in [`directory`] begin with; the version follows.
const PREFIX: &str = "runsc-";

/// Where a data directory has the versions that were built or used here.
fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("bin")
}

/// Where set-up puts it.
fn own(data_dir: &Path) -> PathBuf {
    directory(data_dir).join("runsc")
}

/// True if set-up has a better build of the same version to offer than this one.
pub(crate) fn is_outdated(found: &Found, data_dir: &Path) -> bool {
    let kept = fs::read_link(own(data_dir)).unwrap_or_default();
    let ours = kept.to_str().is_some_and(|name| name.starts_with(PREFIX));
    found.path == own(data_dir) && ours && kept != Path::new(&build::file_name())
}

/// Asks a `runsc` for its version.
fn examine(path: &Path) -> anyhow::Result<Found> {
    let output = Command::new(path)
        .arg("--version")
        .output()
        .with_context(|| format!("start `{}`", path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("runsc version "))
        .ok_or_else(|| anyhow!("`{}` does not say its version", path.display()))?
        .trim()
        .to_owned();
    match date(&version) {
        Some(date) if date >= OLDEST => Ok(Found { path: path.to_owned(), version }),
        _ => bail!("`{}` is {version}, and July 2025 or later is needed", path.display()),
    }
}

/// The date in `release-20250707.0` or in `v0.0.0-20260905035102-160fafc42237`.
fn date(version: &str) -> Option<u32> {
    let digits = |part: &str| part.get(..8).and_then(|date| date.parse().ok());
    version
        .split(['-', '.'])
        .filter_map(digits)
        .find(|date| (20_180_000..21_000_000).contains(date))
}

/// The programs of a name on `PATH`, in its order.
pub(crate) fn on_path(program: impl AsRef<OsStr>) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Set-up programs live where an ordinary user's PATH does not lead.
    let also = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let directories = std::env::split_paths(&path).chain(also);
    directories
        .map(|directory| directory.join(program.as_ref()))
        .filter(|path| path.is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn fake(directory: &Path, version: &str) -> PathBuf {
        let path = directory.join("runsc");
        fs::write(&path, format!("#!/bin/sh\necho 'runsc version {version}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn dates_are_read_from_releases_and_module_versions() {
        assert_eq!(date("release-20250707.0"), Some(20_250_707));
        assert_eq!(date(build::VERSION), Some(20_260_905));
        assert_eq!(date("VERSION_MISSING"), None);
        assert_eq!(date("0.0~20240729.0"), None);
    }

    #[test]
    fn a_configured_runsc_that_is_too_old_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = fake(directory.path(), "release-20240729.0");
        let error = find(Some(&path), directory.path()).unwrap_err();
        assert!(error.to_string().contains("July 2025"), "{error}");
    }

    #[test]
    fn only_an_earlier_build_of_ours_is_outdated() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path();
        fs::create_dir(data_dir.join("bin")).unwrap();
        let outdated = |name: &str| {
            let built = fake(&data_dir.join("bin"), build::VERSION);
            fs::rename(built, data_dir.join("bin").join(name)).unwrap();
            let _ = fs::remove_file(own(data_dir));
            std::os::unix::fs::symlink(name, own(data_dir)).unwrap();
            is_outdated(&examine(&own(data_dir)).unwrap(), data_dir)
        };
        assert!(outdated(&format!("runsc-{}", build::VERSION)));
        assert!(!outdated(&build::file_name()));
        assert!(!outdated("one-of-the-operator"));
        let elsewhere = examine(&fake(data_dir, build::VERSION)).unwrap();
        assert!(!is_outdated(&elsewhere, data_dir));
    }

    #[test]
    fn a_configured_runsc_is_taken_before_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = fake(directory.path(), "release-20260101.0");
        assert_eq!(find(Some(&path), Path::new("/none")).unwrap().path, path);
    }
}
