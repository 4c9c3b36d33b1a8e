//! One round: its processes, who of them is killed where, and what holds afterwards.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use holdpoint_core::{PointId, layout};
use holdpoint_repository::{ObjectStore, Repository, Withdrawal};

use crate::TASK;
use crate::place::Place;
use crate::sample::{NOW, shop};
use crate::work::{self, OF_CHECK, RELIED_UPON, Role, Task, back_up, objects, point};

/// Restore points that are there before the round; the first is pinned.
const BEFORE: u64 = 4;
const PIN: &str = "audit";

/// A process that says nothing for so long hangs: each of its requests ends long before.
const HANGS: Duration = Duration::from_secs(15 * 60);

/// What happened in rounds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) killed: usize,
    pub(crate) published: usize,
    pub(crate) dropped: usize,
    orphans: usize,
    uploads: usize,
    hidden: usize,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.killed += other.killed;
        self.published += other.published;
        self.dropped += other.dropped;
        self.orphans += other.orphans;
        self.uploads += other.uploads;
        self.hidden += other.hidden;
    }
}

/// How a round ended.
pub(crate) struct Ended {
    /// The phases at which processes were killed.
    pub(crate) killed: Vec<String>,
    pub(crate) sums: Sums,
}

/// Numbers that follow from a seed alone.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What the processes of a round told of restore points.
struct Told {
    published: BTreeSet<PointId>,
    withdrawing: BTreeSet<PointId>,
}

impl Told {
    /// Between its manifest and its second look a backup told nobody that it published; a sweep that took its objects as
    /// leftovers before the manifest was there is found out by that look. Until then, or where it is killed before, the
    /// restore point is listed and not whole.
    fn nobody_knows(&self, id: &PointId) -> bool {
        !self.published.contains(id) && self.withdrawing.contains(id)
    }
}

/// What a process said, and at which phase it was killed.
struct Said {
    lines: Vec<String>,
    killed: Option<String>,
}

/// Starts a process, reads what it says, and kills it where it is to be killed.
#[expect(clippy::disallowed_methods, reason = "the test runs itself again as a process that is killed")]
fn process(task: &Task) -> Said {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(TASK, serde_json::to_string(task).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Said { lines: Vec::new(), killed: None };
    let (told, lines) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
    loop {
        let line = match lines.recv_timeout(HANGS) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                panic!("{task:?} hangs after {:?}", said.lines);
            }
        };
        let Some(line) = line.strip_prefix("@ ").map(str::to_owned) else { continue };
        if let Some(phase) = line.strip_prefix("at ") {
            child.kill().unwrap();
            said.killed = Some(format!("{:?} {}{phase}", task.role, if task.waits { "before " } else { "in " }));
        }
        said.lines.push(line);
    }
    let ended = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() || said.killed.is_some(), "{task:?} failed by itself: {:?}\n{words}", said.lines);
    said
}

/// Runs one round to its end and looks at what is left.
pub(crate) async fn run(place: &Place, seed: u64) -> Ended {
    let store = place.store().await;
    let repository = Repository::init(Arc::clone(&store), NOW.parse().unwrap()).await.unwrap().0;
    for n in 0..BEFORE {
        back_up(&repository, None, &point(0, n), false).await.unwrap();
    }
    repository.pin(&shop(), &point(0, 0), PIN, &serde_json::json!({})).await.unwrap();

    let mut dice = Dice(seed);
    let roles = [Role::Backup(1), Role::Backup(2), Role::Prune, Role::Prune, Role::Sweep, Role::Check];
    let tasks = roles.map(|role| {
        // As many operations as a process of this kind makes, and some more: those end by themselves.
        let operations = if matches!(role, Role::Backup(_)) { 45 } else { 90 };
        Task {
            role,
            place: place.clone(),
            stop_at: if dice.below(4) == 0 { 0 } else { usize::try_from(2 + dice.below(operations)).unwrap() },
            waits: dice.below(2) == 0,
            large: dice.below(4) == 0,
        }
    });
    let said: Vec<Said> = std::thread::scope(|scope| {
        let running: Vec<_> = tasks.iter().map(|task| scope.spawn(|| process(task))).collect();
        running.into_iter().map(|one| one.join().expect("it looked after its process")).collect()
    });

    let lines: Vec<&String> = said.iter().flat_map(|one| &one.lines).collect();
    let named = |word: &str| -> BTreeSet<PointId> {
        lines.iter().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).collect()
    };
    let told = Told { published: named("published "), withdrawing: named("withdrawing ") };
    let violates =
        |line: &str| match line.strip_prefix(RELIED_UPON).and_then(|rest| rest.split(',').next()?.parse().ok()) {
            Some(id) => !told.nobody_knows(&id),
            None => line.starts_with("violation") || line.starts_with(RELIED_UPON),
        };
    let violations: Vec<_> = lines.iter().filter(|line| violates(line)).collect();
    assert!(violations.is_empty(), "seed {seed}: {violations:?}");
    let mut sums = after(&repository, &told, seed).await;
    let killed: Vec<String> = said.into_iter().filter_map(|one| one.killed).collect();
    sums.killed = killed.len();
    Ended { killed, sums }
}

async fn keys(store: &dyn ObjectStore) -> BTreeSet<String> {
    let pages: Vec<_> = store.list("").try_collect().await.unwrap();
    pages.into_iter().flatten().map(|object| object.key).collect()
}

/// What holds after a round, before and after the next prune.
async fn after(repository: &Repository, told: &Told, seed: u64) -> Sums {
    let Told { published, withdrawing } = told;
    let store = repository.store();
    let before: BTreeSet<PointId> = (0..BEFORE).map(|n| point(0, n)).collect();
    let folders = repository.folders(&shop()).await.unwrap();
    let mut sums = Sums { published: published.len(), hidden: folders.withdrawn.len(), ..Sums::default() };

    // What is listed is whole; what was published and nobody withdrew is listed.
    for id in &folders.published {
        if !is_whole(repository, id).await {
            assert!(told.nobody_knows(id), "seed {seed}: {id} is listed, and half of it is gone");
            repository.withdraw(&shop(), id, &[]).await.unwrap();
        }
    }
    for id in before.union(published).filter(|id| !withdrawing.contains(id)) {
        assert!(folders.published.contains(id), "seed {seed}: {id} was published, and is lost");
    }
    // What is relied upon is whole, be it hidden.
    assert!(keys(&**store).await.contains(&layout::manifest(&shop(), &point(0, 0))), "seed {seed}: pinned, and gone");
    assert!(is_whole(repository, &point(0, 0)).await, "seed {seed}: pinned, and half of it is gone");

    // The next prune: what was hidden goes or is shown again, what belongs to nothing is swept.
    for id in &folders.withdrawn {
        repository.unpin(&shop(), id, OF_CHECK).await.unwrap();
        match repository.withdraw(&shop(), id, &[]).await.unwrap() {
            Withdrawal::Done { remains, .. } => assert!(remains.is_empty(), "seed {seed}: {remains:?}"),
            Withdrawal::Gone => {}
            // A quarter of an hour later it would take the mark away, too.
            Withdrawal::Pinned { pins } => {
                assert_eq!((pins, id), (vec![PIN.to_owned()], &point(0, 0)), "seed {seed}");
                for key in keys(&**store).await.iter().filter(|key| key.starts_with(&layout::withdrawn(&shop(), id))) {
                    store.delete(key).await.unwrap();
                }
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    for leftover in repository.leftovers(&shop()).await.unwrap() {
        match leftover {
            holdpoint_repository::Leftover::Upload(_) => sums.uploads += 1,
            holdpoint_repository::Leftover::Orphan { .. } => sums.orphans += 1,
        }
        repository.remove_leftover(&leftover).await.unwrap();
    }
    // Nothing is there but whole restore points: every orphan was found.
    let alive = repository.points(&shop()).await.unwrap();
    let mut wanted = BTreeSet::from([layout::REPOSITORY.to_owned(), layout::pin(&shop(), &point(0, 0), PIN)]);
    for id in &alive {
        repository.unpin(&shop(), id, OF_CHECK).await.unwrap();
        wanted.extend(work::objects(id));
        wanted.insert(layout::manifest(&shop(), id));
    }
    assert_eq!(keys(&**store).await, wanted, "seed {seed}");
    assert_eq!(store.list_uploads("").await.unwrap(), [], "seed {seed}");
    sums.dropped = before.union(published).filter(|id| !alive.contains(id)).count();
    sums
}

/// Whether everything of a restore point is there. A deletion that the store got from a process killed since may
/// still happen: then its manifest, which goes first, is gone by now.
async fn is_whole(repository: &Repository, id: &PointId) -> bool {
    for key in objects(id) {
        if repository.store().head(&key).await.is_err() {
            return repository.store().head(&layout::manifest(&shop(), id)).await.is_err();
        }
    }
    true
}
