//! What survives: complete snapshots on disk, and the proof that they are unharmed.
//!
//! ```text
//! <root>/<snapshot>/manifest.json      who, when, by which engine, and every chunk's digest
//! <root>/<snapshot>/image/…            the files that the engine wrote
//! <root>/<snapshot>.partial/           being written; removed when the store opens
//! <root>/<snapshot>.removed/           being deleted; removed when the store opens
//! ```
//!
//! A snapshot exists from one atomic rename to another: before the first its bytes and manifest are
//! complete (and on the disk, unless the caller wants to wait for that later), and the second
//! takes it away whole. `pages.img` of gVisor has no checksum of its own and restores flipped bits
//! silently, so each mebibyte has a BLAKE3 digest and is verified before a guest runs on it.
//!
//! All of that blocks: call it from a thread that may. [`RemoteStore`] does not.

mod cancel;
mod digest;
mod disk;
mod error;
mod manifest;
mod remote;
mod store;
mod verify;
mod write;

pub use cancel::Cancel;
pub use error::{Damage, SnapshotError};
pub use manifest::{CHUNK_BYTES, ChunkDigest, FileEntry, Manifest, TemplateRef};
pub use remote::{RemoteConfig, RemoteError, RemoteSnapshot, RemoteStore, Uploaded};
pub use store::Store;
pub use verify::Verified;
pub use write::{About, Bytes, Partial, Safety, Written};
