//! Small works on files, with errors that say what was tried.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::SnapshotError;

type Result<T> = std::result::Result<T, SnapshotError>;

/// Makes a directory that only the server's user can read: memory of guests is in it.
pub(crate) fn make_private_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|error| SnapshotError::io(format!("create `{}`", path.display()), error))
}

/// Opens a file for reading, or fails if it is a link.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let no_wait = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(no_wait).open(path)
}

/// Returns when what a file or directory holds is on the disk.
pub(crate) fn sync(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| SnapshotError::io(format!("sync `{}`", path.display()), error))
}

/// Writes a new file.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| file.write_all(content));
    written.map_err(|error| SnapshotError::io(format!("write `{}`", path.display()), error))
}

/// Makes a new file that has a length and no bytes yet, which takes no room.
pub(crate) fn make_empty(path: &Path, size: u64) -> Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let made = opened.and_then(|file| file.set_len(size).map(|()| file));
    made.map_err(|error| SnapshotError::io(format!("create `{}`", path.display()), error))
}

/// Renames, atomically.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .map_err(|error| SnapshotError::io(format!("rename `{}`", from.display()), error))
}

/// Removes a directory and all in it; no error if it is not there.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SnapshotError::io(format!("remove `{}`", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// The names in a directory, in order.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        let entries = fs::read_dir(path)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let mut names =
        read().map_err(|error| SnapshotError::io(format!("list `{}`", path.display()), error))?;
    names.sort_unstable();
    Ok(names)
}
