//! What is read of an archive, and what is noticed on the way.

use holdpoint_operations::ErrorKind;
use holdpoint_operations::recover::RecoverMode;

use super::Scene;

const TWO: &str = "CREATE TABLE small (id int PRIMARY KEY, t text); INSERT INTO small SELECT n, md5(n::text) FROM generate_series(1, 500) n;
    CREATE TABLE big (id int PRIMARY KEY, t text, u text); INSERT INTO big SELECT n, md5(n::text), md5((n + 1)::text) FROM generate_series(1, 60000) n";

fn archive_file(scene: &Scene) -> std::path::PathBuf {
    let folder = scene.place.directory.path().join(&scene.database).join("restore-points");
    folder.join(scene.point.as_str()).join("archive.dump")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_needed_is_fetched() {
    let scene = Scene::with(18, TWO).await;
    let manifest = scene.place.context.repository.manifest(&scene.place.context.database, &scene.point).await.unwrap();
    let archive = manifest.manifest.archive;
    let report = scene.recover(&["small"], RecoverMode::Side).await.unwrap();
    let rows = report.plan.fetched_bytes - archive.head_bytes - manifest.manifest.index.bytes;
    assert!(rows > 8_000 && rows < 25_000, "500 hashes are fetched, not 60,000: {rows}");
    assert_eq!(rows, report.plan.tables[0].stored_bytes, "its block and nothing beside it");
    assert!(report.plan.fetched_bytes * 20 < archive.bytes, "{report:?}");
    let big = scene.recover(&["big"], RecoverMode::Side).await.unwrap();
    let all = archive.bytes + manifest.manifest.index.bytes;
    assert!(big.plan.fetched_bytes <= all && big.plan.fetched_bytes * 100 > all * 95, "{big:?}");
}

async fn a_large_table_is_loaded_in_runs(major: u32) {
    let sql = "CREATE TABLE large (id int PRIMARY KEY, t text); INSERT INTO large SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 260000) n";
    let scene = Scene::with(major, sql).await;
    let content = "SELECT count(*), sum(hashtext(t)) FROM large";
    let before = scene.sql(content);
    scene.sql("DELETE FROM large WHERE id % 2 = 0");
    let report = scene.recover(&["large"], RecoverMode::Missing).await.unwrap();
    assert_eq!(report.plan.tables[0].inserted, 130_000);
    assert_eq!(scene.sql(content), before);
}

on_every_major! {
    a_large_table_is_loaded_in_runs,
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_the_table_is_noticed_and_of_others_not_met() {
    let scene = Scene::with(18, TWO).await;
    scene.sql("DELETE FROM small WHERE id <= 9");
    let file = archive_file(&scene);
    let whole = std::fs::read(&file).unwrap();
    let before = scene.fingerprint(&[]);
    // The big table lies first or last: whichever half is damaged, one of the two is still whole.
    let mut outcomes = Vec::new();
    for at in [whole.len() / 2, whole.len() - 200, 5_000.min(whole.len() / 3)] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        for table in ["small", "big"] {
            let outcome = scene.recover(&[table], RecoverMode::Side).await;
            if let Err(error) = &outcome {
                assert_eq!(error.kind(), ErrorKind::Disproved, "{error}");
                assert_eq!(scene.side_schemas(), "", "nothing of a damaged table stays");
            } else {
                scene.sql(&format!("DROP SCHEMA {} CASCADE", scene.side_schemas()));
            }
            outcomes.push((at, table, outcome.is_ok()));
        }
    }
    assert!(outcomes.iter().any(|(_, _, whole)| *whole) && outcomes.iter().any(|(_, _, whole)| !whole), "{outcomes:?}");
    assert_eq!(scene.fingerprint(&[]), before);
}
