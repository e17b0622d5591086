//! `hub.config` of oauthenticator: a provider that people log in at.

use serde_json::{Map, Value, json};

use super::{Place, draft::Draft};
use crate::settings::oidc::Kind;

/// Where a client is known at the provider and where that is asked: a Hub has all of it or nothing.
const ENDPOINTS: [(&str, &str); 3] =
    [("authorize_url", "authorizationUrl"), ("token_url", "tokenUrl"), ("userdata_url", "userinfoUrl")];
/// What is carried over as it is.
const SAME: [(&str, &str); 7] = [
    ("login_service", "spec.auth.oidc.displayName"),
    ("scope", "spec.auth.oidc.scopes"),
    ("username_claim", "spec.auth.oidc.usernameClaim"),
    ("username_key", "spec.auth.oidc.usernameClaim"),
    ("claim_groups_key", "spec.auth.oidc.groupsClaim"),
    ("admin_groups", "spec.auth.oidc.adminGroups"),
    ("auth_refresh_age", "spec.auth.oidc.refreshSeconds"),
];
/// The same beside `oidc`.
const BESIDE: [(&str, &str); 4] = [
    ("allowed_groups", "spec.auth.allowedGroups"),
    ("allowed_organizations", "spec.auth.allowedGroups"),
    ("manage_groups", "spec.auth.manageGroups"),
    ("auto_login", "spec.auth.autoLogin"),
];
/// What people come back to, below the public address.
const CALLBACK: &str = "hub/oauth_callback";

/// Whether this setting is looked at together with the way of logging in.
pub(super) fn is_of_provider(field: &str) -> bool {
    field.starts_with("spec.auth.oidc")
        || ["spec.auth.allowedGroups", "spec.auth.manageGroups", "spec.auth.autoLogin", "spec.publicUrl"]
            .contains(&field)
}

/// Logging in at a provider of this kind. Says what stands in the way if it can't be a Hub's.
pub(super) fn read(draft: &mut Draft<'_>, place: &Place, kind: Kind) -> Result<(), String> {
    let secret = format!("{}-oidc", place.name);
    let mut oidc = json!({"clientSecretRef": {"name": secret, "key": "client-secret"}});
    let client_id = find(draft, kind, "client_id").and_then(|(_, value)| value.as_str());
    oidc["clientId"] = client_id.ok_or("client_id is not there")?.into();
    match kind {
        Kind::GitHub => oidc["preset"] = "github".into(),
        Kind::Google => oidc["preset"] = "google".into(),
        Kind::Generic => oidc["endpoints"] = endpoints(draft, kind)?,
    }
    draft.put("spec.auth.oidc", &oidc)?;
    carry(draft, kind, "client_id", "spec.auth.oidc.clientId");
    for (name, field) in ENDPOINTS {
        carry(draft, kind, name, &format!("spec.auth.oidc.endpoints.{field}"));
    }
    for (name, field) in SAME.iter().chain(&BESIDE) {
        carry(draft, kind, name, field);
    }
    if let Some((key, _)) = find(draft, kind, "client_secret") {
        draft.by_hand(
            &key,
            &format!("make the Secret {secret}, which spec.auth.oidc.clientSecretRef names: `kubectl create secret generic {secret} --from-file=client-secret=FILE`"),
        );
    }
    groups(draft, kind);
    domains(draft, kind);
    public_url(draft, kind);
    Ok(())
}

/// What is set, at the class itself or at those that it is made from.
fn find<'a>(draft: &mut Draft<'a>, kind: Kind, name: &str) -> Option<(String, &'a Value)> {
    [kind.class(), "OAuthenticator", "Authenticator"].into_iter().find_map(|class| {
        let key = format!("hub.config.{class}.{name}");
        draft.take(&key).map(|value| (key, value))
    })
}

fn carry(draft: &mut Draft<'_>, kind: Kind, name: &str, field: &str) {
    if let Some((key, value)) = find(draft, kind, name) {
        draft.carry(&key, field, value, None);
    }
}

fn endpoints(draft: &mut Draft<'_>, kind: Kind) -> Result<Value, String> {
    let mut endpoints = Map::new();
    for (name, field) in ENDPOINTS {
        let (_, value) = find(draft, kind, name).ok_or(format!("{name} is not there"))?;
        endpoints.insert(field.to_owned(), value.clone());
    }
    Ok(Value::Object(endpoints))
}

/// By its newer name groups are below `oauth_user`, as in `auth_state`.
fn groups(draft: &mut Draft<'_>, kind: Kind) {
    let Some((key, value)) = find(draft, kind, "auth_state_groups_key") else { return };
    match value.as_str().and_then(|path| path.strip_prefix("oauth_user.")) {
        Some(claim) => draft.carry(&key, "spec.auth.oidc.groupsClaim", &claim.into(), Some(claim.to_owned())),
        None => draft.by_hand(&key, "write the claim that lists groups into spec.auth.oidc.groupsClaim"),
    }
}

/// One, or a list of them.
fn domains(draft: &mut Draft<'_>, kind: Kind) {
    let Some((key, value)) = find(draft, kind, "hosted_domain") else { return };
    let list = if value.is_string() { json!([value]) } else { value.clone() };
    draft.carry(&key, "spec.auth.oidc.hostedDomains", &list, None);
}

/// Where people come back to says where the Hub is.
fn public_url(draft: &mut Draft<'_>, kind: Kind) {
    let Some((key, value)) = find(draft, kind, "oauth_callback_url") else { return };
    match value.as_str().and_then(|url| url.strip_suffix(CALLBACK)) {
        Some(public) => draft.carry(&key, "spec.publicUrl", &public.into(), Some(public.to_owned())),
        None => draft.by_hand(
            &key,
            &format!("a Hub's is spec.publicUrl with {CALLBACK} behind it: write that, and register it"),
        ),
    }
}
