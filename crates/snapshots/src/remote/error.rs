//! How the object store refuses and fails.

use std::time::Duration;

use crate::{Damage, SnapshotError};

/// Why something was not brought to the object store, or from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The address or an option does not make sense.
    #[error("the address of the object store cannot be used: {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// The store says no, whether by its rights or because there is no such bucket.
    #[error("the object store refuses to {doing}")]
    Refused {
        /// What was tried.
        doing: String,
        /// What it said.
        #[source]
        source: object_store::Error,
    },
    /// The store cannot be reached or failed.
    #[error("the object store failed to {doing}")]
    Failed {
        /// What was tried.
        doing: String,
        /// What it said.
        #[source]
        source: object_store::Error,
    },
    /// The store did not answer, also when it was asked again.
    #[error("the object store did not {doing} within {limit:?}")]
    TimedOut {
        /// What was tried.
        doing: String,
        /// For how long.
        limit: Duration,
    },
    /// A file was asked for by something that is no digest.
    #[error("a file is named by 64 hexadecimal digits of its BLAKE3 digest, not by `{name}`")]
    NotADigest {
        /// The name.
        name: String,
    },
    /// The store does not hold a file.
    #[error("file {digest} is not in the object store")]
    NoSuchFile {
        /// Its digest.
        digest: String,
    },
    /// A file is not what its digest says.
    #[error("file {digest} is damaged: {damage}")]
    FileDamaged {
        /// Its digest.
        digest: String,
        /// What is wrong with it.
        damage: Damage,
    },
    /// It fails here, or for the snapshot itself: it is not in the store, or damaged there or here.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// The code of S3's answer when the bucket is missing; its status is that of a missing object.
pub(super) const NO_BUCKET: &str = "NoSuchBucket";

/// Whether an answer has a code by which S3 refuses a request, whenever it is made.
fn says_no(answer: &str) -> bool {
    let codes = [NO_BUCKET, "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"];
    codes.iter().any(|code| answer.contains(code))
}

impl RemoteError {
    /// Tells a refusal, which stays one, from a failure.
    pub(super) fn of_store(doing: String, source: object_store::Error) -> Self {
        use object_store::Error as E;
        match source {
            // Whoever may find an object missing asks for that; here it is the bucket.
            E::PermissionDenied { .. }
            | E::Unauthenticated { .. }
            | E::NotFound { .. }
            | E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::InvalidPath { .. } => Self::Refused { doing, source },
            // What the store says to a listing is in the text only.
            E::Generic { source: ref answer, .. } if says_no(&answer.to_string()) => {
                Self::Refused { doing, source }
            }
            _ => Self::Failed { doing, source },
        }
    }

    /// Whether the same call may succeed later without a change by anyone.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::TimedOut { .. } => true,
            Self::Snapshot(error) => error.is_retryable(),
            Self::Address { .. }
            | Self::Refused { .. }
            | Self::NotADigest { .. }
            | Self::NoSuchFile { .. }
            | Self::FileDamaged { .. } => false,
        }
    }
}
