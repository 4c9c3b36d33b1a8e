//! The typed repository, on both adapters.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use holdpoint_core::identity::IdentityRecord;
use holdpoint_core::layout;
use holdpoint_core::ledger::{RunState, RunStep};
use holdpoint_core::verification::{Level, Verification};
use holdpoint_repository::{
    Error, Leftover, LocalDirectory, NotDropped, ObjectStore, PinnedAnew, PutOptions, Repository, UploadOptions,
    Withdrawal,
};
use serde_json::json;

use crate::engine::direct;
use crate::on_both::on_both;
use crate::sample::{NOW, identity, manifest, objects, point, shop};
use crate::suite::{noise, put};

on_both!(
    a_repository_is_made_once,
    what_is_no_repository_is_refused,
    points_exist_when_their_manifest_does,
    edited_and_newer_manifests_are_refused,
    verifications_steps_and_identities_are_kept,
    of_many_that_claim_a_folder_one_has_it,
    restore_points_say_whose_a_folder_is_where_no_record_does,
    relying_and_withdrawing_see_each_other,
    of_many_that_pin_in_the_stead_of_one_that_is_over_one_does,
    a_point_that_nobody_relies_on_is_withdrawn,
    leftovers_are_found_and_removed,
    a_lost_record_is_not_made_anew_with_another_id,
);

async fn opened(store: &Arc<dyn ObjectStore>) -> Repository {
    Repository::init(Arc::clone(store), NOW.parse().unwrap()).await.unwrap().0
}

/// Stores what a restore point is made of.
async fn stored(store: &Arc<dyn ObjectStore>, n: u64) {
    for (key, text) in objects(&point(n)) {
        put(&**store, &key, text).await;
    }
}

async fn a_repository_is_made_once(store: Arc<dyn ObjectStore>) {
    let error = Repository::open(Arc::clone(&store)).await.unwrap_err();
    assert!(matches!(error, Error::NotARepository { .. }), "{error:?}");
    let making = (0..4).map(|_| Repository::init(Arc::clone(&store), NOW.parse().unwrap()));
    let made = futures_util::future::join_all(making).await;
    let made: Vec<(Repository, bool)> = made.into_iter().map(Result::unwrap).collect();
    assert_eq!(made.iter().filter(|(_, new)| *new).count(), 1);
    assert!(made.iter().all(|(r, _)| r.id() == made[0].0.id() && r.id().len() == 32));
    assert_eq!(Repository::open(Arc::clone(&store)).await.unwrap().id(), made[0].0.id());
    assert_eq!(opened(&store).await.databases().await.unwrap(), []);
}

async fn what_is_no_repository_is_refused(store: Arc<dyn ObjectStore>) {
    store.ensure_root().await.unwrap();
    let mut etag = put(&*store, layout::REPOSITORY, "not json").await;
    let cases = [
        ("not json", false),
        ("{}", false),
        (r#"{"format":1}"#, false),
        (r#"{"format":2,"id":"x","created_at":"2026-11-21T02:43:00Z","new":1}"#, true),
        (r#"{"format":4000000000}"#, true),
    ];
    for (text, newer) in cases {
        etag = store.put_if_matches(layout::REPOSITORY, Bytes::from_static(text.as_bytes()), &etag).await.unwrap().etag;
        let errors = [
            Repository::open(Arc::clone(&store)).await.unwrap_err(),
            Repository::init(Arc::clone(&store), NOW.parse().unwrap()).await.unwrap_err(),
        ];
        for error in errors {
            match error {
                Error::NewerFormat { known: 1, .. } => assert!(newer, "{text}"),
                Error::NotARepository { .. } => assert!(!newer, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(store.get_small(layout::REPOSITORY, 999).await.unwrap().bytes, text, "nothing was changed");
    }
}

async fn points_exist_when_their_manifest_does(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    assert_eq!(repository.points(&shop()).await.unwrap(), []);
    for n in [3, 1, 2] {
        stored(&store, n).await;
        let published = repository.publish(&manifest(&point(n)), None).await.unwrap();
        let read = repository.manifest(&shop(), &point(n)).await.unwrap();
        assert_eq!((read.manifest, &read.sha256), (manifest(&point(n)), &published.sha256));
    }
    put(&*store, &layout::globals(&shop(), &point(4)), "g").await;
    put(&*store, "shop/restore-points/not-an-id/manifest.json", "x").await;
    put(&*store, "other-program/file", "x").await;
    let mut sorted = [point(1), point(2), point(3)];
    sorted.sort();
    assert_eq!(repository.points(&shop()).await.unwrap(), sorted);
    let names: Vec<String> = repository.databases().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["other-program", "shop"]);
    let error = repository.publish(&manifest(&point(1)), None).await.unwrap_err().error;
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    // Withdrawn is as good as gone.
    put(&*store, &format!("{}abc.json", layout::withdrawn(&shop(), &point(2))), "{}").await;
    assert_eq!(repository.points(&shop()).await.unwrap().len(), 2);
    for absent in [2, 4, 5] {
        let error = repository.manifest(&shop(), &point(absent)).await.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
    }
}

async fn edited_and_newer_manifests_are_refused(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    let good = String::from_utf8(manifest(&point(1)).to_json().unwrap()).unwrap();
    let other_database =
        good.replace("\"database\": \"shop\",\n  \"repository_id\"", "\"database\": \"bank\",\n  \"repository_id\"");
    assert_ne!(good, other_database);
    let cases = [
        (good.replace("\"format\": 1", "\"format\": 3"), true),
        // The form of snapshots, and nothing of one.
        (good.replace("\"format\": 1", "\"format\": 2"), false),
        (good.replace(point(1).as_str(), point(9).as_str()), false),
        (other_database, false),
        (good[..good.len() / 2].to_owned(), false),
        (format!("{good}{}", " ".repeat(70_000)), false),
    ];
    for (n, (text, newer)) in cases.into_iter().enumerate() {
        let id = point(1);
        let key = layout::manifest(&shop(), &id);
        put(&*store, &key, &text).await;
        match repository.manifest(&shop(), &id).await.unwrap_err() {
            Error::NewerFormat { found: 3, .. } => assert!(newer, "{n}"),
            Error::InvalidRecord { key: named, .. } => assert!(!newer && named == key, "{n}"),
            other => panic!("{n}: {other:?}"),
        }
        store.delete(&key).await.unwrap();
    }
}

async fn verifications_steps_and_identities_are_kept(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    let verification = |minute: u32, verdict: &str| -> Verification {
        serde_json::from_value(json!({
            "format": 1, "point": point(1), "level": "full", "verdict": verdict,
            "started_at": format!("2026-11-21T03:{minute:02}:00Z"), "took_ms": 1, "restore_took_ms": null,
            "measured_on": "local", "manifest_sha256": "aa", "archive_sha256": null, "bytes_read": 1,
            "compared": {"tables": 0, "rows": 0, "sequences": 0, "large_objects": 0, "objects": 0}
        }))
        .unwrap()
    };
    assert_eq!(repository.verifications(&shop(), &point(1)).await.unwrap().made, []);
    for one in [verification(2, "disproved"), verification(1, "proved")] {
        repository.record_verification(&shop(), &one).await.unwrap();
    }
    let found = repository.verifications(&shop(), &point(1)).await.unwrap();
    assert_eq!(found.made, [verification(1, "proved"), verification(2, "disproved")]);
    assert_eq!(found.unreadable, []);
    // One that cannot be read hides no other, and is named with its instant.
    let at = "2026-11-21T03:03:00Z".parse().unwrap();
    let garbled = layout::verification(&shop(), &point(1), at, "proved");
    let newer = format!("{}notes.json", layout::verifications(&shop(), &point(1)));
    store.put_new(&garbled, "{\"format\": 1".into(), PutOptions::default()).await.unwrap();
    store.put_new(&newer, "{\"format\": 999}".into(), PutOptions::default()).await.unwrap();
    let found = repository.verifications(&shop(), &point(1)).await.unwrap();
    assert_eq!(found.made.len(), 2);
    let unreadable: Vec<_> = found.unreadable.iter().map(|one| (one.key.clone(), one.at)).collect();
    assert_eq!(unreadable, [(garbled, Some(at)), (newer, None)]);
    assert!(found.unreadable.iter().all(|one| one.reason.contains(&one.key)), "{found:#?}");
    // Of several that began in one moment none is lost, and their keys tell that moment.
    let mut least = verification(1, "proved");
    least.level = Level::Stored;
    let database = shop();
    let again = (0..4).map(|_| repository.record_verification(&database, &least));
    let again = futures_util::future::join_all(again).await;
    let keys: BTreeSet<String> = again.into_iter().map(Result::unwrap).collect();
    let instant = |key: &String| layout::verification_instant(&shop(), &point(1), key);
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| instant(key) == Some(least.started_at)), "{keys:?}");
    let made = repository.verifications(&shop(), &point(1)).await.unwrap().made;
    assert_eq!(made.len(), 6);
    assert!(made.contains(&verification(1, "proved")) && made.iter().filter(|one| **one == least).count() == 4);

    let run = "20261121T024300Z-k3f9".parse().unwrap();
    let step = |n: u32, state: &str, format: u32| -> RunStep {
        serde_json::from_value(json!({
            "format": format, "run": "20261121T024300Z-k3f9", "n": n, "state": state, "at": NOW, "identity": identity(),
            "command": ["x"], "point": null, "wal_position": null, "instant": null, "exit_code": null, "signal": null,
            "operator": null
        }))
        .unwrap()
    };
    for one in [step(2, "running", 1), step(1, "started", 1)] {
        repository.record_step(&shop(), &one).await.unwrap();
    }
    assert_eq!(repository.steps(&shop(), &run).await.unwrap(), [step(1, "started", 1), step(2, "running", 1)]);
    assert_eq!(repository.runs(&shop()).await.unwrap(), std::slice::from_ref(&run));
    repository.record_step(&shop(), &step(3, "succeeded", 2)).await.unwrap();
    let error = repository.steps(&shop(), &run).await.unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found: 2, .. }), "{error:?}");
    // What cannot be read hides no other step, and its key says where the run stands.
    let told = repository.readable_steps(&shop(), &run).await.unwrap();
    assert_eq!((told.read.len(), told.newest()), (2, None));
    let hidden = told.hidden_end().unwrap();
    assert_eq!((hidden.n, hidden.state, hidden.may_be_unsettled()), (3, Some(RunState::Succeeded), false));
    assert!(!told.may_be_unsettled() && told.may_have_been(1, &[RunState::Running]));
    assert!(!told.may_have_been(2, &[RunState::Running]));
    assert!(hidden.words().contains(&hidden.key), "{hidden:?}");
    assert_eq!(repository.step_fault(&hidden.key).await.unwrap().unwrap(), hidden.reason);
    repository.record_step(&shop(), &step(4, "settled", 1)).await.unwrap();
    let told = repository.readable_steps(&shop(), &run).await.unwrap();
    assert_eq!((told.newest().unwrap().n, told.unreadable.len(), told.may_be_unsettled()), (4, 1, false));

    assert_eq!(repository.identity(&shop()).await.unwrap(), None);
    let record = |minute: u32| -> IdentityRecord {
        serde_json::from_value(json!({"format": 1, "identity": identity(), "reason": format!("at {minute}"),
            "recorded_at": format!("2026-11-21T03:{minute:02}:00Z")}))
        .unwrap()
    };
    // The last one counts, although a clock that was ahead dated the one before.
    for minute in [5, 1, 1, 6] {
        repository.record_identity(&shop(), &record(minute)).await.unwrap();
        assert_eq!(repository.identity(&shop()).await.unwrap().unwrap(), record(minute));
    }
    // Whoever claims a folder that has an owner by now changes nothing.
    repository.record_first_identity(&shop(), &record(7)).await.unwrap();
    assert_eq!(repository.identity(&shop()).await.unwrap().unwrap(), record(6));
}

async fn of_many_that_claim_a_folder_one_has_it(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    let claims = (0..8).map(|n| {
        let repository = repository.clone();
        async move {
            let record =
                json!({"format": 1, "identity": identity(), "recorded_at": NOW, "reason": format!("claim {n}")});
            repository.record_first_identity(&shop(), &serde_json::from_value(record).unwrap()).await
        }
    });
    let ended = futures_util::future::join_all(claims).await;
    let lost = ended.iter().filter(|one| matches!(one, Err(Error::AlreadyExists { .. }))).count();
    assert_eq!((ended.iter().filter(|one| one.is_ok()).count(), lost), (1, 7), "{ended:?}");
    let winner = ended.iter().position(Result::is_ok).unwrap();
    assert_eq!(repository.identity(&shop()).await.unwrap().unwrap().reason, format!("claim {winner}"));
}

async fn relying_and_withdrawing_see_each_other(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    stored(&store, 1).await;
    repository.publish(&manifest(&point(1)), None).await.unwrap();
    repository.pin(&shop(), &point(1), "run-1", &json!({"reason": "r"})).await.unwrap();
    repository.pin(&shop(), &point(1), "run-1", &json!({"reason": "again"})).await.unwrap();
    repository.pin(&shop(), &point(1), "audit", &json!({})).await.unwrap();
    assert_eq!(repository.pins(&shop(), &point(1)).await.unwrap(), ["audit", "run-1"]);
    repository.unpin(&shop(), &point(1), "audit").await.unwrap();
    repository.unpin(&shop(), &point(1), "audit").await.unwrap();
    assert_eq!(repository.pins(&shop(), &point(1)).await.unwrap(), ["run-1"]);
    put(&*store, &format!("{}abc.json", layout::withdrawn(&shop(), &point(1))), "{}").await;
    for gone in [1, 2] {
        let error = repository.pin(&shop(), &point(gone), "late", &json!({})).await.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
        assert!(!repository.pins(&shop(), &point(gone)).await.unwrap().contains(&"late".to_owned()));
    }
}

async fn of_many_that_pin_in_the_stead_of_one_that_is_over_one_does(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    stored(&store, 1).await;
    repository.publish(&manifest(&point(1)), None).await.unwrap();
    let until = |until: &str, reason: String| json!({"format": 1, "reason": reason, "at": NOW, "until": until});
    let pin = async |name: &str, record| repository.pin_anew(&shop(), &point(1), name, &record).await;
    let first = pin("audit", until("2020-01-01T00:00:00Z", "over".to_owned())).await.unwrap();
    assert!(matches!(first, PinnedAnew::Pinned), "{first:?}");
    let many = (0..8).map(|n| pin("audit", until("2999-01-01T00:00:00Z", format!("one {n}"))));
    let ended = futures_util::future::join_all(many).await;
    let told = ended.iter().filter(|one| matches!(one, Ok(PinnedAnew::Taken))).count();
    let has_it = |one: &Result<PinnedAnew, Error>| matches!(one, Ok(PinnedAnew::Pinned));
    assert_eq!((ended.iter().filter(|one| has_it(one)).count(), told), (1, 7), "{ended:?}");
    let winner = ended.iter().position(has_it).unwrap();
    let record = async |name| repository.pin_record(&shop(), &point(1), name).await;
    assert_eq!(record("audit").await.unwrap().reason, format!("one {winner}"));
    // One of a run has no end of its own, and one that cannot be read may hold.
    for (name, kept) in
        [("run-1", json!({"format": 1, "reason": "r", "at": NOW, "run": "20261121T024300Z-0001"})), ("odd", json!({}))]
    {
        repository.pin_new(&shop(), &point(1), name, &kept).await.unwrap();
        let refused = pin(name, until("2999-01-01T00:00:00Z", "anew".to_owned())).await.unwrap();
        assert!(matches!(refused, PinnedAnew::Taken), "{refused:?}");
        assert!(record(name).await.map_or(true, |one| one.reason == "r"));
    }
}

async fn a_point_that_nobody_relies_on_is_withdrawn(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    for n in [1, 2] {
        stored(&store, n).await;
        repository.publish(&manifest(&point(n)), None).await.unwrap();
    }
    let withdraw = async |over: &[String]| repository.withdraw(&shop(), &point(1), over).await.unwrap();
    let ended = json!({"format": 1, "reason": "r", "at": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"});
    repository.pin(&shop(), &point(1), "audit", &ended).await.unwrap();
    assert!(matches!(withdraw(&[]).await, Withdrawal::Pinned { pins } if pins == ["audit"]));
    repository.manifest(&shop(), &point(1)).await.expect("it is as it was");
    // One that holds counts, whatever is said of it.
    repository.pin(&shop(), &point(1), "late", &json!({})).await.unwrap();
    let over = ["audit".to_owned(), "late".to_owned()];
    assert!(matches!(withdraw(&over).await, Withdrawal::Pinned { pins } if pins == ["late"]));
    repository.manifest(&shop(), &point(1)).await.expect("it is as it was");
    repository.unpin(&shop(), &point(1), "late").await.unwrap();
    // What lies outside stays, or nobody knows: only then it is hidden.
    for in_doubt in [false, true] {
        let outside = async move { Err(NotDropped { reason: "r".to_owned(), in_doubt }) };
        let done = repository.withdraw_with(&shop(), &point(1), &over, Some(Box::pin(outside))).await.unwrap();
        assert!(matches!(done, Withdrawal::Kept { .. } | Withdrawal::InDoubt { .. }), "{done:?}");
        assert_eq!(matches!(done, Withdrawal::InDoubt { .. }), in_doubt);
        assert_eq!(repository.recorded(&shop(), &point(1)).await.is_err(), in_doubt);
        repository.hidden(&shop(), &point(1)).await.expect("its manifest is there");
    }
    // A mark that somebody left hides it, and the next withdrawal goes on.
    put(&*store, &format!("{}abc.json", layout::withdrawn(&shop(), &point(1))), "{}").await;
    let folders = repository.folders(&shop()).await.unwrap();
    assert_eq!((folders.published, folders.withdrawn), (vec![point(2)], vec![point(1)]));
    let done = withdraw(&["audit".to_owned()]).await;
    assert!(matches!(&done, Withdrawal::Done { bytes, remains } if *bytes >= 4 && remains.is_empty()), "{done:?}");
    assert_eq!(repository.points(&shop()).await.unwrap(), [point(2)]);
    assert_eq!(repository.leftovers(&shop()).await.unwrap(), []);
    assert!(matches!(withdraw(&[]).await, Withdrawal::Gone));
}

async fn leftovers_are_found_and_removed(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    stored(&store, 1).await;
    repository.publish(&manifest(&point(1)), None).await.unwrap();
    assert_eq!(repository.leftovers(&shop()).await.unwrap(), []);
    stored(&store, 2).await;
    let mut running = store.begin_upload(&layout::archive(&shop(), &point(3)), UploadOptions::default()).await.unwrap();
    running.write(noise(11 << 20, 1)).await.unwrap();
    let found = repository.leftovers(&shop()).await.unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|l| l.at().is_some()));
    assert!(found.iter().any(|l| matches!(l, Leftover::Upload(u) if u.key == layout::archive(&shop(), &point(3)))));
    let orphan = found.iter().find(|l| matches!(l, Leftover::Orphan { id, size_bytes: 10, .. } if *id == point(2)));
    // Published after it was looked at: not a leftover anymore.
    repository.publish(&manifest(&point(2)), None).await.unwrap();
    let error = repository.remove_leftover(orphan.unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(repository.points(&shop()).await.unwrap().len(), 2);
    store.delete(&layout::manifest(&shop(), &point(2))).await.unwrap();
    for leftover in &found {
        repository.remove_leftover(leftover).await.unwrap();
    }
    assert_eq!(repository.leftovers(&shop()).await.unwrap(), []);
    assert_eq!(repository.points(&shop()).await.unwrap(), [point(1)]);
    running.abort().await.unwrap();
}

#[tokio::test]
async fn a_place_that_is_not_there_is_not_called_an_empty_repository() {
    let gone = LocalDirectory::new("/nonexistent/for/sure").unwrap();
    let error = Repository::open(Arc::new(gone)).await.unwrap_err();
    assert!(matches!(error, Error::BucketNotFound { .. }), "{error:?}");
    // And one that may be read but holds no record, although it holds other things.
    let held = direct(|_| {}).await;
    held.put_new("something/else", Bytes::new(), PutOptions::default()).await.unwrap();
    let error = Repository::open(Arc::new(held.store.clone())).await.unwrap_err();
    assert!(matches!(error, Error::NotARepository { .. }), "{error:?}");
}

async fn a_lost_record_is_not_made_anew_with_another_id(store: Arc<dyn ObjectStore>) {
    let now = NOW.parse().unwrap();
    let repository = opened(&store).await;
    stored(&store, 1).await;
    repository.publish(&manifest(&point(1)), None).await.unwrap();
    store.delete(layout::REPOSITORY).await.unwrap();
    let refused = Repository::init(Arc::clone(&store), now).await.unwrap_err();
    assert!(matches!(&refused, Error::RecordLost { ids, points: 1, .. } if *ids == ["r"]), "{refused:?}");
    assert!(store.head(layout::REPOSITORY).await.is_err(), "nothing is written");
    // One that names another repository: nobody may choose.
    stored(&store, 2).await;
    let mut other = manifest(&point(2));
    other.repository_id = "s".to_owned();
    repository.publish(&other, None).await.unwrap();
    let refused = Repository::init_adopting(Arc::clone(&store), now).await.unwrap_err();
    assert!(matches!(&refused, Error::RecordLost { ids, .. } if *ids == ["r", "s"]), "{refused:?}");
    repository.withdraw(&shop(), &point(2), &[]).await.unwrap();
    // None that can be read says nothing.
    let spoiled = layout::manifest(&shop(), &point(3));
    store.put_new(&spoiled, "spoiled".into(), PutOptions::default()).await.unwrap();
    let (adopted, made) = Repository::init_adopting(Arc::clone(&store), now).await.unwrap();
    assert_eq!((adopted.id(), made), ("r", true));
    assert_eq!(Repository::init(Arc::clone(&store), now).await.unwrap().0.id(), "r");
    store.delete(layout::REPOSITORY).await.unwrap();
    repository.withdraw(&shop(), &point(1), &[]).await.unwrap();
    let refused = Repository::init_adopting(Arc::clone(&store), now).await.unwrap_err();
    assert!(matches!(&refused, Error::RecordLost { ids, points: 1, .. } if ids.is_empty()), "{refused:?}");
}

async fn restore_points_say_whose_a_folder_is_where_no_record_does(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    assert_eq!(repository.identity(&shop()).await.unwrap(), None);
    for n in [1, 2] {
        stored(&store, n).await;
        let mut made = manifest(&point(n));
        made.identity.endpoint = format!("host{n}:5432");
        repository.publish(&made, None).await.unwrap();
    }
    let endpoint = async || repository.identity(&shop()).await.unwrap().map(|record| record.identity.endpoint);
    assert_eq!(endpoint().await.as_deref(), Some("host2:5432"));
    // A newest one that cannot be read, or is hidden, does not make the folder nobody's.
    store.delete(&layout::manifest(&shop(), &point(2))).await.unwrap();
    put(&*store, &layout::manifest(&shop(), &point(2)), "spoiled").await;
    put(&*store, &format!("{}01.json", layout::withdrawn(&shop(), &point(1))), "{}").await;
    assert_eq!(endpoint().await.as_deref(), Some("host1:5432"));
    // A record is believed.
    let record = json!({"format": 1, "identity": identity(), "recorded_at": NOW, "reason": "moved"});
    repository.record_identity(&shop(), &serde_json::from_value(record).unwrap()).await.unwrap();
    assert_eq!(endpoint().await.as_deref(), Some("h:5432"));
    assert_eq!(repository.identities(&shop()).await.unwrap().records.len(), 1);
}
