//! Commands in rehearsal cells: one door, traps, and nothing that outlives them. As this user, and, where that is root,
//! as one that is not.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use holdpoint_process::cell::CellSpec;
use holdpoint_process::{Program, RunAs, Running, Status, Stdout};
use holdpoint_testkit::Account;

use super::{stage, wait_until};

/// A copy with its door, and a production that must not be reached.
struct Scene {
    directory: tempfile::TempDir,
    production: TcpListener,
    production_socket: UnixListener,
    user: Option<RunAs>,
}

/// Every user that a cell may belong to.
fn users() -> Vec<Option<RunAs>> {
    let other = Account::for_servers().map(|account| RunAs { uid: account.uid, gid: account.gid });
    std::iter::once(None).chain(other.map(Some)).collect()
}

impl Scene {
    fn new(user: Option<RunAs>) -> Self {
        let directory = tempfile::Builder::new().prefix("hp-cell-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let scene = Self {
            production: TcpListener::bind("127.0.0.1:0").unwrap(),
            production_socket: UnixListener::bind(directory.path().join("production")).unwrap(),
            directory,
            user,
        };
        scene.production.set_nonblocking(true).unwrap();
        scene.production_socket.set_nonblocking(true).unwrap();
        for (name, answer) in [("copy", "copy!"), ("other", "other")] {
            let server = UnixListener::bind(scene.path(name)).unwrap();
            std::thread::spawn(move || {
                for client in server.incoming() {
                    client.unwrap().write_all(answer.as_bytes()).ok();
                }
            });
        }
        for name in ["production", "copy", "other"] {
            std::fs::set_permissions(scene.path(name), std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        scene
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn spec(&self, name: &str) -> CellSpec {
        let folder = self.path(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let far: IpAddr = "192.0.2.7".parse().unwrap();
        CellSpec {
            executable: stage(),
            verb: vec!["cell".to_owned()],
            folder,
            port: 54_320,
            socket: self.path("copy"),
            traps: vec![self.production.local_addr().unwrap(), SocketAddr::from((far, 5432))],
            covered: vec![self.path("production"), self.path("absent")],
            shut: vec![self.path("other")],
            hosts: vec![("db.example.invalid".to_owned(), far)],
        }
    }

    fn start(&self, spec: &CellSpec, script: &str) -> Running {
        let command: Vec<OsString> = ["/bin/sh", "-c", script].map(OsString::from).into();
        let program = Program::new(&spec.executable).arguments(spec.arguments(&command).unwrap());
        program.variable("PATH", "/usr/bin:/bin").run_as(self.user).stdout(Stdout::Tail).start().unwrap()
    }

    /// Nobody came to production itself.
    fn assert_not_reached(&self) {
        for error in [self.production.accept().unwrap_err(), self.production_socket.accept().unwrap_err()] {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
    }
}

fn knock(at: impl std::fmt::Display) -> String {
    format!("{} knock {at}\n", stage().display())
}

#[tokio::test]
async fn one_door_and_traps() {
    for user in users() {
        let scene = Scene::new(user);
        let spec = scene.spec("cell");
        let production = scene.production.local_addr().unwrap();
        let script = [
            knock("127.0.0.1:54320"),
            knock(scene.path("other").display()),
            knock(production),
            knock(scene.path("production").display()),
            knock("db.example.invalid:5432"),
            knock("198.51.100.1:80"),
        ];
        let ended = scene.start(&spec, &script.concat()).wait().await.unwrap();
        let told: Vec<&str> = ended.stdout_tail.lines().collect();
        assert_eq!(spec.failure(), None, "{}", ended.stderr_tail);
        assert_eq!(told.len(), 6, "{ended:?}");
        assert_eq!(told[0], "copy!");
        assert!(told[1].contains("refused"), "{told:?}");
        assert_eq!(told[2..5], ["", "", ""], "a trap says nothing");
        assert!(told[5].contains("unreachable"), "{told:?}");
        let place = scene.path("production").display().to_string();
        assert_eq!(spec.touched(), [production.to_string(), place, "192.0.2.7:5432".to_owned()]);
        scene.assert_not_reached();
    }
}

#[tokio::test]
async fn how_the_command_ended_is_told() {
    for user in users() {
        let scene = Scene::new(user);
        for (name, script, status) in [
            ("code", "exit 7", Status::Code(7)),
            ("signal", "kill -9 $$", Status::Signal(9)),
            ("term", "kill -TERM $$", Status::Signal(15)),
        ] {
            let spec = scene.spec(name);
            scene.start(&spec, script).wait().await.unwrap();
            assert_eq!((spec.ended(), spec.failure()), (Some(status), None), "{name}");
        }
        let spec = scene.spec("absent");
        let arguments = spec.arguments(&["/no/such/program".into()]).unwrap();
        let program = Program::new(&spec.executable).arguments(arguments).run_as(user);
        program.start().unwrap().wait().await.unwrap();
        assert!(spec.failure().unwrap().contains("/no/such/program"), "{:?}", spec.failure());
        // Tried without a command, and with something that no kernel gives.
        let spec = scene.spec("tried");
        let tried = Program::new(&spec.executable).arguments(spec.arguments(&[]).unwrap()).run_as(user);
        assert!(tried.start().unwrap().wait().await.unwrap().is_success(), "{:?}", spec.failure());
        let spec = CellSpec { port: spec.traps[0].port(), ..scene.spec("taken") };
        let taken = Program::new(&spec.executable).arguments(spec.arguments(&[]).unwrap()).run_as(user);
        assert!(!taken.start().unwrap().wait().await.unwrap().is_success());
        assert!(spec.failure().unwrap().starts_with("setting a trap at"), "{:?}", spec.failure());
    }
}

/// Whether a process has a word among its arguments.
fn runs(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .map(|entry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default())
        .any(|arguments| String::from_utf8_lossy(&arguments).split('\0').any(|argument| argument == word))
}

#[tokio::test]
async fn nothing_outlives_the_cell() {
    for (number, user) in users().into_iter().enumerate() {
        let scene = Scene::new(user);
        let seconds = |kind: u32| format!("{}{number}{kind}", 1_000_000 + std::process::id());
        let daemon = |seconds: &str| format!("setsid sh -c 'trap \"\" TERM HUP; sleep {seconds}' &\n");
        let ready = |folder: &Path| format!("touch {}/ready; ", folder.display());

        // It ends by itself.
        let spec = scene.spec("itself");
        scene.start(&spec, &daemon(&seconds(1))).wait().await.unwrap();
        wait_until("its daemon ends", || !runs(&seconds(1)));

        // It is asked to end, and may do so by itself.
        let spec = scene.spec("asked");
        let script =
            format!("{}trap 'exit 3' TERM; {}while :; do sleep 0.01; done", daemon(&seconds(2)), ready(&spec.folder));
        let mut running = scene.start(&spec, &script);
        wait_until("it is there", || spec.folder.join("ready").exists());
        running.terminate_group(Duration::from_secs(300)).await.unwrap();
        assert_eq!(spec.ended(), Some(Status::Code(3)));
        wait_until("its daemon ends", || !runs(&seconds(2)));

        // It is killed, and so is only the cell.
        let spec = scene.spec("killed");
        let script = format!("{}{}sleep {}", daemon(&seconds(3)), ready(&spec.folder), seconds(4));
        let running = scene.start(&spec, &script);
        wait_until("it is there", || spec.folder.join("ready").exists() && runs(&seconds(3)) && runs(&seconds(4)));
        let cell = rustix::process::Pid::from_raw(i32::try_from(running.pid()).unwrap()).unwrap();
        rustix::process::kill_process(cell, rustix::process::Signal::KILL).unwrap();
        wait_until("all end", || !runs(&seconds(3)) && !runs(&seconds(4)));
        assert_eq!(spec.ended(), None);
    }
}
