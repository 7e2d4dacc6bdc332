//! Builds `runsc` from gVisor's own Go module, with one correction.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};

use super::{Found, PREFIX, directory, examine, on_path, own};

/// The version that set-up builds.
///
/// A pseudo-version of gVisor's own Go module; every commit's module holds the generated sources.
pub(super) const VERSION: &str = "v0.0.0-20260905035102-160fafc42237";

/// What the module must be, to the byte, in the notation of `go.sum`.
const CHECKSUM: &str = "h1:AU5+CtCvnBnxdZRNcZt1NfSLqgkXZVT3N/u6u1aXg44=";

/// The module.
const MODULE: &str = "gvisor.dev/gvisor";

/// The oldest Go that fetches the newer Go that the module asks for.
const OLDEST_GO: (u32, u32) = (1, 21);

/// A change of one of gVisor's source files before it is built.
struct Correction {
    file: &'static str,
    /// What stands in it, once.
    old: &'static str,
    new: &'static str,
}

/// What is corrected; count [`CORRECTIONS`] up with each change.
///
/// A restored network stack keeps the list of connections that its image was taken with, and the
/// next image saves that list with its own added to it: each connection that was over when the
/// sandbox was paused stays in all its images, and makes every later pause and resume slower.
/// See `docs/decisions/0013-corrected-runsc.md`.
const CORRECTION: Correction = Correction {
    file: "pkg/tcpip/stack/stack.go",
    old: "\ts.restoredEndpoints = nil\n",
    new: "\ts.restoredEndpoints = nil\n\ts.resumableEndpoints = nil\n",
};

/// Part of the name of what is built, so that set-up replaces a build without all corrections.
const CORRECTIONS: u32 = 1;

/// The name of what this version of Overwinter builds.
pub(super) fn file_name() -> String {
    format!("{PREFIX}{VERSION}-c{CORRECTIONS}")
}

/// Builds the pinned version from its Go module, and puts it into the data directory.
pub(crate) fn install(data_dir: &Path) -> anyhow::Result<Found> {
    let go = find_go()?;
    let build = data_dir.join("runsc-build");
    if build.exists() {
        fs::remove_dir_all(&build).context("remove what an earlier build of runsc left")?;
    }
    fs::create_dir_all(&build).with_context(|| format!("create `{}`", build.display()))?;
    let result = build_in(&build, &go, data_dir);
    // About 2 GB that nothing needs any more.
    fs::remove_dir_all(&build).context("remove the build of runsc")?;
    result
}

fn build_in(build: &Path, go: &Path, data_dir: &Path) -> anyhow::Result<Found> {
    let module = format!("{MODULE}@{VERSION}");
    let download = run(go_command(go, build).args(["mod", "download", "-json", &module]))?;
    correct(&sources(&download)?)?;
    let flags = format!("-s -w -X {MODULE}/runsc/version.version={VERSION}");
    let package = format!("{MODULE}/runsc@{VERSION}");
    run(go_command(go, build).args(["install", "-trimpath", "-ldflags", &flags, &package]))?;
    let built = examine(&build.join("bin/runsc"))?;
    let bin = directory(data_dir);
    fs::create_dir_all(&bin).with_context(|| format!("create `{}`", bin.display()))?;
    // Kept by version, for a snapshot is read by the version that wrote it.
    let kept = bin.join(file_name());
    fs::rename(&built.path, &kept)
        .with_context(|| format!("move runsc to `{}`", kept.display()))?;
    let link = bin.join(".runsc.new");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(kept.file_name().unwrap_or_default(), &link)?;
    fs::rename(&link, own(data_dir)).context("name the new runsc")?;
    examine(&own(data_dir))
}

/// The directory of the sources, by what `go mod download -json` says.
fn sources(download: &str) -> anyhow::Result<PathBuf> {
    let said: serde_json::Value =
        serde_json::from_str(download).context("read what `go mod download` says")?;
    if said["Sum"] != CHECKSUM {
        bail!(
            "the module {MODULE}@{VERSION} is not the one that was examined: its checksum is {}",
            said["Sum"]
        );
    }
    said["Dir"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| anyhow!("`go mod download` does not say where it put the sources"))
}

/// Corrects the sources, in a module cache that is ours alone.
fn correct(sources: &Path) -> anyhow::Result<()> {
    let path = sources.join(CORRECTION.file);
    let text = fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    if text.matches(CORRECTION.old).count() != 1 {
        bail!("`{}` is not the file that was examined", path.display());
    }
    fs::write(&path, text.replace(CORRECTION.old, CORRECTION.new))
        .with_context(|| format!("correct `{}`", path.display()))
}

fn go_command(go: &Path, build: &Path) -> Command {
    let mut command = Command::new(go);
    command.current_dir(build).env("GOPATH", build).env("GOBIN", build.join("bin"));
    command.env("GOCACHE", build.join("cache")).env("GOMODCACHE", build.join("modules"));
    // A cache of read-only files could not be removed again.
    command.env("GOFLAGS", "-modcacherw").env("CGO_ENABLED", "0");
    command
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().context("start `go`")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = errors.lines().collect();
    let last = lines[lines.len().saturating_sub(8)..].join("\n    ");
    bail!(
        "building runsc failed ({}):\n    {last}\nCheck that this machine reaches the Go module proxy \
         (GOPROXY), or put a runsc of July 2025 or later on PATH",
        output.status
    )
}

fn find_go() -> anyhow::Result<PathBuf> {
    let advice = "install Go 1.21 or later, or put a runsc of July 2025 or later on PATH, then run the command again";
    let candidates = on_path("go").into_iter().chain([PathBuf::from("/usr/local/go/bin/go")]);
    let mut too_old = None;
    for go in candidates.filter(|path| path.exists()) {
        let output = Command::new(&go).arg("version").output().context("start `go`")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if go_version(&text).is_some_and(|version| version >= OLDEST_GO) {
            return Ok(go);
        }
        too_old = Some(text);
    }
    match too_old {
        Some(text) => bail!("`{}` is too old to build runsc: {advice}", text.trim()),
        None => bail!("runsc must be built, and there is no Go: {advice}"),
    }
}

/// The version in `go version go1.26.8 linux/amd64`.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("go1."))?;
    let minor = version.split(|digit: char| !digit.is_ascii_digit()).next()?.parse().ok()?;
    Some((1, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_corrected_once_and_only_as_they_were_examined() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(CORRECTION.file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "func f() {\n\ts.restoredEndpoints = nil\n}\n").unwrap();
        correct(directory.path()).unwrap();
        let corrected = fs::read_to_string(&file).unwrap();
        assert!(corrected.contains("\ts.resumableEndpoints = nil\n}"), "{corrected}");
        fs::write(&file, "func f() {}\n").unwrap();
        assert!(correct(directory.path()).is_err());
    }

    #[test]
    fn a_module_that_was_not_examined_is_refused() {
        let said = |sum: &str| format!(r#"{{"Dir": "/sources", "Sum": "{sum}"}}"#);
        assert_eq!(sources(&said(CHECKSUM)).unwrap(), Path::new("/sources"));
        assert!(sources(&said("h1:other")).is_err());
        assert!(sources("no JSON").is_err());
    }

    #[test]
    fn go_versions_are_compared_as_numbers() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(go_version("go version go1.9 linux/amd64"), Some((1, 9)));
        assert!(go_version("go version go1.9").unwrap() < OLDEST_GO);
        assert_eq!(go_version("gccgo"), None);
    }
}
