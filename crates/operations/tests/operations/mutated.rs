//! Real archives, manifests and indexes, damaged in thousands of ways that are the same each time: every reader ends,
//! with a value or an error, and within an address space that no claimed length may exceed.

use std::path::Path;
use std::process::Command;

use holdpoint_archive::{Codec, read_all};
use holdpoint_core::{Manifest, PointId};
use holdpoint_engine::IndexReader;
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_testkit::{Cluster, sample};
use sha2::{Digest, Sha256};

use crate::support;

/// Names the folder of the real files in the child, which has little memory.
const FOLDER: &str = "HOLDPOINT_TEST_MUTATED";
/// A zstd frame may claim a window of 128 MiB, and a head 64 MiB; an integer of the format claims up to 4 GiB.
const ADDRESS_SPACE_KIB: u32 = 1 << 20;
const ROUNDS: u64 = 700;

#[test]
fn readers_survive_any_damage_in_little_memory() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return read_mutations(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(real_files(folder.path()));
    let limited = format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\" --exact mutated::{TEST}");
    let child = Command::new("/bin/sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{}: {said}", child.status);
}

const TEST: &str = "readers_survive_any_damage_in_little_memory";

/// Makes a restore point with each codec and puts its files side by side.
async fn real_files(folder: &Path) {
    let cluster = Cluster::shared(holdpoint_testkit::NEWEST);
    sample::load_shop(cluster, "mutated", 200);
    for codec in [Codec::None, Codec::Gzip { level: 6 }, Codec::Zstd { level: 3 }] {
        let place = support::place("mutated").await;
        let options = BackupOptions { codec, ..support::backup_options() };
        let made = backup(&place.context, &support::source(cluster, "mutated"), &options).await.unwrap().manifest;
        let stored = |key: &str| std::fs::read(place.directory.path().join(key)).unwrap();
        let manifest = holdpoint_core::layout::manifest(&place.context.database, &made.id);
        for (kind, key) in [("archive", &made.archive.key), ("index", &made.index.key), ("manifest", &manifest)] {
            std::fs::write(folder.join(format!("{kind}.{}", codec.algorithm())), stored(key)).unwrap();
        }
        std::fs::write(folder.join("id"), made.id.to_string()).unwrap();
    }
    cluster.drop_database("mutated");
}

fn read_mutations(folder: &Path) {
    let id: PointId = std::fs::read_to_string(folder.join("id")).unwrap().parse().unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let whole = std::fs::read(&path).unwrap();
        let read: &dyn Fn(Vec<u8>) -> bool = match name.split('.').next().unwrap() {
            "archive" => &|bytes| read_all(&bytes, 4096).is_ok(),
            "manifest" => &|bytes| Manifest::from_json(&bytes, &id).is_ok(),
            "index" => &|bytes| {
                let sha256 = hex::encode(Sha256::digest(&bytes));
                IndexReader::open(bytes.into(), &sha256).is_ok_and(|mut index| index.all(|record| record.is_ok()))
            },
            _ => continue,
        };
        files += 1;
        let refused = (1..=ROUNDS).filter(|round| !read(mutated(&whole, *round))).count();
        assert!(refused > ROUNDS as usize / 10, "{name}: only {refused} of {ROUNDS} damages were noticed");
        if !name.starts_with("manifest") {
            assert!(read(whole), "{name} is whole");
        }
    }
    assert_eq!(files, 9);
}

/// Damages bytes in one to four places; equal rounds give equal damage.
fn mutated(whole: &[u8], round: u64) -> Vec<u8> {
    let mut state = round.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    let mut bytes = whole.to_vec();
    for _ in 0..=random(4) {
        // Half of the damage goes where lengths and counts are densest.
        let reach = if random(2) == 0 { bytes.len() } else { bytes.len().min(2048) };
        let at = random(reach);
        let length = random(16).min(bytes.len() - at);
        match random(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random(8),
            1 => bytes[at..at + length].fill(0xff),
            2 => bytes[at..at + length].fill(0),
            // The largest positive number of the format, and of JSON's.
            3 => bytes.splice(at..at + length, *b"\0\xff\xff\xff\x7f").for_each(drop),
            4 => bytes.truncate(at),
            _ => {
                let again = bytes[at..at + length].to_vec();
                bytes.splice(at..at, again).for_each(drop);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}
