use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use holdpoint_core::progress::{Phase, Progress};
use holdpoint_repository::{CredentialSource, LocalDirectory, ObjectStore, S3Options, S3Store, Timing};
use holdpoint_repository::{Repository as Place, Withdrawal};
use holdpoint_testkit::{ADMIN, S3Server};

use super::*;
use crate::sample_context::{self, now, sample};
use crate::{ErrorKind, schedule, stepped};

/// Keeps what is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn note(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

fn context(repository: Place, notes: &Arc<Notes>, reads_for: Duration) -> Context {
    Context { progress: Arc::clone(notes) as Arc<dyn Progress>, reads_for, ..sample_context::of(repository) }
}

async fn with_a_point(store: Arc<dyn ObjectStore>) -> (Place, PointId) {
    let repository = Place::init(store, now()).await.unwrap().0;
    sample_context::publish(&repository).await;
    (repository, sample::point(1))
}

async fn each_store(test: impl AsyncFn(Arc<dyn ObjectStore>)) {
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(LocalDirectory::new(directory.path()).unwrap())).await;
    let server = S3Server::shared();
    let url = format!("s3://{}/reading", server.new_bucket()).parse().unwrap();
    let options = S3Options { endpoint: Some(server.endpoint()), path_style: true, ..S3Options::default() };
    let (access_key_id, secret_access_key) = (ADMIN.access_key.into(), ADMIN.secret_key.into());
    let keys = CredentialSource::Keys { access_key_id, secret_access_key };
    test(Arc::new(S3Store::connect(&url, options, keys, Timing::default()).await.unwrap())).await;
}

#[test]
fn the_name_tells_the_end() {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let name = "reading-20261122T103000Z-00000000000000ff";
    assert!(!is_over(name, at("2026-11-22T10:29:59Z")) && is_over(name, at("2026-11-22T10:30:00Z")));
    for other in ["by-hand", "run-20261122T103000Z-k3f9", "reading-", "reading-x-y"] {
        assert!(!is_over(other, at("2999-01-01T00:00:00Z")), "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_stays_and_its_pin_is_renewed() {
    each_store(async |store| {
        let (repository, id) = with_a_point(store).await;
        let notes = Arc::new(Notes::default());
        let context = context(repository.clone(), &notes, Duration::from_secs(2));
        let seen = held(
            &context,
            &id,
            Box::pin(async {
                let mut seen = BTreeSet::new();
                while seen.len() < 3 {
                    let pins = repository.pins(&context.database, &id).await.unwrap();
                    assert!(!pins.is_empty(), "a new one is written before the old one goes");
                    let withdrawn = repository.withdraw(&context.database, &id, &[]).await.unwrap();
                    assert!(matches!(withdrawn, Withdrawal::Pinned { .. }), "{withdrawn:?}");
                    for name in pins {
                        // The record ends when the name says.
                        if let Ok(record) = repository.pin_record(&context.database, &id, &name).await {
                            let until = record.until.unwrap();
                            assert!(is_over(&name, until) && !is_over(&name, until - TimeDelta::seconds(1)), "{name}");
                        }
                        seen.insert(name);
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                seen
            }),
        )
        .await;
        assert_eq!(seen.len(), 3);
        assert_eq!(repository.pins(&context.database, &id).await.unwrap(), [""; 0]);
        assert_eq!(*notes.0.lock().unwrap(), [""; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_failed_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let (repository, id) = with_a_point(Arc::new(LocalDirectory::new(directory.path()).unwrap())).await;
    let notes = Arc::new(Notes::default());
    let context = context(repository.clone(), &notes, Duration::from_secs(3));
    let pins = directory.path().join(holdpoint_core::layout::pins(&context.database, &id));
    let away = directory.path().join("away");
    held(
        &context,
        &id,
        Box::pin(tokio::time::timeout(Duration::from_secs(120), async {
            // Where the folder is a file nobody can write a pin.
            let before = repository.pins(&context.database, &id).await.unwrap();
            std::fs::rename(&pins, &away).unwrap();
            std::fs::write(pins.to_str().unwrap().trim_end_matches('/'), "").unwrap();
            while notes.0.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            std::fs::remove_file(pins.to_str().unwrap().trim_end_matches('/')).unwrap();
            std::fs::rename(&away, &pins).unwrap();
            loop {
                let now = repository.pins(&context.database, &id).await.unwrap();
                if now.iter().any(|name| !before.contains(name)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })),
    )
    .await
    .unwrap();
    assert_eq!(repository.pins(&context.database, &id).await.unwrap(), [""; 0]);
    let notes = notes.0.lock().unwrap();
    assert!(notes.len() == 1 && notes[0].contains("is read without a pin"), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_reader_leaves_a_pin_that_ends() {
    each_store(async |store| {
        let (repository, id) = with_a_point(store).await;
        let context = context(repository.clone(), &Arc::default(), READS_FOR);
        let (reached, wait) = tokio::sync::oneshot::channel();
        let reading = held(
            &context,
            &id,
            Box::pin(async {
                reached.send(()).unwrap();
                std::future::pending::<()>().await;
            }),
        );
        tokio::select! {
            () = reading => panic!("it waits for ever"),
            told = wait => told.unwrap(),
        }
        let pins = repository.pins(&context.database, &id).await.unwrap();
        let until = repository.pin_record(&context.database, &id, &pins[0]).await.unwrap().until.unwrap();
        let left = until - now();
        assert!(pins.len() == 1 && left > TimeDelta::minutes(50) && left < TimeDelta::minutes(70), "{pins:?} {left}");
        let shown = crate::catalogue::show(&context, &id).await.unwrap();
        assert_eq!(shown.pins, pins);
        assert_eq!(crate::catalogue::show_at(&context, &id, until).await.unwrap().pins, [""; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_meanwhile_is_told_so() {
    each_store(async |store| {
        let (repository, id) = with_a_point(Arc::clone(&store)).await;
        let notes = Arc::new(Notes::default());
        let context = context(repository.clone(), &notes, READS_FOR);
        let archive = sample::objects(&id)[0].0.clone();
        let read = async || store.head(&archive).await.map(drop).map_err(Error::from);
        // Gone by itself it is missing; with its restore point it was dropped.
        store.delete(&archive).await.unwrap();
        let missing = or_dropped(&context, &id, read().await.unwrap_err()).await;
        assert!(matches!(missing, Error::Repository(_)), "{missing:?}");
        let failure = held(
            &context,
            &id,
            Box::pin(async {
                for name in repository.pins(&context.database, &id).await.unwrap() {
                    repository.unpin(&context.database, &id, &name).await.unwrap();
                }
                let withdrawn = repository.withdraw(&context.database, &id, &[]).await.unwrap();
                assert!(matches!(withdrawn, Withdrawal::Done { .. }), "{withdrawn:?}");
                read().await.unwrap_err()
            }),
        )
        .await;
        let dropped = or_dropped(&context, &id, failure).await;
        assert!(matches!(dropped, Error::Dropped { .. }) && dropped.kind() == ErrorKind::NotFound, "{dropped:?}");
        // Of what is not there nothing is pinned, nothing is told, and nothing is left.
        held(&context, &id, Box::pin(async {})).await;
        held_if_there(&context, &id, Box::pin(async {})).await;
        assert_eq!(repository.pins(&context.database, &id).await.unwrap(), [""; 0]);
        assert_eq!(*notes.0.lock().unwrap(), [""; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_while_a_prune_hides_the_restore_point_pins_it_as_soon_as_it_is_shown() {
    each_store(async |store| {
        let (repository, id) = with_a_point(Arc::clone(&store)).await;
        let notes = Arc::new(Notes::default());
        let context = context(repository.clone(), &notes, Duration::from_secs(60));
        let mark = format!("{}0.json", holdpoint_core::layout::withdrawn(&context.database, &id));
        store.put_new(&mark, "{}".into(), holdpoint_repository::PutOptions::default()).await.unwrap();
        held(
            &context,
            &id,
            Box::pin(tokio::time::timeout(Duration::from_secs(120), async {
                while notes.0.lock().unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                // The prune saw a pin.
                store.delete(&mark).await.unwrap();
                while repository.pins(&context.database, &id).await.unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })),
        )
        .await
        .unwrap();
        let notes = notes.0.lock().unwrap();
        assert!(notes.len() == 1 && notes[0].contains("a prune hides it"), "{notes:?}");
    })
    .await;
}

/// A reader beside a prune: what the reader is to do next, what became of the restore point, and what is left.
async fn beside_a_prune(order: &mut schedule::Order) -> (bool, Withdrawal, stepped::Memory) {
    let memory = stepped::Memory::default();
    with_a_point(Arc::new(memory.clone())).await;
    let id = sample::point(1);
    let reading = async |store: Arc<dyn ObjectStore>| {
        let context = context(Place::open(store).await.unwrap(), &Arc::default(), READS_FOR);
        let mut pin = ReadPin { context: &context, point: &id, name: None, told: false, hidden: 0 };
        let mut again = pin.renewed().await;
        for _ in 0..2 {
            if again.is_some() && pin.name.is_none() {
                again = pin.renewed().await;
            }
        }
        again.is_some()
    };
    let pruning = async |store: Arc<dyn ObjectStore>| {
        Place::open(store).await.unwrap().withdraw(&sample::shop(), &id, &[]).await.unwrap()
    };
    let ended = schedule::run(order, &memory, Box::new(reading), Box::new(pruning), None).await;
    (ended.first.unwrap(), ended.second.unwrap(), memory)
}

#[tokio::test]
async fn a_reader_that_crosses_a_prune_has_its_pin_in_the_end_or_nothing_to_read() {
    let (mut pinned, mut crossed, mut dropped) = (0, 0, 0);
    schedule::orders_interrupted(3, async |order| {
        let (again, withdrawal, memory) = beside_a_prune(order).await;
        let id = sample::point(1);
        let whole = memory.has(&holdpoint_core::layout::manifest(&sample::shop(), &id));
        let repository = Place::open(Arc::new(memory.clone())).await.unwrap();
        match withdrawal {
            Withdrawal::Pinned { .. } => {
                assert!(again && whole, "it gave up a restore point that is there: {memory:?}");
                let is_pinned = !repository.pins(&sample::shop(), &id).await.unwrap().is_empty();
                pinned += usize::from(is_pinned);
                crossed += usize::from(!is_pinned);
                // The next time that it tries it has one.
                let context = context(repository, &Arc::default(), READS_FOR);
                let mut pin = ReadPin { context: &context, point: &id, name: None, told: false, hidden: 0 };
                assert_eq!(pin.renewed().await, Some(READS_FOR / 2), "{memory:?}");
            }
            Withdrawal::Done { .. } => {
                assert!(!whole);
                dropped += 1;
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    assert!(pinned > 0 && crossed > 0 && dropped > 0, "{pinned} pinned, {crossed} crossed, {dropped} dropped");
}
