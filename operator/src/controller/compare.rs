//! Whether a live object already is what is desired: pure. Desired is a subset of live (the API server fills in
//! defaults, others add fields of their own), and what we applied once and want no more is gone.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::quantity;

/// Maps that are wanted exactly: the API server replaces them as a whole.
const EXACT: [&str; 2] = ["nodeSelector", "matchLabels"];
/// Maps of quantities.
const QUANTITIES: [&str; 3] = ["requests", "limits", "capacity"];
/// What tells the items of a list apart, the first that fits.
const KEYS: [&str; 4] = ["mountPath", "uid", "containerPort", "name"];

/// Whether applying `desired` would change nothing. Both are whole objects; `live` carries our own managed fields.
pub fn is_satisfied(live: &Value, desired: &Value) -> bool {
    contains(live, desired, "") && !owns_more(live, desired)
}

fn contains(live: &Value, desired: &Value, key: &str) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => contains_fields(live, desired, key),
        (Value::Array(live), Value::Array(desired)) => contains_items(live, desired),
        (Value::String(live), Value::String(desired)) if QUANTITIES.contains(&key) || key == "sizeLimit" => {
            live == desired || quantity::parse(live).is_some_and(|live| Some(live) == quantity::parse(desired))
        }
        _ => live == desired,
    }
}

fn contains_fields(live: &Map<String, Value>, desired: &Map<String, Value>, key: &str) -> bool {
    if EXACT.contains(&key) && live.len() != desired.len() {
        return false;
    }
    desired.iter().all(|(name, wanted)| {
        // A quantity's own name is a resource's; what it is says the map that it is in.
        let key = if QUANTITIES.contains(&key) { key } else { name };
        live.get(name).map_or_else(|| is_empty(wanted), |live| contains(live, wanted, key))
    })
}

/// Lists of things with a name may hold more than we want; all others are wanted as they are.
fn contains_items(live: &[Value], desired: &[Value]) -> bool {
    let Some(key) = KEYS.iter().find(|key| desired.iter().all(|item| item.get(key).is_some())) else {
        return live.len() == desired.len()
            && live.iter().zip(desired).all(|(live, wanted)| contains(live, wanted, ""));
    };
    desired.iter().all(|wanted| {
        let same = |live: &&Value| {
            live.get(key) == wanted.get(key) && live.get("protocol") == wanted.get("protocol").or(live.get("protocol"))
        };
        live.iter().find(same).is_some_and(|live| contains(live, wanted, ""))
    })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether our managed fields name one that is not desired any more.
fn owns_more(live: &Value, desired: &Value) -> bool {
    let entries = live["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().any(|entry| has_unwanted(&entry["fieldsV1"], desired))
}

/// Walks a set of fields as the API server writes it: `f:name`, `k:{"key":"of an item"}`, `v:"a value"`, `.` itself.
fn has_unwanted(fields: &Value, desired: &Value) -> bool {
    let Some(fields) = fields.as_object() else { return false };
    fields.iter().any(|(path, below)| match path.split_once(':') {
        Some(("f", name)) => desired.get(name).is_none_or(|desired| has_unwanted(below, desired)),
        Some(("k", key)) => item(desired, key).is_none_or(|desired| has_unwanted(below, desired)),
        Some(("v", value)) => !values(desired).contains(value),
        _ => false,
    })
}

/// The item of a list that a key names; a field that we leave to its default fits anything.
fn item<'a>(desired: &'a Value, key: &str) -> Option<&'a Value> {
    let key: Map<String, Value> = serde_json::from_str(key).ok()?;
    let fits = |item: &&Value| key.iter().all(|(name, value)| item.get(name).is_none_or(|wanted| wanted == value));
    desired.as_array()?.iter().find(fits)
}

fn values(desired: &Value) -> BTreeSet<String> {
    desired.as_array().into_iter().flatten().map(Value::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_api_server_and_others_add_is_no_difference() {
        let live = json!({
            "metadata": {"name": "x", "uid": "1", "labels": {"ours": "1", "theirs": "2"}},
            "spec": {
                "replicas": 1,
                "template": {"spec": {"containers": [
                    {"name": "hub", "image": "a", "imagePullPolicy": "IfNotPresent",
                     "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                     "ports": [{"name": "http", "containerPort": 1, "protocol": "TCP"}]},
                    {"name": "injected", "image": "b"},
                ]}},
            },
            "status": {"replicas": 1},
        });
        let desired = json!({
            "metadata": {"name": "x", "labels": {"ours": "1"}},
            "spec": {
                "replicas": 1,
                "strategy": {},
                "template": {"spec": {"volumes": [], "containers": [
                    {"name": "hub", "image": "a", "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}},
                     "ports": [{"name": "http", "containerPort": 1}]},
                ]}},
            },
        });
        assert!(is_satisfied(&live, &desired));
    }

    #[test]
    fn every_kind_of_difference_is_seen() {
        let live = json!({
            "metadata": {"labels": {"a": "1"}},
            "spec": {
                "nodeSelector": {"disk": "ssd", "zone": "a"},
                "args": ["--one", "--two"],
                "containers": [{"name": "hub", "resources": {"limits": {"memory": "1Gi"}}}],
                "rules": [{"verbs": ["get"]}, {"verbs": ["list"]}],
            },
        });
        assert!(is_satisfied(&live, &live));
        for desired in [
            json!({"metadata": {"labels": {"a": "2"}}}),
            json!({"metadata": {"labels": {"b": "1"}}}),
            json!({"spec": {"nodeSelector": {"disk": "ssd"}}}),
            json!({"spec": {"args": ["--one"]}}),
            json!({"spec": {"args": ["--two", "--one"]}}),
            json!({"spec": {"containers": [{"name": "hub", "resources": {"limits": {"memory": "1G"}}}]}}),
            json!({"spec": {"containers": [{"name": "proxy"}]}}),
            json!({"spec": {"rules": [{"verbs": ["get"]}]}}),
            json!({"spec": {"type": "NodePort"}}),
        ] {
            assert!(!is_satisfied(&live, &desired), "{desired}");
        }
    }

    #[test]
    fn a_field_that_we_applied_and_want_no_more_is_a_difference() {
        let owning = |fields: Value| {
            json!({
                "metadata": {
                    "annotations": {"a": "1", "b": "2"},
                    "finalizers": ["x"],
                    "managedFields": [{"manager": "hub-operator", "operation": "Apply", "fieldsV1": fields}],
                },
                "spec": {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 30000}]},
            })
        };
        let desired = json!({
            "metadata": {"annotations": {"a": "1"}, "finalizers": ["x"]},
            "spec": {"ports": [{"port": 80, "protocol": "TCP"}]},
        });
        let port = |below: Value| json!({"f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": below}}});
        for (fields, is_same) in [
            (json!({"f:metadata": {"f:annotations": {".": {}, "f:a": {}}}}), true),
            (json!({"f:metadata": {"f:annotations": {"f:a": {}, "f:b": {}}}}), false),
            (json!({"f:metadata": {"f:finalizers": {"v:\"x\"": {}}}}), true),
            (json!({"f:metadata": {"f:finalizers": {"v:\"y\"": {}}}}), false),
            (port(json!({".": {}, "f:port": {}})), true),
            (port(json!({"f:port": {}, "f:nodePort": {}})), false),
            (json!({"f:spec": {"f:ports": {"k:{\"port\":443,\"protocol\":\"TCP\"}": {}}}}), false),
        ] {
            assert_eq!(is_satisfied(&owning(fields.clone()), &desired), is_same, "{fields}");
        }
    }
}
