//! Files that snapshots need to run: templates' images and guest agents, by their digests.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use object_store::path::Path as Place;

use super::objects::Object;
use super::{Owner, RemoteError, RemoteStore, Result, blocking, chunks, layout, unless_cancelled};
use crate::digest::Source;
use crate::manifest::FileEntry;
use crate::{CHUNK_BYTES, Cancel, ChunkDigest, Damage, SnapshotError, disk};

/// The most bytes of an index that is read: about 200 GiB of a file.
const MOST_INDEX_BYTES: u64 = 16 << 20;

impl RemoteStore {
    /// Whether a file is complete in the store.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotADigest`]; otherwise the store refuses or fails.
    pub async fn has_file(&self, digest: &str) -> Result<bool> {
        self.objects.contains(&layout::index(digest)?).await
    }

    /// Brings a file to the store, unless it is there; the bytes that were sent.
    ///
    /// Nothing removes it: snapshots of any sandbox may need it.
    ///
    /// # Errors
    ///
    /// [`RemoteError::FileDamaged`] if the file does not have this digest; otherwise it cannot be
    /// read, or the store refuses or fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped or cancelled, it leaves only chunks, which the next call uses.
    pub async fn put_file(&self, digest: &str, path: &Path, cancel: &Cancel) -> Result<u64> {
        let index = layout::index(digest)?;
        if self.objects.contains(&index).await? {
            return Ok(0);
        }
        unless_cancelled(cancel, Box::pin(self.put_new(digest, index, path, cancel))).await
    }

    async fn put_new(
        &self,
        digest: &str,
        index: Place,
        path: &Path,
        cancel: &Cancel,
    ) -> Result<u64> {
        let (name, path, of_thread) = (digest.to_owned(), path.to_owned(), cancel.clone());
        let (source, entry) = blocking(move || {
            let source = open(name, &path)?;
            let entry = entry_of(&source, &of_thread)?;
            Ok((source, entry))
        })
        .await?;
        let text = serde_json::to_vec(&entry).map_err(std::io::Error::other);
        let text = text.map_err(|error| SnapshotError::io("write an index", error))?;
        let owner = Owner::File(digest.to_owned());
        let known = self.known_chunks(&owner.home()?, &Default::default()).await?;
        let files = [entry];
        let moved =
            chunks::send(&self.objects, &owner, &files, vec![source], known, cancel).await?;
        self.objects.settle().await?;
        self.objects.put(&index, text).await?;
        self.objects.settle().await?;
        Ok(moved.stored)
    }

    /// Brings a file from the store to `to`, whole and on the disk, in place of one of its name.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NoSuchFile`], or [`RemoteError::FileDamaged`] if it is not what was brought
    /// there; otherwise this machine's disk or the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped or cancelled, it leaves at most a file `<to>.partial`, which the next call replaces.
    pub async fn fetch_file(&self, digest: &str, to: &Path, cancel: &Cancel) -> Result<()> {
        unless_cancelled(cancel, Box::pin(self.fetch_whole(digest, to, cancel))).await
    }

    async fn fetch_whole(&self, digest: &str, to: &Path, cancel: &Cancel) -> Result<()> {
        let owner = Owner::File(digest.to_owned());
        let entry = self.index(digest, &owner).await?;
        let partial = beside(to);
        let (path, size) = (partial.clone(), entry.size);
        let file = blocking(move || {
            let _ = fs::remove_file(&path);
            Ok(disk::make_empty(&path, size)?)
        })
        .await?;
        let entries = [entry];
        let received = chunks::receive(&self.objects, &owner, &entries, vec![file], cancel).await;
        let (name, to, of_thread) = (digest.to_owned(), to.to_owned(), cancel.clone());
        let path = partial.clone();
        let placed = match received {
            Ok(()) => blocking(move || place(name, &path, &to, &of_thread)).await,
            Err(error) => Err(error),
        };
        if placed.is_err() {
            let _ = fs::remove_file(&partial);
        }
        placed
    }

    /// How a file is cut; that it is right shows when the whole of it has its digest.
    async fn index(&self, digest: &str, owner: &Owner) -> Result<FileEntry> {
        let unreadable = |reason: String| owner.damaged(Damage::ManifestUnreadable { reason });
        match self.objects.get(&layout::index(digest)?, MOST_INDEX_BYTES).await? {
            Object::Missing => Err(RemoteError::NoSuchFile { digest: digest.to_owned() }),
            Object::TooLong(length) => Err(unreadable(format!("it has {length} bytes"))),
            Object::Whole(text) => {
                serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))
            }
        }
    }
}

fn beside(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn open(digest: String, path: &Path) -> Result<Source> {
    let failed = |error| SnapshotError::io(format!("open `{}`", path.display()), error);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    Ok(Source { name: digest, file, size })
}

/// Digests a file in chunks and as a whole, which must have the digest that is its name.
fn entry_of(source: &Source, cancel: &Cancel) -> Result<FileEntry> {
    let mut entry = FileEntry { name: source.name.clone(), size: 0, chunks: Vec::new() };
    let (mut whole, mut chunk) = (blake3::Hasher::new(), Vec::new());
    loop {
        cancel.check()?;
        chunk.clear();
        let read = (&source.file).take(CHUNK_BYTES).read_to_end(&mut chunk);
        read.map_err(|error| SnapshotError::io(format!("read file {}", source.name), error))?;
        if chunk.is_empty() {
            break;
        }
        whole.update(&chunk);
        entry.size += chunk.len() as u64;
        entry.chunks.push(ChunkDigest(blake3::hash(&chunk)));
    }
    if whole.finalize().to_hex().as_str() != source.name {
        let digest = source.name.clone();
        return Err(RemoteError::FileDamaged { digest, damage: Damage::OtherDigest });
    }
    Ok(entry)
}

/// Gives a file that is complete its place, if it has its digest.
fn place(digest: String, partial: &Path, to: &Path, cancel: &Cancel) -> Result<()> {
    entry_of(&open(digest, partial)?, cancel)?;
    disk::sync(partial)?;
    disk::rename(partial, to)?;
    Ok(disk::sync(to.parent().unwrap_or_else(|| Path::new("/")))?)
}
