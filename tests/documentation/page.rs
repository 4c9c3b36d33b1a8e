//! The pages, and what stands in them.

use std::path::{Path, PathBuf};

/// One Markdown page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block: its language, the number of its first line, its lines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) line: usize,
    pub(crate) lines: Vec<String>,
}

pub(crate) fn root() -> PathBuf {
    holdpoint_testkit::workspace_directory()
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page of the project: those at the top, and all below `docs/`.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    collect(&root(), false, &mut pages);
    collect(&root().join("docs"), true, &mut pages);
    assert!(pages.len() > 10, "only {} pages were found", pages.len());
    pages
}

fn collect(folder: &Path, deeper: bool, pages: &mut Vec<Page>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("a folder that can be listed").path()) {
        if deeper && path.is_dir() {
            collect(&path, true, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = std::fs::read_to_string(&path).expect("a page is text");
            pages.push(Page { path, text });
        }
    }
}

impl Page {
    /// The fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (number, line) in self.text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(language), None) => {
                    open = Some(Block { language: language.trim().to_owned(), line: number + 2, lines: Vec::new() });
                }
                (None, Some(block)) => block.lines.push(line.to_owned()),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", self.path.display());
        blocks
    }

    /// The text outside of fenced blocks, with inline code left out where `without_code` says so.
    pub(crate) fn prose(&self, without_code: bool) -> String {
        let mut prose = String::new();
        let mut fenced = false;
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        if !without_code {
            return prose;
        }
        prose.split('`').step_by(2).collect::<Vec<_>>().join("`")
    }
}

/// The first cell of every row of the tables below a heading, without its backticks.
pub(crate) fn first_cells(text: &str, heading: &str) -> Vec<String> {
    let section = text.split_once(heading).unwrap_or_else(|| panic!("there is no {heading:?}")).1;
    let end = section.find("\n## ").unwrap_or(section.len());
    let rows = section[..end].lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| Some(row.split('|').nth(1)?.trim().trim_matches('`').to_owned()));
    // The heading of the table itself is the first row.
    cells.skip(1).collect()
}

#[test]
fn blocks_and_tables_are_found() {
    let text = "# T\n\n| a | b |\n|---|---|\n| `x` | 1 |\n| `y` | 2 |\n\n## U\n\n| `z` | 3 |\n\n```sh\none\ntwo\n```\n`in` out\n";
    let page = Page { path: "t.md".into(), text: text.into() };
    let block = Block { language: "sh".into(), line: 13, lines: vec!["one".into(), "two".into()] };
    assert_eq!(page.blocks(), [block]);
    assert_eq!(first_cells(text, "# T"), ["x", "y"]);
    assert!(!page.prose(true).contains("one") && !page.prose(true).contains("in`"));
}
