//! Writing a snapshot: beside its place, and into it by one rename.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use ow_engine::EngineVersion;
use ow_types::{PauseMode, Phases, Resources, SandboxId, SnapshotId, Timestamp};

use crate::digest::{Digested, Source, digest};
use crate::manifest::{FileEntry, Manifest, TemplateRef};
use crate::{Cancel, SnapshotError, disk};

type Result<T> = std::result::Result<T, SnapshotError>;

/// What the node knows of a snapshot; see [`Manifest`] for the fields.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the fields are the manifest's, and documented there")]
pub struct About {
    pub sandbox: SandboxId,
    pub generation: u64,
    pub mode: PauseMode,
    pub engine: EngineVersion,
    pub cpu_features: Vec<String>,
    pub template: TemplateRef,
    pub agent: String,
    pub resources: Resources,
    pub taken_on: String,
    pub taken_at: Timestamp,
}

/// What must be on the disk before a commit returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Everything.
    Durable,
    /// Nothing: [`crate::Store::sync`] is called later. A snapshot that loses power before that
    /// may come back damaged, and is then refused by its digests.
    Cached,
}

/// Bytes of an image by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bytes {
    /// All that the engine wrote.
    pub captured: u64,
    /// Of these, in pages that hold only zeros.
    pub zero: u64,
    /// What they take of the disk.
    pub stored: u64,
}

/// A snapshot that is complete.
#[derive(Debug)]
pub struct Written {
    /// What it says of itself.
    pub manifest: Manifest,
    /// How much there is.
    pub bytes: Bytes,
    /// Where the time went.
    pub phases: Phases,
}

/// A snapshot that is being written; dropped before it is committed, nothing of it is left.
#[derive(Debug)]
pub struct Partial {
    snapshot: SnapshotId,
    root: PathBuf,
    directory: PathBuf,
    image: PathBuf,
}

impl Partial {
    pub(crate) fn create(root: &Path, snapshot: SnapshotId) -> Result<Self> {
        let directory = root.join(format!("{snapshot}.partial"));
        if directory.exists() {
            return Err(SnapshotError::Exists { snapshot });
        }
        let image = directory.join("image");
        let partial = Self { snapshot, root: root.to_owned(), directory, image };
        disk::make_private_dir(&partial.directory)?;
        disk::make_private_dir(&partial.image)?;
        Ok(partial)
    }

    /// Its name.
    #[must_use]
    pub const fn snapshot(&self) -> &SnapshotId {
        &self.snapshot
    }

    /// The new and empty directory that the engine writes to.
    #[must_use]
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Makes the snapshot exist, all of it or nothing.
    ///
    /// The digests are made while the disk is busy with the sync.
    ///
    /// # Errors
    ///
    /// Whatever fails, nothing is left; [`SnapshotError::NoSpace`] if the disk is full.
    pub fn commit(self, about: About, safety: Safety, cancel: &Cancel) -> Result<Written> {
        let mut phases = Phases::default();
        let (sources, mut bytes) = self.open_image()?;
        let digested = digest_and_sync(&sources, safety, cancel, &mut phases)?;
        bytes.zero = digested.iter().flatten().map(|chunk| chunk.zero).sum();
        let entry = |(source, chunks): (Source, Vec<Digested>)| FileEntry {
            name: source.name,
            size: source.size,
            chunks: chunks.into_iter().map(|chunk| chunk.digest).collect(),
        };
        let files = sources.into_iter().zip(digested).map(entry).collect();
        let manifest = self.manifest(about, files);
        let begun = Instant::now();
        self.write_manifest(&manifest, safety)?;
        cancel.check()?;
        self.publish(safety)?;
        phases.push("commit", begun.elapsed());
        Ok(Written { manifest, bytes, phases })
    }

    /// Makes the copy of a snapshot exist, durably and in place of the one that is here.
    ///
    /// If the machine fails in the midst of it, neither may be left: what was copied is elsewhere.
    pub(crate) fn commit_copy(self, manifest: &[u8]) -> Result<()> {
        for name in disk::names(&self.image)? {
            disk::sync(&self.image.join(name))?;
        }
        self.write_text(manifest, Safety::Durable)?;
        let removed = self.root.join(format!("{}.removed", self.snapshot));
        let place = self.root.join(self.snapshot.as_str());
        if place.exists() {
            disk::remove_tree(&removed)?;
            disk::rename(&place, &removed)?;
        }
        self.publish(Safety::Durable)?;
        if let Err(error) = disk::remove_tree(&removed) {
            tracing::warn!(%error, snapshot = %self.snapshot, "a replaced snapshot stays");
        }
        Ok(())
    }

    /// Gives it its place.
    fn publish(&self, safety: Safety) -> Result<()> {
        let place = self.root.join(self.snapshot.as_str());
        disk::rename(&self.directory, &place)?;
        if safety == Safety::Durable
            && let Err(error) = disk::sync(&self.root)
        {
            // Its name may not be on the disk: what was not acknowledged must not come back.
            disk::rename(&place, &self.directory)?;
            return Err(error);
        }
        Ok(())
    }

    fn open_image(&self) -> Result<(Vec<Source>, Bytes)> {
        let (mut sources, mut bytes) = (Vec::new(), Bytes::default());
        for name in disk::names(&self.image)? {
            let read = |error| SnapshotError::io(format!("open `{name}` of the image"), error);
            let file = disk::open(&self.image.join(&name)).map_err(read)?;
            let metadata = file.metadata().map_err(read)?;
            if !metadata.is_file() {
                return Err(read(std::io::Error::other("it is no regular file")));
            }
            bytes.captured += metadata.len();
            // Blocks are counted in 512 bytes whatever the file system's are (stat(2)).
            bytes.stored += metadata.blocks() * 512;
            sources.push(Source { name, file, size: metadata.len() });
        }
        Ok((sources, bytes))
    }

    fn manifest(&self, about: About, files: Vec<FileEntry>) -> Manifest {
        Manifest {
            snapshot: self.snapshot.clone(),
            sandbox: about.sandbox,
            generation: about.generation,
            mode: about.mode,
            engine: about.engine,
            cpu_features: about.cpu_features,
            template: about.template,
            agent: about.agent,
            resources: about.resources,
            taken_on: about.taken_on,
            taken_at: about.taken_at,
            files,
        }
    }

    fn write_manifest(&self, manifest: &Manifest, safety: Safety) -> Result<()> {
        let text = manifest.to_text().map_err(|error| {
            SnapshotError::io("write the manifest", std::io::Error::other(error))
        })?;
        self.write_text(&text, safety)
    }

    fn write_text(&self, manifest: &[u8], safety: Safety) -> Result<()> {
        let path = self.directory.join("manifest.json");
        disk::write_new(&path, manifest)?;
        if safety == Safety::Durable {
            disk::sync(&path)?;
            disk::sync(&self.image)?;
            disk::sync(&self.directory)?;
        }
        Ok(())
    }
}

/// Digests on all processors while the disk writes.
fn digest_and_sync(
    sources: &[Source],
    safety: Safety,
    cancel: &Cancel,
    phases: &mut Phases,
) -> Result<Vec<Vec<Digested>>> {
    let begun = Instant::now();
    let to_sync = if safety == Safety::Durable { sources } else { &[] };
    thread::scope(|scope| {
        let spawn = |source| scope.spawn(move || sync_source(source));
        let syncing: Vec<_> = to_sync.iter().map(spawn).collect();
        let digested = digest(sources, cancel);
        phases.push("digest", begun.elapsed());
        let begun = Instant::now();
        for syncing in syncing {
            syncing.join().expect("no panic in it")?;
        }
        phases.push("sync", begun.elapsed());
        digested
    })
}

fn sync_source(source: &Source) -> Result<()> {
    let synced = source.file.sync_all();
    synced.map_err(|error| SnapshotError::io(format!("sync `{}`", source.name), error))
}

impl Drop for Partial {
    /// After a commit nothing is under this name any more.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.directory.display(), "a partial snapshot stays");
        }
    }
}
