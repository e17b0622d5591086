//! The administrator's pod template over the pod that the hub made. Pure.
//!
//! Objects are merged field by field. Lists of named items are merged by name, and new names are appended; a volume mount
//! goes by its path, since one volume may be mounted twice. Any other list, and any other value, is replaced. `null` removes.

use serde_json::{Map, Value};

/// What `template` makes of `base`.
pub(super) fn merge(base: Value, template: &Value) -> Value {
    merge_field("", base, template)
}

fn merge_field(field: &str, base: Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => Value::Object(merge_objects(base, over)),
        (Value::Array(base), Value::Array(over)) => {
            let key = if field == "volumeMounts" { "mountPath" } else { "name" };
            match base.iter().chain(over).all(|item| item.get(key).is_some_and(Value::is_string)) {
                true => Value::Array(merge_lists(key, base, over)),
                false => Value::Array(over.clone()),
            }
        }
        (_, over) => over.clone(),
    }
}

fn merge_objects(mut base: Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    for (field, value) in over {
        let merged = match (value, base.remove(field)) {
            (Value::Null, _) => continue,
            (value, Some(was)) => merge_field(field, was, value),
            (value, None) => value.clone(),
        };
        base.insert(field.clone(), merged);
    }
    base
}

fn merge_lists(key: &str, mut base: Vec<Value>, over: &[Value]) -> Vec<Value> {
    for item in over {
        match base.iter_mut().find(|candidate| candidate[key] == item[key]) {
            Some(found) => *found = merge_field("", found.take(), item),
            None => base.push(item.clone()),
        }
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_value_is_merged_as_documented() {
        let cases = [
            ("a field that is not there is added", json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            ("a plain value is replaced", json!({"a": 1}), json!({"a": "x"}), json!({"a": "x"})),
            (
                "objects are merged",
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"c": 3}}),
                json!({"a": {"b": 1, "c": 3}}),
            ),
            ("null removes", json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2})),
            (
                "named items are merged by name and appended",
                json!({"containers": [{"name": "notebook", "image": "i", "env": [{"name": "A", "value": "1"}]}]}),
                json!({"containers": [
                    {"name": "side", "image": "s"},
                    {"name": "notebook", "tty": true, "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}]},
                ]}),
                json!({"containers": [
                    {"name": "notebook", "image": "i", "tty": true,
                     "env": [{"name": "A", "value": "3"}, {"name": "B", "value": "2"}]},
                    {"name": "side", "image": "s"},
                ]}),
            ),
            (
                "one volume may be mounted twice",
                json!({"volumeMounts": [{"name": "home", "mountPath": "/home"}]}),
                json!({"volumeMounts": [{"name": "home", "mountPath": "/mnt"}, {"name": "home", "mountPath": "/home", "readOnly": true}]}),
                json!({"volumeMounts": [
                    {"name": "home", "mountPath": "/home", "readOnly": true},
                    {"name": "home", "mountPath": "/mnt"},
                ]}),
            ),
            (
                "lists of plain values are replaced",
                json!({"args": ["a", "b"]}),
                json!({"args": ["c"]}),
                json!({"args": ["c"]}),
            ),
            (
                "lists of items without names are replaced",
                json!({"tolerations": [{"key": "a"}]}),
                json!({"tolerations": [{"key": "b"}]}),
                json!({"tolerations": [{"key": "b"}]}),
            ),
            (
                "an empty list changes no named items",
                json!({"x": [{"name": "a"}]}),
                json!({"x": []}),
                json!({"x": [{"name": "a"}]}),
            ),
            (
                "a list of another shape replaces",
                json!({"x": [{"name": "a"}]}),
                json!({"x": "none"}),
                json!({"x": "none"}),
            ),
        ];
        for (what, base, template, expected) in cases {
            assert_eq!(merge(base, &template), expected, "{what}");
        }
    }
}
