//! Two backups, two prunes and a check at once, some of them killed with SIGKILL, on both adapters: nothing published is
//! lost, nothing that is listed is half there, and what is left behind is found and swept. Many more rounds of the same with
//! processes that know the repository alone are in `crates/repository/tests/rounds`.

use std::collections::BTreeMap;
use std::time::Duration;

use holdpoint_tests::{Outcome, Place, Running};
use serde_json::Value;

use crate::scene::Scene;

/// A part of the database counts for itself alone: the newest one lets the others go without a proof.
const BACKUP: [&str; 4] = ["backup", "--json", "--schema", "public"];
const PRUNE: [&str; 7] = ["prune", "--json", "--keep-last", "1", "--minimum-age", "0", "--offline"];
const CHECK: [&str; 5] = ["check", "--json", "--read-data", "--min-age", "0"];
/// Where a backup may be killed.
const OF_BACKUP: [&str; 6] = [
    "snapshot-exported",
    "reading-contents",
    "copying-data",
    "completing-upload",
    "storing-index",
    "publishing-manifest",
];
const OF_PRUNE: [&str; 1] = ["pruning"];
const OF_CHECK: [&str; 1] = ["checking-objects"];

/// How many rounds there are on each adapter, and the first one's seed.
const ROUNDS: &str = "HOLDPOINT_TEST_ROUNDS";
const SEED: &str = "HOLDPOINT_TEST_SEED";
/// A hundred take a quarter of an hour.
const USUAL: u64 = 2;
/// In every so many rounds there is a new whole restore point, proven, because of which the one before goes.
const WHOLE_EVERY: u64 = 5;

/// Numbers that follow from a seed alone.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What is to become of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lives,
    /// Killed at a named phase; with a time, so long after it went on from there.
    Killed(&'static str, Option<Duration>),
}

impl Fate {
    fn of(dice: &mut Dice, phases: &[&'static str]) -> Self {
        let phase = phases[usize::try_from(dice.below(phases.len() as u64)).unwrap()];
        match dice.below(4) {
            0 | 1 => Self::Lives,
            2 => Self::Killed(phase, None),
            _ => Self::Killed(phase, Some(Duration::from_millis(dice.below(120)))),
        }
    }
}

/// A restore point that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    at: String,
    partial: bool,
}

/// What happened in all rounds.
#[derive(Debug, Default)]
struct Sums {
    killed: BTreeMap<String, usize>,
    published: usize,
    dropped: usize,
    swept: usize,
}

struct Rounds<'a> {
    scene: &'a Scene,
    place: &'a Place,
    /// Every restore point of which anybody knows, by its id.
    known: BTreeMap<String, Known>,
    pinned: String,
    sums: Sums,
}

impl<'a> Rounds<'a> {
    fn new(scene: &'a Scene) -> Self {
        let place = &scene.place;
        let pinned = place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
        place.holdpoint(&["pin", &pinned, "--reason", "the audit"]).ended_with(0);
        let mut rounds = Self { scene, place, known: BTreeMap::new(), pinned, sums: Sums::default() };
        rounds.listed();
        rounds
    }

    /// What is listed now; all of it is known from then on.
    fn listed(&mut self) -> Vec<String> {
        let report = self.place.holdpoint(&["list", "--json"]).ended_with(0).json();
        assert_eq!(report["unreadable"], serde_json::json!([]), "{report:#}");
        let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        let points = report["points"].as_array().unwrap();
        for one in points {
            let known = Known { at: word(one, "snapshot_at"), partial: one["partial"] == true };
            if self.known.insert(word(one, "id"), known).is_none() {
                self.sums.published += 1;
            }
        }
        points.iter().map(|one| word(one, "id")).collect()
    }

    fn run(&mut self, n: u64, seed: u64) {
        let place = self.place;
        if n.is_multiple_of(WHOLE_EVERY) {
            place.backup();
            self.scene.prove_stored("latest");
        }
        for one in [place.start(&BACKUP), place.start(&BACKUP)] {
            one.finish().ended_with(0);
        }
        let before = self.listed();

        let mut dice = Dice(seed);
        let work: [(&[&str], &[&'static str]); 5] = [
            (&BACKUP, &OF_BACKUP),
            (&BACKUP, &OF_BACKUP),
            (&PRUNE, &OF_PRUNE),
            (&PRUNE, &OF_PRUNE),
            (&CHECK, &OF_CHECK),
        ];
        let fates = work.map(|(words, phases)| (words, Fate::of(&mut dice, phases)));
        let mut running: Vec<(&[&str], Fate, Running)> =
            fates.map(|(words, fate)| (words, fate, start(place, words, fate))).into();
        for (_, fate, one) in &mut running {
            if matches!(fate, Fate::Killed(..)) && !one.comes_to_pause() {
                *fate = Fate::Lives;
            }
        }
        let mut ended: Vec<(&[&str], Fate, Outcome)> = Vec::new();
        for (words, fate, one) in running {
            if let Fate::Killed(phase, after) = fate {
                if let Some(after) = after {
                    one.go_on();
                    std::thread::sleep(after);
                }
                one.kill();
                let how = if after.is_some() { "after" } else { "at" };
                *self.sums.killed.entry(format!("{} {how} {phase}", words[0])).or_default() += 1;
            }
            ended.push((words, fate, one.finish()));
        }
        self.look(seed, &before, &ended);
        self.sweep(seed);
    }

    /// Looks at who lived, and at what is listed afterwards.
    fn look(&mut self, seed: u64, before: &[String], ended: &[(&[&str], Fate, Outcome)]) {
        let mut told = Vec::new();
        for (words, _, outcome) in ended.iter().filter(|(_, fate, _)| *fate == Fate::Lives) {
            let report = outcome.json();
            match words[0] {
                // What goes while a check looks is no finding; what the killed ones left may be one.
                "check" => assert!(matches!(outcome.code, 0 | 15), "seed {seed}: {outcome:?}"),
                _ => assert_eq!(outcome.code, 0, "seed {seed}: {words:?} {outcome:?}"),
            }
            if words[0] == "backup" {
                let manifest = &report["manifest"];
                let known = Known { at: manifest["snapshot"]["at"].as_str().unwrap().to_owned(), partial: true };
                told.push(manifest["id"].as_str().unwrap().to_owned());
                if self.known.insert(told[told.len() - 1].clone(), known).is_none() {
                    self.sums.published += 1;
                }
            }
        }
        let listed = self.listed();
        assert!(listed.contains(&self.pinned), "seed {seed}: the pinned one is gone");
        // What is gone was dropped for the sake of a newer one of its kind, which is there.
        for id in before.iter().chain(&told).filter(|id| !listed.contains(id)) {
            let gone = &self.known[id];
            let newer = |one: &&String| {
                let one = &self.known[*one];
                one.partial == gone.partial && one.at > gone.at
            };
            assert!(listed.iter().any(|one| newer(&one)), "seed {seed}: {id} is lost: {gone:?}, listed {listed:?}");
            self.sums.dropped += 1;
        }
    }

    /// The next prune goes on with what was begun, and nothing is left but whole restore points.
    fn sweep(&mut self, seed: u64) {
        let place = self.place;
        let report = place.holdpoint(&PRUNE).ended_with(0).json();
        self.sums.dropped += report["dropped"].as_array().map_or(0, Vec::len);
        // The store's clock tells seconds: what was left a moment ago is from the past in a while.
        for _ in 0..200 {
            let repaired = place.holdpoint(&["check", "--json", "--repair", "--min-age", "0"]).json();
            self.sums.swept += repaired["repaired"].as_array().map_or(0, Vec::len);
            let report = place.holdpoint(&CHECK).json();
            let kinds: Vec<&str> =
                report["findings"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
            // A folder for all tests is open to others.
            let bad = kinds.iter().find(|kind| !["leftover", "permissions"].contains(kind));
            assert!(bad.is_none() && !report.to_string().contains("is hidden"), "seed {seed}: {report:#}");
            if !kinds.contains(&"leftover") && self.nothing_is_left() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("seed {seed}: what was left is not swept: {:#?}", place.tree().objects.keys());
    }

    /// Whether everything that lies there belongs to a listed restore point.
    fn nothing_is_left(&mut self) -> bool {
        let listed = self.listed();
        let belongs = |key: &String| {
            let point = key.split_once("/restore-points/").map(|(_, rest)| rest.split('/').next().unwrap());
            point.is_none_or(|point| listed.iter().any(|one| one == point)) && !key.contains("/withdrawn/")
        };
        self.place.unfinished_uploads().is_empty() && self.place.tree().objects.keys().all(belongs)
    }
}

fn start(place: &Place, words: &[&str], fate: Fate) -> Running {
    match fate {
        Fate::Lives => place.start(words),
        Fate::Killed(phase, _) => place.start_paused(words, phase),
    }
}

#[expect(clippy::disallowed_methods, reason = "a person says how many rounds there are")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[expect(clippy::print_stdout, reason = "seeds, by which a round can be run again")]
fn rounds(name: &str, scene: &Scene) {
    let count = number(ROUNDS).unwrap_or(USUAL);
    let first = number(SEED).unwrap_or_else(|| u64::from(std::process::id()) << 8);
    let mut rounds = Rounds::new(scene);
    for n in 0..count {
        println!("{name}: {SEED}={}", first + n);
        rounds.run(n, first + n);
    }
    println!("{name}: {count} rounds, {:?}", rounds.sums);
    assert!(rounds.sums.published > 2 && rounds.sums.dropped > 0, "{:?}", rounds.sums);
}

#[test]
fn in_a_directory_nothing_published_is_lost() {
    rounds("directory", &Scene::local());
}

#[test]
fn in_a_bucket_nothing_published_is_lost() {
    rounds("bucket", &Scene::on_s3());
}
