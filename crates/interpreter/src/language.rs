//! The languages: how each one's kernel is started and told things.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::{java, memory, snippet};

/// A language that a context can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    JavaScript,
    TypeScript,
    Bash,
    R,
    Java,
}

/// How an execution is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// By `SIGINT`.
    Signal,
    /// By a message on the control channel.
    Message,
    /// Only by the end of the kernel.
    Restart,
}

/// Variables to be set, and to be removed where there is no value.
pub(crate) type Changes = BTreeMap<String, Option<String>>;

impl Language {
    pub(crate) const ALL: [Self; 6] =
        [Self::Python, Self::JavaScript, Self::TypeScript, Self::Bash, Self::R, Self::Java];

    /// Reads what clients call a language.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.trim().to_lowercase().as_str() {
            "" | "python" | "python3" => Some(Self::Python),
            "javascript" | "js" | "deno" => Some(Self::JavaScript),
            "typescript" | "ts" => Some(Self::TypeScript),
            "bash" => Some(Self::Bash),
            "r" => Some(Self::R),
            "java" => Some(Self::Java),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Bash => "bash",
            Self::R => "r",
            Self::Java => "java",
        }
    }

    /// The language whose default context runs code of this one.
    pub(crate) const fn default_context(self) -> Self {
        match self {
            // One kernel runs both, and two would cost 130 MiB each.
            Self::TypeScript => Self::JavaScript,
            other => other,
        }
    }

    /// True if the template has its kernel.
    pub(crate) fn is_installed(self, venv: &Path) -> bool {
        match self {
            Self::Python => venv.join("bin/python").exists(),
            Self::JavaScript | Self::TypeScript => venv.join("bin/deno").exists(),
            Self::Bash => python_package(venv, "bash_kernel").is_some(),
            Self::R => r_package("IRkernel"),
            Self::Java => java::kernel(venv).exists() && Path::new("/usr/bin/java").exists(),
        }
    }

    /// The program of its kernel and that program's arguments. `envs` are the variables of the
    /// sandbox.
    pub(crate) fn command(
        self,
        venv: &Path,
        startup: &Path,
        connection: &Path,
        envs: &BTreeMap<String, String>,
    ) -> (PathBuf, Vec<String>) {
        let connection = connection.display().to_string();
        let launch = startup.join("launch.py").display().to_string();
        let (program, args) = match self {
            Self::Python => {
                (venv.join("bin/python"), vec![launch, "python".into(), "-f".into(), connection])
            }
            Self::Bash => {
                (venv.join("bin/python"), vec![launch, "bash".into(), "-f".into(), connection])
            }
            Self::JavaScript | Self::TypeScript => (
                venv.join("bin/deno"),
                vec!["jupyter".into(), "--kernel".into(), "--conn".into(), connection],
            ),
            // Its output and its errors are the pipes beside the connection file.
            Self::R => (
                PathBuf::from("/bin/sh"),
                vec![
                    "-c".into(),
                    "d=${2%/*}; exec /usr/bin/R --slave -f \"$1\" --args \"$2\" >\"$d/stdout\" 2>\"$d/stderr\"".into(),
                    "sh".into(),
                    startup.join("launch.R").display().to_string(),
                    connection,
                ],
            ),
            Self::Java => {
                (PathBuf::from("/usr/bin/java"), java::arguments(venv, envs, connection))
            }
        };
        (program, args)
    }

    /// Variables that its kernel needs beside those of all.
    pub(crate) fn own_env(self) -> Vec<(&'static str, String)> {
        match self {
            Self::JavaScript | Self::TypeScript => vec![
                // Results are read by programs, not on terminals.
                ("NO_COLOR", "1".into()),
                ("DENO_NO_UPDATE_CHECK", "1".into()),
                (
                    "DENO_V8_FLAGS",
                    format!("--max-old-space-size={}", memory::javascript_heap_mib()),
                ),
            ],
            _ => Vec::new(),
        }
    }

    /// True if its kernel can listen on unix sockets.
    pub(crate) const fn speaks_ipc(self) -> bool {
        matches!(self, Self::Python | Self::Bash)
    }

    /// True if its kernel answers `overwinter_request` on the control channel, even while it runs
    /// code; others are told things by code that they run between executions.
    pub(crate) const fn answers_requests(self) -> bool {
        matches!(self, Self::Python)
    }

    /// True if its programs read variables that the process was started with. A Java program
    /// reads system properties instead, as with E2B.
    pub(crate) const fn inherits_env(self) -> bool {
        !matches!(self, Self::Java)
    }

    /// True if its kernel drops messages that are not read at once. Python's and bash are made to
    /// wait by `startup/overwinter_flow.py`, R by [`Self::waits_until_taken`].
    pub(crate) const fn drops_output(self) -> bool {
        !matches!(self, Self::Python | Self::Bash | Self::R)
    }

    /// True if its kernel counts silent executions too.
    pub(crate) const fn counts_silent(self) -> bool {
        matches!(self, Self::Java)
    }

    pub(crate) const fn interrupt(self) -> Interrupt {
        match self {
            Self::Python | Self::Bash | Self::R => Interrupt::Signal,
            Self::JavaScript | Self::TypeScript => Interrupt::Restart,
            Self::Java => Interrupt::Message,
        }
    }

    /// True if its kernel says of results no more than that they are displayed.
    pub(crate) const fn displays_results(self) -> bool {
        matches!(self, Self::R)
    }

    /// True if its kernel prints to the pipes in its directory.
    pub(crate) const fn prints_to_pipes(self) -> bool {
        matches!(self, Self::JavaScript | Self::TypeScript | Self::R | Self::Java)
    }

    /// True if its kernel waits after each result until that was taken.
    pub(crate) const fn waits_until_taken(self) -> bool {
        matches!(self, Self::R)
    }

    /// Code that a new kernel runs first.
    pub(crate) fn startup_code(self, kernel_dir: &Path) -> Option<String> {
        let code = match self {
            Self::JavaScript | Self::TypeScript => include_str!("../startup/javascript.js"),
            Self::Java => include_str!("../startup/java.jsh"),
            _ => return None,
        };
        Some(code.replace("\"KERNEL_DIR\"", &json!(kernel_dir).to_string()))
    }

    /// Code that ends what goes on though it was interrupted, for kernels that do not wait for it.
    pub(crate) const fn stop_code(self) -> Option<&'static str> {
        match self {
            Self::Java => Some(include_str!("../startup/java_stop.jsh")),
            _ => None,
        }
    }

    /// Code that publishes `overwinter_fence`, for kernels that say too early that they are idle;
    /// with what is wrong with `failed`, if that is given and the kernel does not tell.
    ///
    /// Deno's kernel sends `idle` from another thread than output and results, which came later
    /// in 100 of 300 executions.
    pub(crate) fn fence_code(self, failed: &str) -> Option<String> {
        match self {
            Self::JavaScript | Self::TypeScript => Some(format!(
                "await globalThis[Symbol.for(\"overwinter.fence\")]?.({});",
                json!(failed)
            )),
            _ => None,
        }
    }

    /// Code that changes variables.
    pub(crate) fn env_code(self, changes: &Changes) -> String {
        match self {
            Self::Python => String::new(),
            Self::JavaScript | Self::TypeScript => snippet::javascript_env(changes),
            Self::Bash => snippet::bash_env(changes),
            Self::R => snippet::r_env(changes),
            Self::Java => snippet::java_env(changes),
        }
    }

    /// Code that renews random states; none where the kernel is told otherwise.
    pub(crate) fn reseed_code(self, seed: &[u8; 32]) -> Option<String> {
        let words: Vec<u32> = seed
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().expect("chunks of four")))
            .collect();
        match self {
            Self::Python => None,
            Self::JavaScript | Self::TypeScript => Some(format!(
                "globalThis[Symbol.for(\"overwinter.reseed\")]?.({});",
                json!(words[..4])
            )),
            Self::Bash => Some(format!("RANDOM={}", words[0])),
            Self::R => Some(format!("set.seed({}L)", words[0] & 0x7FFF_FFFF)),
            Self::Java => {
                let number = format!("0x{:08x}{:08x}L", words[0], words[1]);
                Some(include_str!("../startup/java_reseed.jsh").replace("SEED", &number))
            }
        }
    }
}

fn python_package(venv: &Path, name: &str) -> Option<PathBuf> {
    let libraries = std::fs::read_dir(venv.join("lib")).ok()?;
    libraries
        .flatten()
        .map(|library| library.path().join("site-packages").join(name))
        .find(|package| package.exists())
}

/// Where Debian's packages and R's own `install.packages` put packages.
fn r_package(name: &str) -> bool {
    ["/usr/lib/R/site-library", "/usr/local/lib/R/site-library", "/usr/lib/R/library"]
        .iter()
        .any(|library| Path::new(library).join(name).exists())
}

/// The languages of a template, for messages.
pub(crate) fn installed(venv: &Path) -> String {
    let mut text = String::new();
    for language in Language::ALL.into_iter().filter(|language| language.is_installed(venv)) {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{}", language.name());
    }
    text
}
