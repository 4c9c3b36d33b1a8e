//! A restore point that was not published: what is stored of it is removed, unless it may be published yet.

use holdpoint_core::manifest::PointFormat;
use holdpoint_core::{DatabaseName, PointId, layout};
use holdpoint_repository::{Error as Repository, ManifestWrite, NotPublished};

use crate::{Context, Error};

/// A restore point whose manifest is not known to be there.
#[derive(Clone, Copy)]
pub(super) struct Unpublished<'a> {
    pub(super) context: &'a Context,
    pub(super) format: PointFormat,
    pub(super) id: &'a PointId,
}

impl Unpublished<'_> {
    /// What is to be done after publishing failed, by what is known of the manifest. A request that was not answered may
    /// still be carried out, over whatever is there by then: everything stays. Published late the restore point is whole;
    /// never published it is swept like any other leftover.
    pub(super) async fn clean_unless_asked(self, failure: NotPublished) -> Error {
        let NotPublished { error, manifest } = failure;
        let (id, failure) = (self.id, Error::from(error));
        let remains = match manifest {
            ManifestWrite::NeverAsked => return self.removed(failure).await,
            ManifestWrite::Refused => return self.clean(failure).await,
            ManifestWrite::Written => format!(
                "restore point {id} is published, and nobody knows whether all of it is there: holdpoint verify {id}"
            ),
            ManifestWrite::Unanswered => match self.looked_for(failure).await {
                Ok(failure) => {
                    let remains = format!(
                        "whether restore point {id} will still be published is not known, so its objects stay: holdpoint \
                         list shows it if so, else a later holdpoint prune removes them"
                    );
                    return Error::LeftBehind { failure: Box::new(failure), remains };
                }
                Err(left) => return left,
            },
        };
        Error::LeftBehind { failure: Box::new(failure), remains }
    }

    /// Removes the objects of a restore point that nobody asked the store to publish, and says what could not be removed.
    ///
    /// Where the manifest is there all the same, or nobody can tell, everything stays.
    pub(super) async fn clean(self, failure: Error) -> Error {
        match self.looked_for(failure).await {
            Ok(failure) => self.removed(failure).await,
            Err(left) => left,
        }
    }

    /// The failure where the manifest is not there; else what is left behind it.
    async fn looked_for(self, failure: Error) -> Result<Error, Error> {
        let id = self.id;
        let remains = match self.context.repository.store().head(&layout::manifest(&self.context.database, id)).await {
            Err(Repository::NotFound { .. }) => return Ok(failure),
            Ok(_) => format!("restore point {id} was published all the same: holdpoint verify {id}"),
            Err(_) => format!("whether restore point {id} was published is not known: holdpoint list"),
        };
        Err(Error::LeftBehind { failure: Box::new(failure), remains })
    }

    async fn removed(self, failure: Error) -> Error {
        let (database, id) = (&self.context.database, self.id);
        let keys = [
            data_key(self.format, database, id),
            layout::contents(database, id),
            layout::index(database, id),
            layout::globals(database, id),
        ];
        let removed = self.context.repository.store().delete_many(&keys).await;
        let remains: Vec<String> = removed.into_iter().filter_map(|(key, gone)| gone.err().map(|_| key)).collect();
        if remains.is_empty() {
            return failure;
        }
        let remains = format!("these objects could not be removed: {}", remains.join(", "));
        Error::LeftBehind { failure: Box::new(failure), remains }
    }
}

/// Key of the object that holds the data.
pub(super) fn data_key(format: PointFormat, database: &DatabaseName, id: &PointId) -> String {
    match format {
        PointFormat::Archive => layout::archive(database, id),
        PointFormat::Plain => layout::plain(database, id),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use holdpoint_repository::PutOptions;
    use holdpoint_testkit::{Fault, SeenRequest};

    use super::*;
    use crate::sample_context::{self, sample};

    /// Stores what belongs to a restore point.
    async fn store(context: &Context) {
        for (key, text) in sample::objects(&sample::point(1)) {
            context.repository.store().put_new(&key, text.into(), PutOptions::default()).await.unwrap();
        }
    }

    /// Cleans up after a failure to publish; gives what is said of what is left.
    async fn cleaned(context: &Context, error: Repository, manifest: ManifestWrite) -> Option<String> {
        store(context).await;
        left(context, NotPublished { error, manifest }).await
    }

    async fn left(context: &Context, failure: NotPublished) -> Option<String> {
        let unpublished = Unpublished { context, format: PointFormat::Archive, id: &sample::point(1) };
        match unpublished.clean_unless_asked(failure).await {
            Error::LeftBehind { remains, .. } => Some(remains),
            Error::Repository(_) => None,
            other => panic!("{other:?}"),
        }
    }

    fn timeout() -> Repository {
        Repository::Timeout { action: "write", key: "k".to_owned(), attempts: 5 }
    }

    async fn is_empty(context: &Context) -> bool {
        // Some stores go on naming folders for a while: it is asked for objects.
        let pages: Vec<_> = context.repository.store().list("shop/restore-points/").try_collect().await.unwrap();
        pages.into_iter().flatten().next().is_none()
    }

    #[tokio::test]
    async fn what_may_be_published_yet_keeps_its_objects() {
        let folder = tempfile::tempdir().unwrap();
        let context = sample_context::in_directory(folder.path()).await;
        let left = cleaned(&context, timeout(), ManifestWrite::Unanswered).await.unwrap();
        assert!(left.contains("will still be published is not known"), "{left}");
        // The store carries it out after all: the restore point is whole.
        context.repository.publish(&sample::manifest(&sample::point(1)), None).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_refused_or_never_asked_for_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let context = sample_context::in_directory(folder.path()).await;
        let denied = || Repository::AccessDenied { action: "write", key: "k".to_owned(), code: "x".to_owned() };
        for (error, manifest) in [(denied(), ManifestWrite::Refused), (timeout(), ManifestWrite::NeverAsked)] {
            assert_eq!(cleaned(&context, error, manifest).await, None);
            assert!(is_empty(&context).await, "{manifest:?}");
        }
    }

    /// The first look before the manifest is not answered; later the last one after it.
    #[tokio::test]
    async fn a_store_that_does_not_answer_a_look_leaves_nothing_or_a_restore_point() {
        let (context, proxy) = sample_context::behind_a_proxy().await;
        let archive = |request: &SeenRequest| request.operation() == "HeadObject" && request.target.contains("archive");
        let fails =
            || (0..sample_context::ATTEMPTS).for_each(|_| proxy.push_when(archive, Fault::s3_error(503, "SlowDown")));
        let manifest = sample::manifest(&sample::point(1));
        store(&context).await;
        fails();
        let failure = context.repository.publish(&manifest, None).await.unwrap_err();
        assert_eq!((failure.manifest, proxy.pending()), (ManifestWrite::NeverAsked, 0), "{failure}");
        assert_eq!(left(&context, failure).await, None);
        assert!(is_empty(&context).await);
        store(&context).await;
        let ready = context.repository.ready(&manifest).await.unwrap();
        fails();
        let failure = ready.publish(None).await.unwrap_err();
        assert_eq!((failure.manifest, proxy.pending()), (ManifestWrite::Written, 0), "{failure}");
        let said = left(&context, failure).await.unwrap();
        assert!(said.contains("is published") && said.contains("holdpoint verify"), "{said}");
        assert_eq!(context.repository.points(&context.database).await.unwrap(), [sample::point(1)]);
    }
}
