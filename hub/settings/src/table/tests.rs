//! No row of the table may lie.

use hub_traitlets::{Config, Origin, Value};
use regex::Regex;
use std::collections::BTreeSet;

use super::*;
use crate::field;

fn own_traits() -> impl Iterator<Item = (&'static Class, &'static Trait)> {
    classes().flat_map(|class| class.traits.iter().map(move |setting| (class, setting)))
}

#[test]
fn every_field_that_a_row_names_is_one_of_hub() {
    let paths = Regex::new(r"\bspec\.[a-zA-Z.]*[a-zA-Z]").unwrap();
    let mut missing = BTreeSet::new();
    for (class, setting) in own_traits() {
        let (Meaning::Field(text) | Meaning::NotForClusters(text) | Meaning::NotYet(text)) = setting.meaning;
        if let Meaning::Field(path) = setting.meaning {
            assert!(paths.find(path).is_some_and(|found| found.as_str() == path), "{}.{}", class.name, setting.name);
        }
        missing.extend(paths.find_iter(text).map(|found| found.as_str()).filter(|path| field::find(path).is_none()));
    }
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn every_reason_is_a_sentence_for_whoever_reads_it() {
    for (class, setting) in own_traits() {
        if let Meaning::NotForClusters(reason) | Meaning::NotYet(reason) = setting.meaning {
            let name = format!("{}.{}: {reason}", class.name, setting.name);
            assert!(reason.len() > 20 && !reason.ends_with('.') && !reason.contains("  "), "{name}");
        }
    }
}

#[test]
fn every_setting_is_there_once_and_in_order() {
    let names: Vec<_> = classes().map(|class| class.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for class in classes() {
        assert!(class.traits.is_sorted_by(|one, other| one.name < other.name), "{}", class.name);
        assert!(class.base.is_none_or(|base| names.contains(&base)), "{}", class.name);
    }
}

#[test]
fn a_class_has_the_settings_of_its_bases() {
    for (class, name, expected) in [
        ("KubeSpawner", "start_timeout", Some("spec.singleuser.startTimeout")),
        ("DummyAuthenticator", "allowed_users", Some("spec.auth.allowedUsers")),
        ("GenericOAuthenticator", "admin_users", Some("spec.auth.adminUsers")),
        ("Spawner", "image", None),
        ("Nothing", "image", None),
    ] {
        let path = match find(class, name).map(|setting| setting.meaning) {
            Some(Meaning::Field(path)) => Some(path),
            _ => None,
        };
        assert_eq!(path, expected, "{class}.{name}");
    }
    let known = known();
    let mut config = Config::default();
    config.set("KubeSpawner", "star_timeout", Value::None, Origin::CommandLine);
    assert_eq!(config.unknown(&known)[0].suggestion.as_deref(), Some("KubeSpawner.start_timeout"));
    let kubespawner = known.iter().find(|(class, _)| *class == "KubeSpawner").unwrap();
    assert!(kubespawner.1.contains(&"image") && kubespawner.1.contains(&"cmd"));
}

#[test]
fn what_looks_like_a_secret_is_one() {
    // Addresses, file names, numbers and the like that have such a word in their names.
    const HARMLESS: [&str; 18] = [
        "automount_service_account_token",
        "claim_groups_key",
        "auth_state_groups_key",
        "cookie_secret_file",
        "oauth_token_expires_in",
        "secret_mount_path",
        "secret_name_template",
        "server_token_scopes",
        "ssl_key",
        "token_expires_in_max_seconds",
        "token_url",
        "trust_user_provided_tokens",
        "userdata_token_method",
        "username_key",
        "exclude_tokens",
        "image_pull_secrets",
        "revoke_tokens_on_logout",
        "userdata_from_id_token",
    ];
    for (class, setting) in own_traits() {
        let looks_secret = ["secret", "token", "password", "key"].iter().any(|word| setting.name.contains(word));
        let is_harmless = HARMLESS.contains(&setting.name);
        assert!(setting.is_secret || !looks_secret || is_harmless, "{}.{}", class.name, setting.name);
    }
    assert!(is_secret("JupyterHub", "cookie_secret") && is_secret("GenericOAuthenticator", "client_secret"));
    assert!(is_secret("Nothing", "known") && !is_secret("JupyterHub", "ip"));
}

#[test]
fn a_setting_without_effect_comes_with_a_remedy() {
    let remedy_of = |class: &str, name: &str| {
        let mut config = Config::default();
        config.set(class, name, Value::None, Origin::CommandLine);
        let found = config.iter().next().unwrap();
        remedy(&found)
    };
    assert_eq!(
        remedy_of("KubeSpawner", "image"),
        "remove it, or apply a Hub to a cluster, where it is spec.singleuser.image"
    );
    assert_eq!(remedy_of("JupyterHub", "extra_handlers"), PYTHON);
}
