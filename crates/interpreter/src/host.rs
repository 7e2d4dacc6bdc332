//! What all kernels share: the configuration, the files that they start from, and random names.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::Config;
use crate::language::Language;

/// Files that kernels start from, written at each start of the interpreter.
const STARTUP_FILES: [(&str, &str); 6] = [
    ("launch.R", include_str!("../startup/launch.R")),
    ("launch.py", include_str!("../startup/launch.py")),
    ("overwinter_bash.py", include_str!("../startup/overwinter_bash.py")),
    ("overwinter_charts.py", include_str!("../startup/overwinter_charts.py")),
    ("overwinter_flow.py", include_str!("../startup/overwinter_flow.py")),
    ("overwinter_python.py", include_str!("../startup/overwinter_python.py")),
];

/// The configuration and what is derived from it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) config: Config,
    owner: Option<(u32, u32)>,
}

impl Host {
    pub(crate) fn new(config: Config) -> Self {
        let owner = fs::read_to_string("/etc/passwd")
            .ok()
            .and_then(|passwd| owner_of(&passwd, &config.user));
        Self { config, owner }
    }

    /// Writes the start-up files.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let startup = self.startup();
        fs::create_dir_all(&startup)?;
        for (name, text) in STARTUP_FILES {
            fs::write(startup.join(name), text)?;
        }
        // A directory of an earlier interpreter, whose kernels are gone.
        let _ = fs::remove_dir_all(self.kernels());
        fs::create_dir_all(self.kernels())
    }

    pub(crate) fn startup(&self) -> PathBuf {
        self.config.runtime_dir.join("startup")
    }

    fn kernels(&self) -> PathBuf {
        self.config.runtime_dir.join("kernels")
    }

    /// Makes the directory of a new kernel, which only the user may enter.
    pub(crate) fn kernel_dir(&self) -> io::Result<PathBuf> {
        let dir = self.kernels().join(&random_hex()[..12]);
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        self.give(&dir)?;
        Ok(dir)
    }

    /// Makes a file or directory the user's.
    pub(crate) fn give(&self, path: &Path) -> io::Result<()> {
        match self.owner {
            Some((uid, gid)) if nix::unistd::geteuid().is_root() => {
                chown(path, Some(uid), Some(gid))
            }
            _ => Ok(()),
        }
    }

    /// The variables of the sandbox now.
    pub(crate) fn envs(&self) -> BTreeMap<String, String> {
        (self.config.envs)()
    }

    /// The variables that a kernel starts with, before those of the sandbox.
    pub(crate) fn base_env(&self, language: Language) -> BTreeMap<String, String> {
        let (user, home) = (&self.config.user, self.config.home.display());
        let venv = self.config.venv.display();
        let path = format!(
            "{venv}/bin:{home}/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        );
        [
            ("PATH", path),
            ("VIRTUAL_ENV", venv.to_string()),
            ("HOME", home.to_string()),
            ("USER", user.clone()),
            ("LOGNAME", user.clone()),
            ("SHELL", "/bin/bash".into()),
            ("LANG", "C.UTF-8".into()),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1".into()),
        ]
        .into_iter()
        .chain(language.own_env())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

/// The ids of a user in the text of `/etc/passwd`. A static binary has no other way to ask.
fn owner_of(passwd: &str, user: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(user))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// 32 hexadecimal digits from the kernel's generator: ours would be copied with a snapshot.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0u8; 16];
    OsRng.try_fill_bytes(&mut bytes).expect("the kernel's generator cannot fail once it is up");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_user_are_found_by_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nusers:x:7:8::/:/bin/sh\nuser:x:1000:1001::/home/user:/bin/bash\n";
        assert_eq!(owner_of(passwd, "user"), Some((1000, 1001)));
        assert_eq!(owner_of(passwd, "nobody"), None);
    }
}
