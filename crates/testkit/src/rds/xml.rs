//! Answers of the AWS Query protocol as text.

use super::error::RdsError;

const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";

/// Writes `<name>…</name>` around what is XML already.
pub(super) fn element(name: &str, inner: &str) -> String {
    format!("<{name}>{inner}</{name}>")
}

/// Writes `<name>…</name>` around a text.
pub(super) fn text(name: &str, value: &str) -> String {
    element(name, &escape(value))
}

/// Writes a list: `<name><member>…</member>…</name>`, of members that are XML already.
pub(super) fn list(name: &str, member: &str, inner: impl IntoIterator<Item = String>) -> String {
    element(name, &inner.into_iter().map(|inner| element(member, &inner)).collect::<String>())
}

/// Writes tags as `TagList` has them.
pub(super) fn tags(tags: &[(String, String)]) -> String {
    list("TagList", "Tag", tags.iter().map(|(key, value)| text("Key", key) + &text("Value", value)))
}

/// Writes the whole answer to an action; actions without a result get an empty `inner`.
pub(super) fn answer(action: &str, inner: &str, request: &str) -> String {
    let result = element(&format!("{action}Result"), inner);
    let metadata = element("ResponseMetadata", &text("RequestId", request));
    format!("<{action}Response xmlns=\"{NAMESPACE}\">{result}{metadata}</{action}Response>")
}

/// Writes an error's answer.
pub(super) fn error(error: &RdsError, request: &str) -> String {
    let side = if error.status >= 500 { "Receiver" } else { "Sender" };
    let inner = text("Type", side) + &text("Code", &error.code) + &text("Message", &error.message);
    let inner = element("Error", &inner) + &text("RequestId", request);
    format!("<ErrorResponse xmlns=\"{NAMESPACE}\">{inner}</ErrorResponse>")
}

fn escape(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
