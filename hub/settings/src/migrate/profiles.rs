//! Profiles: kubespawner's `profile_list`, whose `kubespawner_override` sets kubespawner's own settings by their names.

use serde_json::{Map, Value, json};

use super::{
    draft::{Draft, merge, object, with_name},
    servers::{has_password, is_like_secret, of_pod},
    written::{amount, amounts, binary, list, plain, values},
};

const FIELD: &str = "spec.singleuser.profiles";
const NO_PREFIXES: &str = "people may write an image where unlistedImage names what it must begin with; kubespawner's pattern says \
                           something else";

/// The list, and what of it has to be done by hand.
pub(super) fn read(draft: &mut Draft<'_>, key: &str, value: &Value) {
    let Some(given) = value.as_array() else {
        return draft.by_hand(key, &format!("write it as a list into {FIELD}"));
    };
    let mut profiles: Vec<Value> = Vec::new();
    for (index, profile) in given.iter().enumerate() {
        let read = Reader { draft, key: format!("{key}[{index}]") }.profile(profile);
        // Those of a list that was given already, or of the same name.
        let is_there = |known: &Value| known["slug"] == read["slug"];
        let known = draft.given(FIELD).and_then(Value::as_array);
        if profiles.iter().any(is_there) || known.is_some_and(|known| known.iter().any(is_there)) {
            draft.by_hand(&format!("{key}[{index}]"), "another profile has the same slug; give it one of its own");
        } else {
            profiles.push(read);
        }
    }
    draft.carry(key, FIELD, &profiles.into(), Some("with a slug each".to_owned()));
}

const NO_ORDER: &str = "they are sorted by their names now, and the first is chosen unless people choose another; give that one default: true";

struct Reader<'a, 'b> {
    draft: &'a mut Draft<'b>,
    /// Where the value is that is read now.
    key: String,
}

impl Reader<'_, '_> {
    fn profile(&mut self, given: &Value) -> Value {
        let mut profile = named(given);
        for name in ["description", "default"] {
            copy(&mut profile, given, name);
        }
        self.overrides(&mut profile, given);
        let options: Vec<_> = entries(given, "profile_options").map(|(slug, given)| self.option(slug, given)).collect();
        if !options.is_empty() {
            profile.insert("options".to_owned(), options.into());
        }
        profile.into()
    }

    fn option(&mut self, slug: &str, given: &Value) -> Value {
        let mut option = with_slug(slug, given);
        let choices = entries(given, "choices").map(|(slug, given)| {
            let mut choice = with_slug(slug, given);
            copy(&mut choice, given, "default");
            self.overrides(&mut choice, given);
            Value::Object(choice)
        });
        let choices: Vec<_> = choices.collect();
        if choices.len() > 1 && choices.iter().all(|choice| choice["default"] != true) {
            self.draft.by_hand(&format!("{}.profile_options.{slug}.choices", self.key), NO_ORDER);
        }
        option.insert("choices".to_owned(), choices.into());
        if given["unlisted_choice"]["enabled"] == true {
            self.draft.by_hand(&format!("{}.profile_options.{slug}.unlisted_choice", self.key), NO_PREFIXES);
        }
        option.into()
    }

    fn overrides(&mut self, into: &mut Map<String, Value>, given: &Value) {
        let mut overrides = json!({});
        for (name, value) in entries(given, "kubespawner_override") {
            let key = format!("{}.kubespawner_override.{name}", self.key);
            match part(name, value) {
                Ok(part) => merge(&mut overrides, &part),
                Err(reason) => self.draft.by_hand(&key, reason),
            }
        }
        if overrides != json!({}) {
            into.insert("overrides".to_owned(), overrides);
        }
    }
}

/// What one setting is within `overrides`.
fn part(name: &str, value: &Value) -> Result<Value, &'static str> {
    let pod = |spec: Value| Ok(json!({"podTemplate": {"spec": spec}}));
    match name {
        "image" | "image_spec" => Ok(object("image", value.clone())),
        "image_pull_policy" => Ok(object("imagePullPolicy", value.clone())),
        "cmd" => Ok(object("cmd", list(value))),
        "default_url" => Ok(object("defaultUrl", value.clone())),
        "cpu_limit" => Ok(json!({"cpu": {"limit": amount(value)}})),
        "cpu_guarantee" => Ok(json!({"cpu": {"guarantee": amount(value)}})),
        "mem_limit" => Ok(json!({"memory": {"limit": binary(value).0}})),
        "mem_guarantee" => Ok(json!({"memory": {"guarantee": binary(value).0}})),
        "extra_resource_limits" => Ok(json!({"extraResources": {"limits": amounts(value)}})),
        "extra_resource_guarantees" => Ok(json!({"extraResources": {"guarantees": amounts(value)}})),
        "node_selector" => Ok(object("nodeSelector", value.clone())),
        "tolerations" => Ok(object("tolerations", value.clone())),
        "environment" => environment(value),
        "volumes" => pod(json!({"volumes": values(value)})),
        "volume_mounts" => pod(json!({"containers": [{"name": "notebook", "volumeMounts": values(value)}]})),
        "init_containers" => pod(json!({"initContainers": values(value)})),
        "priority_class_name" => pod(json!({"priorityClassName": value})),
        "service_account" => pod(json!({"serviceAccountName": value})),
        "extra_labels" => Ok(json!({"podTemplate": {"metadata": {"labels": value}}})),
        "extra_annotations" => Ok(json!({"podTemplate": {"metadata": {"annotations": value}}})),
        _ => match of_pod(name, value) {
            Some(("spec.singleuser.podTemplate.spec", value)) => pod(value),
            Some(("spec.singleuser.affinity", value)) => pod(json!({"affinity": value})),
            Some((_, containers)) => pod(json!({"containers": containers})),
            None => Err("a profile does not change this; write what you can into its overrides.podTemplate"),
        },
    }
}

/// Variables by name. What looks like a secret is not printed.
fn environment(value: &Value) -> Result<Value, &'static str> {
    let variables = value.as_object().ok_or("write the variables into the profile's overrides.extraEnv")?;
    let is_secret =
        |(name, value): (&String, &Value)| !value.is_object() && (is_like_secret(name) || has_password(value));
    if variables.iter().any(is_secret) {
        return Err("a variable looks like a secret; put it into a Secret and name that in overrides.extraEnv, with \
                    valueFrom.secretKeyRef");
    }
    let variable = |(name, value): (&String, &Value)| match value {
        Value::Object(_) => with_name(name, value),
        value => json!({"name": name, "value": plain(value)}),
    };
    Ok(json!({"extraEnv": variables.iter().map(variable).collect::<Vec<_>>()}))
}

/// With the slug that kubespawner makes of the name, unless there is one.
fn named(given: &Value) -> Map<String, Value> {
    let title = given["display_name"].as_str().unwrap_or_default();
    let slug = given["slug"].as_str().map_or_else(|| slugify(title), str::to_owned);
    Map::from_iter([("slug".to_owned(), slug.into()), ("displayName".to_owned(), title.into())])
}

fn with_slug(slug: &str, given: &Value) -> Map<String, Value> {
    let title = given["display_name"].as_str().unwrap_or(slug);
    Map::from_iter([("slug".to_owned(), slug.into()), ("displayName".to_owned(), title.into())])
}

/// Lower case letters and digits, with one `-` for whatever is between them.
fn slugify(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

fn copy(into: &mut Map<String, Value>, given: &Value, name: &str) {
    if let Some(value) = given.get(name).filter(|value| !value.is_null()) {
        into.insert(name.to_owned(), value.clone());
    }
}

fn entries<'a>(given: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    given.get(name).and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_what_kubespawner_makes() {
        assert_eq!(slugify("Minimal environment"), "minimal-environment");
        assert_eq!(slugify("GPU (A100), 2x!"), "gpu-a100-2x");
    }

    #[test]
    fn settings_of_kubespawner_become_parts_of_a_hub() {
        for (name, value, expected) in [
            ("mem_limit", json!("8G"), json!({"memory": {"limit": "8Gi"}})),
            ("cpu_limit", json!(0.5), json!({"cpu": {"limit": "0.5"}})),
            ("environment", json!({"A": 1}), json!({"extraEnv": [{"name": "A", "value": "1"}]})),
            ("extra_pod_config", json!({"hostname": "x"}), json!({"podTemplate": {"spec": {"hostname": "x"}}})),
            (
                "working_dir",
                json!("/w"),
                json!({"podTemplate": {"spec": {"containers": [{"name": "notebook", "workingDir": "/w"}]}}}),
            ),
            (
                "supplemental_gids",
                json!([1]),
                json!({"podTemplate": {"spec": {"securityContext": {"supplementalGroups": [1]}}}}),
            ),
        ] {
            assert_eq!(part(name, &value), Ok(expected), "{name}");
        }
        assert!(part("environment", &json!({"API_TOKEN": "x"})).unwrap_err().contains("Secret"));
        assert!(part("modify_pod_hook", &json!("x")).is_err());
    }
}
