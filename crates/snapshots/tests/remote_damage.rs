//! Whatever happens to a snapshot in the object store or on its way there, it is refused by name.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;
#[allow(dead_code, reason = "not every test file uses every helper")]
#[path = "common/remote.rs"]
mod remote;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ow_snapshots::{Cancel, Damage, RemoteConfig, RemoteError, SnapshotError};
use ow_types::SnapshotId;
use remote::Machine;
use tempfile::TempDir;

const MEBIBYTE: u64 = 1 << 20;

fn machine(directory: &TempDir) -> Machine {
    Machine::new(&RemoteConfig::new(format!("file://{}", directory.path().display())))
}

/// Where the store keeps what a sandbox has.
fn home(directory: &TempDir, machine: &Machine) -> PathBuf {
    directory.path().join("sandboxes").join(machine.sandbox.as_str())
}

/// The chunk of `pages.img` that begins at `offset`, in the store.
fn chunk(machine: &Machine, home: &Path, snapshot: &SnapshotId, offset: u64) -> PathBuf {
    let mut bytes = vec![0; 1 << 20];
    let pages = fs::File::open(machine.pages(snapshot)).expect("it is there");
    pages.read_exact_at(&mut bytes, offset).expect("it is so long");
    home.join("chunks").join(blake3::hash(&bytes).to_hex().as_str())
}

fn flip(path: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("it is so long");
    file.write_all_at(&[byte[0] ^ 0x10], offset).expect("it can be written");
}

fn damage_of(failed: Result<(), RemoteError>) -> Damage {
    match failed {
        Err(RemoteError::Snapshot(SnapshotError::Damaged { damage, .. })) => damage,
        other => panic!("{other:?}"),
    }
}

/// Brings a snapshot to the store, does `harm` to its chunk or manifest there, and returns what a
/// fetch finds to be wrong; the damaged copy here must still be here then.
async fn damage_after(harm: impl FnOnce(&Path, &Path)) -> Damage {
    let directory = TempDir::new().expect("a directory");
    let machine = machine(&directory);
    let (snapshot, _) = machine.uploaded(1, &[Some(1), Some(2)]).await;
    let home = home(&directory, &machine);
    let chunk = chunk(&machine, &home, &snapshot, MEBIBYTE);
    harm(&chunk, &home.join(snapshot.as_str()).join("manifest.json"));
    flip(&machine.pages(&snapshot), 0);
    let here = fs::read(machine.pages(&snapshot)).expect("it is there");
    let damage = damage_of(machine.fetch(&snapshot).await);
    assert!(fs::read(machine.pages(&snapshot)).expect("it is there") == here);
    assert_eq!(fs::read_dir(machine.disk.path()).expect("it is there").count(), 1);
    damage
}

#[tokio::test]
async fn a_chunk_that_is_not_there_is_named() {
    let damage = damage_after(|chunk, _| fs::remove_file(chunk).unwrap()).await;
    assert_eq!(damage, Damage::ChunkMissing { file: "pages.img".into(), offset: MEBIBYTE });
}

#[tokio::test]
async fn a_chunk_that_was_cut_short_is_named() {
    for keep in [0, 1, 1000] {
        let cut = |chunk: &Path, _: &Path| {
            fs::File::options().write(true).open(chunk).unwrap().set_len(keep).unwrap();
        };
        let damage = damage_after(cut).await;
        assert_eq!(damage, Damage::ChunkUnreadable { file: "pages.img".into(), offset: MEBIBYTE });
    }
}

#[tokio::test]
async fn a_flipped_bit_of_a_chunk_is_found_wherever_it_is() {
    for part in [0, 1, 3, 7] {
        let damage = damage_after(|chunk, _| {
            flip(chunk, fs::metadata(chunk).unwrap().len() * part / 8);
        });
        let (file, offset) = ("pages.img".to_owned(), MEBIBYTE);
        // It depends on what the bit meant whether something can be unpacked.
        let unreadable = Damage::ChunkUnreadable { file: file.clone(), offset };
        let damage = damage.await;
        assert!(damage == unreadable || damage == Damage::Changed { file, offset }, "{damage:?}");
    }
}

#[tokio::test]
async fn another_chunk_in_its_place_is_found() {
    let other = zstd::bulk::compress(&[1; 1 << 20], 1).unwrap();
    let damage = damage_after(|chunk, _| fs::write(chunk, &other).unwrap()).await;
    assert_eq!(damage, Damage::Changed { file: "pages.img".into(), offset: MEBIBYTE });
}

#[tokio::test]
async fn a_chunk_that_unpacks_to_more_than_a_chunk_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 256 << 20], 1).unwrap();
    let damage = damage_after(|chunk, _| fs::write(chunk, &bomb).unwrap()).await;
    assert_eq!(damage, Damage::ChunkUnreadable { file: "pages.img".into(), offset: MEBIBYTE });
    let long = vec![0; 2 << 20];
    let damage = damage_after(|chunk, _| fs::write(chunk, &long).unwrap()).await;
    assert_eq!(damage, Damage::ChunkUnreadable { file: "pages.img".into(), offset: MEBIBYTE });
}

#[tokio::test]
async fn a_changed_manifest_is_refused() {
    let damage = damage_after(|_, manifest| {
        let text = fs::read_to_string(manifest).unwrap();
        fs::write(manifest, text.replace("\"generation\":1", "\"generation\":2")).unwrap();
    });
    assert_eq!(damage.await, Damage::ManifestChanged);
    let damage = damage_after(|_, manifest| {
        let length = fs::metadata(manifest).unwrap().len();
        fs::File::options().write(true).open(manifest).unwrap().set_len(length / 2).unwrap();
    });
    assert!(matches!(damage.await, Damage::ManifestUnreadable { .. }));
}

#[tokio::test]
async fn the_manifest_of_another_snapshot_or_sandbox_is_refused() {
    let directory = TempDir::new().unwrap();
    let (one, other) = (machine(&directory), machine(&directory));
    let (first, _) = one.uploaded(1, &[Some(1)]).await;
    let (second, _) = one.uploaded(2, &[Some(1)]).await;
    let manifest = |home: PathBuf, snapshot: &SnapshotId| {
        let directory = home.join(snapshot.as_str());
        fs::create_dir_all(&directory).unwrap();
        directory.join("manifest.json")
    };
    let foreign = manifest(home(&directory, &other), &first);
    fs::copy(manifest(home(&directory, &one), &first), foreign).unwrap();
    let damage = damage_of(other.fetch(&first).await);
    assert_eq!(damage, Damage::OtherSandbox { other: one.sandbox.clone() });
    let home = home(&directory, &one);
    fs::copy(manifest(home.clone(), &first), manifest(home, &second)).unwrap();
    assert_eq!(damage_of(one.fetch(&second).await), Damage::OtherSnapshot { other: first });
}

#[tokio::test]
async fn a_damaged_copy_is_replaced_by_the_one_in_the_store() {
    let directory = TempDir::new().unwrap();
    let machine = machine(&directory);
    let (snapshot, _) = machine.uploaded(1, &[Some(1), Some(2)]).await;
    let pages = fs::read(machine.pages(&snapshot)).unwrap();
    for harm in [0, 1] {
        match harm {
            0 => flip(&machine.pages(&snapshot), 5),
            _ => fs::remove_dir_all(machine.disk.path().join(snapshot.as_str()).join("image"))
                .unwrap(),
        }
        machine.fetch(&snapshot).await.unwrap();
        machine.assert_whole(&snapshot, &pages);
        assert_eq!(fs::read_dir(machine.disk.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn damage_is_never_brought_to_the_store() {
    let directory = TempDir::new().unwrap();
    let machine = machine(&directory);
    let chunks = [Some(1), Some(2), Some(3)];
    let snapshot = common::generation(&machine.local, &machine.sandbox, 1, &chunks);
    flip(&machine.pages(&snapshot), MEBIBYTE + 9);
    let damage = damage_of(machine.upload(&snapshot).await.map(drop));
    assert_eq!(damage, Damage::Changed { file: "pages.img".into(), offset: MEBIBYTE });
    assert!(!machine.contains(&snapshot).await);
    let pages = fs::File::options().write(true).open(machine.pages(&snapshot)).unwrap();
    pages.set_len(MEBIBYTE).unwrap();
    let damage = damage_of(machine.upload(&snapshot).await.map(drop));
    let (expected, found) = (3 * MEBIBYTE, MEBIBYTE);
    assert_eq!(damage, Damage::Size { file: "pages.img".into(), expected, found });
    let missing = machine.upload(&SnapshotId::random()).await;
    assert!(matches!(missing, Err(RemoteError::Snapshot(SnapshotError::NotFound { .. }))));
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_nothing_of_it_is_left() {
    let directory = TempDir::new().unwrap();
    let (machine, cancel) = (machine(&directory), Cancel::default());
    let (path, back) = (machine.disk.path().join("file"), machine.disk.path().join("back"));
    fs::write(&path, [3; 100]).unwrap();
    let digest = blake3::hash(&[3; 100]).to_hex().to_string();
    machine.remote.put_file(&digest, &path, &cancel).await.unwrap();
    let home = directory.path().join("files").join(&digest);
    // A file of another content, with an index that fits it.
    fs::write(&path, [4; 100]).unwrap();
    let other = blake3::hash(&[4; 100]).to_hex().to_string();
    machine.remote.put_file(&other, &path, &cancel).await.unwrap();
    let theirs = directory.path().join("files").join(&other);
    let packed = fs::read(theirs.join("chunks").join(&other)).unwrap();
    for harm in 0..3 {
        match harm {
            0 => fs::write(home.join("chunks").join(&digest), &packed).unwrap(),
            1 => fs::copy(theirs.join("index.json"), home.join("index.json")).map(drop).unwrap(),
            _ => fs::copy(theirs.join("chunks").join(&other), home.join("chunks").join(&other))
                .map(drop)
                .unwrap(),
        }
        let refused = machine.remote.fetch_file(&digest, &back, &cancel).await;
        assert!(matches!(refused, Err(RemoteError::FileDamaged { .. })), "{refused:?}");
        assert_eq!(fs::read_dir(machine.disk.path()).unwrap().count(), 1);
    }
}
