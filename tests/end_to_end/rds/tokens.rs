//! IAM authentication: the program's own connections and its children's, with tokens that a front verifies as RDS does.

use std::time::Duration;

use holdpoint_testkit::{
    ADMIN, Cluster, ClusterOptions, Identity, NEWEST, READ_ONLY, TokenFront, bin_directory, sample,
};
use holdpoint_tests::Place;

/// A shop behind a front that takes tokens of the last quarter of an hour.
struct Shop {
    cluster: Cluster,
    front: TokenFront,
    place: Place,
}

impl Shop {
    fn new() -> Self {
        let cluster = Cluster::start(ClusterOptions::major(NEWEST));
        sample::load_shop(&cluster, "shop", 400);
        cluster.psql("postgres", "CREATE DATABASE copy; CREATE ROLE plain LOGIN");
        let front = TokenFront::start(&cluster, ADMIN, &["postgres"], Duration::from_secs(900));
        let mut place = Place::local();
        place.write_config(&format!(
            "[database.shop]\nurl = \"env:DATABASE_URL\"\niam_auth = true\n[database.copy]\nurl = \"env:COPY_URL\"\n\
             iam_auth = true\n[rds]\nregion = \"us-east-1\"\ndatabase_ca_bundle = \"{}\"\n",
            front.ca_bundle().display()
        ));
        place.set("HOLDPOINT_DATABASE", "shop").set("DATABASE_URL", &front.url("postgres", "shop"));
        place.set("COPY_URL", &front.url("postgres", "copy"));
        place.set("AWS_EC2_METADATA_DISABLED", "true");
        let mut shop = Self { cluster, front, place };
        shop.keys(&ADMIN);
        shop
    }

    fn keys(&mut self, identity: &Identity) {
        self.place.set("AWS_ACCESS_KEY_ID", identity.access_key).set("AWS_SECRET_ACCESS_KEY", identity.secret_key);
    }
}

#[test]
fn a_database_that_takes_tokens_only_is_backed_up_verified_and_restored() {
    let shop = Shop::new();
    shop.place.backup();
    shop.place.prove();
    let into = shop.place.holdpoint(&["restore", "--from", "latest", "--into", "copy", "--json"]).ended_with(0);
    let count = "SELECT count(*) FROM shop.orders";
    assert_eq!(shop.cluster.psql("copy", count), shop.cluster.psql("shop", count));
    assert!(shop.front.refused().is_empty(), "{:?}", shop.front.refused());
    let tokens = shop.front.accepted();
    let dumped = tokens.iter().filter(|token| token.contains("DBUser=postgres")).count();
    assert!(dumped == tokens.len() && dumped > 4, "sessions and programs: {dumped}");
    let told = format!("{}{}", into.stdout, into.stderr);
    let kept = shop.place.tree();
    assert!(!told.contains("X-Amz-Signature") && !format!("{kept:?}").contains("X-Amz-Signature"));
    // The variable beats the section.
    let mut place = shop.place;
    place.set("HOLDPOINT_IAM_AUTH", "0");
    let failure = place.holdpoint(&["backup", "--json"]).ended_with(7).failure();
    failure.says(&["password"]).hints(&["PGPASSWORD"]);
}

#[test]
fn tokens_that_are_refused_not_made_or_not_safe_are_told_with_what_to_do() {
    let mut shop = Shop::new();
    let backup = |shop: &Shop, code| shop.place.holdpoint(&["backup", "--json"]).ended_with(code).failure();
    shop.keys(&READ_ONLY);
    let failure = backup(&shop, 7).says(&["refuses the IAM token of", "PAM authentication failed"]);
    failure.hints(&["GRANT rds_iam TO", "rds-db:connect", "dbuser:RESOURCE-ID/postgres"]);
    shop.place.unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY");
    backup(&shop, 7).says(&["no IAM token for", "credentials"]).hints(&["aws sts get-caller-identity"]);
    shop.keys(&ADMIN);
    shop.place.set("DATABASE_URL", &shop.front.url("plain", "shop"));
    backup(&shop, 7).says(&["refuses the IAM token of", "plain"]).hints(&["GRANT rds_iam TO \"plain\""]);
    let weak = format!("{}?sslmode=prefer", shop.front.url("postgres", "shop"));
    shop.place.set("DATABASE_URL", &weak);
    backup(&shop, 2)
        .says(&["database.shop.url", "prefer is too weak for IAM"])
        .hints(&["sslmode=verify-full", "iam_auth"]);
    shop.place.set("DATABASE_URL", &shop.cluster.url("shop"));
    backup(&shop, 2).says(&["socket", "IAM"]).hints(&["HOLDPOINT_IAM_AUTH"]);
    // Three were refused by name, and none was let in.
    let refused = shop.front.refused();
    assert!(refused[0].starts_with("signed by rokey/") && refused.len() == 2, "{refused:?}");
    assert!(shop.front.accepted().is_empty() && shop.place.points().is_empty());
}

/// The command itself connects by its own means: it gets no token.
#[test]
fn a_guarded_run_of_a_database_that_takes_tokens_only_is_proven_and_undone() {
    let mut shop = Shop::new();
    shop.cluster
        .psql("shop", "CREATE TABLE extra (n int PRIMARY KEY); INSERT INTO extra SELECT generate_series(1, 50)");
    shop.place.set("PATH", &format!("{}:/usr/bin:/bin", bin_directory(NEWEST).display()));
    shop.place.set("COMMANDS_URL", &shop.cluster.url("shop"));
    std::fs::create_dir(shop.place.work().join("sql")).unwrap();
    std::fs::write(shop.place.work().join("sql/0001_drops.sql"), "DROP TABLE extra;\n").unwrap();
    let project = ["--tool", "plain-sql", "--migrations", "sql", "--json", "--yes"];
    let command = ["--", "sh", "-c", "psql -X -q -v ON_ERROR_STOP=1 \"$COMMANDS_URL\" -f sql/0001_drops.sql"];
    let guard = [&["guard", "--level", "stored", "--applied-through", "none"][..], &project, &command].concat();
    let run = shop.place.holdpoint(&guard).ended_with(0);
    let report = run.json();
    assert_eq!((&report["state"], &report["database"]), (&"succeeded".into(), &"changed".into()), "{report:#}");
    let there = "SELECT count(*) FROM pg_tables WHERE tablename = 'extra'";
    assert_eq!(shop.cluster.psql("shop", there), "0");
    let of_run = shop.front.accepted().len();

    let ways = report["ways_back"].as_array().unwrap();
    let by_restore = ways.iter().find(|one| one["way"] == "restore").unwrap()["command"].as_str().unwrap();
    let since = by_restore.rsplit(' ').next().unwrap();
    let undo = [&["undo", "latest", "--way", "restore", "--accept-data-loss-since", since][..], &project].concat();
    let undone = shop.place.holdpoint(&undo).ended_with(0);
    assert_eq!(undone.json()["state"], "undone");
    assert_eq!(shop.cluster.psql("shop", "SELECT count(*) FROM extra"), "50");
    assert!(shop.front.refused().is_empty(), "{:?}", shop.front.refused());
    assert!(of_run > 4 && shop.front.accepted().len() > of_run + 4, "each session and program has one");
    let told = [run.stdout, run.stderr, undone.stdout, undone.stderr].concat();
    let kept = format!("{:?}", shop.place.tree());
    assert!(!told.contains("X-Amz-Signature") && !kept.contains("X-Amz-Signature"));
}
