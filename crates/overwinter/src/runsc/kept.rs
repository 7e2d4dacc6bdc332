//! Keeps every `runsc` that ran sandboxes here, for what it wrote.
//!
//! An image is read only by the version that wrote it, and a newer `runsc` may come in its place at
//! any time, also while the server runs. So sandboxes run in a copy that only we replace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Found, PREFIX, directory};

/// The same `runsc` in a place where it stays as it is.
///
/// Where it cannot be copied, such as on a full disk, it is used where it is, and a warning says so.
pub(crate) fn keep(found: Found, data_dir: &Path) -> Found {
    match copy(&found, &directory(data_dir)) {
        Ok(path) => Found { path, ..found },
        Err(error) => {
            let path = found.path.display();
            tracing::warn!(%path, %error, "runsc cannot be kept, and is needed where it is");
            found
        }
    }
}

/// Those of the data directory other than `current`.
pub(crate) fn others(current: &Found, data_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory(data_dir)).into_iter().flatten().flatten();
    let kept = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    let mut paths: Vec<_> = kept.map(|entry| entry.path()).collect();
    paths.retain(|path| *path != current.path);
    // The newest build of a version is the one to be used.
    paths.sort();
    paths.reverse();
    paths
}

fn copy(found: &Found, directory: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let source = found.path.canonicalize()?;
    if source.parent() == Some(&directory.canonicalize()?)
        && let Some(name) = source.file_name()
    {
        return Ok(directory.join(name));
    }
    let kept = directory.join(format!("{PREFIX}{}", found.version));
    let length = fs::metadata(&source)?.len();
    if fs::metadata(&kept).is_ok_and(|metadata| metadata.len() == length) {
        return Ok(kept);
    }
    let partial = directory.join(format!(".{PREFIX}{}.partial", found.version));
    fs::copy(&source, &partial)?;
    fs::File::open(&partial)?.sync_all()?;
    fs::rename(&partial, &kept)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &Path, version: &str) -> Found {
        Found { path: path.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn one_from_elsewhere_is_copied_once_and_found_later() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("program");
        fs::write(&path, "one").unwrap();
        let one = keep(found(&path, "1"), data.path());
        assert_eq!(one.path, data.path().join("bin/runsc-1"));
        fs::write(&path, "the other").unwrap();
        assert_eq!(fs::read(&one.path).unwrap(), b"one");
        let other = keep(found(&path, "2"), data.path());
        assert_eq!(others(&other, data.path()), [one.path]);
        // What calls itself the same and is not is taken instead.
        fs::write(&path, "another build").unwrap();
        let again = keep(found(&path, "2"), data.path());
        assert_eq!(fs::read(&again.path).unwrap(), b"another build");
        assert_eq!(again.path, other.path);
    }

    #[test]
    fn one_that_set_up_built_stays_where_it_is() {
        let data = tempfile::tempdir().unwrap();
        let bin = data.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("runsc-1-c1"), "built").unwrap();
        std::os::unix::fs::symlink("runsc-1-c1", bin.join("runsc")).unwrap();
        let kept = keep(found(&bin.join("runsc"), "1"), data.path());
        assert_eq!(kept.path, bin.join("runsc-1-c1"));
        assert!(others(&kept, data.path()).is_empty());
    }

    #[test]
    fn where_no_copy_can_be_made_the_original_is_used() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("bin"), "no directory").unwrap();
        let path = data.path().join("program");
        fs::write(&path, "one").unwrap();
        assert_eq!(keep(found(&path, "1"), data.path()).path, path);
    }
}
