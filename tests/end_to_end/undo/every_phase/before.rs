//! Guards that are ended before their command: while their restore point is made and proven, and the command is rehearsed.

use holdpoint_tests::contents;

use super::{ANEW, BEFORE_THE_COMMAND, Bench, By, FROM_THE_COMMAND_ON, LOADED_BY_SESSIONS};

/// From here on a restore point is there.
const PUBLISHED_AT: &str = "starting-scratch";
const PROOF: [&str; 6] =
    ["starting-scratch", "restoring", "restored", "comparing", "comparing-objects", "recording-verification"];

/// Guards are ended one by one, each where the one before was or later; then one comes to its end.
fn ended_at_every_phase_before_its_command(by: By) {
    let bench = Bench::that_adds();
    // Where no restore point is to be seen, nobody believes that one was being made.
    bench.project.scene.place.backup();
    let mut points = 1;
    let published = BEFORE_THE_COMMAND.iter().position(|one| *one == PUBLISHED_AT).unwrap();
    for (place, phase) in BEFORE_THE_COMMAND.iter().enumerate() {
        bench.ended_before_its_command(&ANEW, phase, by);
        points += usize::from(place >= published);
        bench.sweep(points, phase, by);
    }
    bench.passes(&ANEW, 0);
    assert_eq!(bench.project.stands(), ("succeeded".to_owned(), false));
    assert!(bench.project.has_added_table());
}

#[test]
fn killed_at_every_phase_before_its_command() {
    ended_at_every_phase_before_its_command(By::Kill);
}

#[test]
fn ended_by_ctrl_c_at_every_phase_before_its_command() {
    ended_at_every_phase_before_its_command(By::CtrlC);
}

/// A proof on a server that somebody gave leaves a database there when it is killed, which is named.
#[test]
fn ended_in_a_proof_on_a_server_that_is_given_or_by_several_sessions() {
    let bench = Bench::that_adds();
    let scratch = bench.project.scene.cluster.tcp_url("postgres");
    let given = [&ANEW[..], &["--scratch-url", &scratch]].concat();
    let databases = "SELECT count(*) FROM pg_database";
    let there = bench.project.scene.cluster.psql("postgres", databases);
    let mut points = 0;
    for phase in PROOF {
        for by in [By::Kill, By::CtrlC] {
            bench.ended_before_its_command(&given, phase, by);
            let left = bench.project.scene.cluster.psql("postgres", databases) != there;
            assert_eq!(left, by == By::Kill && phase != "starting-scratch", "{phase}, {by:?}");
            points += 1;
            bench.sweep(points, phase, by);
            assert_eq!(bench.project.scene.cluster.psql("postgres", databases), there, "{phase}, {by:?}");
        }
    }
    // So many objects are not restored by one client program.
    bench.project.scene.sql(
        "DO $$ BEGIN FOR n IN 1..2000 LOOP EXECUTE format('CREATE DOMAIN shop.d%s AS integer', n); END LOOP; END $$",
    );
    let before = contents(bench.project.scene.cluster, &bench.project.scene.database);
    let bench = Bench { before, ..bench };
    for phase in LOADED_BY_SESSIONS {
        for by in [By::Kill, By::CtrlC] {
            bench.ended_before_its_command(&given, phase, by);
            points += 1;
            bench.sweep(points, phase, by);
        }
    }
    let all = BEFORE_THE_COMMAND.iter().chain(&LOADED_BY_SESSIONS).chain(&FROM_THE_COMMAND_ON);
    assert_eq!(bench.passes(&given, 0), all.map(|one| (*one).to_owned()).collect());
}
