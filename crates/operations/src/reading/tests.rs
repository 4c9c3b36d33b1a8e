use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use holdpoint_core::progress::{Phase, Progress};
use holdpoint_repository::{CredentialSource, LocalDirectory, ObjectStore, PutOptions, S3Options, S3Store, Timing};
use holdpoint_repository::{Repository as Place, Withdrawal};
use holdpoint_testkit::{ADMIN, S3Server};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{ErrorKind, sample_points as sample};

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

#[expect(clippy::disallowed_methods, reason = "a test has this machine's time")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn context(repository: Place, notes: &Arc<Notes>, reads_for: Duration) -> Context {
    Context {
        database: sample::shop(),
        repository: Arc::new(repository),
        progress: Arc::clone(notes) as Arc<dyn Progress>,
        cancel: CancellationToken::new(),
        clock: Arc::new(now),
        seed: 7,
        reads_for,
    }
}

async fn with_a_point(store: Arc<dyn ObjectStore>) -> (Place, PointId) {
    let repository = Place::init(Arc::clone(&store), now()).await.unwrap().0;
    let id = sample::point(1);
    for (key, text) in sample::objects(&id) {
        store.put_new(&key, text.into(), PutOptions::default()).await.unwrap();
    }
    repository.publish(&sample::manifest(&id), None).await.unwrap();
    (repository, id)
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
        let later = Context { clock: Arc::new(move || until), ..context.clone() };
        assert_eq!(crate::catalogue::show(&later, &id).await.unwrap().pins, [""; 0]);
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
