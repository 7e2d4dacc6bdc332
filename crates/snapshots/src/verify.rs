//! The proof that a snapshot is what was written.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ow_types::SnapshotId;

use crate::digest::{Source, digest};
use crate::manifest::{FileEntry, Manifest};
use crate::{Cancel, Damage, SnapshotError, disk};

type Result<T> = std::result::Result<T, SnapshotError>;

/// A snapshot whose every byte was read and is right.
#[derive(Debug)]
pub struct Verified {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where the engine finds it.
    pub image: PathBuf,
}

/// Reads a manifest with its text, and believes it only if it is whole and of this snapshot.
pub(crate) fn read_manifest(
    directory: &Path,
    snapshot: &SnapshotId,
) -> Result<(Manifest, Vec<u8>)> {
    let damaged = |damage| SnapshotError::Damaged { snapshot: snapshot.clone(), damage };
    if !directory.is_dir() {
        return Err(SnapshotError::NotFound { snapshot: snapshot.clone() });
    }
    let text = match fs::read(directory.join("manifest.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged(Damage::NoManifest));
        }
        Err(error) => {
            return Err(SnapshotError::io(format!("read the manifest of {snapshot}"), error));
        }
    };
    let manifest = Manifest::from_text(&text).map_err(damaged)?;
    if manifest.snapshot != *snapshot {
        return Err(damaged(Damage::OtherSnapshot { other: manifest.snapshot }));
    }
    Ok((manifest, text))
}

/// Reads all of a snapshot and compares it with its manifest.
pub(crate) fn verify(directory: &Path, snapshot: &SnapshotId, cancel: &Cancel) -> Result<Verified> {
    let damaged = |damage| SnapshotError::Damaged { snapshot: snapshot.clone(), damage };
    let (manifest, _) = read_manifest(directory, snapshot)?;
    let image = directory.join("image");
    if let Some(file) = foreign(directory, &image, &manifest)? {
        return Err(damaged(Damage::Foreign { file }));
    }
    let sources = open_files(&image, &manifest)?;
    let digested = digest(&sources, cancel)?;
    for (entry, chunks) in manifest.files.iter().zip(&digested) {
        let found = chunks.iter().map(|chunk| &chunk.digest);
        let same = entry.chunks.iter().zip(found).take_while(|(one, other)| one == other).count();
        if same < chunks.len() || same < entry.chunks.len() {
            let offset = same as u64 * crate::CHUNK_BYTES;
            return Err(damaged(Damage::Changed { file: entry.name.clone(), offset }));
        }
    }
    Ok(Verified { manifest, image })
}

/// The first thing that the manifest does not name.
fn foreign(directory: &Path, image: &Path, manifest: &Manifest) -> Result<Option<String>> {
    let beside = disk::names(directory)?;
    let beside = beside.into_iter().find(|name| name != "manifest.json" && name != "image");
    if beside.is_some() || !image.is_dir() {
        return Ok(beside);
    }
    let known = |name: &String| manifest.files.iter().any(|file| file.name == *name);
    Ok(disk::names(image)?.into_iter().find(|name| !known(name)))
}

/// Opens every file of an image, which must be there and have its length.
pub(crate) fn open_files(image: &Path, manifest: &Manifest) -> Result<Vec<Source>> {
    let snapshot = &manifest.snapshot;
    let damaged = |damage| SnapshotError::Damaged { snapshot: snapshot.clone(), damage };
    manifest.files.iter().map(|entry| open(image, entry, &damaged)).collect()
}

fn open(
    image: &Path,
    entry: &FileEntry,
    damaged: &impl Fn(Damage) -> SnapshotError,
) -> Result<Source> {
    let name = || entry.name.clone();
    let file = match disk::open(&image.join(&entry.name)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged(Damage::Missing { file: name() }));
        }
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Err(damaged(Damage::NotAFile { file: name() }));
        }
        Err(error) => return Err(SnapshotError::io(format!("open `{}`", entry.name), error)),
    };
    let metadata = file
        .metadata()
        .map_err(|error| SnapshotError::io(format!("open `{}`", entry.name), error))?;
    if !metadata.is_file() {
        return Err(damaged(Damage::NotAFile { file: name() }));
    }
    if metadata.len() != entry.size {
        let (expected, found) = (entry.size, metadata.len());
        return Err(damaged(Damage::Size { file: name(), expected, found }));
    }
    Ok(Source { name: name(), file, size: entry.size })
}
