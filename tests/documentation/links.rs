//! Links lead somewhere.

use std::path::Path;

use crate::page::{pages, read};

/// The targets of `[text](target)` in a text without code.
fn links(prose: &str) -> Vec<&str> {
    let after = prose.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// The name under which a heading can be linked, as code hosts make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn broken(folder: &Path, own: &str, link: &str) -> bool {
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = folder.join(path);
    if !path.is_empty() && !target.exists() {
        return true;
    }
    let text = if path.is_empty() { own.to_owned() } else { std::fs::read_to_string(target).unwrap_or_default() };
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    !fragment.is_empty() && !headings.map(anchor).any(|name| name == fragment)
}

#[test]
fn every_relative_link_resolves() {
    let mut found = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        let folder = page.path.parent().expect("a page lies in a folder");
        let prose = page.prose(true);
        for link in links(&prose).into_iter().filter(|link| !link.contains("://")) {
            found += 1;
            if broken(folder, &page.text, link) {
                wrong.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(found > 20, "only {found} links were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The check can fail.
#[test]
fn a_broken_link_is_found() {
    let folder = crate::page::root();
    let readme = read("README.md");
    assert!(!broken(&folder, &readme, "docs/format.md#index"));
    for link in ["docs/no-such-page.md", "docs/format.md#no-such-heading", "#no-such-heading"] {
        assert!(broken(&folder, &readme, link), "{link}");
    }
    assert_eq!(links("a [b](c.md) [d](e.md#f)"), ["c.md", "e.md#f"]);
}

/// Every page below `docs/` can be reached from the README.
#[test]
fn every_page_is_linked() {
    let all = pages();
    let linked: Vec<_> = all
        .iter()
        .flat_map(|page| {
            let folder = page.path.parent().expect("a page lies in a folder");
            let targets = page.prose(true);
            let targets: Vec<_> = links(&targets).into_iter().filter_map(|link| link.split('#').next()).collect();
            targets.into_iter().filter_map(|link| folder.join(link).canonicalize().ok()).collect::<Vec<_>>()
        })
        .collect();
    for page in all.iter().filter(|page| !page.path.ends_with("README.md")) {
        let path = page.path.canonicalize().expect("a page is there");
        assert!(linked.contains(&path), "{} is linked from nowhere", path.display());
    }
}
