//! Where a run came from: the commit, the person, the machine and the job's page, in the ledger and as it is shown.

use holdpoint_tests::{Outcome, shell};
use serde_json::{Value, json};

use super::Bench;

/// As git makes them, whatever its user has set.
const REPOSITORY: &str = "git -c init.defaultBranch=main init -q && git -c user.name=a -c user.email=a@b.example \
                          -c commit.gpgsign=false commit -q --allow-empty -m first && git rev-parse HEAD";

fn in_work(bench: &Bench, script: &str) -> Outcome {
    shell(&bench.scene.place.work(), &bench.scene.place.environment(), script).ended_with(0)
}

/// Guards a command, and returns what `show run:ID` says: the origin of every step, and the text for people.
fn shown(bench: &Bench) -> (Value, String) {
    let report = bench.guard(&[], &["true"], 0);
    let run = format!("run:{}", report["run"].as_str().unwrap());
    let place = &bench.scene.place;
    let steps = place.holdpoint(&["show", &run, "--json"]).ended_with(0).json()["steps"].clone();
    let steps = steps.as_array().unwrap();
    let origin = &steps.last().unwrap()["origin"];
    assert!(steps.len() > 1 && steps.iter().all(|step| &step["origin"] == origin), "{steps:#?}");
    // The repository has the same.
    let tree = place.tree();
    let key = tree.ending_with("-succeeded.json").find(|key| key.contains(&run[4..])).unwrap();
    let stored: Value = serde_json::from_slice(&place.object(key)).unwrap();
    assert_eq!(&stored["origin"], origin);
    (origin.clone(), place.holdpoint(&["show", &run]).ended_with(0).stdout)
}

/// The text's line of this name.
fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim_start().strip_prefix(name)).map(str::trim)
}

#[test]
fn commit_operator_machine_and_job_stand_in_the_ledger_and_are_shown() {
    let mut bench = Bench::new();
    let host = in_work(&bench, "uname -n").stdout.trim().to_owned();
    bench.scene.place.set("USER", "ada");
    // Neither a repository of git's nor a job.
    let (origin, text) = shown(&bench);
    assert_eq!(origin, json!({ "host": host, "operator": format!("ada on {host}") }));
    assert_eq!((line(&text, "commit "), line(&text, "CI job")), (None, None), "{text}");

    // What git itself says, in the project's folder.
    let commit = in_work(&bench, REPOSITORY).stdout.trim().to_owned();
    let (origin, text) = shown(&bench);
    assert_eq!(origin["commit"], commit);
    let told = (line(&text, "commit "), line(&text, "host"), line(&text, "operator"));
    assert_eq!(told, (Some(&*commit), Some(&*host), Some(&*format!("ada on {host}"))), "{text}");

    // GitLab says which commit it builds, and where; what is checked out may be another.
    let of_ci = "0123456789abcdef0123456789abcdef01234567";
    let gitlab = [
        ("CI_COMMIT_SHA", of_ci),
        ("CI_JOB_URL", "https://gitlab.example/shop/-/jobs/17"),
        ("GITLAB_USER_LOGIN", "grace"),
    ];
    for (name, value) in gitlab {
        bench.scene.place.set(name, value);
    }
    let (origin, text) = shown(&bench);
    let link = "https://gitlab.example/shop/-/jobs/17";
    let operator = format!("grace on {host}, job {link}");
    assert_eq!(origin, json!({ "commit": of_ci, "host": host, "operator": operator, "link": link }));
    assert_eq!(
        (line(&text, "commit "), line(&text, "CI job"), line(&text, "operator")),
        (Some(of_ci), Some(link), Some(&*operator)),
        "{text}"
    );
    for (name, _) in gitlab {
        bench.scene.place.unset(name);
    }

    // GitHub names the page in three parts.
    for (name, value) in [
        ("GITHUB_SHA", of_ci),
        ("GITHUB_SERVER_URL", "https://github.example"),
        ("GITHUB_REPOSITORY", "team/shop"),
        ("GITHUB_RUN_ID", "4711"),
        ("GITHUB_ACTOR", "grace"),
    ] {
        bench.scene.place.set(name, value);
    }
    let (origin, text) = shown(&bench);
    let link = "https://github.example/team/shop/actions/runs/4711";
    assert_eq!((&origin["commit"], &origin["link"]), (&json!(of_ci), &json!(link)));
    assert_eq!(line(&text, "CI job"), Some(link), "{text}");
    let listed = bench.scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
    assert_eq!(listed["runs"][0]["operator"], format!("grace on {host}, job 4711"), "{listed:#}");
}
