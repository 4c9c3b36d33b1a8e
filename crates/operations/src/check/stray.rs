//! What lies below the repository and belongs to nothing: files that holdpoint never wrote, folders that nobody looks after.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _};
use holdpoint_core::quantity::counted;
use holdpoint_core::{DatabaseName, PointId, RunId, layout};
use holdpoint_repository::{Error as Store, Repository, check_key, may_be_link};

use super::findings::{Finding, FindingKind};
use crate::leftovers::doctor_prefix;
use crate::{Context, Error};

/// How many steps of runs are read at a time.
const STEPS_AT_A_TIME: usize = 8;
/// What a restore point is made of.
const OBJECTS: [&str; 6] =
    ["manifest.json", "index.jsonl.zst", "archive.dump", "dump.sql.gz", "contents.dump", "globals.sql"];
/// The parts of a database's folder, by which one is known.
const PARTS: [&str; 3] = ["restore-points", "runs", "identities"];
const CURE: &str = "look whose it is, and remove it: holdpoint neither wrote nor reads it";
const CURE_OF_LINKS: &str = "put what it leads to itself in its place; or remove it, where nobody wants that";

/// Looks for files in a database's folder that have no place there, and for steps of runs that cannot be read; costs one list
/// over it, and one read a step.
pub(super) async fn look(context: &Context) -> Result<Vec<Finding>, Error> {
    let (prefix, doctors) = (layout::database(&context.database), doctor_prefix(&context.database));
    let (mut strays, mut linked) = (Strays::default(), Strays::default());
    let (mut pages, mut steps) = (context.repository.store().list(&prefix), Vec::new());
    while let Some(page) = pages.try_next().await? {
        for object in page {
            if let Some(run) = run_of_step(&context.database, &object.key) {
                steps.push((run, object.key));
                continue;
            }
            let below = object.key.strip_prefix(&prefix).unwrap_or(&object.key);
            let ours = belongs(&context.database, below) && check_key(&object.key).is_ok();
            if !ours && !object.key.starts_with(&doctors) {
                strays.add(object.key, object.size_bytes);
            }
        }
    }
    if let Some(root) = context.repository.url().directory() {
        let folder = root.join(context.database.as_str());
        links(root, &folder, &prefix, (&mut strays, &mut linked))
            .map_err(|source| Error::Io { what: format!("the files of {}", folder.display()), source })?;
    }
    let mut findings = unreadable(context, steps).await?;
    findings.extend(strays.finding().into_iter().chain(linked.finding_of_links()));
    Ok(findings)
}

/// The run whose step a key names.
fn run_of_step(database: &DatabaseName, key: &str) -> Option<RunId> {
    let run: RunId = key.strip_prefix(&layout::runs(database))?.split('/').next()?.parse().ok()?;
    layout::run_step_parts(database, &run, key).map(|_| run).filter(|_| check_key(key).is_ok())
}

/// Steps of runs that cannot be read.
async fn unreadable(context: &Context, steps: Vec<(RunId, String)>) -> Result<Vec<Finding>, Error> {
    let faults = futures_util::stream::iter(steps).map(async |(run, key)| {
        let fault = context.repository.step_fault(&key).await?;
        Ok::<_, Error>(fault.map(|reason| (run, key, reason)))
    });
    let mut found: Vec<_> =
        faults.buffer_unordered(STEPS_AT_A_TIME).try_filter_map(async |one| Ok(one)).try_collect().await?;
    found.sort();
    let finding = |(run, key, reason): (RunId, String, String)| {
        let cure = crate::hint::repository::step(&run, &key);
        Finding::new(FindingKind::Unreadable, &key, reason, cure)
    };
    Ok(found.into_iter().map(finding).collect())
}

/// Adds symbolic links that no look follows, and names that are no text: no list shows either. What goes meanwhile is passed
/// over.
fn links(
    root: &Path,
    folder: &Path,
    prefix: &str,
    (strays, linked): (&mut Strays, &mut Strays),
) -> std::io::Result<()> {
    let entries = match folder.read_dir() {
        // Whose it is the look at permissions tells.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = match entry.file_type() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            kind => kind?,
        };
        let name = entry.file_name();
        let key = format!("{prefix}{}", name.to_string_lossy());
        let followed = kind.is_symlink() && may_be_link(root, &entry.path()) && entry.path().is_dir();
        if kind.is_symlink() && !followed {
            linked.add(key, 0);
        } else if name.to_str().is_none() {
            strays.add(key, 0);
        } else if kind.is_dir() || followed {
            links(root, &entry.path(), &format!("{key}/"), (&mut *strays, &mut *linked))?;
        }
    }
    Ok(())
}

/// Looks for files beside the folders of databases, and for folders of databases that are not among the configured ones;
/// where none is configured, every folder with a database's name is one. Costs one list over the whole repository. Where a link
/// in it leads to nothing that is all that is found: the list ends there.
///
/// # Errors
/// Those of the repository.
pub async fn surroundings(
    repository: &Repository,
    configured: Option<&BTreeSet<DatabaseName>>,
) -> Result<Vec<Finding>, Error> {
    let mut strays = Strays::default();
    let mut folders: BTreeMap<DatabaseName, Folder> = BTreeMap::new();
    let mut pages = repository.store().list("");
    loop {
        let page = match pages.try_next().await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(Store::LinkLeadsNowhere { action, link }) => return Ok(vec![not_looked_at(action, link)]),
            Err(error) => return Err(error.into()),
        };
        for object in page {
            let (first, rest) = object.key.split_once('/').unwrap_or((&object.key, ""));
            match first.parse::<DatabaseName>() {
                Ok(name) if !rest.is_empty() => {
                    let folder = folders.entry(name).or_default();
                    folder.ours |= PARTS.iter().any(|part| rest.split('/').next() == Some(*part));
                    folder.strays.add(object.key, object.size_bytes);
                }
                _ if object.key == layout::REPOSITORY => {}
                _ => strays.add(object.key, object.size_bytes),
            }
        }
    }
    let mut findings = Vec::new();
    let Some(configured) = configured else { return Ok(strays.finding().into_iter().collect()) };
    for (name, folder) in folders {
        if configured.contains(&name) {
            continue;
        }
        if !folder.ours {
            strays.join(folder.strays);
            continue;
        }
        let reason = format!(
            "the folder of a database that no configuration names: {} that nobody makes, proves or prunes",
            counted(folder.strays.count, "object")
        );
        let cure = format!(
            "configure it: [database.{name}] in holdpoint.toml; or look at it with holdpoint list --database {name}, and \
             remove the folder when nobody wants it"
        );
        findings.push(Finding::new(FindingKind::NotConfigured, &layout::database(&name), reason, cure));
    }
    Ok(strays.finding().into_iter().chain(findings).collect())
}

/// A disk of one database is not mounted.
fn not_looked_at(action: &'static str, link: String) -> Finding {
    let (place, error) = (link.clone(), Store::LinkLeadsNowhere { action, link });
    let cure = crate::hint::of_repository(&error).unwrap_or_default();
    let reason = format!("{error}; what lies beside the folders of databases was not looked at");
    Finding::new(FindingKind::Unreadable, &place, reason, cure)
}

#[derive(Default)]
struct Folder {
    /// It has parts that a database's folder has.
    ours: bool,
    strays: Strays,
}

/// Files that belong to nothing; of many the first is named.
#[derive(Default)]
struct Strays {
    first: Option<String>,
    count: u64,
    bytes: u64,
}

impl Strays {
    fn add(&mut self, key: String, bytes: u64) {
        self.first = self.first.take().into_iter().chain([key]).min();
        self.count += 1;
        self.bytes += bytes;
    }

    fn join(&mut self, other: Self) {
        self.first = self.first.take().into_iter().chain(other.first).min();
        self.count += other.count;
        self.bytes += other.bytes;
    }

    fn more(&self) -> String {
        match self.count {
            0 | 1 => String::new(),
            count => format!("; {} more like it", count - 1),
        }
    }

    /// What a link leads to may be an archive that somebody moved to another disk.
    fn finding_of_links(self) -> Option<Finding> {
        let reason = format!("it is a symbolic link, which no list shows and no look follows{}", self.more());
        Some(Finding::new(FindingKind::Stray, &self.first?, reason, CURE_OF_LINKS))
    }

    fn finding(self) -> Option<Finding> {
        let more = self.more();
        let first = self.first?;
        let bytes = holdpoint_core::quantity::bytes(self.bytes);
        Some(Finding::new(FindingKind::Stray, &first, format!("it belongs to nothing{more}; {bytes} in all"), CURE))
    }
}

/// Whether something is written at that place of a database's folder.
fn belongs(database: &DatabaseName, below: &str) -> bool {
    let json = |name: &str| name.ends_with(".json");
    match below.split('/').collect::<Vec<_>>()[..] {
        ["lease"] => true,
        ["identities", _] => {
            let key = format!("{}{below}", layout::database(database));
            key == layout::first_identity(database) || layout::identity_instant(database, &key).is_some()
        }
        ["runs", run, name] => run.parse::<RunId>().is_ok_and(|run| {
            let key = format!("{}{below}", layout::database(database));
            name == "output.txt" || layout::run_step_parts(database, &run, &key).is_some()
        }),
        ["restore-points", id, name] => id.parse::<PointId>().is_ok() && OBJECTS.contains(&name),
        ["restore-points", id, part, name] => {
            id.parse::<PointId>().is_ok() && ["verifications", "pins", "withdrawn"].contains(&part) && json(name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_belongs_and_nothing_else() {
        let database: DatabaseName = "shop".parse().unwrap();
        let at = "2026-11-21T02:43:00.125Z".parse().unwrap();
        let (id, run) = (PointId::new(at, 1), RunId::new(at, 1));
        let written = [
            layout::manifest(&database, &id),
            layout::index(&database, &id),
            layout::archive(&database, &id),
            layout::plain(&database, &id),
            layout::contents(&database, &id),
            layout::globals(&database, &id),
            layout::verification(&database, &id, at, "proved"),
            layout::pin(&database, &id, "audit"),
            format!("{}01.json", layout::withdrawn(&database, &id)),
            layout::run_step(&database, &run, 3, "running"),
            layout::run_output(&database, &run),
            layout::identity(&database, at),
            layout::first_identity(&database),
            layout::lease(&database),
        ];
        for key in written {
            assert!(belongs(&database, key.strip_prefix("shop/").unwrap()), "{key}");
        }
        for stray in [
            "notes.txt",
            "lease/x",
            "identities/x",
            "identities/copy.json",
            "runs/x.json",
            "runs/nobody/0001-started.json",
            "restore-points/x.json",
            "restore-points/not-an-id/manifest.json",
            &format!("restore-points/{id}/archive.dump.bak"),
            &format!("restore-points/{id}/pins/x"),
            &format!("restore-points/{id}/other/x.json"),
            &format!("restore-points/{id}/pins/deep/x.json"),
        ] {
            assert!(!belongs(&database, stray), "{stray}");
        }
    }
}
