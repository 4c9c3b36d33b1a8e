//! The files to copy in `config/`: GitHub, Kubernetes, systemd, crond and Docker would take them, and what they run is run
//! here.

mod cron;
mod validators;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST, fake};
use holdpoint_tests::{Outcome, Place, program};

use validators::{config, text, validator};

const WORKFLOWS: [&str; 3] = ["github/holdpoint-plan.yml", "github/holdpoint-guard.yml", "github/example.yml"];
const JOB: &str = "kubernetes/guard-job.yaml";

#[test]
fn workflows_are_what_github_takes_and_broken_ones_are_found() {
    let (taken, said) = validator("actionlint", &[], &WORKFLOWS.map(config));
    assert!(taken && said.is_empty(), "{said}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, right, wrong) in [
        (WORKFLOWS[0], "runs-on: ubuntu-latest", "run-on: ubuntu-latest"),
        (WORKFLOWS[0], "steps.plan.outputs.code", "steps.plann.outputs.code"),
        (WORKFLOWS[1], "inputs.command", "inputs.comand"),
        (WORKFLOWS[2], "on:\n  pull_request:", "on:\n  pull_requests:"),
    ] {
        let file = folder.path().join("broken.yml");
        assert!(text(name).contains(right), "{right} is not in {name}");
        std::fs::write(&file, text(name).replacen(right, wrong, 1)).expect("the folder is writable");
        let (taken, said) = validator("actionlint", &[], &[file]);
        assert!(!taken && said.contains("broken.yml:"), "{wrong} was taken: {said}");
    }
}

#[test]
fn the_job_is_what_kubernetes_takes_and_a_broken_one_is_found() {
    for version in ["1.28", "1.37"] {
        let arguments = ["--strict", "--kubernetes-version", version];
        let (taken, said) = validator("kubernetes-validate", &arguments, &[config(JOB)]);
        assert!(taken && said.contains("passed"), "{said}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (right, wrong) in
            [("backoffLimit: 0", "backofLimit: 0"), ("restartPolicy: Never", "restartPolicy: [Never]")]
        {
            let file = folder.path().join("broken.yaml");
            assert!(text(JOB).contains(right));
            std::fs::write(&file, text(JOB).replacen(right, wrong, 1)).expect("the folder is writable");
            let (taken, said) = validator("kubernetes-validate", &arguments, &[file]);
            assert!(!taken && said.contains("ERROR"), "{wrong} was taken: {said}");
        }
    }
}

/// The lines of the step of that name, as the runner hands them to bash.
fn step(workflow: &str, name: &str) -> String {
    let text = text(workflow);
    let step = text.split_once(&format!("- name: {name}\n")).unwrap_or_else(|| panic!("no step {name}")).1;
    let step = step.split("\n      - ").next().unwrap_or_default();
    let run = step.split_once("run: ").expect("the step runs something").1;
    match run.strip_prefix("|\n") {
        Some(block) => block.lines().map(|line| format!("{}\n", line.trim_start())).collect(),
        None => run.trim().to_owned(),
    }
}

/// Runs a step as GitHub's runner does: `bash -e`, the variables of the step, files for summary and outputs.
#[expect(clippy::disallowed_methods, reason = "the runner of the workflow is bash")]
fn run(place: &Place, script: &str, variables: &[(&str, &str)]) -> (i32, BTreeMap<&'static str, String>) {
    let folder = place.path().join("runner");
    std::fs::create_dir_all(&folder).expect("a folder");
    let files = ["GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"].map(|name| (name, folder.join(name)));
    // The place's own environment, with the program in PATH as the step "Install" leaves it.
    let own = place.command(&[]);
    let mut command = Command::new("/bin/bash");
    command.args(["-e", "-c", script]).env_clear().current_dir(place.work());
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let bin = program().parent().map(Path::to_path_buf).unwrap_or_default();
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    command.envs(variables.iter().copied()).envs(files.iter().map(|(name, path)| (*name, path)));
    let output = command.output().expect("bash starts");
    let told = || panic!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let code = output.status.code().unwrap_or_else(told);
    let mut said: BTreeMap<&str, String> = BTreeMap::new();
    for (name, path) in &files {
        said.insert(name, std::fs::read_to_string(path).unwrap_or_default());
    }
    said.insert("stdout", String::from_utf8_lossy(&output.stdout).into_owned());
    said.insert("stderr", String::from_utf8_lossy(&output.stderr).into_owned());
    (code, said)
}

fn project(place: &Place, sql: &str) {
    let folder = place.work().join("migrations");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("0001_first.sql"), sql).expect("the folder is writable");
    place.write_config("[migrations]\ntool = \"plain-sql\"\ndirectory = \"migrations\"\n");
}

#[test]
fn a_pull_request_is_told_its_plan_without_a_database() {
    let cluster = Cluster::shared(NEWEST);
    cluster.create_database("ci_plan");
    cluster.psql("ci_plan", "CREATE TABLE t (i int); INSERT INTO t VALUES (1)");
    let mut place = Place::bare();
    project(&place, "DROP TABLE t;\n");
    place.source(cluster, "ci_plan");
    place.holdpoint(&["plan", "--export", "holdpoint-facts.json"]);
    place.set("DATABASE_URL", "");
    let step = step(WORKFLOWS[0], "Plan");
    let variables = [("FACTS", "holdpoint-facts.json"), ("FAIL_ON", "new-restore-point")];
    let (code, said) = run(&place, &step, &variables);
    assert_eq!(code, 0, "{said:#?}");
    assert_eq!(said["GITHUB_OUTPUT"], "code=15\n", "{said:#?}");
    assert!(said["GITHUB_STEP_SUMMARY"].contains("public.t"), "{said:#?}");
    let comment = std::fs::read_to_string(place.work().join("holdpoint-plan.md")).expect("the comment's text");
    assert_eq!(comment, said["GITHUB_STEP_SUMMARY"]);
    let (code, _) = run(&place, &self::step(WORKFLOWS[0], "Judge"), &[("CODE", "15")]);
    assert_eq!(code, 15);
    cluster.drop_database("ci_plan");
}

#[test]
fn the_comment_is_the_plans_own_and_nobody_elses_is_overwritten() {
    let place = Place::bare();
    std::fs::write(place.work().join("holdpoint-plan.md"), "the plan\n").expect("the folder is writable");
    let comment = step(WORKFLOWS[0], "Comment");
    let bin = place.path().join("bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    // What gh answers a question for comments with, and what is asked of it.
    let asked = |comments: &str| {
        let log = place.work().join("asked");
        drop(std::fs::remove_file(&log));
        let answer = format!("case \"$*\" in *--jq*) printf '%s' '{comments}';; *) echo \"$*\" >> asked;; esac");
        fake::write_program(&bin, "gh", &answer);
        let variables =
            [("PATH", path.as_str()), ("REPOSITORY", "o/r"), ("PULL_REQUEST", "7"), ("FACTS", "facts.json")];
        let (code, said) = run(&place, &comment, &variables);
        assert_eq!(code, 0, "{said:#?}");
        std::fs::read_to_string(log).expect("something was asked")
    };
    let of_others = "11 a linter says\n12 <!-- holdpoint plan other.json -->\n";
    assert_eq!(asked(of_others), "pr comment 7 --repo o/r --body-file holdpoint-comment.md\n");
    let own = format!("{of_others}13 <!-- holdpoint plan facts.json -->\n14 <!-- holdpoint plan facts.json -->\n");
    assert_eq!(asked(&own), "api --method PATCH repos/o/r/issues/comments/13 --field body=@holdpoint-comment.md\n");
    let written = std::fs::read_to_string(place.work().join("holdpoint-comment.md")).expect("the comment");
    assert_eq!(written, "<!-- holdpoint plan facts.json -->\nthe plan\n");
    // A token of a fork's pull request may not write.
    assert!(text(WORKFLOWS[0]).contains("pull_request.head.repo.full_name == github.repository"));
}

#[test]
fn a_deployment_is_guarded_and_its_summary_written() {
    // Of its own: what others do on the same server would be the run's, or nobody could tell.
    let cluster = Cluster::start(ClusterOptions::major(NEWEST));
    cluster.create_database("ci_guard");
    cluster.psql("ci_guard", "CREATE TABLE t (i int); INSERT INTO t VALUES (1)");
    let mut place = Place::on_s3();
    place.source(&cluster, "ci_guard");
    std::fs::write(place.work().join("up.sql"), "ALTER TABLE t ADD COLUMN x int;\n").expect("the folder is writable");
    let step = step(WORKFLOWS[1], "Guard");
    let psql = cluster.bin_directory().join("psql");
    let command = format!("{} -X -v ON_ERROR_STOP=1 -f up.sql {}", psql.display(), cluster.url("ci_guard"));
    let (code, said) = run(&place, &step, &[("COMMAND", &command), ("LEVEL", "stored")]);
    assert_eq!(code, 0, "{said:#?}");
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'x'";
    assert_eq!(cluster.psql("ci_guard", columns), "1", "the command was run");
    let summary = &said["GITHUB_STEP_SUMMARY"];
    assert!(summary.starts_with("### holdpoint guard: ") && summary.contains("relies on"), "{summary}");

    // The command fails, and so does the step; what was there before stays in the summary.
    let (code, said) = run(&place, &step, &[("COMMAND", &command), ("LEVEL", "stored")]);
    assert_eq!(code, 10, "{said:#?}");
    let summary = &said["GITHUB_STEP_SUMMARY"];
    assert_eq!(summary.matches("### holdpoint guard: ").count(), 2, "{summary}");
    assert!(!summary.contains(cluster.password().unwrap_or("no password")), "{summary}");
    // A refusal has no report, and is told all the same.
    let (code, said) =
        run(&place, &step, &[("COMMAND", &command), ("LEVEL", "stored"), ("HOLDPOINT_REPOSITORY", "file:///nowhere")]);
    assert!(code != 0 && said["GITHUB_STEP_SUMMARY"].contains("did not run"), "{code} {said:#?}");
    cluster.drop_database("ci_guard");
}

/// The Job's arguments are ones that the program takes.
#[test]
fn the_job_calls_the_program_rightly() {
    let text = text(JOB);
    let list = text.lines().find_map(|line| line.trim().strip_prefix("args: [")).expect("the arguments");
    let words: Vec<&str> = list.trim_end_matches(']').split(", ").map(|word| word.trim_matches('"')).collect();
    let own: Vec<&str> = words.iter().copied().take_while(|word| *word != "--").collect();
    assert!(own.len() < words.len(), "the command comes after --");
    let outcome: Outcome = Place::bare().holdpoint(&[own.as_slice(), &["--help"]].concat());
    outcome.ended_with(0);
}
