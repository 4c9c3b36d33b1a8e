//! What a prune hides, at work or killed, and what a repair makes of it.

use super::*;

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
