//! Freshly initialised data directories, made once for each kind and copied after that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::cache::{bin_directory, cache_directory};
use crate::cluster_options::ClusterOptions;
use crate::place::set_mode;

/// Copies a freshly initialised data directory to `target`, which must not exist.
pub(crate) fn copy_data_directory(options: &ClusterOptions, target: &Path) {
    let mut copy = Command::new("cp");
    copy.args(["-a", "--"]).arg(template(options)).arg(target).stdin(Stdio::null());
    run(Account::run_as_server(&mut copy));
    set_mode(target, 0o700);
}

/// Packs the data directory of a server that does not run into one file: many small files are slow to make.
pub(crate) fn pack_data_directory(data: &Path, file: &Path) {
    let mut pack = Command::new("tar");
    pack.arg("-C").arg(data).args(["-cf", "-", "."]).stdin(Stdio::null());
    pack.stdout(File::create(file).expect("the folder of packed data directories is writable"));
    run(Account::run_as_server(&mut pack));
}

/// Unpacks a data directory to `target`, which must not exist.
pub(crate) fn unpack_data_directory(file: &Path, target: &Path) {
    fs::create_dir(target).expect("the server's folder is writable");
    Account::give_to_server(target);
    let mut unpack = Command::new("tar");
    unpack.arg("-C").arg(target).args(["-xpf", "-"]);
    unpack.stdin(File::open(file).expect("a packed data directory"));
    run(Account::run_as_server(&mut unpack));
    set_mode(target, 0o700);
}

/// Returns a packed data directory that is made once, by `make`, for each `content`, and never changed.
pub(crate) fn packed_template(options: &ClusterOptions, content: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let digest: String = Sha256::digest(content).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let home = home();
    let file = home.join(format!("{}-{digest}.tar", name(options)));
    if !file.exists() {
        let unfinished = tempfile::Builder::new().prefix("unfinished.").tempfile_in(&home).expect("a new template");
        make(unfinished.path());
        set_mode(unfinished.path(), 0o644);
        // The first one stays: servers may have begun with it.
        let kept = unfinished.persist_noclobber(&file);
        assert!(kept.is_ok() || file.exists(), "no packed data directory at {}", file.display());
    }
    file
}

/// The name of a kind of template.
fn name(options: &ClusterOptions) -> String {
    let uid = Account::for_servers().map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
    let version = Command::new(bin_directory(options.major).join("postgres")).arg("--version").output();
    let version = version.expect("postgres runs").stdout;
    let version: String = String::from_utf8_lossy(&version)
        .split_whitespace()
        .nth(2)
        .unwrap_or("unknown")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '.')
        .collect();
    let ClusterOptions { superuser, encoding, locale, .. } = options;
    format!("{version}-{superuser}-{encoding}-{locale}-{uid}")
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-_.".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02x}")
            }
        })
        .collect()
}

fn template(options: &ClusterOptions) -> PathBuf {
    let ClusterOptions { superuser, encoding, locale, .. } = options;
    let home = home();
    let template = home.join(name(options));
    if template.is_dir() {
        return template.join("data");
    }
    // Made under another name and renamed: several test processes may be at this place at once.
    let unfinished = tempfile::Builder::new().prefix("unfinished.").tempdir_in(&home).expect("a folder for templates");
    set_mode(unfinished.path(), 0o711);
    Account::give_to_server(unfinished.path());
    let mut initdb = Command::new(bin_directory(options.major).join("initdb"));
    initdb
        .arg("-D")
        .arg(unfinished.path().join("data"))
        .args(["--auth=trust", "--no-sync", "--no-instructions", "--username", superuser])
        .args(["--encoding", encoding, "--locale", locale])
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    run(Account::run_as_server(&mut initdb));
    if fs::rename(unfinished.path(), &template).is_ok() {
        let _gone = unfinished.keep();
    }
    assert!(template.is_dir(), "no initialised data directory at {}", template.display());
    template.join("data")
}

/// The cache's folder for templates; a cache that somebody else installed is only read.
fn home() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let candidates =
        [cache_directory().join("templates"), std::env::temp_dir().join(format!("holdpoint-templates-{uid}"))];
    let home = candidates.iter().find(|home| {
        fs::create_dir_all(home).is_ok() && tempfile::Builder::new().prefix("unfinished.").tempdir_in(home).is_ok()
    });
    let home = home.expect("a folder for initialised data directories").clone();
    set_mode(&home, 0o755);
    home
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
