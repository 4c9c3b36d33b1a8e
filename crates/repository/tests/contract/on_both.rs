//! Tests that hold on a directory and on the S3 engine.

/// Makes a test of each function for each adapter; it gets the store.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_a_directory {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let store = holdpoint_repository::LocalDirectory::new(directory.path()).unwrap();
                super::$name(std::sync::Arc::new(store)).await;
            })*
        }
        mod on_s3 {
            $(#[tokio::test]
            async fn $name() {
                let held = crate::engine::direct(|_| {}).await;
                super::$name(std::sync::Arc::new(held.store.clone())).await;
            })*
        }
    };
}

pub(crate) use on_both;
