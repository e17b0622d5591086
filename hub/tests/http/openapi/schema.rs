//! JSON Schema as far as `openapi.yaml` uses it for answers. Another keyword fails the test, since nobody would look at it.
//!
//! Stricter than the standard in one respect: an object has no properties but those that are described, so that a field
//! which is added to an answer is added to the description, too. What clients are told is that there may be others.

use jiff::Timestamp;
use serde_json::Value;

/// The target of a reference; anything else is itself.
pub(super) fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// Whether a value is as its schema says.
///
/// # Errors
/// Where it is not.
pub(super) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolve(document, schema);
    for (keyword, argument) in schema.as_object().unwrap() {
        if !fits(document, keyword, argument, value)? {
            return Err(format!("{value} breaks the rule {keyword}: {argument}"));
        }
    }
    check_names(schema, value)
}

fn fits(document: &Value, keyword: &str, argument: &Value, value: &Value) -> Result<bool, String> {
    let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let matching =
        || argument.as_array().unwrap().iter().filter(|schema| check(document, schema, value).is_ok()).count();
    Ok(match keyword {
        "description" | "default" | "examples" => true,
        "const" => value == argument,
        "enum" => argument.as_array().unwrap().contains(value),
        "type" if argument.is_string() => is_a(argument.as_str().unwrap(), value),
        "type" => texts(argument).iter().any(|kind| is_a(kind, value)),
        "anyOf" => matching() > 0,
        "oneOf" => matching() == 1,
        "minimum" => value.as_i64() >= argument.as_i64(),
        "maximum" => value.as_i64() <= argument.as_i64(),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= argument.as_u64().unwrap()),
        "maxProperties" => value.as_object().is_none_or(|object| object.len() as u64 <= argument.as_u64().unwrap()),
        "format" => value.as_str().is_none_or(|text| argument == "date-time" && text.parse::<Timestamp>().is_ok()),
        "pattern" => value.as_str().is_none_or(|text| is_id(argument.as_str().unwrap(), text)),
        "required" => {
            value.as_object().is_none_or(|object| texts(argument).iter().all(|name| object.contains_key(name)))
        }
        "items" => {
            let items = value.as_array().into_iter().flatten();
            items.map(|item| check(document, argument, item)).collect::<Result<Vec<_>, _>>().map(|_| true)?
        }
        "properties" => {
            let described =
                value.as_object().into_iter().flatten().filter_map(|(name, v)| Some((argument.get(name)?, v)));
            described.map(|(schema, v)| check(document, schema, v)).collect::<Result<Vec<_>, _>>().map(|_| true)?
        }
        "additionalProperties" if argument.is_object() => {
            let values = value.as_object().into_iter().flat_map(|object| object.values());
            values.map(|v| check(document, argument, v)).collect::<Result<Vec<_>, _>>().map(|_| true)?
        }
        "additionalProperties" => true,
        other => panic!("the keyword {other} is not looked at"),
    })
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is not looked at"),
    }
}

/// `^a[0-9]+$`: the only form that patterns have.
fn is_id(pattern: &str, text: &str) -> bool {
    let prefix = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix("[0-9]+$")).unwrap();
    text.strip_prefix(prefix).is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Only described properties are there, unless the description lets others in.
fn check_names(schema: &Value, value: &Value) -> Result<(), String> {
    let (Some(properties), None) = (schema.get("properties"), schema.get("additionalProperties")) else {
        return Ok(());
    };
    match value.as_object().and_then(|object| object.keys().find(|name| properties.get(name.as_str()).is_none())) {
        Some(name) => Err(format!("{name} is not described")),
        None => Ok(()),
    }
}

#[test]
fn what_is_not_as_described_is_found() {
    let document = serde_json::json!({
        "user": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "id": {"pattern": "^a[0-9]+$"},
                "created": {"type": ["string", "null"], "format": "date-time"},
                "servers": {"type": "object", "additionalProperties": {"enum": ["spawn", null]}},
                "groups": {"type": "array", "items": {"type": "string"}},
            },
        },
        "answer": {"oneOf": [{"$ref": "#/user"}, {"type": "object", "maxProperties": 0}]},
    });
    let fits = |text: &str| check(&document, &document["answer"], &serde_json::from_str(text).unwrap()).is_ok();
    for good in [
        "{}",
        r#"{"name": "a"}"#,
        r#"{"name": "a", "id": "a1", "created": "2026-11-23T12:00:00.000000Z", "servers": {"x": null}, "groups": ["g"]}"#,
    ] {
        assert!(fits(good), "{good}");
    }
    for bad in [
        "[]",
        r#"{"name": ""}"#,
        r#"{"name": null}"#,
        r#"{"id": "a1"}"#,
        r#"{"name": "a", "id": "a"}"#,
        r#"{"name": "a", "created": "today"}"#,
        r#"{"name": "a", "servers": {"x": "stop"}}"#,
        r#"{"name": "a", "groups": [1]}"#,
        r#"{"name": "a", "other": 1}"#,
    ] {
        assert!(!fits(bad), "{bad}");
    }
}
