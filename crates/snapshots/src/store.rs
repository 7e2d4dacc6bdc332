//! All snapshots of a data directory.

use std::fs;
use std::path::{Path, PathBuf};

use ow_types::SnapshotId;

use crate::digest::Source;
use crate::manifest::Manifest;
use crate::verify::{Verified, open_files, read_manifest, verify};
use crate::write::Partial;
use crate::{Cancel, SnapshotError, disk};

type Result<T> = std::result::Result<T, SnapshotError>;

/// What is being written or deleted when its process ends.
const LEFT_OVER: [&str; 2] = [".partial", ".removed"];

/// A directory of snapshots, which one server owns.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens a directory, makes it if need be, and removes what was never finished in it.
    ///
    /// # Errors
    ///
    /// If the directory cannot be made or read. A left-over that cannot be removed is only logged.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if !root.is_dir() {
            disk::make_private_dir(&root)?;
        }
        for name in disk::names(&root)? {
            if LEFT_OVER.iter().any(|suffix| name.ends_with(suffix))
                && let Err(error) = disk::remove_tree(&root.join(&name))
            {
                tracing::warn!(%error, name, "a left-over of a snapshot stays");
            }
        }
        Ok(Self { root })
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Begins a snapshot.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Exists`] if there is one of that name, [`SnapshotError::NoSpace`] or
    /// [`SnapshotError::ReadOnly`] if the disk takes no more.
    pub fn begin(&self, snapshot: &SnapshotId) -> Result<Partial> {
        if self.contains(snapshot) {
            return Err(SnapshotError::Exists { snapshot: snapshot.clone() });
        }
        Partial::create(&self.root, snapshot.clone())
    }

    /// Begins a copy of a snapshot, which replaces the one that may be here.
    pub(crate) fn begin_again(&self, snapshot: &SnapshotId) -> Result<Partial> {
        Partial::create(&self.root, snapshot.clone())
    }

    /// Whether there is a complete snapshot of that name.
    #[must_use]
    pub fn contains(&self, snapshot: &SnapshotId) -> bool {
        self.directory(snapshot).is_dir()
    }

    /// What a snapshot says of itself, without a look at its image.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NotFound`], or [`SnapshotError::Damaged`] if its manifest is.
    pub fn read(&self, snapshot: &SnapshotId) -> Result<Manifest> {
        Ok(self.read_text(snapshot)?.0)
    }

    /// The manifest, and its text to the last byte.
    pub(crate) fn read_text(&self, snapshot: &SnapshotId) -> Result<(Manifest, Vec<u8>)> {
        read_manifest(&self.directory(snapshot), snapshot)
    }

    /// Opens the files of an image, which have the lengths that the manifest says.
    pub(crate) fn open_files(&self, manifest: &Manifest) -> Result<Vec<Source>> {
        open_files(&self.directory(&manifest.snapshot).join("image"), manifest)
    }

    /// Reads every byte of a snapshot and compares it with what was written.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Damaged`] names what is wrong; other errors say nothing of the snapshot.
    pub fn verify(&self, snapshot: &SnapshotId, cancel: &Cancel) -> Result<Verified> {
        verify(&self.directory(snapshot), snapshot, cancel)
    }

    /// Brings a snapshot to the disk that was committed as [`crate::Safety::Cached`].
    ///
    /// # Errors
    ///
    /// If the disk fails, or has no room for what it was late to write.
    pub fn sync(&self, snapshot: &SnapshotId) -> Result<()> {
        let directory = self.directory(snapshot);
        let image = directory.join("image");
        for name in disk::names(&image)? {
            disk::sync(&image.join(name))?;
        }
        disk::sync(&directory.join("manifest.json"))?;
        disk::sync(&image)?;
        disk::sync(&directory)?;
        disk::sync(&self.root)
    }

    /// Every complete snapshot whose manifest can be read; the others are logged and stay.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Manifest>> {
        let mut found = Vec::new();
        for name in disk::names(&self.root)? {
            let Ok(snapshot) = name.parse::<SnapshotId>() else { continue };
            match self.read(&snapshot) {
                Ok(manifest) => found.push(manifest),
                Err(error) => tracing::warn!(%snapshot, %error, "a snapshot cannot be read"),
            }
        }
        Ok(found)
    }

    /// Removes a snapshot, complete or half written; no error if there is none.
    ///
    /// It is gone for good once this returns, though its bytes may be freed when the store is
    /// opened next.
    ///
    /// # Errors
    ///
    /// If the disk fails; then it may still be there.
    pub fn remove(&self, snapshot: &SnapshotId) -> Result<()> {
        let (place, removed) = (self.directory(snapshot), self.beside(snapshot, "removed"));
        disk::remove_tree(&self.beside(snapshot, "partial"))?;
        if place.exists() {
            disk::remove_tree(&removed)?;
            disk::rename(&place, &removed)?;
            disk::sync(&self.root)?;
        }
        if fs::symlink_metadata(&removed).is_ok() {
            disk::remove_tree(&removed)?;
        }
        Ok(())
    }

    fn directory(&self, snapshot: &SnapshotId) -> PathBuf {
        self.root.join(snapshot.as_str())
    }

    fn beside(&self, snapshot: &SnapshotId, suffix: &str) -> PathBuf {
        self.root.join(format!("{snapshot}.{suffix}"))
    }
}
