//! How often a request was tried, which the SDK does not tell with its failure.

use std::cell::Cell;
use std::future::Future;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};

use crate::error::BoxError;

tokio::task_local! {
    static ATTEMPTS: Cell<u32>;
}

/// Sends a request and counts its attempts.
pub(super) async fn counted<F: Future>(request: F) -> (F::Output, u32) {
    ATTEMPTS.scope(Cell::new(0), async { (request.await, ATTEMPTS.with(Cell::get)) }).await
}

/// Counts the attempts of the request that is under way in this task.
#[derive(Debug)]
pub(super) struct CountAttempts;

impl Intercept for CountAttempts {
    fn name(&self) -> &'static str {
        "count attempts"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if ATTEMPTS.try_with(|attempts| attempts.set(attempts.get() + 1)).is_err() {
            // Outside of `counted` nobody asks.
        }
        Ok(())
    }
}
