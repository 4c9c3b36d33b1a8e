//! The demonstration.

use crate::failure::Failure;
use crate::invocation::Invocation;

pub(crate) async fn run(_: &Invocation) -> Result<u8, Failure> {
    Err(Failure::Internal("the demonstration is not built yet".to_owned()))
}
