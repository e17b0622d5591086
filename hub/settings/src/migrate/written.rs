//! Values that the chart and JupyterHub write otherwise than Kubernetes.

use serde_json::{Map, Value, json};

use super::draft::object;

/// The text of a text, a number or a boolean.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn list(value: &Value) -> Value {
    if value.is_array() { value.clone() } else { json!([value]) }
}

/// An object of named things as their list.
pub(super) fn values(value: &Value) -> Value {
    match value {
        Value::Object(things) => things.values().cloned().collect(),
        _ => list(value),
    }
}

/// Names of Secrets, or references to them, as references.
pub(super) fn references(value: &Value) -> Value {
    let reference = |item: &Value| if item.is_string() { object("name", item.clone()) } else { item.clone() };
    value.as_array().into_iter().flatten().map(reference).collect()
}

/// A number that is no whole one as text.
pub(super) fn amount(value: &Value) -> Value {
    match value {
        Value::Number(number) if !number.is_u64() => number.to_string().into(),
        value => value.clone(),
    }
}

pub(super) fn amounts(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), amounts(value))).collect::<Map<_, _>>().into()
        }
        value => amount(value),
    }
}

/// JupyterHub counts `1G` as 1024³ bytes, Kubernetes as 1000³.
pub(super) fn binary(value: &Value) -> (Value, Option<String>) {
    match value.as_str().and_then(|text| text.char_indices().next_back()) {
        Some((_, 'K' | 'M' | 'G' | 'T')) => {
            let text = plain(value);
            let written = format!("{text}i");
            (written.as_str().into(), Some(format!("{text} of JupyterHub's is {written} of Kubernetes'")))
        }
        _ => (amount(value), None),
    }
}
