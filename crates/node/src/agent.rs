//! Keeps the guest agents' binaries that runs and snapshots need.
//!
//! The agent's binary is mapped into the memory of every guest, and an image names its pages only by
//! file and offset: a guest restored on another binary would run into the middle of foreign code.
//! So each binary is kept under its digest for as long as a snapshot needs it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The binaries of a data directory.
#[derive(Debug)]
pub(crate) struct Agents {
    directory: PathBuf,
    current: String,
}

impl Agents {
    /// Takes `binary` in as the current one.
    pub(crate) fn open(directory: PathBuf, binary: &Path) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        // Readable by sandboxes' processes, which have other user ids.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
        let content = fs::read(binary)?;
        let current = blake3::hash(&content).to_hex().to_string();
        let agents = Self { directory, current };
        let place = agents.path(agents.current());
        let kept = fs::read(&place).is_ok_and(|kept| kept == content);
        if !kept {
            let partial = place.with_extension("partial");
            let _ = fs::remove_file(&partial);
            let mut options = fs::File::options();
            let mut file = options.write(true).create_new(true).mode(0o555).open(&partial)?;
            file.write_all(&content)?;
            file.sync_all()?;
            fs::rename(&partial, &place)?;
            fs::File::open(&agents.directory)?.sync_all()?;
        }
        Ok(agents)
    }

    /// The digest of the binary that new runs get.
    pub(crate) fn current(&self) -> &str {
        &self.current
    }

    /// Where a binary is; none if it is not here.
    pub(crate) fn find(&self, digest: &str) -> Option<PathBuf> {
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let path = self.path(digest);
        (is_digest && path.is_file()).then_some(path)
    }

    /// Removes every binary but the current one and those `needed`.
    pub(crate) fn sweep(&self, needed: &BTreeSet<String>) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != self.current && !needed.contains(&name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Where a binary is kept.
    pub(crate) fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_kept_for_as_long_as_it_is_needed() {
        let root = tempfile::tempdir().unwrap();
        let (binary, agents) = (root.path().join("guest"), root.path().join("agents"));
        fs::write(&binary, "one").unwrap();
        let one = Agents::open(agents.clone(), &binary).unwrap().current().to_owned();
        fs::write(&binary, "two").unwrap();
        let opened = Agents::open(agents, &binary).unwrap();
        assert_ne!(opened.current(), one);
        opened.sweep(&BTreeSet::from([one.clone()])).unwrap();
        assert_eq!(fs::read(opened.find(&one).unwrap()).unwrap(), b"one");
        opened.sweep(&BTreeSet::new()).unwrap();
        assert_eq!(opened.find(&one), None);
        assert_eq!(fs::read(opened.find(opened.current()).unwrap()).unwrap(), b"two");
        assert_eq!(opened.find("../guest"), None);
    }
}
