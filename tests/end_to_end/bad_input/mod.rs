//! The rows of the table "Bad input" in `docs/exit-codes.md`: each ends with its code, a clear error and a hint, and
//! leaves database and repository as they were.

mod configuration;
mod connection;
mod database;
mod pg_dump;
mod repository;
mod restore_point;
mod scratch;
mod store;
mod target;
mod volume;

use holdpoint_tests::Failure;

use crate::scene::Scene;

/// Runs a verb that must fail, and demands its exit code and that nothing was touched.
#[track_caller]
pub(crate) fn refused(scene: &Scene, arguments: &[&str], code: i32) -> Failure {
    let before = scene.before();
    let failure = failed(scene, arguments, code);
    scene.assert_untouched(&before);
    failure
}

/// Runs a verb that must fail, and demands its exit code.
#[track_caller]
pub(crate) fn failed(scene: &Scene, arguments: &[&str], code: i32) -> Failure {
    scene.place.holdpoint(&[arguments, &["--json"]].concat()).ended_with(code).failure()
}
