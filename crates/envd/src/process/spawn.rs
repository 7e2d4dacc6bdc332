//! What it takes to start a program for a user of the sandbox.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::launch::Launch;
use crate::cgroup::Cgroup;
use crate::reaper::{Child, Reaper};
use crate::users::User;

/// What to start.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its path, or a name that is looked for in the `PATH` of `env`.
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// All variables; nothing is inherited.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    pub(crate) user: User,
}

/// Where its input and output go.
#[derive(Debug)]
pub(crate) enum Stdio3 {
    /// Standard input, output and error.
    Files([OwnedFd; 3]),
    /// All to a terminal, which becomes its controlling one.
    Terminal(OwnedFd),
}

/// Starts a program as the leader of its own process group, in the users' control group.
///
/// Blocks until it runs or has failed to.
pub(crate) fn spawn(
    reaper: &Reaper,
    cgroup: Option<&Cgroup>,
    program: Program,
    stdio: Stdio3,
) -> io::Result<Child> {
    let is_terminal = matches!(stdio, Stdio3::Terminal(_));
    let stdio = match stdio {
        Stdio3::Files(files) => files,
        Stdio3::Terminal(terminal) => [terminal.try_clone()?, terminal.try_clone()?, terminal],
    };
    let path_variable = program.env.get("PATH").map_or("", String::as_str);
    let args = program.args.iter().map(|argument| CString::new(argument.as_bytes()));
    let env = program.env.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    let launch = Launch {
        paths: candidates(&program.program, path_variable)?,
        args: [c_string(&program.program)].into_iter().chain(args).collect::<Result<_, _>>()?,
        env: env.collect::<Result<_, _>>()?,
        cwd: c_string(&program.cwd)?,
        stdio,
        is_terminal,
        procs: cgroup.map(Cgroup::open).transpose()?,
        user: nix::unistd::geteuid().is_root().then_some(program.user),
    };
    reaper.adopt(|| launch.start())
}

fn c_string(path: &Path) -> Result<CString, NulError> {
    CString::new(path.as_os_str().as_bytes())
}

/// Where a program may be. Source: execvp(3).
fn candidates(program: &Path, path_variable: &str) -> Result<Vec<CString>, NulError> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    path_variable
        .split(':')
        .map(|directory| c_string(&Path::new(directory).join(program)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_on_the_path_and_a_path_is_not() {
        let found = |program: &str| candidates(Path::new(program), "/a:/b/").unwrap();
        assert_eq!(found("sh"), [c"/a/sh", c"/b/sh"].map(CString::from));
        assert_eq!(found("./sh"), [c"./sh"].map(CString::from));
    }
}
