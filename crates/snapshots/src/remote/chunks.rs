//! Chunks of files on their way to the object store and back, some at a time.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, LazyLock};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::objects::{Object, Objects};
use super::{Owner, RemoteError, blocking, layout};
use crate::digest::Source;
use crate::manifest::FileEntry;
use crate::{CHUNK_BYTES, Cancel, ChunkDigest, Damage, SnapshotError};

type Result<T> = std::result::Result<T, RemoteError>;

/// How many chunks are moved at a time: enough to hide what a store takes to answer, and with two
/// buffers each of a mebibyte little memory.
const PARALLEL: usize = 8;

/// zstd's quickest ordinary level: sandboxes want the processor too.
const LEVEL: i32 = 1;

/// The most bytes of a packed chunk: what cannot be compressed grows by a few bytes.
const MOST_PACKED_BYTES: u64 = CHUNK_BYTES + (CHUNK_BYTES >> 6);

/// What became of chunks, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    /// Sent, as they are stored.
    pub(super) stored: u64,
    /// Not sent since they were there, as they are in the image.
    pub(super) deduplicated: u64,
    /// Not sent since they hold only zeros.
    pub(super) zero: u64,
}

/// A part of a file that has a digest.
#[derive(Debug, Clone)]
struct Chunk {
    file: usize,
    offset: u64,
    length: usize,
    digest: ChunkDigest,
}

impl Chunk {
    fn is_zero(&self) -> bool {
        static WHOLE: LazyLock<ChunkDigest> =
            LazyLock::new(|| zeros(usize::try_from(CHUNK_BYTES).expect("a chunk fits in memory")));
        match self.length as u64 {
            CHUNK_BYTES => self.digest == *WHOLE,
            _ => self.digest == zeros(self.length),
        }
    }
}

fn zeros(length: usize) -> ChunkDigest {
    ChunkDigest(blake3::hash(&vec![0; length]))
}

/// All chunks of files, or the name of a file that has not as many as it must have.
fn chunks_of(files: &[FileEntry]) -> std::result::Result<Vec<Chunk>, Damage> {
    let mut chunks = Vec::new();
    for (file, entry) in files.iter().enumerate() {
        if entry.size.div_ceil(CHUNK_BYTES) != entry.chunks.len() as u64 {
            let reason = format!("`{}` has too many or too few digests", entry.name);
            return Err(Damage::ManifestUnreadable { reason });
        }
        let mut offset = 0;
        for digest in &entry.chunks {
            let length = usize::try_from(CHUNK_BYTES.min(entry.size - offset));
            let length = length.expect("a chunk fits in memory");
            chunks.push(Chunk { file, offset, length, digest: *digest });
            offset += CHUNK_BYTES;
        }
    }
    Ok(chunks)
}

/// Sends chunks of an owner's open files that are neither zeros nor `known` to be in the store.
///
/// Each is read, compared with its digest, and packed before it is sent.
pub(super) async fn send(
    objects: &Objects,
    owner: &Owner,
    files: &[FileEntry],
    sources: Vec<Source>,
    mut known: HashSet<ChunkDigest>,
    cancel: &Cancel,
) -> Result<Moved> {
    let mut moved = Moved::default();
    let mut wanted = chunks_of(files).map_err(|damage| owner.damaged(damage))?;
    wanted.retain(|chunk| {
        let count = if chunk.is_zero() {
            &mut moved.zero
        } else if !known.insert(chunk.digest) {
            &mut moved.deduplicated
        } else {
            return true;
        };
        *count += chunk.length as u64;
        false
    });
    let sources = Arc::new(sources);
    let home = owner.home()?;
    let send_one = |chunk: Chunk| {
        let (sources, owner, home) = (sources.clone(), owner.clone(), &home);
        async move {
            cancel.check()?;
            let digest = chunk.digest;
            let packed = blocking(move || pack(&sources[chunk.file], &chunk, &owner)).await?;
            let length = packed.len() as u64;
            objects.put(&layout::chunk(home, &digest), packed).await?;
            Ok::<_, RemoteError>(length)
        }
    };
    let sent = stream::iter(wanted).map(send_one).buffer_unordered(PARALLEL);
    moved.stored = sent.try_fold(0, |sum, length| async move { Ok(sum + length) }).await?;
    Ok(moved)
}

fn pack(source: &Source, chunk: &Chunk, owner: &Owner) -> Result<Vec<u8>> {
    let mut bytes = vec![0; chunk.length];
    let failed = |error| SnapshotError::io(format!("read `{}`", source.name), error);
    source.file.read_exact_at(&mut bytes, chunk.offset).map_err(failed)?;
    if blake3::hash(&bytes) != chunk.digest.0 {
        let (file, offset) = (source.name.clone(), chunk.offset);
        return Err(owner.damaged(Damage::Changed { file, offset }));
    }
    Ok(zstd::bulk::compress(&bytes, LEVEL).map_err(failed)?)
}

/// Brings an owner's chunks into new files that have their lengths and are empty.
///
/// Only bytes that have their digest are written.
pub(super) async fn receive(
    objects: &Objects,
    owner: &Owner,
    entries: &[FileEntry],
    files: Vec<File>,
    cancel: &Cancel,
) -> Result<()> {
    let mut wanted = chunks_of(entries).map_err(|damage| owner.damaged(damage))?;
    wanted.retain(|chunk| !chunk.is_zero());
    let files = Arc::new(files);
    let home = owner.home()?;
    let receive_one = |chunk: Chunk| {
        let (files, owner, home) = (files.clone(), owner.clone(), &home);
        let name = entries[chunk.file].name.clone();
        async move {
            cancel.check()?;
            let found = objects.get(&layout::chunk(home, &chunk.digest), MOST_PACKED_BYTES).await?;
            blocking(move || {
                let bytes = unpack(found, &chunk, &name).map_err(|damage| owner.damaged(damage))?;
                let written = files[chunk.file].write_all_at(&bytes, chunk.offset);
                Ok(written.map_err(|error| SnapshotError::io(format!("write `{name}`"), error))?)
            })
            .await
        }
    };
    let received = stream::iter(wanted).map(receive_one).buffer_unordered(PARALLEL);
    received.try_collect().await
}

fn unpack(found: Object, chunk: &Chunk, name: &str) -> std::result::Result<Vec<u8>, Damage> {
    let (file, offset) = (name.to_owned(), chunk.offset);
    let packed = match found {
        Object::Missing => return Err(Damage::ChunkMissing { file, offset }),
        Object::TooLong(_) => return Err(Damage::ChunkUnreadable { file, offset }),
        Object::Whole(packed) => packed,
    };
    match zstd::bulk::decompress(&packed, chunk.length) {
        Err(_) => Err(Damage::ChunkUnreadable { file, offset }),
        Ok(bytes) if bytes.len() != chunk.length => Err(Damage::ChunkUnreadable { file, offset }),
        Ok(bytes) if blake3::hash(&bytes) != chunk.digest.0 => {
            Err(Damage::Changed { file, offset })
        }
        Ok(bytes) => Ok(bytes),
    }
}
