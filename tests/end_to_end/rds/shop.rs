//! A shop on an instance of Amazon RDS, and a place from which it is reached.

use std::io::{Seek as _, SeekFrom, Write as _};

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

/// Overwrites the head of the first block of a file on an instance, before anybody has read it there.
pub(crate) fn damage(server: &RdsServer, identifier: &str, path: &str) {
    let (_, data, _) = server.server(identifier);
    let mut file = std::fs::OpenOptions::new().write(true).open(data.join(path)).unwrap();
    file.seek(SeekFrom::Start(8)).unwrap();
    file.write_all(&[0xA5; 64]).unwrap();
    file.sync_all().unwrap();
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
