//! The files for unattended runs: whoever is to read them takes them, finds broken ones, and what they call is a command that
//! the program takes.

use std::path::{Path, PathBuf};

use holdpoint_testkit::{Cluster, NEWEST};
use holdpoint_tests::{Place, program};

use crate::validators::{config, systemd_analyze, text, validator};
use crate::{run, step};

const WORKFLOW: &str = "github/holdpoint-cron.yml";
const JOBS: [&str; 2] = ["kubernetes/cron.yaml", "kubernetes/cron-shards.yaml"];
const UNITS: [&str; 2] = ["systemd/holdpoint-cron.service", "systemd/holdpoint-cron.timer"];

/// Writes a file of `config/` elsewhere, with one thing changed in it.
fn changed(folder: &Path, name: &str, right: &str, wrong: &str) -> PathBuf {
    assert!(text(name).contains(right), "{right} is not in {name}");
    let file = folder.join(Path::new(name).file_name().expect("a name"));
    std::fs::write(&file, text(name).replacen(right, wrong, 1)).expect("the folder is writable");
    file
}

/// Demands that the program takes these words.
#[track_caller]
fn takes(words: &[&str]) {
    let own = words.iter().map(|word| word.replace("$(JOB_COMPLETION_INDEX)", "3")).collect::<Vec<_>>();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    Place::bare().holdpoint(&[own.as_slice(), &["--help"]].concat()).ended_with(0);
}

#[test]
fn the_crontab_is_what_crond_takes() {
    let (taken, said) = validator("read-crontab", &[], &[config("cron/crontab")]);
    assert!(taken, "{said}");
    let jobs: Vec<&str> = said.lines().filter_map(|line| line.split_once('\t')).map(|(_, command)| command).collect();
    assert!(!jobs.is_empty());
    for job in jobs {
        let words: Vec<&str> = job.split(' ').collect();
        assert_eq!(words[0], "holdpoint", "{job}");
        takes(&words[1..]);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (right, wrong) in [("7 * * * *", "67 * * * *"), ("7 * * * *", "7 * * *"), ("SHELL=/bin/sh", "SHELL /bin/sh")] {
        let (taken, said) = validator("read-crontab", &[], &[changed(folder.path(), "cron/crontab", right, wrong)]);
        assert!(!taken, "{wrong} was taken: {said}");
    }
}

/// Of databases that are fine, stale, and never succeeded.
#[test]
fn the_alerts_fire_when_they_should() {
    let name = "prometheus/holdpoint.rules.yml";
    let check = |file: PathBuf| validator("promtool", &["check", "rules"], &[file]);
    let (taken, said) = check(config(name));
    assert!(taken && said.contains("2 rules found"), "{said}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (right, wrong) in [("max without (level)", "max without level"), ("humanizeDuration", "humaniseDuration")] {
        let (taken, said) = check(changed(folder.path(), name, right, wrong));
        assert!(!taken, "{wrong} was taken: {said}");
    }
    let cases = folder.path().join("cases.yml");
    std::fs::write(&cases, include_str!("holdpoint.rules.test.yml")).expect("the folder is writable");
    let fires = |right: &str, wrong: &str| {
        changed(folder.path(), name, right, wrong);
        validator("promtool", &["test", "rules"], std::slice::from_ref(&cases))
    };
    let (as_said, said) = fires("", "");
    assert!(as_said, "{said}");
    let never = "0 * holdpoint_cron_last_run_timestamp_seconds";
    for (right, wrong) in [(never, "holdpoint_none"), ("> 26 * 3600", "> 27 * 3600"), ("max without", "min without")] {
        let (as_said, said) = fires(right, wrong);
        assert!(!as_said && said.contains("FAILED"), "{wrong}: {said}");
    }
}

#[test]
fn the_units_are_what_systemd_takes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let installed = "/usr/local/bin/holdpoint";
    let own = program().display().to_string();
    let units = || {
        UNITS.map(|name| {
            changed(
                folder.path(),
                name,
                if name.ends_with("service") { installed } else { "[Unit]" },
                if name.ends_with("service") { &own } else { "[Unit]" },
            )
        })
    };
    let verify = |files: &[PathBuf]| systemd_analyze(&["verify", "--man=no"], files);
    let (taken, said) = verify(&units());
    assert!(taken && said.is_empty(), "{said}");
    let line =
        text(UNITS[0]).lines().find_map(|line| line.strip_prefix("ExecStart=").map(str::to_owned)).expect("it runs");
    takes(&line.split(' ').skip(1).collect::<Vec<_>>());
    // As hardened as it says: from 0 (nothing is left open) to 10, in tenths.
    let (safe, said) = systemd_analyze(&["security", "--offline=true", "--threshold=25", "--no-pager"], &units()[..1]);
    assert!(safe, "{said}");
    for (at, right, wrong) in [
        (0, "ProtectSystem=strict", "ProtectSytem=strict"),
        (0, "Type=oneshot", "Type=once"),
        (1, "OnCalendar=*-*-* 02:00:00 UTC", "OnCalendar=*-*-* 25:00:00 UTC"),
    ] {
        let mut files = units();
        let broken = std::fs::read_to_string(&files[at]).expect("written above").replacen(right, wrong, 1);
        std::fs::write(&files[at], broken).expect("the folder is writable");
        files.rotate_left(at);
        let (taken, said) = verify(&files);
        assert!(!taken || !said.is_empty(), "{wrong} was taken");
    }
}

#[test]
fn the_kubernetes_files_are_what_the_cluster_takes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in JOBS {
        for version in ["1.28", "1.37"] {
            let arguments = ["--strict", "--kubernetes-version", version];
            let (taken, said) = validator("kubernetes-validate", &arguments, &[config(name)]);
            assert!(taken && said.contains("passed"), "{said}");
            for (right, wrong) in
                [("concurrencyPolicy: Forbid", "concurencyPolicy: Forbid"), ("schedule: \"0", "shedule: \"0")]
            {
                let (taken, said) =
                    validator("kubernetes-validate", &arguments, &[changed(folder.path(), name, right, wrong)]);
                assert!(!taken && said.contains("ERROR"), "{wrong} was taken: {said}");
            }
        }
        let text = text(name);
        let list = text.lines().find_map(|line| line.trim().strip_prefix("args: [")).expect("the arguments");
        let words: Vec<&str> = list.trim_end_matches(']').split(", ").map(|word| word.trim_matches('"')).collect();
        takes(&words);
        if let Some(shard) = words.iter().find_map(|word| word.strip_prefix("$(JOB_COMPLETION_INDEX)/")) {
            assert!(text.contains(&format!("completions: {shard}\n")), "every share has a pod");
        }
        // A deadline of the Job would end shares that wait for a place.
        let deadlines: Vec<&str> = text.lines().filter(|line| line.contains("activeDeadlineSeconds:")).collect();
        assert_eq!(
            deadlines,
            ["          activeDeadlineSeconds: 25200"],
            "{name}: the pod has a deadline, the Job none"
        );
    }
}

#[test]
fn the_dockerfile_is_what_hadolint_takes() {
    let (taken, said) = validator("hadolint", &["--no-color"], &[config("docker/Dockerfile")]);
    assert!(taken && said.is_empty(), "{said}");
    // The base has no roots for TLS, without which no S3 is reached.
    let image = text("docker/Dockerfile");
    let last = image.rsplit("\nFROM ").next().expect("a stage");
    assert!(last.contains("apt-get install") && last.contains(" ca-certificates"), "{last}");
    let ignored = text("docker/Dockerfile.dockerignore");
    assert!(ignored.lines().any(|line| line == "target") && ignored.lines().any(|line| line == ".git"), "{ignored}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (right, wrong) in [
        ("COPY . .", "COPI . ."),
        ("FROM postgres:${MAJOR}-bookworm", "FROM postgres:latest"),
        ("USER 10001:10001", "USER root"),
    ] {
        let (taken, said) =
            validator("hadolint", &["--no-color"], &[changed(folder.path(), "docker/Dockerfile", right, wrong)]);
        assert!(!taken, "{wrong} was taken: {said}");
    }
}

/// The step of the workflow on a real database and bucket, on what says that it is a CI runner; and what it leaves for
/// Prometheus.
#[test]
fn the_workflow_makes_and_proves_a_restore_point_and_its_metrics_are_ones() {
    let (taken, said) = validator("actionlint", &[], &[config(WORKFLOW)]);
    assert!(taken && said.is_empty(), "{said}");
    let cluster = Cluster::shared(NEWEST);
    cluster.create_database("ci_cron");
    cluster.psql("ci_cron", "CREATE TABLE t (i int); INSERT INTO t VALUES (1)");
    let mut place = Place::on_s3();
    place.source(cluster, "ci_cron").set("CI", "true");
    let metrics = place.path().join("holdpoint.prom");
    let file = std::fs::read_to_string(place.work().join("holdpoint.toml")).expect("the place has a configuration");
    place
        .write_config(&format!("{file}[retention]\nkeep_last = 1\n[cron]\nmetrics_file = \"{}\"\n", metrics.display()));
    let (code, said) = run(&place, &step(WORKFLOW, "Cron"), &[]);
    assert_eq!(code, 0, "{said:#?}");
    assert!(said["stdout"].contains("proved at level stored"), "{said:#?}");
    let (taken, said) = validator("read-metrics", &[], std::slice::from_ref(&metrics));
    assert!(taken, "{said}");
    for family in ["holdpoint_cron_last_success_timestamp_seconds gauge 1", "holdpoint_cron_step_success gauge 4"] {
        assert!(said.lines().any(|line| line == family), "{family} is not in\n{said}");
    }
    let text = std::fs::read_to_string(&metrics).expect("it was just read");
    for (right, wrong) in
        [("{database=\"shop\"} 1\n", "{database=\"shop\"} one\n"), ("# TYPE holdpoint_stored_bytes gauge\n", "")]
    {
        assert!(text.contains(right), "{text}");
        std::fs::write(&metrics, text.replacen(right, wrong, 1)).expect("the place is writable");
        let (taken, said) = validator("read-metrics", &[], std::slice::from_ref(&metrics));
        assert!(!taken, "{wrong} was taken: {said}");
    }
    cluster.drop_database("ci_cron");
}
