use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use holdpoint_core::layout;
use holdpoint_repository::{LocalDirectory, PutOptions};
use holdpoint_testkit::{Fault, SeenRequest};

use super::*;
use crate::sample_context::{self, LOOKING, sample};

/// A repository with one restore point, whose archive holds no archive.
async fn with_a_point(folder: &Path) -> Context {
    sample_context::with_a_point(Arc::new(LocalDirectory::new(folder).unwrap())).await
}

fn empty(context: &Context) -> CheckReport {
    CheckReport {
        database: context.database.clone(),
        points: Vec::new(),
        last_proof: None,
        read_bytes: 0,
        findings: Vec::new(),
        repaired: Vec::new(),
        notes: Vec::new(),
    }
}

fn owners() -> Owners {
    Owners(holdpoint_repository::Identities::default())
}

/// As a check looks at one.
async fn looked(context: &Context, point: &mut Surveyed, read: bool, report: &mut CheckReport) -> bool {
    let now = sample_context::now();
    one_point(context, point, read, (&LOOKING, now), (report, &mut Snapshots::new(context))).await.unwrap()
}

#[tokio::test]
async fn what_is_dropped_after_it_was_listed_is_no_finding() {
    for read in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let context = with_a_point(folder.path()).await;
        let (points, _) = survey(&context, sample_context::now()).await.unwrap();
        let mut report = empty(&context);
        // It is there, and its index is not what the manifest says.
        let mut own = points[0].clone();
        own.repository_id = context.repository.id().to_owned();
        looked(&context, &mut own, read, &mut report).await;
        assert_eq!((report.points.len(), report.findings.len()), (1, usize::from(read)), "{:?}", report.findings);
        // Gone.
        context.repository.withdraw(&context.database, own.id(), &[]).await.unwrap();
        let mut report = empty(&context);
        looked(&context, &mut own, read, &mut report).await;
        assert_eq!((report.points.len(), report.findings.len()), (0, 0), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn what_is_missing_of_a_point_whose_manifest_cannot_be_read_any_more_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    let (store, id) = (context.repository.store(), points[0].id().clone());
    store.delete(&layout::archive(&context.database, &id)).await.unwrap();
    let manifest = layout::manifest(&context.database, &id);
    store.delete(&manifest).await.unwrap();
    store.put_new(&manifest, "spoiled".into(), PutOptions::default()).await.unwrap();
    let mut report = empty(&context);
    looked(&context, &mut points[0], false, &mut report).await;
    assert!(report.findings.iter().any(|one| one.kind == FindingKind::Missing), "{:?}", report.findings);
}

#[tokio::test]
async fn a_proof_of_the_future_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    let now = "2026-11-21T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
    points[0].summary.taken_at_by_store = None;
    let mut proof = |ahead: TimeDelta| {
        points[0].summary.standing = Standing::Proven { level: Level::Full, at: now + ahead };
        last_proof(points.iter(), now).map(|proof| proof.age_seconds)
    };
    assert_eq!(proof(TimeDelta::hours(-2)), Some(7200));
    assert_eq!(proof(TimeDelta::hours(1)), Some(-3600));
    assert_eq!(proof(TimeDelta::seconds(3601)), None);
    // Of what was stamped by a wrong clock nobody knows what it is a proof of.
    proof(TimeDelta::hours(-2));
    points[0].summary.taken_at_by_store = Some(points[0].summary.snapshot_at + TimeDelta::hours(2));
    assert!(last_proof(points.iter(), now).is_none());
    let mut report = empty(&context);
    let options = CheckOptions { max_proof_age: Some(TimeDelta::days(7)), ..LOOKING };
    proof_age(&options, now, None, &mut report);
    assert_eq!(report.findings[0].kind, FindingKind::ProofTooOld);
}

#[tokio::test]
async fn what_a_prune_is_at_work_on_is_a_note_and_what_a_killed_one_hid_a_finding() {
    let folder_of = tempfile::tempdir().unwrap();
    let context = with_a_point(folder_of.path()).await;
    let id = sample::point(1);
    let mark = format!("{}ab.json", layout::withdrawn(&context.database, &id));
    context.repository.store().put_new(&mark, "{}".into(), PutOptions::default()).await.unwrap();
    let written = context.repository.store().head(&mark).await.unwrap().modified_at;
    for (age, notes, findings) in [(14, 1, 0), (16, 0, 1)] {
        let mut report = empty(&context);
        folder(&context, &LOOKING, &owners(), written + TimeDelta::minutes(age), &mut report).await.unwrap();
        assert_eq!((report.notes.len(), report.findings.len()), (notes, findings), "{age}: {:?}", report.findings);
    }
}

/// Beside a prune that is at work a repair has nothing to repair yet, and what it could not do is a finding.
#[tokio::test]
async fn what_a_repair_does_not_do_is_a_note_or_a_finding() {
    let folder_of = tempfile::tempdir().unwrap();
    let context = with_a_point(folder_of.path()).await;
    let (id, store) = (sample::point(1), context.repository.store());
    let mark = format!("{}ab.json", layout::withdrawn(&context.database, &id));
    store.put_new(&mark, "{}".into(), PutOptions::default()).await.unwrap();
    let repairing = CheckOptions { repair: true, ..LOOKING };
    let now = sample_context::now();
    let mut report = empty(&context);
    folder(&context, &repairing, &owners(), now, &mut report).await.unwrap();
    assert_eq!((report.findings.len(), report.repaired.len()), (0, 0), "{report:?}");
    assert!(report.notes.iter().any(|one| one.contains("may still be at work on it")), "{:?}", report.notes);
    // A killed one's, over objects that are gone by now: nobody can show it again.
    let old = std::fs::File::open(folder_of.path().join(&mark)).unwrap();
    old.set_modified((now - TimeDelta::hours(1)).into()).unwrap();
    store.delete(&layout::archive(&context.database, &id)).await.unwrap();
    let mut report = empty(&context);
    folder(&context, &repairing, &owners(), now, &mut report).await.unwrap();
    assert_eq!((report.findings.len(), report.repaired.len()), (1, 1), "{report:?}");
    assert_eq!(report.repaired[0].problem.as_ref(), Some(&report.findings[0].reason));
}

/// The first restore point as its repository's own, with a proof of level *full* that counts.
async fn proven(context: &Context) -> Surveyed {
    let id = sample::point(1);
    let sha256 = context.repository.manifest(&context.database, &id).await.unwrap().sha256;
    let mut proof = sample::proof(&id);
    proof["manifest_sha256"] = sha256.into();
    let made = serde_json::from_value(proof).unwrap();
    context.repository.record_verification(&context.database, &made).await.unwrap();
    let (mut points, _) = survey(context, sample_context::now()).await.unwrap();
    let mut own = points.remove(0);
    assert_eq!(own.summary.standing.level(), Some(Level::Full));
    own.repository_id = context.repository.id().to_owned();
    own
}

async fn standing(context: &Context) -> Standing {
    survey(context, sample_context::now()).await.unwrap().0[0].summary.standing
}

#[tokio::test]
async fn what_reading_finds_damaged_is_disproved_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let mut own = proven(&context).await;
    let mut report = empty(&context);
    assert!(looked(&context, &mut own, false, &mut report).await, "nothing was read");
    assert_eq!(standing(&context).await.level(), Some(Level::Full));
    let mut report = empty(&context);
    assert!(!looked(&context, &mut own, true, &mut report).await);
    assert_eq!(report.findings[0].kind, FindingKind::Damaged);
    assert!(!report.findings[0].reason.contains("recorded"), "{:?}", report.findings);
    assert!(matches!(report.points[0].standing, Standing::Disproved { .. }));
    assert!(matches!(standing(&context).await, Standing::Disproved { .. }));
    let made = context.repository.verifications(&context.database, own.id()).await.unwrap().made;
    assert_eq!((made.len(), made[1].level), (2, Level::Stored));
    assert!(made[1].measured_on.contains("check --read-data"), "{made:#?}");
    // What is known is not read and recorded night after night.
    let mut report = empty(&context);
    looked(&context, &mut own, true, &mut report).await;
    assert_eq!(report.findings[0].kind, FindingKind::Disproved);
    assert_eq!(context.repository.verifications(&context.database, own.id()).await.unwrap().made.len(), 2);
}

/// A machine whose clock ran ahead proved it once: what is found since counts.
#[tokio::test]
async fn a_proof_dated_in_the_future_is_found_and_outlives_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let mut own = proven(&context).await;
    let mut ahead = context.repository.verifications(&context.database, own.id()).await.unwrap().made.remove(0);
    ahead.started_at = (context.clock)() + TimeDelta::days(30);
    let key = context.repository.record_verification(&context.database, &ahead).await.unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    let finding = report.findings.iter().find(|one| one.kind == FindingKind::WrongClock).unwrap();
    assert_eq!(finding.place, key);
    assert!(finding.cure.contains(&format!("holdpoint verify {}", own.id())), "{finding:?}");
    let mut report = empty(&context);
    assert!(!looked(&context, &mut own, true, &mut report).await);
    assert!(matches!(standing(&context).await, Standing::Disproved { .. }));
    // Also once that date has come.
    let (points, _) = survey(&context, sample_context::now() + TimeDelta::days(31)).await.unwrap();
    assert!(matches!(points[0].summary.standing, Standing::Disproved { .. }), "{:?}", points[0].summary.standing);
}

#[tokio::test]
async fn a_manifest_that_is_not_the_one_that_was_proven_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let own = proven(&context).await;
    let changed = async || {
        let report = check(&context, &LOOKING).await.unwrap();
        report.findings.into_iter().find(|one| one.kind == FindingKind::ManifestChanged)
    };
    assert_eq!(changed().await, None);
    let key = layout::manifest(&context.database, own.id());
    let path = folder.path().join(&key);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text} ")).unwrap();
    assert_eq!(standing(&context).await, Standing::Unproven);
    assert_eq!(changed().await.unwrap().place, key);
}

#[tokio::test]
async fn restore_points_of_a_wrong_clock_are_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    let at = points[0].summary.snapshot_at;
    points[0].summary.taken_at_by_store = Some(at);
    assert_eq!(doubted(&points, at), None);
    assert!(doubted(&points, at - TimeDelta::hours(2)).unwrap().contains(points[0].id().as_str()), "of the future");
    points[0].summary.taken_at_by_store = Some(at + TimeDelta::hours(2));
    assert!(doubted(&points, at + TimeDelta::hours(2)).is_some(), "apart from the store's clock");
}

#[tokio::test]
async fn damage_that_cannot_be_recorded_is_told_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let mut own = proven(&context).await;
    // Nobody can write below a file.
    let records = folder.path().join(layout::verifications(&context.database, own.id()));
    std::fs::remove_dir_all(&records).unwrap();
    std::fs::write(records.to_str().unwrap().trim_end_matches('/'), "").unwrap();
    let mut report = empty(&context);
    assert!(!looked(&context, &mut own, true, &mut report).await);
    let finding = &report.findings[0];
    assert_eq!(finding.kind, FindingKind::Damaged);
    assert!(finding.reason.contains("could not be recorded"), "{finding:?}");
    assert!(finding.cure.contains(&format!("holdpoint verify {}", own.id())), "{finding:?}");
}

#[tokio::test]
async fn a_verification_that_cannot_be_read_is_named_and_hides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let id = proven(&context).await.id().clone();
    let later = "2026-11-21T03:43:00Z".parse().unwrap();
    let key = layout::verification(&context.database, &id, later, "proved");
    context.repository.store().put_new(&key, "{".into(), PutOptions::default()).await.unwrap();
    assert_eq!(standing(&context).await, Standing::Unproven, "it may be a disproof");
    let report = check(&context, &LOOKING).await.unwrap();
    let finding = report.findings.iter().find(|one| one.kind == FindingKind::Unreadable).unwrap();
    assert_eq!(finding.place, key);
    assert!(finding.cure.contains(&format!("holdpoint verify {id} --level full")), "{finding:?}");
    assert_eq!(report.points.len(), 1);
    context.repository.store().delete(&key).await.unwrap();
    assert_eq!(standing(&context).await.level(), Some(Level::Full));
}

#[tokio::test]
async fn a_mark_of_the_future_is_told_and_dated_anew() {
    let folder_of = tempfile::tempdir().unwrap();
    let context = with_a_point(folder_of.path()).await;
    let id = sample::point(1);
    let key = format!("{}ab.json", layout::withdrawn(&context.database, &id));
    let store = context.repository.store();
    store.put_new(&key, "{}".into(), PutOptions::default()).await.unwrap();
    let file = std::fs::File::options().write(true).open(folder_of.path().join(&key)).unwrap();
    let now = store.server_time().await.unwrap();
    file.set_modified((now + TimeDelta::days(400)).into()).unwrap();
    let mut report = empty(&context);
    folder(&context, &LOOKING, &owners(), now, &mut report).await.unwrap();
    assert_eq!((report.findings[0].kind, report.notes.len()), (FindingKind::Hidden, 0), "{report:?}");
    assert!(report.findings[0].reason.contains("a clock ran ahead"), "{:?}", report.findings);
    // Repaired, it is still hidden, by a mark of now: in a quarter of an hour it is shown again.
    let repair = CheckOptions { repair: true, ..LOOKING };
    let mut report = empty(&context);
    folder(&context, &repair, &owners(), now, &mut report).await.unwrap();
    assert_eq!(report.repaired[0].how, Repair::ShowAgain);
    assert!(report.repaired[0].problem.is_some(), "{:?}", report.repaired);
    assert!(store.head(&key).await.is_err(), "the mark of the future is gone");
    let folders = context.repository.folders(&context.database).await.unwrap();
    assert_eq!((folders.withdrawn.len(), folders.marked_ahead(&id, now)), (1, None));
    let prefix = folder_of.path().join(layout::withdrawn(&context.database, &id));
    for mark in std::fs::read_dir(prefix).unwrap() {
        let mark = std::fs::File::options().write(true).open(mark.unwrap().path()).unwrap();
        mark.set_modified((now - TimeDelta::minutes(16)).into()).unwrap();
    }
    let mut report = empty(&context);
    folder(&context, &repair, &owners(), now, &mut report).await.unwrap();
    assert_eq!(report.repaired[0].problem, None);
    assert_eq!(context.repository.points(&context.database).await.unwrap(), [id]);
}

#[tokio::test]
async fn what_a_prune_hid_of_all_that_there_is_is_shown_again_and_looked_at() {
    let folder_of = tempfile::tempdir().unwrap();
    let context = with_a_point(folder_of.path()).await;
    let id = proven(&context).await.id().clone();
    sample_context::date(folder_of.path(), &id);
    let key = format!("{}ab.json", layout::withdrawn(&context.database, &id));
    let store = context.repository.store();
    store.put_new(&key, "{}".into(), PutOptions::default()).await.unwrap();
    let mark = std::fs::File::options().write(true).open(folder_of.path().join(&key)).unwrap();
    mark.set_modified((store.server_time().await.unwrap() - TimeDelta::minutes(20)).into()).unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    let hidden = report.findings.iter().find(|one| one.kind == FindingKind::Hidden).unwrap();
    assert!(hidden.cure.contains("holdpoint check --repair"), "a prune refuses: {hidden:?}");
    let report = check(&context, &CheckOptions { repair: true, ..LOOKING }).await.unwrap();
    assert_eq!((report.repaired.len(), &report.repaired[0].problem), (1, &None), "{:?}", report.repaired);
    assert_eq!((report.points.len(), report.last_proof.map(|one| one.point)), (1, Some(id)));
}

#[tokio::test]
async fn nothing_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::in_directory(folder.path()).await;
    let report = check(&context, &LOOKING).await.unwrap();
    let nothing = report.findings.iter().find(|one| one.kind == FindingKind::NothingThere).unwrap();
    assert!(nothing.cure.contains("holdpoint backup"), "{nothing:?}");
}

#[tokio::test]
async fn a_lease_that_cannot_be_read_is_found_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let key = layout::lease(&context.database);
    context.repository.store().put_new(&key, "".into(), PutOptions::default()).await.unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    let found = report.findings.iter().find(|one| one.place == key).unwrap();
    assert_eq!(found.kind, FindingKind::Unreadable);
    assert!(found.cure.contains("a quarter of an hour old"), "{found:?}");
    context.repository.store().delete(&key).await.unwrap();
    context.repository.store().put_new(&key, vec![b' '; (16 << 20) + 1].into(), PutOptions::default()).await.unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    let found = report.findings.iter().find(|one| one.place == key).unwrap();
    assert!(found.cure.contains(&format!("remove {key}")), "{found:?}");
}

#[tokio::test]
async fn a_link_is_a_stray() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let link = folder.path().join("shop/restore-points/elsewhere");
    std::os::unix::fs::symlink("/", &link).unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    let strays: Vec<_> = report.findings.iter().filter(|one| one.kind == FindingKind::Stray).collect();
    assert_eq!(strays.len(), 1, "nobody follows it: {strays:?}");
    assert_eq!(strays[0].place, "shop/restore-points/elsewhere");
    // An archive that somebody moved to another disk: nobody is told to remove the link, and it is missing all the same.
    std::fs::remove_file(&link).unwrap();
    let archive = folder.path().join(layout::archive(&context.database, &sample::point(1)));
    let moved = folder.path().join("moved.dump");
    std::fs::rename(&archive, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &archive).unwrap();
    let links = found(&context, &[FindingKind::Stray]).await;
    let [(place, words)] = links.as_slice() else { panic!("{links:?}") };
    let archive = layout::archive(&context.database, &sample::point(1));
    assert_eq!(*place, archive);
    assert_eq!(found(&context, &[FindingKind::Missing]).await[0].0, archive);
    assert!(words.contains("symbolic link") && words.contains("put what it leads to itself in its place"), "{words}");
}

/// Restore points that somebody moved to another disk.
#[tokio::test]
async fn a_link_to_all_restore_points_is_followed() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let context = with_a_point(folder.path()).await;
    let (points, moved) = (folder.path().join("shop/restore-points"), disk.path().join("points"));
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::rename(&points, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &points).unwrap();
    let kinds = [FindingKind::Stray, FindingKind::Permissions, FindingKind::Missing, FindingKind::NothingThere];
    assert_eq!(found(&context, &kinds).await, []);
    std::fs::set_permissions(moved.join(sample::point(1).as_str()), PermissionsExt::from_mode(0o755)).unwrap();
    let open = found(&context, &kinds).await;
    assert!(open.len() == 1 && open[0].0.contains(sample::point(1).as_str()), "{open:?}");
    context.repository.withdraw(&context.database, &sample::point(1), &[]).await.unwrap();
    assert_eq!(context.repository.points(&context.database).await.unwrap(), []);
    assert!(points.is_symlink() && moved.is_dir());
}

/// What a check finds of these kinds: where, and the words.
async fn found(context: &Context, kinds: &[FindingKind]) -> Vec<(String, String)> {
    let report = check(context, &LOOKING).await.unwrap();
    let found = report.findings.into_iter().filter(|one| kinds.contains(&one.kind));
    found.map(|one| (one.place, format!("{}; {}", one.reason, one.cure))).collect()
}

#[tokio::test]
async fn names_that_holdpoint_does_not_write_are_strays_and_keep_nothing_from_being_checked() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let point = folder.path().join(layout::point(&context.database, &sample::point(1)));
    let names =
        ["verifications/x y.json", "verifications/20261121T024300125Z-proved.json~", "pins/Odd Name.json", "\u{e4}"];
    for name in names {
        std::fs::create_dir_all(point.join(name).parent().unwrap()).unwrap();
        std::fs::write(point.join(name), "x").unwrap();
    }
    // No list shows a name that is no text.
    let no_text = std::os::unix::ffi::OsStringExt::from_vec(b"odd\xff".to_vec());
    std::fs::write(point.join::<std::ffi::OsString>(no_text), "x").unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    assert_eq!((report.points.len(), &report.points[0].standing), (1, &Standing::Unproven));
    let strays = found(&context, &[FindingKind::Stray]).await;
    assert!(strays.len() == 1 && strays[0].1.contains("4 more like it"), "{strays:?}");
    assert_eq!(found(&context, &[FindingKind::Unreadable]).await, []);
}

#[tokio::test]
async fn a_lost_or_damaged_identity_record_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let of_identity = [FindingKind::Unreadable, FindingKind::IdentityMissing, FindingKind::AnotherDatabase];
    assert_eq!(found(&context, &of_identity).await, []);
    let key = layout::first_identity(&context.database);
    let path = folder.path().join(&key);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "x").unwrap();
    let damaged = found(&context, &of_identity).await;
    assert!(damaged.len() == 1 && damaged[0].0 == key && damaged[0].1.contains("holdpoint adopt"), "{damaged:?}");
    std::fs::remove_file(&path).unwrap();
    let lost = found(&context, &of_identity).await;
    assert!(lost.len() == 1 && lost[0].0 == "shop/identities/", "{lost:?}");
    assert!(lost[0].1.contains("shop on h:5432") && lost[0].1.contains("holdpoint adopt"), "{lost:?}");
}

#[tokio::test]
async fn a_restore_point_of_another_database_is_found_and_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let counts = async || {
        let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
        Owners::read(&context).await.unwrap().set_aside_others(&mut points);
        points[0].aside.is_none()
    };
    let mut record = context.repository.identity(&context.database).await.unwrap().unwrap();
    record.identity.database = "crm".to_owned();
    context.repository.record_identity(&context.database, &record).await.unwrap();
    // The folder was its own once.
    assert_eq!(found(&context, &[FindingKind::AnotherDatabase]).await, []);
    assert!(counts().await);
    std::fs::remove_file(folder.path().join(layout::first_identity(&context.database))).unwrap();
    let told = found(&context, &[FindingKind::AnotherDatabase]).await;
    assert!(
        told.len() == 1 && told[0].0 == sample::point(1).as_str() && told[0].1.contains("shop on h:5432"),
        "{told:?}"
    );
    assert!(!counts().await);
}

/// What a lifecycle rule by age takes first is the first record, and with it whose the older restore points rightly are.
#[tokio::test]
async fn a_first_record_that_is_lost_is_named_before_anybody_moves_anything() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let mut identity = sample::identity();
    identity["database"] = "crm".into();
    let adopted =
        serde_json::json!({"format": 1, "identity": identity, "recorded_at": sample::NOW, "reason": "it was moved"});
    context.repository.record_identity(&context.database, &serde_json::from_value(adopted).unwrap()).await.unwrap();
    let another = async || {
        let findings = check(&context, &LOOKING).await.unwrap().findings;
        findings.into_iter().find(|one| one.kind == FindingKind::AnotherDatabase)
    };
    assert_eq!(another().await, None, "the folder was its own");
    context.repository.store().delete(&layout::first_identity(&context.database)).await.unwrap();
    let lost = another().await.unwrap();
    assert!(lost.reason.contains("the first record of whose the folder was is lost"), "{lost:?}");
    assert!(lost.cure.starts_with("bring the record back"), "{lost:?}");
}

/// As a bucket whose index is out of step with its objects, or a replica, answers.
#[tokio::test]
async fn a_manifest_that_is_listed_and_cannot_be_had_is_told() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    sample_context::publish(&context.repository).await;
    let id = sample::point(1);
    let key = layout::manifest(&context.database, &id);
    let lose = || {
        let key = key.clone();
        let reads = move |request: &SeenRequest| request.operation() == "GetObject" && request.target.contains(&key);
        proxy.push_when(reads, Fault::s3_error(404, "NoSuchKey"));
    };
    lose();
    let listed = crate::catalogue::list(&context).await.unwrap();
    assert_eq!((listed.points.len(), listed.unreadable.len()), (0, 1), "{listed:?}");
    assert_eq!((&listed.unreadable[0].id, proxy.pending()), (&id, 0));
    lose();
    let findings = check(&context, &LOOKING).await.unwrap().findings;
    let told =
        findings.iter().find(|one| one.kind == FindingKind::Unreadable).unwrap_or_else(|| panic!("{findings:?}"));
    assert!(told.place.contains(id.as_str()) && told.reason.contains("lists its manifest"), "{told:?}");
    assert_eq!(crate::catalogue::list(&context).await.unwrap().points.len(), 1);
}

/// Its archive holds no archive, which reading finds: a disproof that the proof of another clock does not outlive, and that
/// does not outlive a proof after it.
#[tokio::test]
async fn a_proof_of_the_future_and_damage_that_is_found_after_it_are_weighed_as_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let id = sample::point(1);
    let sha256 = context.repository.manifest(&context.database, &id).await.unwrap().sha256;
    let record = async |at: chrono::DateTime<chrono::Utc>| {
        let mut proof = sample::proof(&id);
        proof["manifest_sha256"] = sha256.clone().into();
        proof["started_at"] = serde_json::to_value(at).unwrap();
        let made = serde_json::from_value(proof).unwrap();
        context.repository.record_verification(&context.database, &made).await.unwrap();
    };
    record(sample_context::now() + TimeDelta::hours(5)).await;
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    points[0].repository_id = context.repository.id().to_owned();
    assert!(!looked(&context, &mut points[0], true, &mut empty(&context)).await);
    let weighed = async |after: TimeDelta| {
        let (points, _) = survey(&context, sample_context::now() + after).await.unwrap();
        points[0].summary.standing
    };
    for hours in [0, 6] {
        let standing = weighed(TimeDelta::hours(hours)).await;
        assert!(
            matches!(standing, Standing::Disproved { at } if at < sample_context::now() + TimeDelta::hours(1)),
            "{standing:?}"
        );
    }
    // Its objects came back, and it is proved: at once, and also once the first proof's date has come.
    record(sample_context::now() + TimeDelta::minutes(30)).await;
    for hours in [0, 6] {
        assert_eq!(weighed(TimeDelta::hours(hours)).await.level(), Some(Level::Full), "{hours}");
    }
}

/// A directory's clock is the machine's: one that is ahead by less than an hour is noticed by nobody.
#[tokio::test]
async fn a_proof_of_a_clock_that_was_a_little_ahead_does_not_outlive_damage_that_is_found_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let id = sample::point(1);
    let mut proof = sample::proof(&id);
    proof["manifest_sha256"] = context.repository.manifest(&context.database, &id).await.unwrap().sha256.into();
    proof["started_at"] = serde_json::to_value(sample_context::now() + TimeDelta::minutes(50)).unwrap();
    let made = serde_json::from_value(proof).unwrap();
    context.repository.record_verification(&context.database, &made).await.unwrap();
    assert_eq!(standing(&context).await.level(), Some(Level::Full));
    // Its archive holds no archive, which reading finds.
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    points[0].repository_id = context.repository.id().to_owned();
    assert!(!looked(&context, &mut points[0], true, &mut empty(&context)).await);
    assert!(matches!(standing(&context).await, Standing::Disproved { .. }));
    // Nor once its hour has come.
    let (later, _) = survey(&context, sample_context::now() + TimeDelta::hours(2)).await.unwrap();
    assert!(matches!(later[0].summary.standing, Standing::Disproved { .. }), "{:?}", later[0].summary.standing);
}
