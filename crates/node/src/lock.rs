//! Who owns a data directory.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use ow_node_api::NodeError;

use crate::errors;
use crate::inner::make_directory;

/// Keeps every node off a data directory until it is dropped, or its process ends.
#[derive(Debug)]
pub struct DataLock {
    _file: Flock<fs::File>,
}

impl DataLock {
    /// Takes a data directory, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`NodeError::Failed`] if somebody else has it.
    pub fn take(data: &Path) -> Result<Self, NodeError> {
        make_directory(data)?;
        let path = data.join("node.lock");
        let doing = format!("locking `{}`", path.display());
        let file = fs::File::options().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|error| errors::io(doing.clone(), &error))?;
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let _file = locked.map_err(|(_, error)| NodeError::Failed {
            doing,
            reason: if error == nix::errno::Errno::EWOULDBLOCK {
                "another server owns this data directory".into()
            } else {
                error.to_string()
            },
        })?;
        Ok(Self { _file })
    }
}
