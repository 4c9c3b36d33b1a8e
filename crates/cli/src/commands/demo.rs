//! `holdpoint demo`.

use crate::demo;
use crate::failure::Failure;
use crate::invocation::Invocation;

pub(super) async fn run(invocation: &Invocation) -> Result<u8, Failure> {
    demo::run(invocation).await
}
