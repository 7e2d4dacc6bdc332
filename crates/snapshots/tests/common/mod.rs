//! A snapshot to do harm to.

use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use ow_engine::EngineVersion;
use ow_snapshots::{About, Cancel, Safety, SnapshotError, Store, TemplateRef, Written};
use ow_types::{PauseMode, Resources, SandboxId, SnapshotId, Timestamp};
use tempfile::TempDir;

pub(crate) fn about() -> About {
    About {
        sandbox: SandboxId::random(),
        generation: 3,
        mode: PauseMode::Full,
        engine: EngineVersion { name: "fake".into(), version: "1".into() },
        cpu_features: vec!["avx".into()],
        template: TemplateRef { name: "base".into(), digest: "00".into() },
        agent: "00".into(),
        resources: Resources::default(),
        taken_on: "here".into(),
        taken_at: Timestamp::from_unix_millis(1),
    }
}

/// Two and a half chunks of `pages.img` with a zero page, and a small file.
pub(crate) fn write_image(image: &Path) {
    let mut pages: Vec<u8> = (0..5 << 19).map(|i: u32| i.to_le_bytes()[0] | 1).collect();
    pages[8192..12288].fill(0);
    fs::write(image.join("pages.img"), pages).expect("the disk has room");
    fs::write(image.join("checkpoint.img"), b"kernel state").expect("the disk has room");
}

pub(crate) fn committed(
    store: &Store,
    snapshot: &SnapshotId,
    safety: Safety,
) -> Result<Written, SnapshotError> {
    let partial = store.begin(snapshot)?;
    write_image(partial.image());
    partial.commit(about(), safety, &Cancel::default())
}

/// What a generation of a sandbox holds: chunks of `pages.img` by a seed each, or zeros for none.
pub(crate) fn generation(
    store: &Store,
    sandbox: &SandboxId,
    number: u64,
    chunks: &[Option<u32>],
) -> SnapshotId {
    let snapshot = SnapshotId::random();
    let partial = store.begin(&snapshot).expect("there is room");
    let pages: Vec<u8> = chunks.iter().flat_map(|seed| chunk(*seed)).collect();
    fs::write(partial.image().join("pages.img"), pages).expect("the disk has room");
    fs::write(partial.image().join("checkpoint.img"), b"kernel state").expect("there is room");
    let about = About { sandbox: sandbox.clone(), generation: number, ..about() };
    partial.commit(about, Safety::Durable, &Cancel::default()).expect("a snapshot");
    snapshot
}

/// A mebibyte that can be compressed to about a quarter.
fn chunk(seed: Option<u32>) -> Vec<u8> {
    let Some(mut state) = seed.map(|seed| seed * 2 + 1) else { return vec![0; 1 << 20] };
    let word = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        [state.to_be_bytes()[0], 1, 2, 3]
    };
    (0..1 << 18).flat_map(word).collect()
}

/// A small file system of its own, gone when this is.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// None where the test may not mount, which is printed.
    #[allow(clippy::print_stderr, reason = "a skipped test says why")]
    pub(crate) fn mounted(options: &str) -> Option<Self> {
        let disk = Self(TempDir::new().expect("a directory"));
        let tmpfs = Some("tmpfs");
        match mount(tmpfs, disk.0.path(), tmpfs, MsFlags::empty(), Some(options)) {
            Ok(()) => Some(disk),
            Err(error) => {
                eprintln!("skipped: a tmpfs cannot be mounted here: {error}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn entries(&self) -> usize {
        fs::read_dir(self.path()).expect("it is mounted").count()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}
