//! What all tests of a program share: the engine's program, a guest and a template.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What all tests of a program share.
pub(crate) struct Tools {
    pub(crate) runsc: PathBuf,
    pub(crate) guest: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// The digest of `rootfs`.
    pub(crate) digest: String,
}

/// The engine's program.
pub(crate) fn runsc() -> PathBuf {
    tools().expect("the test was not skipped").runsc.clone()
}

/// The tools, or nothing where the test cannot be done, which is printed.
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn tools() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| {
        #[allow(clippy::disallowed_methods, reason = "whoever runs the tests names the engine")]
        let Ok(runsc) = std::env::var("OVERWINTER_TEST_RUNSC") else {
            eprintln!("skipped: OVERWINTER_TEST_RUNSC names no runsc");
            return None;
        };
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root makes networks");
            return None;
        }
        let (guest, rootfs) = (build_guest(), build_rootfs());
        let content = fs::read(&rootfs).expect("it was built");
        let digest = blake3::hash(&content).to_hex().to_string();
        Some(Tools { runsc: runsc.into(), guest, rootfs, digest })
    });
    tools.as_ref()
}

pub(crate) fn call(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// A directory for what is made once; each test program makes its own.
fn built(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("the program is a file");
    let program = program.file_name().expect("it has a name").to_string_lossy().into_owned();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program);
    fs::create_dir_all(&directory).expect("the target directory can be written");
    directory.join(name)
}

/// A file that is made once for a build of the test program, by whichever process comes first.
///
/// Servers that tests start are processes of the same program: none may find it half made.
fn made(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let place = built(name);
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let program = changed(&std::env::current_exe().expect("the program is a file"));
    if changed(&place) > program {
        return place;
    }
    let new = built(&format!("{name}.{}", std::process::id()));
    make(&new);
    fs::rename(&new, &place).expect("a file of the same directory");
    place
}

fn build_guest() -> PathBuf {
    made("guest", |guest| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/guest.rs");
        let target = guest.to_str().expect("the path is text");
        let options = ["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o"];
        call("rustc", &[&options[..], &[target, source]].concat());
    })
}

/// A root file system with a shell and what it is linked with.
fn build_rootfs() -> PathBuf {
    made("rootfs.erofs", |image| fill_rootfs(&image.with_extension("tree"), image))
}

fn fill_rootfs(tree: &Path, image: &Path) {
    for directory in ["bin", "proc", "sys", "dev", "tmp", "etc", "lib", "lib64"] {
        fs::create_dir_all(tree.join(directory)).expect("a directory");
    }
    let mut files = Vec::new();
    for program in ["bash", "cat", "dd", "sync", "head"] {
        let path = format!("/bin/{program}");
        let linked = Command::new("ldd").arg(&path).output().expect("ldd").stdout;
        let linked = String::from_utf8_lossy(&linked).into_owned();
        let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
        files.extend(libraries.map(str::to_owned));
        files.push(path);
    }
    for file in files {
        let to = tree.join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("it is in a directory")).expect("a directory");
        fs::copy(&file, to).expect("a copy");
    }
    let (tree_name, image_name) = (tree.to_string_lossy(), image.to_string_lossy());
    call("mkfs.erofs", &["-E", "noinline_data", &image_name, &tree_name]);
    fs::remove_dir_all(tree).expect("what was made above");
}
