//! Fields of `Hub`, by their paths, and what its definition says of their values. Rules in CEL are the API server's.

use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd = serde_json::to_value(hub_crds::crd()).unwrap_or_default();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
});

/// What the definition says of the field at a path, such as `spec.hub.allowNamedServers`.
pub(crate) fn find(path: &str) -> Option<&'static Value> {
    path.split('.').try_fold(&*SCHEMA, |schema, name| schema.get("properties")?.get(name))
}

/// Whether a value of the right type is within what the definition allows.
///
/// # Errors
/// It is not; says why, without the value.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let own = schema["properties"].get(name).or(schema.get("additionalProperties"));
            match own {
                Some(schema) => check(schema, value).map_err(|error| format!("{name}: {error}")),
                None if schema["x-kubernetes-preserve-unknown-fields"] == true => Ok(()),
                None => Err(format!("it has no field {name}")),
            }
        }),
        Value::Array(items) => {
            within(schema, "minItems", "maxItems", items.len() as f64, "entries")?;
            items.iter().try_for_each(|item| check(&schema["items"], item))
        }
        Value::String(text) => {
            within(schema, "minLength", "maxLength", text.chars().count() as f64, "characters")?;
            match schema["pattern"].as_str() {
                Some(pattern) if !Regex::new(pattern).is_ok_and(|regex| regex.is_match(text)) => {
                    Err(format!("it must match {pattern}"))
                }
                _ => Ok(()),
            }
        }
        Value::Number(number) => within(schema, "minimum", "maximum", number.as_f64().unwrap_or_default(), ""),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn within(schema: &Value, least: &str, most: &str, found: f64, what: &str) -> Result<(), String> {
    match (schema[least].as_f64(), schema[most].as_f64()) {
        (Some(least), _) if found < least => Err(format!("it must be at least {least} {what}").trim_end().to_owned()),
        (_, Some(most)) if found > most => Err(format!("it must be at most {most} {what}").trim_end().to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_held_against_the_definition() {
        for (path, value, wrong) in [
            ("spec.singleuser.uid", json!(0), Some("at least 1")),
            ("spec.singleuser.uid", json!(1000), None),
            ("spec.singleuser.cmd", json!([]), Some("at least 1 entries")),
            ("spec.singleuser.defaultUrl", json!("lab"), Some("must match")),
            ("spec.singleuser.defaultUrl", json!("/lab"), None),
            ("spec.singleuser.nodeSelector", json!({"any/label": "x"}), None),
            ("spec.singleuser.podTemplate", json!({"spec": {"hostNetwork": false}}), None),
            ("spec.singleuser.cpu", json!({"limits": 1}), Some("no field limits")),
            ("spec.singleuser.memory.limit", json!("1 G"), Some("must match")),
            ("spec.roles", json!([{"name": "grader", "scope": []}]), Some("no field scope")),
            (
                "spec.hub.extraEnv",
                json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]),
                None,
            ),
        ] {
            let checked = check(find(path).unwrap(), &value);
            let is_as_expected = match wrong {
                None => checked.is_ok(),
                Some(words) => checked.as_ref().is_err_and(|error| error.contains(words)),
            };
            assert!(is_as_expected, "{path} {value}: {checked:?}");
        }
        assert!(find("spec.hub.nothing").is_none());
    }
}
