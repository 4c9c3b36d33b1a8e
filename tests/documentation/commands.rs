//! Commands in the pages: the program takes them.

use std::path::Path;
use std::process::{Command, Output};
use std::{collections::BTreeMap, sync::OnceLock};

use crate::page::{Page, pages, root};

/// One command of a page, as the words of a shell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) place: String,
    pub(crate) words: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "the documented program is run as a reader would")]
fn holdpoint(words: &[&str]) -> Output {
    let empty = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(holdpoint_tests::program());
    command.args(words).env_clear().current_dir(empty.path()).output().expect("holdpoint starts")
}

fn help_of(verb: &str) -> Option<&'static str> {
    static KNOWN: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let all = text(&holdpoint(&["--help"]));
        let help = verbs(&all)
            .filter(|verb| *verb != "help")
            .map(|verb| (verb.to_owned(), text(&holdpoint(&[verb, "--help"]))))
            .map(|(verb, help)| {
                // The flags of its own verbs are its own.
                let below: String = verbs(&help)
                    .filter(|below| *below != "help")
                    .map(|below| text(&holdpoint(&[&verb, below, "--help"])))
                    .collect();
                (verb, help.clone() + &below)
            });
        help.chain([(String::new(), all.clone())]).collect()
    });
    known.get(verb).map(String::as_str)
}

/// The verbs that the program's help lists; lines that go on with a description are set further in.
fn verbs(help: &str) -> impl Iterator<Item = &str> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    list.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|verb| !verb.is_empty()))
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Splits a line as a shell does: quotes, and where the command ends (`|`, `>`, `&&`, `;`, a comment).
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), letter) => word.push(letter),
            (None, '\'' | '"') => (quote, begun) = (Some(letter), true),
            (None, ' ') => {
                words.extend(begun.then(|| std::mem::take(&mut word)));
                begun = false;
            }
            (None, '|' | '>' | '&' | ';') => break,
            (None, '#') if !begun => break,
            (None, letter) => {
                word.push(letter);
                begun = true;
            }
        }
    }
    words.extend(begun.then_some(word));
    words
}

/// The calls of the program in a page's `sh` blocks.
fn calls(page: &Page) -> Vec<Call> {
    let mut calls = Vec::new();
    for block in page.blocks().into_iter().filter(|block| block.language == "sh") {
        let text = block.lines.join("\n").replace("\\\n", " ");
        for line in text.lines() {
            let words = words(line);
            let program = words.iter().position(|word| !word.contains('=') || word.starts_with('-'));
            if let Some(at) = program.filter(|at| words[*at] == "holdpoint") {
                let place = format!("{}:{}", page.path.display(), block.line);
                calls.push(Call { place, words: words[at + 1..].to_vec() });
            }
        }
    }
    calls
}

/// What is wrong with a call; nothing when the program takes it.
pub(crate) fn problem(call: &Call) -> Option<String> {
    let own = call.words.iter().position(|word| word == "--").unwrap_or(call.words.len());
    let own: Vec<&str> = call.words[..own].iter().map(String::as_str).collect();
    let verb = own.first().copied().filter(|word| !word.starts_with('-')).unwrap_or_default();
    if verb == "help" {
        return None;
    }
    let Some(help) = help_of(verb) else { return Some(format!("the program has no verb {verb}")) };
    for flag in own.iter().filter(|word| word.starts_with('-')) {
        let name = flag.split('=').next().unwrap_or(flag);
        let has = |line: &str| line.split([' ', ',', '=', '[']).any(|word| word == name);
        if !help.lines().any(has) {
            return Some(format!("{verb} has no {name}"));
        }
    }
    // The program reads every word up to --help, values included, and says what it cannot read.
    let output = holdpoint(&[own.as_slice(), &["--help"]].concat());
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_command_is_one_that_the_program_takes() {
    let calls: Vec<Call> = pages().iter().flat_map(calls).collect();
    assert!(calls.len() > 20, "only {} commands were found", calls.len());
    let wrong: Vec<String> = calls
        .iter()
        .filter_map(|call| Some(format!("{}: {}: {}", call.place, call.words.join(" "), problem(call)?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The check can fail.
#[test]
fn a_wrong_command_is_found() {
    let call = |text: &str| Call { place: String::new(), words: words(text) };
    assert_eq!(problem(&call("backup --verify")), None);
    for wrong in ["backup --verfy", "restore --from newest", "backup --compress lzma", "verify --jobs none"] {
        assert!(problem(&call(wrong)).is_some(), "{wrong} was taken");
    }
}

#[test]
fn lines_are_split_as_a_shell_does() {
    assert_eq!(words("a --b 'c d' \"e\" > f"), ["a", "--b", "c d", "e"]);
    assert_eq!(words("a # b"), ["a"]);
    let text = "```sh\nX=1 holdpoint a \\\n  --b\nnot holdpoint\n```\n".to_owned();
    let page = Page { path: "t.md".into(), text };
    assert_eq!(calls(&page), [Call { place: "t.md:2".into(), words: vec!["a".into(), "--b".into()] }]);
}

/// Scripts that a page names are there and can be run.
#[test]
fn every_script_is_there() {
    let mut found = 0;
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language == "sh") {
            for line in block.lines.iter().filter(|line| line.starts_with("scripts/")) {
                let script = line.split(' ').next().expect("a word");
                assert!(executable(&root().join(script)), "{}: {script}", page.path.display());
                found += 1;
            }
        }
    }
    assert!(found > 3, "only {found} scripts were found");
}

fn executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
}

/// The README lists the verbs that there are, and every other verb of the design as not there yet.
#[test]
fn the_readme_lists_every_verb() {
    let readme = crate::page::read("README.md");
    let cells = crate::page::first_cells(&readme, "## Verbs").join(" ").replace([',', '`'], "");
    let mut listed: Vec<&str> = cells.split_whitespace().collect();
    listed.sort_unstable();
    let all = help_of("").expect("the program has help");
    let mut there: Vec<&str> = verbs(all).filter(|verb| *verb != "help").collect();
    there.sort_unstable();
    assert_eq!(listed, there);
}
