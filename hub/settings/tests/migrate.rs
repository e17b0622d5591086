//! Values of zero-to-jupyterhub as people have them, and what becomes of them: for each directory of `tests/migrate` the Hub
//! and the report. `HUB_WRITE_EXPECTED=1` writes them anew; then read what changed.

use hub_crds::{Hub, HubSpec};
use hub_settings::migrate::{Migration, Options, Verdict, migrate};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{env, fs, path::PathBuf};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/migrate")
}

fn options() -> Options {
    Options { name: "jhub".to_owned(), namespace: None, release: "course".to_owned() }
}

fn migrated(values: &str) -> Migration {
    migrate(values, &options()).expect("values are keys with values")
}

#[test]
fn values_become_the_hub_that_is_expected_and_every_key_has_a_verdict() {
    for case in ["minimal", "course", "cloud"] {
        let place = directory().join(case);
        let Migration { manifest, report } = migrated(&fs::read_to_string(place.join("values.yaml")).unwrap());
        for (file, found) in [("hub.yaml", manifest), ("report.txt", report.to_string())] {
            if env::var_os("HUB_WRITE_EXPECTED").is_some() {
                fs::write(place.join(file), &found).unwrap();
            }
            assert_eq!(found, fs::read_to_string(place.join(file)).unwrap(), "{case}/{file}");
        }
    }
}

/// What is printed is a Hub of this version, and has what its definition requires.
#[test]
fn what_is_printed_is_a_hub() {
    for case in ["minimal", "course", "cloud"] {
        let values = fs::read_to_string(directory().join(case).join("values.yaml")).unwrap();
        let manifest = migrated(&values).manifest;
        let documents: Vec<_> = serde_yaml::Deserializer::from_str(&manifest).map(Value::deserialize).collect();
        let hub: Hub = serde_json::from_value(documents[0].as_ref().unwrap().clone()).unwrap();
        let HubSpec { https, auth, security, .. } = hub.spec;
        let auth = auth.unwrap();
        let ways = [auth.token.is_some(), auth.dummy.is_some(), auth.oidc.is_some()];
        assert!(https.is_some() && ways.iter().filter(|way| **way).count() == 1, "{case}");
        assert!(
            security.cookie_secret.secret_ref.is_some() && security.proxy_auth_token.secret_ref.is_some(),
            "{case}"
        );
        assert_eq!(documents[1].as_ref().unwrap()["kind"], "Service", "{case}");
    }
}

/// The keys of the chart's own values and of its schema, each with nothing, a text, a number and a switch.
#[test]
fn every_key_of_the_chart_is_known() {
    let keys = fs::read_to_string(directory().join("keys.txt")).unwrap();
    for value in [Value::Null, json!("x"), json!(7), json!(true), json!({"x": "y"}), json!(["x"])] {
        let mut values = json!({});
        for key in keys.lines() {
            let at = key.split('.').fold(&mut values, |object, name| &mut object[name]);
            *at = value.clone();
        }
        let report = migrated(&values.to_string()).report;
        let unknown = report.0.iter().filter(|(key, verdict)| {
            // What `hub.config` and the like have below them is the owner's.
            keys.lines().any(|known| known == *key) && matches!(verdict, Verdict::Unknown { .. })
        });
        assert_eq!(unknown.collect::<Vec<_>>(), [], "{value}");
        let silent = keys.lines().filter(|key| !covered(&report.0, key));
        assert_eq!(silent.collect::<Vec<_>>(), [""; 0], "{value}");
    }
}

/// A key has a verdict, or what is above or below it has.
fn covered(verdicts: &std::collections::BTreeMap<String, Verdict>, key: &str) -> bool {
    let is_below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
    verdicts.keys().any(|known| known == key || is_below(key, known) || is_below(known, key))
}

#[test]
fn what_is_secret_is_in_neither() {
    let values = json!({
        "hub": {
            "cookieSecret": "hunter2",
            "config": {
                "JupyterHub": {"cookie_secret": "hunter2", "db_url": "postgresql://hub:hunter2@db/hub", "service_tokens": {"hunter2": "a"}},
                "ConfigurableHTTPProxy": {"auth_token": "hunter2"},
                "CryptKeeper": {"keys": ["hunter2"]},
                "DummyAuthenticator": {"password": "hunter2"},
                "GenericOAuthenticator": {"client_secret": "hunter2"},
            },
            "services": {"grades": {"api_token": "hunter2", "apiToken": "hunter2"}},
            "db": {"password": "hunter2"},
        },
        "proxy": {"secretToken": "hunter2", "https": {"enabled": true, "type": "manual", "manual": {"key": "hunter2", "cert": "c"}}},
        "imagePullSecret": {"create": true, "password": "hunter2"},
        "singleuser": {"extraFiles": {"f": {"stringData": "hunter2"}}},
    });
    let Migration { manifest, report } = migrated(&values.to_string());
    assert!(!manifest.contains("hunter2") && !report.to_string().contains("hunter2"), "{manifest}{report}");
}

#[test]
fn names_of_the_charts_objects_follow_its_rules() {
    for (values, secret) in [
        (json!({"hub": {}}), "hub"),
        (json!({"hub": {}, "fullnameOverride": ""}), "hub"),
        (json!({"hub": {}, "fullnameOverride": "lab"}), "lab-hub"),
        (json!({"hub": {}, "fullnameOverride": null}), "course-jupyterhub-hub"),
        (json!({"hub": {}, "fullnameOverride": null, "nameOverride": "cour"}), "course-hub"),
        (json!({"hub": {"existingSecret": "mine"}}), "mine"),
        (json!({"jupyterhub": {"hub": {"existingSecret": "inner"}}}), "inner"),
    ] {
        let manifest = migrated(&values.to_string()).manifest;
        let hub: Value = serde_yaml::Deserializer::from_str(&manifest).map(Value::deserialize).next().unwrap().unwrap();
        assert_eq!(hub["spec"]["security"]["cookieSecret"]["secretRef"]["name"], secret, "{values}");
    }
}

#[test]
fn what_is_no_values_file_is_refused() {
    for text in ["", "[]", "a: b: c", "7"] {
        let error = migrate(text, &options()).unwrap_err().to_string();
        assert!(error.starts_with("failed to read the values: "), "{text:?}: {error}");
    }
}

/// `hub.config` comes last, as in the chart: a command is not the one before it with more words.
#[test]
fn a_setting_of_the_spawner_takes_the_place_of_the_charts_key() {
    let values = json!({
        "singleuser": {"cmd": ["jupyter", "lab"], "memory": {"limit": "1G"}},
        "hub": {"config": {"KubeSpawner": {"cmd": "start.sh", "mem_limit": "3G"}}},
    });
    let manifest = migrated(&values.to_string()).manifest;
    let hub: Value = serde_yaml::Deserializer::from_str(&manifest).map(Value::deserialize).next().unwrap().unwrap();
    assert_eq!(hub["spec"]["singleuser"], json!({"cmd": ["start.sh"], "memory": {"limit": "3Gi"}}));
}
