//! The Hub as it grows while the keys of a values file are read, and what became of each. Every key that is asked for is a
//! known one; what is never asked for is not a key of the chart.

use hub_crds::{HubSpec, SingleUser};
use k8s_openapi::api::core::v1::{Affinity, Container, PodTemplateSpec, Volume, VolumeMount};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use strsim::damerau_levenshtein;

use super::report::{Report, Verdict};
use crate::field;

/// Words in braces that kubespawner replaces in every setting of a server.
const TEMPLATE_WORDS: [&str; 6] = ["username", "servername", "user_server", "userid", "pvc_name", "pod_name"];

pub(super) struct Draft<'a> {
    values: &'a Value,
    spec: Value,
    pub(super) report: Report,
    known: BTreeSet<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(values: &'a Value) -> Self {
        Self { values, spec: json!({}), report: Report::default(), known: BTreeSet::new() }
    }

    /// What a key says. One that is there and says nothing (null, or empty) has its verdict with this.
    pub(super) fn take(&mut self, key: &str) -> Option<&'a Value> {
        self.known.insert(key.to_owned());
        let value = at(self.values, key)?;
        if is_empty(value) {
            self.not_needed(key, "it says nothing");
            return None;
        }
        Some(value)
    }

    /// Whether a key is there and null.
    pub(super) fn is_null(&self, key: &str) -> bool {
        at(self.values, key).is_some_and(Value::is_null)
    }

    pub(super) fn text(&mut self, key: &str) -> Option<&'a str> {
        let value = self.take(key);
        if value.is_some_and(|value| !value.is_string()) {
            self.by_hand(key, "it must be a text");
        }
        value.and_then(Value::as_str)
    }

    pub(super) fn is_true(&mut self, key: &str) -> bool {
        self.take(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The entries of an object below a key.
    pub(super) fn entries(&mut self, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        let value = self.take(key);
        if value.is_some_and(|value| !value.is_object()) {
            self.by_hand(key, "it must be names with values");
        }
        value.and_then(Value::as_object).into_iter().flatten()
    }

    /// Puts a value into a field, and says so of the key: kept, or changed if it looks otherwise.
    pub(super) fn carry(&mut self, key: &str, field: &str, value: &Value, how: Option<String>) {
        if is_template(value) && !field.ends_with("defaultUrl") && !field.ends_with("notebookDir") {
            return self.by_hand(
                key,
                "kubespawner replaces words in braces such as {username}, a Hub does not; write it without",
            );
        }
        match self.put(field, value) {
            Ok(()) => match how {
                Some(how) => self.changed(key, field, &how),
                None => self.note(key, Verdict::Kept { field: field.to_owned() }),
            },
            Err(error) => self.by_hand(key, &format!("{field} does not take it: {error}")),
        }
    }

    /// Puts a value into a field if a Hub then still is one. Objects are merged, and lists put together.
    pub(super) fn put(&mut self, path: &str, value: &Value) -> Result<(), String> {
        if !path.starts_with("spec.singleuser.podTemplate.") {
            field::check(field::find(path).ok_or("a Hub has no such field")?, value)?;
        }
        let mut spec = self.spec.clone();
        merge(place(&mut spec, path).ok_or("what is around it is no object")?, value);
        let typed = serde_json::from_value::<HubSpec>(spec.clone()).map_err(|error| error.to_string())?;
        check_open(&typed.singleuser).map_err(|error| error.to_string())?;
        self.spec = spec;
        Ok(())
    }

    /// Takes away what a field has been given: what is said later counts.
    pub(super) fn clear(&mut self, path: &str) {
        let Some((around, last)) = path.strip_prefix("spec").and_then(|path| path.rsplit_once('.')) else { return };
        if let Some(Value::Object(fields)) = self.spec.pointer_mut(&around.replace('.', "/")) {
            fields.remove(last);
        }
    }

    /// What a field has been given.
    pub(super) fn given(&self, path: &str) -> Option<&Value> {
        at(&self.spec, path.strip_prefix("spec.")?)
    }

    /// Gives every key at and below this one that has no verdict yet the same one: none of them is needed.
    pub(super) fn idle(&mut self, key: &str, reason: &str) {
        let Some(value) = self.take(key) else { return };
        let mut keys = Vec::new();
        leaves(value, key.to_owned(), &mut keys);
        keys.retain(|key| !self.report.covers(key));
        for key in keys {
            self.not_needed(&key, reason);
        }
    }

    pub(super) fn changed(&mut self, key: &str, field: &str, how: &str) {
        self.note(key, Verdict::Changed { field: field.to_owned(), how: how.to_owned() });
    }

    pub(super) fn not_needed(&mut self, key: &str, reason: &str) {
        self.note(key, Verdict::NotNeeded { reason: reason.to_owned() });
    }

    pub(super) fn by_hand(&mut self, key: &str, remedy: &str) {
        self.note(key, Verdict::ByHand { remedy: remedy.to_owned() });
    }

    pub(super) fn note(&mut self, key: &str, verdict: Verdict) {
        self.report.0.insert(key.to_owned(), verdict);
    }

    /// The spec, what of it was said, and what became of every key.
    ///
    /// # Errors
    /// What was put in is no spec; each value was tried, so that would be a mistake of this room.
    pub(super) fn finish(mut self) -> Result<(HubSpec, Value, Report), serde_json::Error> {
        let mut keys = Vec::new();
        leaves(self.values, String::new(), &mut keys);
        for key in keys {
            if !self.report.covers(&key) {
                let nearest = nearest(&key, &self.known);
                self.note(&key, Verdict::Unknown { nearest });
            }
        }
        Ok((serde_json::from_value(self.spec.clone())?, self.spec, self.report))
    }
}

pub(super) fn at<'a>(values: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(values, |value, name| value.get(name))
}

/// Where the value at a path is, or is to be.
fn place<'a>(spec: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').skip(1).try_fold(spec, |value, name| {
        if value.is_null() {
            *value = json!({});
        }
        Some(value.as_object_mut()?.entry(name).or_insert(Value::Null))
    })
}

/// What the definition leaves to Kubernetes' own types.
fn check_open(servers: &SingleUser) -> Result<(), serde_json::Error> {
    fn of<'a, T: DeserializeOwned>(values: impl IntoIterator<Item = &'a Value>) -> Result<(), serde_json::Error> {
        values.into_iter().try_for_each(|value| serde_json::from_value::<T>(value.clone()).map(|_| ()))
    }
    of::<Affinity>(&servers.affinity)?;
    of::<PodTemplateSpec>(&servers.pod_template)?;
    of::<Volume>(&servers.extra_volumes)?;
    of::<VolumeMount>(&servers.extra_volume_mounts)?;
    of::<Container>(&servers.init_containers)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_template(value: &Value) -> bool {
    let has_word = |text: &str| {
        let mut parts = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
        parts.any(|(word, _)| TEMPLATE_WORDS.iter().any(|known| word.ends_with(known)))
    };
    match value {
        Value::String(text) => has_word(text),
        Value::Array(items) => items.iter().any(is_template),
        Value::Object(fields) => fields.iter().any(|(name, value)| has_word(name) || is_template(value)),
        _ => false,
    }
}

/// Puts a value into another one: objects are merged, and lists put together.
pub(super) fn merge(into: &mut Value, value: &Value) {
    match (into, value) {
        (Value::Object(into), Value::Object(fields)) => {
            for (name, value) in fields {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(items)) => items.iter().for_each(|item| add(into, item)),
        (into, value) => *into = value.clone(),
    }
}

/// Adds to a list. What has a name joins its namesake; mounts are named after their volumes, and stay apart.
fn add(items: &mut Vec<Value>, item: &Value) {
    // Lists of texts are sets.
    if item.is_string() && items.contains(item) {
        return;
    }
    let name = item.get("name").filter(|_| item.get("mountPath").is_none());
    match items.iter_mut().find(|other| name.is_some() && other.get("name") == name) {
        Some(namesake) => merge(namesake, item),
        None => items.push(item.clone()),
    }
}

/// The paths of all values that are no objects, or empty ones.
fn leaves(value: &Value, path: String, keys: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() || path.is_empty() => {
            for (name, value) in fields {
                leaves(value, join(&path, name), keys);
            }
        }
        _ => keys.push(path),
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The known key that looks most like one, if any does.
fn nearest(key: &str, known: &BTreeSet<String>) -> Option<String> {
    let distance = |known: &&String| damerau_levenshtein(key, known);
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let misplaced = known.iter().filter(|known| last(known) == last(key)).min_by_key(distance);
    let misspelt = known.iter().min_by_key(distance).filter(|known| distance(known) <= key.len() / 4);
    misspelt.or(misplaced).cloned()
}

/// With a name, unless it has one.
pub(super) fn with_name(name: &str, value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.entry("name").or_insert_with(|| name.into());
    }
    value
}

/// An object with one field.
pub(super) fn object(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}
