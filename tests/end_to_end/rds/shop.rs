//! A shop on an instance of Amazon RDS, and a place from which it is reached.

use holdpoint_testkit::{ADMIN, RdsInstance, RdsServer, bin_directory};
use holdpoint_tests::{Outcome, Place};

/// Starts a server with an instance of this major, in whose database `shop` the SQL was run.
pub(crate) fn shop_on(instance: &RdsInstance, major: u32, sql: &str) -> (RdsServer, Place) {
    let server = RdsServer::start();
    server.create(instance);
    server.psql("shop", sql);
    let mut place = Place::local();
    uses(&mut place, &server);
    place.set("PATH", &format!("{}:/usr/bin:/bin", bin_directory(major).display()));
    place.set("HOLDPOINT_DATABASE", "shop").set("DATABASE_URL", &server.url("shop", "shop"));
    (server, place)
}

/// Lets a place use the endpoint with its administrator's keys.
pub(crate) fn uses(place: &mut Place, server: &RdsServer) {
    for (name, value) in server.environment(&ADMIN) {
        place.set(name, &value);
    }
}

/// Runs a verb of `rds` that asks often.
pub(crate) fn rds(place: &Place, words: &[&str]) -> Outcome {
    place.holdpoint(&[&["rds"], words, &["--poll", "20ms", "--json"]].concat())
}

/// A configuration in which the database has its instance, and more below it.
pub(crate) fn config(more: &str) -> String {
    format!(
        "[database.shop]\nurl = \"env:DATABASE_URL\"\nrds_instance = \"shop\"\n[rds]\npoll = \"20ms\"\n\
         wait_for = \"2m\"\n{more}"
    )
}
