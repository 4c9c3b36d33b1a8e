//! Where the program is run.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holdpoint_testkit::{ADMIN, Cluster, Identity, S3Server, postgresql_directory};

use crate::outcome::Outcome;
use crate::program;
use crate::running::Running;
use crate::tree::Tree;

/// How the names of files begin that are being written into a local repository.
const TEMPORARY: &str = ".holdpoint-";

/// A home, a working directory, a scratch folder and a repository, with the environment that leads there.
///
/// Everything goes when the value is dropped.
#[derive(Debug)]
pub struct Place {
    directory: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    bucket: Option<(&'static S3Server, String)>,
    repository: PathBuf,
}

impl Place {
    /// Makes a place with a local repository, initialised.
    #[must_use]
    pub fn local() -> Self {
        let place = Self::bare();
        place.holdpoint(&["init"]).ended_with(0);
        place
    }

    /// Makes a place with a bucket of the shared S3 engine, initialised.
    #[must_use]
    pub fn on_s3() -> Self {
        let server = S3Server::shared();
        let bucket = server.new_bucket();
        let mut place = Self::bare();
        place.use_bucket(server, &bucket, &server.endpoint());
        place.holdpoint(&["init"]).ended_with(0);
        place
    }

    /// Makes a place whose local repository nobody has initialised.
    ///
    /// # Panics
    /// When the folders cannot be made.
    #[must_use]
    pub fn bare() -> Self {
        let directory = tempfile::Builder::new().prefix("hp-e2e-").tempdir_in("/tmp").expect("a temporary folder");
        let repository = directory.path().join("repository");
        let mut place = Self { directory, environment: BTreeMap::new(), bucket: None, repository };
        // The scratch server's account must be able to enter.
        for (folder, mode) in
            [("", 0o755), ("home", 0o700), ("work", 0o755), ("scratch", 0o1777), ("repository", 0o755)]
        {
            let path = place.path().join(folder);
            std::fs::create_dir_all(&path).expect("the folder can be made");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode can be set");
        }
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        place.set("PATH", "/usr/bin:/bin");
        place.set("HOME", &text(place.path().join("home")));
        place.set("TMPDIR", &text(place.scratch()));
        place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &text(postgresql_directory()));
        place.set("HOLDPOINT_REPOSITORY", &format!("file://{}", place.repository.display()));
        place
    }

    /// Returns the place's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the folder in which scratch servers are made.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.path().join("scratch")
    }

    /// Returns the working directory.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Returns the folder of the local repository.
    #[must_use]
    pub fn repository(&self) -> &Path {
        &self.repository
    }

    /// Returns the S3 engine and the bucket, where the repository is one.
    #[must_use]
    pub fn bucket(&self) -> Option<(&'static S3Server, &str)> {
        self.bucket.as_ref().map(|(server, bucket)| (*server, bucket.as_str()))
    }

    /// Sets a variable of the environment.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Removes a variable of the environment.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.environment.remove(name);
        self
    }

    /// Returns a copy of the environment.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.environment.clone()
    }

    /// Works on a database of a cluster, by its unix socket, under the folder's name `shop`.
    pub fn source(&mut self, cluster: &Cluster, database: &str) -> &mut Self {
        self.set("HOLDPOINT_DATABASE", "shop").set("DATABASE_URL", &cluster.url(database))
    }

    /// Keeps the repository in another folder.
    pub fn use_folder(&mut self, folder: &Path) -> &mut Self {
        self.repository = folder.to_owned();
        self.set("HOLDPOINT_REPOSITORY", &format!("file://{}", folder.display()))
    }

    /// Keeps the repository in a bucket, reached by an endpoint (the server's own, or a proxy before it).
    pub fn use_bucket(&mut self, server: &'static S3Server, bucket: &str, endpoint: &str) -> &mut Self {
        self.bucket = Some((server, bucket.to_owned()));
        self.write_config(&format!(
            "[repository]\nurl = \"s3://{bucket}/backups\"\n[repository.s3]\nendpoint = \"{endpoint}\"\npath_style = true\n"
        ));
        self.unset("HOLDPOINT_REPOSITORY").set("AWS_REGION", "us-east-1").use_identity(&ADMIN)
    }

    /// Uses other keys of the S3 engine.
    pub fn use_identity(&mut self, identity: &Identity) -> &mut Self {
        self.set("AWS_ACCESS_KEY_ID", identity.access_key).set("AWS_SECRET_ACCESS_KEY", identity.secret_key)
    }

    /// Writes the working directory's `holdpoint.toml`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_config(&self, text: &str) {
        std::fs::write(self.work().join("holdpoint.toml"), text).expect("the working directory is writable");
    }

    /// Returns everything that lies in the repository.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let Some((server, bucket)) = &self.bucket else { return Tree::of_folder(&self.repository) };
        let mut tree = Tree::default();
        for object in server.list_objects(bucket, "") {
            let bytes = server.get_object(bucket, &object.key).expect("a listed object");
            tree.add(object.key, &bytes);
        }
        tree
    }

    /// Returns the keys of unfinished uploads: of multipart uploads in a bucket, of temporary files in a folder.
    #[must_use]
    pub fn unfinished_uploads(&self) -> Vec<String> {
        match &self.bucket {
            Some((server, bucket)) => server.list_uploads(bucket),
            None => self.tree().objects.into_keys().filter(|key| is_temporary(key)).collect(),
        }
    }

    /// Returns the bytes of an object, by the key that the manifest names.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn object(&self, key: &str) -> Vec<u8> {
        match &self.bucket {
            Some((server, bucket)) => {
                server.get_object(bucket, &format!("backups/{key}")).unwrap_or_else(|| panic!("no object {key}"))
            }
            None => std::fs::read(self.repository.join(key)).unwrap_or_else(|error| panic!("{key}: {error}")),
        }
    }

    /// Stores other bytes under the key of an object.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn put_object(&self, key: &str, bytes: &[u8]) {
        match &self.bucket {
            Some((server, bucket)) => server.put_object(bucket, &format!("backups/{key}"), bytes),
            None => {
                let path = self.repository.join(key);
                // Objects are read-only; a rotten disk does not ask.
                std::fs::remove_file(&path).expect("the object is there");
                std::fs::write(&path, bytes).expect("the repository is writable");
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode can be set");
            }
        }
    }

    /// Prepares a run of the program.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).env_clear().envs(&self.environment).current_dir(self.work()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    ///
    /// # Panics
    /// When it cannot be started, or does not end.
    #[track_caller]
    pub fn holdpoint(&self, arguments: &[&str]) -> Outcome {
        self.start(arguments).finish()
    }

    /// Runs the program at a terminal, where a person types these words.
    ///
    /// What it says is all on stdout, as on a screen.
    ///
    /// # Panics
    /// When it cannot be started, or does not take what is typed.
    #[must_use]
    pub fn at_a_terminal(&self, arguments: &str, typed: &str) -> Outcome {
        // util-linux's script gives the program a terminal, and passes its exit code on.
        let mut command = Command::new("script");
        command.args(["-qec", &format!("{} {arguments}", program().display()), "/dev/null"]);
        command.env_clear().envs(&self.environment).current_dir(self.work());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("script starts");
        let mut terminal = child.stdin.take().expect("the input is a pipe");
        writeln!(terminal, "{typed}").expect("the program reads");
        let output = child.wait_with_output().expect("script ends");
        Outcome::new(output.status, &output.stdout, &output.stderr)
    }

    /// Runs the program at a terminal, where a person is asked to type something, leaves the question for a while, and then
    /// types these words.
    ///
    /// # Panics
    /// When it cannot be started, or ends without asking.
    #[must_use]
    pub fn at_a_terminal_once_asked(&self, arguments: &str, typed: &str, meanwhile: impl FnOnce()) -> Outcome {
        const QUESTION: &str = "to go on: ";
        let mut command = Command::new("script");
        command.args(["-qec", &format!("{} {arguments}", program().display()), "/dev/null"]);
        command.env_clear().envs(&self.environment).current_dir(self.work());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("script starts");
        let mut terminal = child.stdin.take().expect("the input is a pipe");
        let mut screen = child.stdout.take().expect("the output is a pipe");
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains(QUESTION) {
            let mut bytes = [0; 4096];
            let read = screen.read(&mut bytes).expect("the output can be read");
            assert!(read > 0, "nobody was asked: {}", String::from_utf8_lossy(&shown));
            shown.extend_from_slice(&bytes[..read]);
        }
        meanwhile();
        writeln!(terminal, "{typed}").expect("the program reads");
        screen.read_to_end(&mut shown).expect("the output can be read");
        let status = child.wait().expect("script ends");
        Outcome::new(status, &shown, &[])
    }

    /// Starts the program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments), None)
    }

    /// Starts the program, which will pause where a named phase begins.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_paused(&self, arguments: &[&str], phase: &str) -> Running {
        Running::start(self.command(arguments), Some(phase))
    }

    /// Makes a restore point, whose rows several sessions copy where pg_dump still waits for a reader, and returns its
    /// report.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn backup(&self) -> serde_json::Value {
        self.holdpoint(&["backup", "--json", "--parallel-from", "0"]).ended_with(0).json()
    }

    /// Verifies the newest restore point by a full restore.
    ///
    /// # Panics
    /// When it is not proved.
    #[track_caller]
    pub fn prove(&self) {
        let report = self.holdpoint(&["verify", "--json"]).ended_with(0).json();
        assert_eq!(report["verification"]["verdict"], "proved", "{report:#}");
    }

    /// Returns the ids of the restore points that `list` shows, all of which must be readable.
    ///
    /// # Panics
    /// When `list` fails or shows one that cannot be read.
    #[track_caller]
    #[must_use]
    pub fn points(&self) -> Vec<String> {
        let report = self.holdpoint(&["list", "--json"]).ended_with(0).json();
        assert_eq!(report["unreadable"].as_array().map(Vec::len), Some(0), "{report:#}");
        let points = report["points"].as_array().expect("a list of restore points");
        points.iter().map(|point| point["id"].as_str().expect("an id").to_owned()).collect()
    }
}

fn is_temporary(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with(TEMPORARY))
}
