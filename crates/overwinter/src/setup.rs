//! `overwinter setup`: makes a machine ready, once or again.

mod packages;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use ow_templates::{BASE, CODE_INTERPRETER, Store};

use crate::cli::SetupArguments;
use crate::terminal::{Terminal, seconds, step};
use crate::{runsc, template};

/// What a build of `runsc` takes at its largest: module, caches and binary, with a margin.
const RUNSC_BUILD_MIB: u64 = 3 * 1024;

pub(crate) fn run(arguments: &SetupArguments) -> anyhow::Result<ExitCode> {
    if !nix::unistd::Uid::effective().is_root() {
        bail!("set-up installs packages and makes root file systems: run it with sudo");
    }
    let began = Instant::now();
    let data_dir = arguments.data_dir.path()?;
    // Read before anything is done, so that a wrong name costs nothing.
    let names = names(arguments);
    let definitions =
        names.iter().map(|name| template::find(name)).collect::<Result<Vec<_>, _>>()?;
    step("system packages", || packages::ensure(!arguments.no_packages))?;
    step("data directory", || prepare(&data_dir))?;
    step("runsc", || obtain_runsc(arguments.runsc.as_deref(), &data_dir))?;
    let store = Store::new(&data_dir);
    for definition in &definitions {
        template::build(&store, definition)?;
    }
    println!(
        "Ready after {}. Start the server: overwinter serve --data-dir {}",
        seconds(began.elapsed()),
        data_dir.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn names(arguments: &SetupArguments) -> Vec<String> {
    match () {
        () if arguments.no_templates => Vec::new(),
        () if arguments.templates.is_empty() => vec![BASE.to_owned(), CODE_INTERPRETER.to_owned()],
        () => arguments.templates.clone(),
    }
}

fn prepare(data_dir: &Path) -> anyhow::Result<((), String)> {
    let context = || format!("create the data directory `{}`", data_dir.display());
    fs::create_dir_all(data_dir).with_context(context)?;
    // Sandboxes run as users of their own and pass through it to their own files.
    fs::set_permissions(data_dir, fs::Permissions::from_mode(0o711)).with_context(context)?;
    Ok(((), format!("`{}`", data_dir.display())))
}

fn obtain_runsc(configured: Option<&Path>, data_dir: &Path) -> anyhow::Result<((), String)> {
    let describe =
        |found: runsc::Found| ((), format!("{} at `{}`", found.version, found.path.display()));
    if configured.is_some() {
        return runsc::find(configured, data_dir).map(describe);
    }
    if let Ok(found) = runsc::find(None, data_dir)
        && !runsc::is_outdated(&found, data_dir)
    {
        return Ok(describe(found));
    }
    ow_templates::Progress::say(&Terminal, "building it from its Go module (1 to 3 minutes)");
    let stat = nix::sys::statvfs::statvfs(data_dir).context("look at the disk")?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size()) / (1024 * 1024);
    if free < RUNSC_BUILD_MIB {
        bail!(
            "`{}` has {free} MiB free, and building runsc needs {RUNSC_BUILD_MIB} MiB",
            data_dir.display()
        );
    }
    runsc::install(data_dir).map(describe)
}
