//! A restore point that was not published: what is stored of it is removed, unless it may be published yet.

use holdpoint_core::manifest::PointFormat;
use holdpoint_core::{DatabaseName, PointId, layout};
use holdpoint_repository::Error as Repository;

use crate::{Context, Error};

/// A restore point whose manifest is not known to be there.
#[derive(Clone, Copy)]
pub(super) struct Unpublished<'a> {
    pub(super) context: &'a Context,
    pub(super) format: PointFormat,
    pub(super) id: &'a PointId,
}

impl Unpublished<'_> {
    /// What is to be done after the store was asked to publish, and that failed. A request that was not answered may still
    /// be carried out, over whatever is there by then: everything stays. Published late the restore point is whole; never
    /// published it is swept like any other leftover.
    pub(super) async fn clean_unless_asked(self, failure: Repository) -> Error {
        let unanswered = failure.is_transient();
        let failure = Error::from(failure);
        match self.looked_for(failure).await {
            Ok(failure) if unanswered => {
                let remains = format!(
                    "whether restore point {} will still be published is not known, so its objects stay: holdpoint list \
                     shows it if so, else a later holdpoint prune removes them",
                    self.id
                );
                Error::LeftBehind { failure: Box::new(failure), remains }
            }
            Ok(failure) => self.removed(failure).await,
            Err(left) => left,
        }
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
    use holdpoint_repository::PutOptions;

    use super::*;
    use crate::sample_context::{self, sample};

    /// Stores what belongs to a restore point, and cleans up after a failure to publish; gives what is said of what is left.
    async fn cleaned(context: &Context, failure: Repository) -> Option<String> {
        let id = sample::point(1);
        for (key, text) in sample::objects(&id) {
            context.repository.store().put_new(&key, text.into(), PutOptions::default()).await.unwrap();
        }
        let unpublished = Unpublished { context, format: PointFormat::Archive, id: &id };
        match unpublished.clean_unless_asked(failure).await {
            Error::LeftBehind { remains, .. } => Some(remains),
            Error::Repository(_) => None,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_may_be_published_yet_keeps_its_objects() {
        let folder = tempfile::tempdir().unwrap();
        let context = sample_context::in_directory(folder.path()).await;
        let key = layout::manifest(&context.database, &sample::point(1));
        let unanswered = Repository::Timeout { action: "write", key, attempts: 5 };
        let left = cleaned(&context, unanswered).await.unwrap();
        assert!(left.contains("will still be published is not known"), "{left}");
        // The store carries it out after all: the restore point is whole.
        context.repository.publish(&sample::manifest(&sample::point(1)), None).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_refused_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let context = sample_context::in_directory(folder.path()).await;
        let key = layout::manifest(&context.database, &sample::point(1));
        let refused = Repository::AccessDenied { action: "write", key, code: "AccessDenied".to_owned() };
        assert_eq!(cleaned(&context, refused).await, None);
        assert_eq!(context.repository.store().list_children("shop/points/").await.unwrap(), [""; 0]);
    }
}
