//! What a snapshot says of itself.
//!
//! The file is an envelope: a version, the manifest, and the digest of the manifest's text, so that
//! a manifest that was cut short or changed is not believed.

use std::fmt;

use ow_engine::EngineVersion;
use ow_types::{PauseMode, Resources, SandboxId, SnapshotId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Damage;

/// The version of the manifest that this code writes, and the only one it reads.
const VERSION: u64 = 1;

/// How many bytes share a digest.
///
/// A mebibyte is read and digested in the caches of one core, and its digest adds 32 bytes.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// The BLAKE3 digest of a chunk; 64 hexadecimal digits in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChunkDigest(pub(crate) blake3::Hash);

impl TryFrom<String> for ChunkDigest {
    type Error = blake3::HexError;

    fn try_from(text: String) -> Result<Self, blake3::HexError> {
        blake3::Hash::from_hex(text).map(Self)
    }
}

impl From<ChunkDigest> for String {
    fn from(digest: ChunkDigest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for ChunkDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.to_hex())
    }
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its name within the image's directory.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// The digests of its chunks of [`CHUNK_BYTES`], the last of which may be shorter.
    pub chunks: Vec<ChunkDigest>,
}

/// The template that a sandbox was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateRef {
    /// Its name.
    pub name: String,
    /// The digest of its root file system, without which the image does not restore.
    pub digest: String,
}

/// What a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name.
    pub snapshot: SnapshotId,
    /// Whose it is.
    pub sandbox: SandboxId,
    /// 1 for a sandbox's first pause, and one more for each that followed.
    pub generation: u64,
    /// What it holds.
    pub mode: PauseMode,
    /// Who can read the image.
    pub engine: EngineVersion,
    /// Features of the processor that what runs in it may have found, by the kernel's names.
    pub cpu_features: Vec<String>,
    /// What it was made of.
    pub template: TemplateRef,
    /// The digest of the guest agent's binary, whose pages its memory does not hold.
    pub agent: String,
    /// Its limits.
    pub resources: Resources,
    /// The machine that it ran on.
    pub taken_on: String,
    /// When.
    pub taken_at: Timestamp,
    /// The image.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// Bytes of the whole image.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Features that the guest may use and this machine does not have.
    #[must_use]
    pub fn cpu_features_beyond(&self, present: &[String]) -> Vec<String> {
        self.cpu_features.iter().filter(|feature| !present.contains(feature)).cloned().collect()
    }

    pub(crate) fn to_text(&self) -> serde_json::Result<Vec<u8>> {
        let manifest = serde_json::value::to_raw_value(self)?;
        let digest = ChunkDigest(blake3::hash(manifest.get().as_bytes()));
        serde_json::to_vec(&Envelope { version: VERSION, manifest, digest })
    }

    pub(crate) fn from_text(text: &[u8]) -> Result<Self, Damage> {
        let unreadable =
            |error: serde_json::Error| Damage::ManifestUnreadable { reason: error.to_string() };
        let version = serde_json::from_slice::<VersionOnly>(text).map_err(unreadable)?.version;
        if version != VERSION {
            return Err(Damage::ManifestVersion { version });
        }
        let envelope: Envelope = serde_json::from_slice(text).map_err(unreadable)?;
        if blake3::hash(envelope.manifest.get().as_bytes()) != envelope.digest.0 {
            return Err(Damage::ManifestChanged);
        }
        let manifest: Self = serde_json::from_str(envelope.manifest.get()).map_err(unreadable)?;
        match manifest.files.iter().find(|file| !is_plain(&file.name)) {
            Some(file) => {
                let reason = format!("`{}` is no name of a file in the image", file.name);
                Err(Damage::ManifestUnreadable { reason })
            }
            None => Ok(manifest),
        }
    }
}

/// Whether a name leads nowhere but into the image's directory.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    version: u64,
    manifest: Box<RawValue>,
    digest: ChunkDigest,
}
