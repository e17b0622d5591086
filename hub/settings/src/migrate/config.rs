//! `hub.config`: JupyterHub's own settings, by the table of them.

use hub_traitlets::{Config, Origin, Value as Setting};
use serde_json::{Value, json};

use super::{
    Place, database,
    draft::{Draft, object, with_name},
    oidc,
    report::Verdict,
    servers,
};
use crate::{
    field,
    settings::oidc::Kind,
    table::{self, Meaning},
};

const ENABLE_AUTH_STATE: &str = "hub.config.Authenticator.enable_auth_state";
const SPAWNERS: [&str; 2] = ["KubeSpawner", "Spawner"];

pub(super) fn read(draft: &mut Draft<'_>, place: &Place) {
    let sections: Vec<_> = draft.entries("hub.config").map(|(class, settings)| (class.clone(), settings)).collect();
    for (class, settings) in sections {
        let Value::Object(settings) = settings else { continue };
        for name in settings.keys() {
            let key = format!("hub.config.{class}.{name}");
            if let Some(value) = draft.take(&key) {
                setting(draft, place, &key, &class, name, value);
            }
        }
    }
    login(draft, place);
    let secret = &place.secret;
    for (field, key) in [
        ("spec.security.cookieSecret", "hub.config.JupyterHub.cookie_secret"),
        ("spec.security.proxyAuthToken", "hub.config.ConfigurableHTTPProxy.auth_token"),
    ] {
        if let Err(error) = draft.put(field, &json!({"secretRef": {"name": secret, "key": key}})) {
            draft.by_hand(key, &format!("{field} does not take it: {error}"));
        }
    }
}

fn setting(draft: &mut Draft<'_>, place: &Place, key: &str, class: &str, name: &str, value: &Value) {
    let Some(known) = table::find(class, name) else {
        return draft.note(key, Verdict::Unknown { nearest: nearest(class, name) });
    };
    if SPAWNERS.contains(&class) {
        return servers::setting(draft, key, class, name, value);
    }
    let field = match known.meaning {
        Meaning::Field(field) => field,
        Meaning::NotForClusters(reason) | Meaning::NotYet(reason) => {
            return match reason.strip_suffix("; remove it") {
                Some(reason) if !known.is_secret => draft.not_needed(key, reason),
                _ => draft.by_hand(key, reason),
            };
        }
    };
    match name {
        "cookie_secret" | "auth_token" | "api_token" | "proxy_auth_token" => from_secret(draft, place, key, field),
        "keys" => crypt_keys(draft, place, key),
        "cookie_secret_file" => {
            draft.by_hand(key, "put the secret into a Secret and name that in spec.security.cookieSecret.secretRef");
        }
        "enable_auth_state" if value == true => crypt_keys(draft, place, key),
        "enable_auth_state" => draft.not_needed(key, "it is off"),
        "db_url" if value.as_str().is_some_and(|url| url.starts_with("postgresql")) => {
            database::address(draft, place, key);
        }
        "db_url" => draft.by_hand(key, "the chart's own setting is hub.db; a Hub speaks to SQLite and PostgreSQL"),
        // What decides how people log in is looked at together.
        "authenticator_class" | "password" | "user_password" => {}
        _ if oidc::is_of_provider(field) && name != "public_url" => {}
        "base_url" => base_url(draft, key, value),
        "load_roles" => draft.carry(key, field, value, None),
        "load_groups" => draft.carry(key, field, &groups(value), Some("a list".to_owned())),
        "custom_scopes" => draft.carry(key, field, &named(value), Some("a list".to_owned())),
        "template_vars" => announcement(draft, key, field, value),
        "services" => draft.by_hand(key, "the chart passes it over; write services below hub.services"),
        "proxy_class" => draft.by_hand(key, "which proxy runs is spec.proxy.implementation"),
        "allowed_users" | "admin_users" | "blocked_users" | "whitelist" => people(draft, key, field, value),
        _ => draft.carry(key, field, value, None),
    }
}

/// The one variable of JupyterHub's own templates that a Hub's pages have.
fn announcement(draft: &mut Draft<'_>, key: &str, field: &str, value: &Value) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let key = format!("{key}.{name}");
        match name.as_str() {
            "announcement" => draft.carry(&key, field, value, Some("as text: no HTML".to_owned())),
            _ => draft.by_hand(&key, "a Hub's pages have no such variable; what can be changed is in spec.pages"),
        }
    }
}

/// The setting that was probably meant.
fn nearest(class: &str, name: &str) -> Option<String> {
    let mut config = Config::default();
    config.set(class, name, Setting::None, Origin::CommandLine);
    let unknown = config.unknown(&table::known());
    unknown.into_iter().find_map(|unknown| unknown.suggestion).map(|setting| format!("hub.config.{setting}"))
}

/// What the chart has put into its Secret already, whatever the values say.
pub(super) fn from_secret(draft: &mut Draft<'_>, place: &Place, key: &str, field: &str) {
    draft.changed(key, &format!("{field}.secretRef"), &format!("the Secret {} has it", place.secret));
}

fn crypt_keys(draft: &mut Draft<'_>, place: &Place, key: &str) {
    let reference = json!({"name": place.secret, "key": "hub.config.CryptKeeper.keys"});
    let how = format!("what is encrypted with the keys in the Secret {} is read with them", place.secret);
    draft.carry(key, "spec.security.cryptKeys.secretRef", &reference, Some(how));
}

/// It starts and ends with a slash.
pub(super) fn base_url(draft: &mut Draft<'_>, key: &str, value: &Value) {
    let Some(path) = value.as_str().map(|path| path.trim_matches('/')) else {
        return draft.by_hand(key, "write a path into spec.baseUrl");
    };
    let path = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
    let how = (value != path.as_str()).then(|| format!("{path}, since it starts and ends with a slash"));
    draft.carry(key, "spec.baseUrl", &path.into(), how);
}

/// Names of one list may stand at several classes; each goes into the field once.
fn people(draft: &mut Draft<'_>, key: &str, field: &str, value: &Value) {
    let names: Vec<_> =
        value.as_array().into_iter().flatten().filter(|name| !is_listed(draft, field, name)).cloned().collect();
    draft.carry(key, field, &names.into(), None);
}

fn is_listed(draft: &Draft<'_>, field: &str, name: &Value) -> bool {
    draft.given(field).and_then(Value::as_array).is_some_and(|names| names.contains(name))
}

/// Things by name as a list of them.
pub(super) fn named(value: &Value) -> Value {
    value.as_object().into_iter().flatten().map(|(name, thing)| with_name(name, thing)).collect()
}

/// A group is a list of users, or an object with them.
fn groups(value: &Value) -> Value {
    let groups = value.as_object().into_iter().flatten().map(|(name, group)| match group {
        Value::Array(_) => (name.clone(), object("users", group.clone())),
        group => (name.clone(), group.clone()),
    });
    named(&Value::Object(groups.collect()))
}

/// How people log in. A Hub must say it: where it has no such way yet, administrators get a token each.
fn login(draft: &mut Draft<'_>, place: &Place) {
    let key = "hub.config.JupyterHub.authenticator_class";
    let class = draft.text(key).unwrap_or("dummy");
    let of_others = match Kind::parse(class) {
        Some(kind) => match oidc::read(draft, place, kind) {
            Ok(()) => {
                if draft.given("spec.security.cryptKeys").is_some() && draft.is_true(ENABLE_AUTH_STATE) {
                    let _ = draft.put("spec.auth.enableAuthState", &true.into());
                }
                draft.changed(
                    key,
                    "spec.auth.oidc",
                    "spec.publicUrl must be there, and what is registered at the provider",
                );
                draft.idle("hub.config", "it is of a way of logging in that is not in use");
                return;
            }
            Err(missing) => format!("{missing}; see spec.auth.oidc"),
        },
        None => "see spec.auth.oidc, which is for any provider of OpenID Connect".to_owned(),
    };
    match class {
        "dummy" | "jupyterhub.auth.DummyAuthenticator" => dummy(draft, place, key, "DummyAuthenticator.password"),
        "shared-password" => dummy(draft, place, key, "SharedPasswordAuthenticator.user_password"),
        _ => {
            let admins = draft.given("spec.auth.adminUsers").and_then(Value::as_array).into_iter().flatten();
            let admins = admins.filter(|name| name.as_str().is_some_and(is_token_user));
            let users: Vec<_> = admins.map(|name| json!({"name": name, "admin": true})).collect();
            let token = if users.is_empty() { json!({}) } else { json!({"users": users}) };
            match draft.put("spec.auth.token", &token) {
                Ok(()) => draft.by_hand(
                    key,
                    &format!("a Hub does not have {class} like this: {of_others}; until then each administrator logs in with a token (spec.auth.token), add users there"),
                ),
                Err(error) => draft.by_hand(key, &format!("spec.auth.token does not take it: {error}")),
            }
        }
    }
    draft.idle("hub.config", "it is of a way of logging in that is not in use");
}

/// Whose token may be: the names of `spec.auth.token.users`.
fn is_token_user(name: &str) -> bool {
    let users = field::find("spec.auth.token.users").map(|schema| &schema["items"]);
    users.is_some_and(|schema| field::check(schema, &json!({"name": name})).is_ok())
}

fn dummy(draft: &mut Draft<'_>, place: &Place, key: &str, setting: &str) {
    let password_key = format!("hub.config.{setting}");
    let dummy = if draft.take(&password_key).is_some() {
        let secret = format!("{}-password", place.name);
        draft.by_hand(
            &password_key,
            &format!("make the Secret {secret}, which spec.auth.dummy.passwordSecretRef names: `kubectl create secret generic {secret} --from-file=password=FILE`"),
        );
        json!({"passwordSecretRef": {"name": secret, "key": "password"}})
    } else {
        json!({"allowAnyPassword": true})
    };
    // JupyterHub lets everybody in who passes it, unless a list says whom.
    let all = if draft.given("spec.auth.allowAll").or(draft.given("spec.auth.allowedUsers")).is_some() {
        Ok(())
    } else {
        draft.put("spec.auth.allowAll", &true.into())
    };
    let how = if dummy.get("allowAnyPassword").is_some() { "any password opens it, as before" } else { "by a Secret" };
    match all.and_then(|()| draft.put("spec.auth.dummy", &dummy)) {
        Ok(()) if draft.take(key).is_some() => draft.changed(key, "spec.auth.dummy", how),
        Ok(()) => {}
        Err(error) => draft.by_hand(key, &format!("spec.auth.dummy does not take it: {error}")),
    }
}
