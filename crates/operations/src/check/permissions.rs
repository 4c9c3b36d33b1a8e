//! Who may look into a local directory, and whose its files are.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use holdpoint_repository::may_be_link;

use super::findings::{Finding, FindingKind};
use crate::{Context, Error};

/// Something that lies below a directory.
struct Below {
    place: String,
    mode: u32,
    owner: u32,
}

/// Looks at the repository's directory and at everything in the database's folder. A dump holds everything that the
/// database holds: nobody else may read it; and what belongs to somebody else, whoever prunes may not remove.
///
/// # Errors
/// [`Error::Io`] where a folder cannot be read.
pub(super) fn look(context: &Context) -> Result<Vec<Finding>, Error> {
    let Some(root) = context.repository.url().directory() else { return Ok(Vec::new()) };
    let place = root.display().to_string();
    let Ok(found) = root.metadata() else { return Ok(Vec::new()) };
    let mut findings = Vec::new();
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        let reason = format!("its mode is {mode:03o}: others than its owner may look into it");
        findings.push(Finding::new(FindingKind::Permissions, &place, reason, format!("chmod 700 {place}")));
    }
    let folder = root.join(context.database.as_str());
    let mut below = Vec::new();
    walk(root, &folder, &mut below)
        .map_err(|source| Error::Io { what: format!("the files of {}", folder.display()), source })?;
    let open: Vec<&Below> = below.iter().filter(|one| one.mode & 0o077 != 0).collect();
    if let Some(first) = open.first() {
        let reason = format!("its mode is {:03o}: others than its owner may use it{}", first.mode, more(open.len()));
        let cure = format!("chmod -R go= {}", folder.display());
        findings.push(Finding::new(FindingKind::Permissions, &first.place, reason, cure));
    }
    let foreign: Vec<&Below> = below.iter().filter(|one| one.owner != found.uid()).collect();
    if let Some(first) = foreign.first() {
        let reason =
            format!("it belongs to user {}, the repository to {}{}", first.owner, found.uid(), more(foreign.len()));
        let cure = format!("chown -R {} {}", found.uid(), folder.display());
        findings.push(Finding::new(FindingKind::Permissions, &first.place, reason, cure));
    }
    Ok(findings)
}

fn more(count: usize) -> String {
    match count - 1 {
        0 => String::new(),
        others => format!("; {others} more like it below the same folder"),
    }
}

/// Everything in a folder, itself first; links are followed where lists do, and what goes meanwhile is passed over.
fn walk(root: &Path, place: &Path, below: &mut Vec<Below>) -> std::io::Result<()> {
    let found = match place.symlink_metadata() {
        // What a link is open to nobody asks; what it leads to is.
        Ok(link) if link.is_symlink() && may_be_link(root, place) => place.metadata(),
        found => found,
    };
    let found = match found {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.is_symlink() {
        return Ok(());
    }
    below.push(Below { place: place.display().to_string(), mode: found.mode() & 0o777, owner: found.uid() });
    if !found.is_dir() {
        return Ok(());
    }
    let entries = match place.read_dir() {
        // Whose it is tells enough.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => return Ok(()),
        entries => entries?,
    };
    let mut places = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    places.sort();
    places.iter().try_for_each(|place| walk(root, place, below))
}
