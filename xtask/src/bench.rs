//! Measurements of a release build.

use crate::process::{measured_python, run};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bench {
    /// Create, first command, pause and resume, beside the engine alone.
    MainPath,
    /// Commands, code and transfer in one sandbox, beside what they can at best cost.
    Inside,
    /// One sandbox through many pauses and resumes: what it holds, and whether resumes slow down.
    Soak,
}

pub(crate) fn bench(what: Bench, arguments: &[String]) -> anyhow::Result<()> {
    let script = match what {
        Bench::MainPath => "tests/bench/main_path.py",
        Bench::Inside => "tests/bench/inside.py",
        Bench::Soak => "tests/bench/soak.py",
    };
    run(measured_python(script)?.args(arguments))
}
