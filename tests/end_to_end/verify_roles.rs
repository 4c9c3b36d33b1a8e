//! The archive's roles on a scratch server that was given: there while somebody verifies, gone with the last one, whoever made
//! them and however it ended.

use std::time::{Duration, Instant};

use holdpoint_testkit::{Cluster, NEWEST};
use holdpoint_tests::{Outcome, Place, Running};

use crate::scene::{Scene, name};

/// A database whose objects belong to roles that another server does not have.
struct Owned {
    scene: Scene,
    scratch: Cluster,
    roles: [String; 2],
}

impl Owned {
    fn new() -> Self {
        Self::on(NEWEST)
    }

    fn on(major: u32) -> Self {
        let scene = Scene::on(Cluster::shared(major), Place::local());
        let roles = [name("scratch_owner"), name("scratch_group")];
        let [owner, group] = &roles;
        scene.sql(&format!(
            "CREATE ROLE {group}; CREATE ROLE {owner} IN ROLE {group}; GRANT SELECT ON shop.orders TO {group}; \
             ALTER TABLE shop.products OWNER TO {owner}"
        ));
        scene.place.backup();
        Self { scene, scratch: Cluster::new(major), roles }
    }

    fn words(&self, database: &str) -> [String; 6] {
        ["verify", "latest", "--level", "full", "--scratch-url", &self.scratch.url(database)].map(str::to_owned)
    }

    fn verify(&self, more: &[&str]) -> Outcome {
        self.scene.place.holdpoint(&[&self.words("postgres").each_ref().map(String::as_str)[..], more].concat())
    }

    fn paused(&self, database: &str, phase: &str) -> Running {
        let mut running = self.scene.place.start_paused(&self.words(database).each_ref().map(String::as_str), phase);
        running.wait_for_pause();
        running
    }

    /// Verifies, is killed at a phase, and leaves what it made; its sessions are gone.
    fn killed(&self, phase: &str) {
        let killed = self.paused("postgres", phase);
        killed.kill();
        killed.finish();
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'holdpoint%'";
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.on_scratch(sessions) != "0" {
            assert!(Instant::now() < deadline, "a session of the killed one is still there");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.there(), self.roles, "left by the killed one");
    }

    fn on_scratch(&self, sql: &str) -> String {
        self.scratch.psql("postgres", sql)
    }

    /// Drops what killed verifications left.
    fn drop_databases(&self) {
        for database in self.on_scratch("SELECT datname FROM pg_database WHERE datname ~ '^holdpoint_scratch_'").lines()
        {
            self.on_scratch(&format!("DROP DATABASE {database}"));
        }
    }

    /// Those of them that the scratch server has.
    fn there(&self) -> Vec<String> {
        let names = self.roles.each_ref().map(|role| format!("'{role}'")).join(", ");
        let sql = format!("SELECT rolname FROM pg_roles WHERE rolname IN ({names}) ORDER BY rolname DESC");
        self.on_scratch(&sql).lines().map(str::to_owned).collect()
    }

    /// Every role and database that the scratch server has, but those of every new one, with all that is known of them.
    fn state(&self) -> String {
        self.on_scratch(
            "SELECT r.rolname, rolcanlogin, rolcreaterole, rolconfig, \
               pg_catalog.shobj_description(r.oid, 'pg_authid'), \
               ARRAY(SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = roleid WHERE member = r.oid) \
             FROM pg_roles r WHERE rolname !~ '^pg_' AND rolname <> current_user ORDER BY 1; \
             SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1') ORDER BY 1",
        )
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // The server goes with the tests; a failing test's roles may stay there.
        if !std::thread::panicking() {
            let [owner, group] = &self.roles;
            self.scene.sql(&format!("DROP OWNED BY {owner}, {group} CASCADE; DROP ROLE {owner}, {group}"));
        }
    }
}

#[test]
fn they_stay_until_the_last_of_several_verifications_ends() {
    let owned = Owned::new();
    let first = owned.paused("postgres", "restoring");
    assert_eq!(owned.there(), owned.roles, "made by the first one");
    // Another way to the same server.
    let second = owned.paused("template1", "restoring");
    first.go_on();
    first.finish().ended_with(0);
    assert_eq!(owned.there(), owned.roles, "the second one has not begun to restore, and needs them");
    second.go_on();
    second.finish().ended_with(0);
    assert_eq!(owned.state(), "");
}

#[test]
fn those_that_were_there_before_are_left_as_they_are() {
    let owned = Owned::new();
    let [owner, group] = &owned.roles;
    owned.on_scratch(&format!(
        "CREATE ROLE bystander; CREATE ROLE {owner} LOGIN IN ROLE bystander; COMMENT ON ROLE {owner} IS 'of the shop'; \
         ALTER ROLE {owner} SET work_mem = '5MB'"
    ));
    let before = owned.state();
    owned.verify(&[]).ended_with(0);
    assert_eq!(owned.state(), before);
    owned.killed("restoring");
    owned.verify(&[]).ended_with(0);
    owned.drop_databases();
    assert_eq!(owned.state(), before, "{group} alone was made, and went");
}

#[test]
fn what_a_killed_verification_left_goes_with_a_next_one() {
    let owned = Owned::new();
    owned.killed("comparing");
    // Its database needs them.
    owned.verify(&[]).ended_with(0);
    assert_eq!(owned.there(), owned.roles);
    owned.drop_databases();
    owned.verify(&[]).ended_with(0);
    assert_eq!(owned.state(), "");
}

#[test]
fn what_somebody_uses_is_his_from_then_on() {
    let owned = Owned::new();
    let [owner, group] = &owned.roles;
    let uses = [
        (format!("ALTER ROLE {owner} LOGIN"), format!("ALTER ROLE {owner} NOLOGIN")),
        (format!("ALTER ROLE {owner} SET work_mem = '5MB'"), format!("ALTER ROLE {owner} RESET work_mem")),
        (format!("CREATE ROLE person IN ROLE {owner}"), "DROP ROLE person".to_owned()),
        (format!("CREATE TABLE kept (); ALTER TABLE kept OWNER TO {owner}"), "DROP TABLE kept".to_owned()),
    ];
    for (used, unused) in uses {
        owned.killed("restoring");
        owned.drop_databases();
        owned.on_scratch(&used);
        owned.verify(&[]).ended_with(0);
        let his = owned.state();
        assert_eq!(owned.there(), owned.roles, "{used}: with {group}, of which it is a member");
        // Also when he has no use for it any more, and a verification that needs it changes nothing about it.
        owned.on_scratch(&unused);
        let his_still = owned.state();
        owned.verify(&[]).ended_with(0);
        assert_eq!((owned.there(), owned.state()), (owned.roles.to_vec(), his_still), "{used}: {his}");
        owned.on_scratch(&format!("DROP ROLE {owner}, {group}"));
    }
    assert_eq!(owned.state(), "");
}

#[test]
fn a_role_that_is_no_superuser_takes_away_what_it_made() {
    for major in [15, NEWEST] {
        let owned = Owned::on(major);
        // Who may not own objects as others may verify the rows as they are stored.
        owned.on_scratch("CREATE ROLE weak LOGIN CREATEDB CREATEROLE");
        let before = owned.state();
        let weak = owned.scratch.url_as("weak", "postgres");
        let words = ["verify", "latest", "--level", "stored", "--scratch-url", &weak];
        let mut running = owned.scene.place.start_paused(&words, "restoring");
        running.wait_for_pause();
        assert_eq!(owned.there(), owned.roles);
        running.go_on();
        running.finish();
        assert_eq!(owned.state(), before, "{major}");
    }
}

#[test]
fn several_verifications_begin_and_end_at_once() {
    let owned = Owned::new();
    // The sample's owner is a superuser, for whom nobody else may act: that verification is refused, after it made its role.
    let as_owner: &[&str] = &["--as", "owner"];
    std::thread::scope(|scope| {
        for (more, code) in [(&[][..], 0), (as_owner, 5), (&[], 0), (as_owner, 5)] {
            let owned = &owned;
            scope.spawn(move || (0..2).for_each(|_| drop(owned.verify(more).ended_with(code))));
        }
    });
    assert_eq!(owned.state(), "");
}
