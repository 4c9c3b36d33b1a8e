//! A message as it is sent, without secrets.

use holdpoint_core::Mask;
use serde::Serialize;
use serde_json::Value;

/// Writes a message as JSON. Each text is masked by itself: in the written form a secret may be escaped, and what is
/// masked there may take a quote with it.
///
/// # Errors
/// What keeps the message from being written.
pub fn masked_json(message: &impl Serialize, mask: &Mask) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(message)?;
    masked(&mut value, mask);
    serde_json::to_string(&value)
}

fn masked(value: &mut Value, mask: &Mask) {
    match value {
        Value::String(text) => *text = mask.message(text),
        Value::Array(values) => values.iter_mut().for_each(|value| masked(value, mask)),
        Value::Object(fields) => fields.values_mut().for_each(|value| masked(value, mask)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
