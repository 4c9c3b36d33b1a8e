//! Names in a tree.

use squawk_syntax::{SyntaxNode, SyntaxToken};

use crate::ObjectName;
use crate::name::fold;

/// The name that a node holds and nothing else: identifiers with points between them.
pub(super) fn name_of(node: &SyntaxNode) -> Option<ObjectName> {
    ObjectName::of_parts(parts(node)?)
}

/// The single identifier that a node holds.
pub(super) fn identifier(node: Option<&SyntaxNode>) -> Option<String> {
    let mut parts = parts(node?)?;
    if parts.len() == 1 { parts.pop() } else { None }
}

fn parts(node: &SyntaxNode) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut point = true;
    for token in tokens(node) {
        match (token.text(), point) {
            (".", false) => point = true,
            (text, true) => {
                parts.push(fold(text)?);
                point = false;
            }
            _ => return None,
        }
    }
    (!point).then_some(parts)
}

/// The table of `OWNED BY table.column`.
pub(super) fn owner(statement: &SyntaxNode) -> Option<ObjectName> {
    let words: Vec<SyntaxToken> = tokens(statement).collect();
    let is = |at: usize, word: &str| words[at].text().eq_ignore_ascii_case(word);
    let place = (2..words.len()).find(|at| is(at - 2, "owned") && is(at - 1, "by"))?;
    let mut parts = dotted(&words[place..])?.0;
    parts.pop()?;
    ObjectName::of_parts(parts)
}

/// The old and the new name that `ALTER kind name RENAME TO name` or `SET SCHEMA name` gives.
pub(super) fn moved(statement: &SyntaxNode) -> Option<(ObjectName, ObjectName)> {
    let words: Vec<SyntaxToken> = tokens(statement).collect();
    let (parts, length) = dotted(words.get(2..)?)?;
    let from = ObjectName::of_parts(parts)?;
    let rest = words.get(2 + length..)?;
    let is = |at: usize, word: &str| rest[at].text().eq_ignore_ascii_case(word);
    let place = (2..rest.len())
        .find(|at| (is(at - 2, "rename") && is(at - 1, "to")) || (is(at - 2, "set") && is(at - 1, "schema")))?;
    let name = fold(rest[place].text())?;
    let to = if is(place - 1, "to") { from.renamed(&name) } else { ObjectName::qualified(name, from.name.clone()) };
    Some((from, to))
}

/// The table, view or index that `COMMENT ON` names, or whose column it does.
pub(super) fn commented(statement: &SyntaxNode) -> Option<ObjectName> {
    let words: Vec<SyntaxToken> = tokens(statement).collect();
    let kind = words.get(2)?.text().to_ascii_lowercase();
    let place = match kind.as_str() {
        "table" | "view" | "index" | "column" => 3,
        "materialized" | "foreign" => 4,
        _ => return None,
    };
    let (mut parts, _) = dotted(words.get(place..)?)?;
    if kind == "column" {
        parts.pop();
    }
    ObjectName::of_parts(parts)
}

/// Identifiers with points between them, and how many tokens they take.
fn dotted(words: &[SyntaxToken]) -> Option<(Vec<String>, usize)> {
    let mut parts = vec![fold(words.first()?.text())?];
    let mut length = 1;
    while words.get(length).is_some_and(|word| word.text() == ".") {
        parts.push(fold(words.get(length + 1)?.text())?);
        length += 2;
    }
    Some((parts, length))
}

/// The tokens of a node that are neither blanks nor comments.
pub(super) fn tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> {
    node.descendants_with_tokens().filter_map(|element| element.into_token()).filter(|token| !token.kind().is_trivia())
}

/// A node's text, folded outside quotes and with single blanks: to compare, and for types.
pub(super) fn folded(node: &SyntaxNode) -> String {
    let mut text = String::new();
    for token in tokens(node) {
        let word = token.text();
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
        if text.chars().next_back().is_some_and(is_word) && word.starts_with(is_word) {
            text.push(' ');
        }
        let quoted = word.starts_with(['\'', '"', '$']);
        text.push_str(&if quoted { word.to_owned() } else { word.to_ascii_lowercase() });
    }
    text
}

/// Whether a node holds the word, whatever the case.
pub(super) fn has_word(node: &SyntaxNode, word: &str) -> bool {
    tokens(node).any(|token| token.text().eq_ignore_ascii_case(word))
}
