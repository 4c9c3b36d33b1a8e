//! The archive's roles on a scratch server that was given: there while somebody verifies, gone with the last one, whoever made
//! them and however it ended.

use holdpoint_testkit::{Cluster, NEWEST};

use crate::scene::{Scene, name};

/// A database whose objects belong to roles that another server does not have.
struct Owned {
    scene: Scene,
    scratch: Cluster,
    roles: [String; 2],
}

impl Owned {
    fn new() -> Self {
        let (scene, roles) = (Scene::local(), [name("scratch_owner"), name("scratch_group")]);
        let [owner, group] = &roles;
        scene.sql(&format!(
            "CREATE ROLE {group}; CREATE ROLE {owner} IN ROLE {group}; GRANT SELECT ON shop.orders TO {group}; \
             ALTER TABLE shop.products OWNER TO {owner}"
        ));
        scene.place.backup();
        Self { scene, scratch: Cluster::new(NEWEST), roles }
    }

    fn words(&self) -> [String; 6] {
        ["verify", "latest", "--level", "full", "--scratch-url", &self.scratch.url("postgres")].map(str::to_owned)
    }

    fn paused(&self, phase: &str) -> holdpoint_tests::Running {
        let mut running = self.scene.place.start_paused(&self.words().each_ref().map(String::as_str), phase);
        running.wait_for_pause();
        running
    }

    /// Those of them that the scratch server has.
    fn there(&self) -> Vec<String> {
        let names = self.roles.each_ref().map(|role| format!("'{role}'")).join(", ");
        let sql = format!("SELECT rolname FROM pg_roles WHERE rolname IN ({names}) ORDER BY rolname DESC");
        self.scratch.psql("postgres", &sql).lines().map(str::to_owned).collect()
    }

    /// Every role that the scratch server did not have, and every database.
    fn made(&self) -> String {
        self.scratch.psql(
            "postgres",
            "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> current_user \
             UNION ALL SELECT datname FROM pg_database WHERE datname LIKE 'holdpoint%'",
        )
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let [owner, group] = &self.roles;
        self.scene.sql(&format!("DROP OWNED BY {owner}, {group} CASCADE; DROP ROLE {owner}, {group}"));
    }
}

#[test]
fn they_stay_until_the_last_of_several_verifications_ends() {
    let owned = Owned::new();
    let first = owned.paused("restoring");
    assert_eq!(owned.there(), owned.roles, "made by the first one");
    let second = owned.paused("restoring");
    // The first one made them, and ends while the second one has not begun to restore.
    first.go_on();
    first.finish().ended_with(0);
    assert_eq!(owned.there(), owned.roles, "the second one needs them");
    second.go_on();
    second.finish().ended_with(0);
    assert_eq!(owned.made(), "");
}

#[test]
fn what_a_killed_verification_left_goes_with_the_next_one() {
    let owned = Owned::new();
    let killed = owned.paused("restoring");
    killed.kill();
    killed.finish();
    assert_eq!(owned.there(), owned.roles);
    // One that somebody found another use for stays, as it is his now.
    let [owner, group] = &owned.roles;
    owned.scratch.psql("postgres", &format!("CREATE TABLE kept (); ALTER TABLE kept OWNER TO {owner}"));
    let words = owned.words();
    owned.scene.place.holdpoint(&words.each_ref().map(String::as_str)).ended_with(0);
    assert_eq!(owned.there(), *std::slice::from_ref(owner), "{group} went");
    owned.scratch.psql("postgres", "DROP TABLE kept");
    owned.scene.place.holdpoint(&words.each_ref().map(String::as_str)).ended_with(0);
    assert_eq!(owned.there(), [""; 0]);
}

#[test]
fn several_verifications_begin_and_end_at_once() {
    let owned = Owned::new();
    let admin = name("scratch_admin");
    owned.scratch.psql("postgres", &format!("CREATE ROLE {admin} SUPERUSER LOGIN"));
    let verify = |more: &[&str], code: i32| {
        let words = owned.words();
        owned.scene.place.holdpoint(&[&words.each_ref().map(String::as_str)[..], more].concat()).ended_with(code);
    };
    // The sample's owner is a superuser, for whom nobody else may act: that verification is refused, after it made its role.
    let as_owner: &[&str] = &["--as", "owner"];
    std::thread::scope(|scope| {
        for (more, code) in [(&[][..], 0), (as_owner, 5), (&[], 0), (as_owner, 5)] {
            let verify = &verify;
            scope.spawn(move || (0..2).for_each(|_| verify(more, code)));
        }
    });
    assert_eq!(owned.there(), [""; 0]);
    assert_eq!(owned.made(), admin, "nothing but what was there before");
}
