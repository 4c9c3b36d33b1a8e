//! Publishing against a sweep, and restore points whose manifest is lost, on both adapters.

use std::sync::Arc;

use holdpoint_core::{PointId, layout};
use holdpoint_repository::{Error, Leftover, LostPoint, ObjectStore, Repository, Unpublished};
use serde_json::{Value, json};

use crate::between::Between;
use crate::on_both::on_both;
use crate::sample::{NOW, manifest, objects, point, proof, shop};
use crate::suite::{keys, put};

on_both!(
    nothing_is_published_over_what_is_gone,
    what_goes_while_it_is_published_takes_it_back,
    a_sweep_that_is_at_work_is_seen,
    a_lost_manifest_is_no_leftover_while_a_pin_holds,
    a_pin_that_was_refused_or_outlived_its_point_is_swept,
    what_was_verified_or_is_all_that_is_left_is_no_plain_leftover,
    of_pins_of_one_name_one_stands,
    what_a_list_lacks_is_asked_for_before_it_is_swept,
);

async fn opened(store: &Arc<dyn ObjectStore>) -> Repository {
    Repository::init(Arc::clone(store), NOW.parse().unwrap()).await.unwrap().0
}

async fn stored(store: &Arc<dyn ObjectStore>, id: &PointId) {
    for (key, text) in objects(id) {
        put(&**store, &key, text).await;
    }
}

fn pin(until: Option<&str>) -> Value {
    json!({"format": 1, "reason": "r", "at": NOW, "until": until})
}

async fn nothing_is_published_over_what_is_gone(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    let id = point(1);
    for (gone, _) in objects(&id) {
        stored(&store, &id).await;
        store.delete(&gone).await.unwrap();
        let error = repository.publish(&manifest(&id), None).await.unwrap_err().error;
        assert!(matches!(&error, Error::NotWhole { faults, stays: None, .. } if faults.len() == 1), "{error:?}");
        assert!(error.to_string().contains(&format!("{gone} is gone")), "{error}");
        put(&*store, &gone, "of another size").await;
        let error = repository.publish(&manifest(&id), None).await.unwrap_err().error;
        assert!(error.to_string().contains(&format!("{gone} has 15 bytes")), "{error}");
        assert_eq!(repository.points(&shop()).await.unwrap(), []);
        for (key, _) in objects(&id) {
            store.delete(&key).await.unwrap();
        }
    }
    stored(&store, &id).await;
    repository.publish(&manifest(&id), None).await.unwrap();
}

/// A backup that was suspended between its look and its manifest.
async fn what_goes_while_it_is_published_takes_it_back(store: Arc<dyn ObjectStore>) {
    opened(&store).await;
    let id = point(1);
    for (gone, _) in objects(&id) {
        stored(&store, &id).await;
        let going = gone.clone();
        let between = Between::new(
            Arc::clone(&store),
            Box::new(move |store| {
                let going = going.clone();
                Box::pin(async move { store.delete(&going).await.unwrap() })
            }),
        );
        let repository = Repository::open(Arc::new(between)).await.unwrap();
        let error = repository.publish(&manifest(&id), None).await.unwrap_err().error;
        assert!(matches!(&error, Error::NotWhole { stays: None, .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("{gone} is gone")), "{error}");
        assert_eq!(keys(&*store, "").await, [layout::REPOSITORY], "taken back, and nothing left");
    }
}

async fn a_sweep_that_is_at_work_is_seen(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    let id = point(1);
    stored(&store, &id).await;
    let mark = format!("{}abc.json", layout::withdrawn(&shop(), &id));
    put(&*store, &mark, "{}").await;
    let error = repository.publish(&manifest(&id), None).await.unwrap_err().error;
    assert!(matches!(error, Error::NotWhole { stays: None, .. }), "{error:?}");
    assert!(store.head(&layout::manifest(&shop(), &id)).await.is_err());
    store.delete(&mark).await.unwrap();
    // It came between the two looks; somebody pinned what was published for a moment.
    let between = Between::new(
        Arc::clone(&store),
        Box::new(|store| {
            Box::pin(async move {
                put(&*store, &layout::pin(&shop(), &point(1), "audit"), "{}").await;
                put(&*store, &format!("{}abc.json", layout::withdrawn(&shop(), &point(1))), "{}").await;
            })
        }),
    );
    let between = Repository::open(Arc::new(between)).await.unwrap();
    let error = between.publish(&manifest(&id), None).await.unwrap_err().error;
    assert!(error.to_string().contains("it was written and stays: it is pinned: audit"), "{error}");
    assert_eq!(repository.folders(&shop()).await.unwrap().withdrawn, [id]);
}

async fn a_lost_manifest_is_no_leftover_while_a_pin_holds(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    for n in 1..=3 {
        stored(&store, &point(n)).await;
        repository.publish(&manifest(&point(n)), None).await.unwrap();
    }
    repository.pin(&shop(), &point(1), "audit", &pin(None)).await.unwrap();
    repository.pin(&shop(), &point(1), "over", &pin(Some(NOW))).await.unwrap();
    repository.pin(&shop(), &point(2), "over", &pin(Some("1970-01-02T00:00:00Z"))).await.unwrap();
    repository.pin(&shop(), &point(3), "later", &pin(Some("2999-01-01T00:00:00Z"))).await.unwrap();
    for n in 1..=3 {
        store.delete(&layout::manifest(&shop(), &point(n))).await.unwrap();
    }
    let found = repository.unpublished(&shop()).await.unwrap();
    let lost: Vec<(&PointId, usize)> = found.lost.iter().map(|one: &LostPoint| (&one.id, one.pins.len())).collect();
    let of_first = lost.iter().find(|(id, _)| **id == point(1)).unwrap().1;
    assert_eq!((lost.len(), found.orphans.len()), (2, 1), "{found:?}");
    let now = store.server_time().await.unwrap();
    assert_eq!(of_first, if now > NOW.parse::<chrono::DateTime<chrono::Utc>>().unwrap() { 1 } else { 2 });
    assert!(matches!(&found.orphans[0], Leftover::Orphan { id, .. } if *id == point(2)));
    // Whoever took it for a leftover is told, and removes nothing.
    for n in [1, 3] {
        let leftover = Leftover::Orphan { database: shop(), id: point(n), size_bytes: 10, newest_at: None };
        let error = repository.remove_leftover(&leftover).await.unwrap_err();
        assert!(matches!(error, Error::ManifestLost { .. }), "{error:?}");
    }
    repository.remove_leftover(&found.orphans[0]).await.unwrap();
    let prefix = layout::point(&shop(), &point(1));
    assert_eq!(keys(&*store, &prefix).await.len(), 5, "three objects and two pins, and no mark");
    assert!(keys(&*store, &layout::point(&shop(), &point(2))).await.is_empty());
    // It comes back with its manifest; or goes with its pins.
    put(
        &*store,
        &layout::manifest(&shop(), &point(1)),
        &String::from_utf8(manifest(&point(1)).to_json().unwrap()).unwrap(),
    )
    .await;
    assert_eq!(repository.points(&shop()).await.unwrap(), [point(1)]);
    repository.unpin(&shop(), &point(3), "later").await.unwrap();
    for leftover in repository.leftovers(&shop()).await.unwrap() {
        repository.remove_leftover(&leftover).await.unwrap();
    }
    assert!(keys(&*store, &layout::point(&shop(), &point(3))).await.is_empty());
}

async fn a_pin_that_was_refused_or_outlived_its_point_is_swept(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    // Written when the point was marked, by one that may not delete.
    stored(&store, &point(1)).await;
    put(&*store, &format!("{}abc.json", layout::withdrawn(&shop(), &point(1))), "{}").await;
    put(&*store, &layout::pin(&shop(), &point(1), "late"), &pin(None).to_string()).await;
    // Written when everything else was gone.
    put(&*store, &layout::pin(&shop(), &point(2), "late"), &pin(None).to_string()).await;
    let found = repository.unpublished(&shop()).await.unwrap();
    assert_eq!((found.lost, found.orphans.len()), (Vec::new(), 2));
    for leftover in found.orphans {
        repository.remove_leftover(&leftover).await.unwrap();
    }
    assert_eq!(keys(&*store, "").await, [layout::REPOSITORY]);
}

async fn what_was_verified_or_is_all_that_is_left_is_no_plain_leftover(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    for n in 1..=4 {
        stored(&store, &point(n)).await;
        repository.publish(&manifest(&point(n)), None).await.unwrap();
    }
    for n in [1, 2] {
        let made = serde_json::from_value(proof(&point(n))).unwrap();
        repository.record_verification(&shop(), &made).await.unwrap();
    }
    // The second is one that a killed prune was about to drop, the third one that nobody verified.
    put(&*store, &format!("{}abc.json", layout::withdrawn(&shop(), &point(2))), "{}").await;
    for n in 1..=3 {
        store.delete(&layout::manifest(&shop(), &point(n))).await.unwrap();
    }
    let found = repository.unpublished(&shop()).await.unwrap();
    let lost: Vec<_> = found.lost.iter().map(|one| (one.id.clone(), one.verified, one.pins.len())).collect();
    assert_eq!((lost, found.doubted.len()), (vec![(point(1), true, 0)], 0), "the fourth is to be seen");
    let orphans = |found: &Unpublished| -> Vec<PointId> {
        let id = |one: &Leftover| match one {
            Leftover::Orphan { id, .. } => Some(id.clone()),
            Leftover::Upload(_) => None,
        };
        found.orphans.iter().filter_map(id).collect()
    };
    assert_eq!(orphans(&found), [point(2), point(3)]);
    // Whoever took it for a leftover is told, and removes nothing.
    let before = keys(&*store, &layout::point(&shop(), &point(1))).await;
    let leftover = Leftover::Orphan { database: shop(), id: point(1), size_bytes: 10, newest_at: None };
    let error = repository.remove_leftover(&leftover).await.unwrap_err();
    assert!(error.to_string().ends_with("is gone, and its restore point was verified"), "{error}");
    assert_eq!(keys(&*store, &layout::point(&shop(), &point(1))).await, before);
    // Where none is to be seen any more, what lacks nothing but its manifest is doubted; what was being made is not.
    store.delete(&layout::manifest(&shop(), &point(4))).await.unwrap();
    store.delete(&layout::index(&shop(), &point(4))).await.unwrap();
    let found = repository.unpublished(&shop()).await.unwrap();
    assert_eq!(found.doubted.iter().collect::<Vec<_>>(), [&point(3)]);
    assert_eq!(orphans(&found).len(), 3);
}

async fn of_pins_of_one_name_one_stands(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    let id = point(1);
    stored(&store, &id).await;
    repository.publish(&manifest(&id), None).await.unwrap();
    let record = |who: u32| json!({"format": 1, "reason": "r", "at": NOW, "operator": who.to_string()});
    let repository = &repository;
    let (database, named) = (shop(), &id);
    let pinning = (0..4).map(|who| {
        let database = database.clone();
        async move { repository.pin_new(&database, named, "audit", &record(who)).await }
    });
    let pinned = futures_util::future::join_all(pinning).await;
    let first = pinned.iter().position(Result::is_ok).unwrap();
    let refused = |one: &Result<(), Error>| matches!(one, Err(Error::AlreadyExists { .. }));
    assert_eq!(pinned.iter().filter(|one| refused(one)).count(), 3, "{pinned:?}");
    let found = repository.pin_record(&shop(), &id, "audit").await.unwrap();
    assert_eq!(found.operator, Some(first.to_string()), "nobody wrote over it, nor removed it");
}

/// A list that is behind the objects shows data without a manifest.
async fn what_a_list_lacks_is_asked_for_before_it_is_swept(store: Arc<dyn ObjectStore>) {
    let repository = opened(&store).await;
    let id = point(1);
    stored(&store, &id).await;
    repository.publish(&manifest(&id), None).await.unwrap();
    let before = keys(&*store, "shop/").await;
    let lacking = Between::lacking(Arc::clone(&store), layout::manifest(&shop(), &id));
    let sweeping = Repository::open(Arc::new(lacking)).await.unwrap();
    let found = sweeping.unpublished(&shop()).await.unwrap();
    let [leftover] = &found.orphans[..] else { panic!("{found:?}") };
    let error = sweeping.remove_leftover(leftover).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(keys(&*store, "shop/").await, before, "nothing went, and it is not hidden");
    assert_eq!(repository.points(&shop()).await.unwrap(), [id]);
}
