//! Who may log in, and how: the hub's own settings, and where the tokens and passwords are.

use std::{collections::BTreeMap, path::PathBuf};

use hub_crds::{
    Auth, DummyAuth, HttpsType, SecretKeyRef, TokenAuth, TokenUser,
    config::{AuthConfig, AuthenticatorConfig, TokenLogin},
    forwarded_url, login_url,
    names::{child, path, secret_key},
};
use k8s_openapi::ByteString;

use super::{Error, Found, Problems, TokenReference, public_url};

/// The authenticator's settings, each token user's Secret, and the shared password's.
pub(super) type Checked = (AuthConfig, BTreeMap<String, SecretKeyRef>, Option<SecretKeyRef>);

pub(super) fn check(found: &Found, problems: &mut Problems) -> Checked {
    let auth = found.spec.auth.clone().unwrap_or_default();
    let (authenticator, tokens, password) = match (&auth.token, &auth.dummy) {
        (Some(token), None) => token_login(token, &found.name),
        (None, Some(dummy)) => dummy_login(dummy),
        _ => {
            problems.push("spec.auth needs exactly one of token and dummy".to_owned());
            dummy_login(&DummyAuth::default())
        }
    };
    (settings(authenticator, auth), tokens, password)
}

fn settings(authenticator: AuthenticatorConfig, auth: Auth) -> AuthConfig {
    AuthConfig {
        authenticator,
        allow_all: auth.allow_all,
        allowed_users: auth.allowed_users,
        blocked_users: auth.blocked_users,
        admin_users: auth.admin_users,
    }
}

fn token_login(
    token: &TokenAuth,
    hub: &str,
) -> (AuthenticatorConfig, BTreeMap<String, SecretKeyRef>, Option<SecretKeyRef>) {
    let record = child::login_tokens(hub);
    let secrets = token.users.iter().map(|user| {
        let generated = || SecretKeyRef { name: record.clone(), key: user.name.clone() };
        (user.name.clone(), user.token_secret_ref.clone().unwrap_or_else(generated))
    });
    let users = token.users.iter().map(|user| TokenLogin { name: user.name.clone(), admin: user.admin });
    let config = AuthenticatorConfig::Token {
        users: users.collect(),
        tokens_dir: PathBuf::from(path::LOGIN_TOKENS_DIR),
        log: token.log,
    };
    (config, secrets.collect(), None)
}

fn dummy_login(dummy: &DummyAuth) -> (AuthenticatorConfig, BTreeMap<String, SecretKeyRef>, Option<SecretKeyRef>) {
    let reference = dummy.password_secret_ref.clone();
    let password_file = reference.as_ref().map(|_| PathBuf::from(path::DUMMY_DIR).join(secret_key::DUMMY_PASSWORD));
    (AuthenticatorConfig::Dummy { password_file }, BTreeMap::new(), reference)
}

/// The tokens that the spec refers to are there, and each is one user's.
pub(super) fn check_tokens(found: &Found) -> Result<(), Error> {
    let tokens = users(found).iter().filter_map(|user| {
        Some(TokenReference {
            field: format!("spec.auth.token.users[{}].tokenSecretRef", user.name),
            holder: format!("the user {}", user.name),
            secret: user.token_secret_ref.as_ref()?,
        })
    });
    super::check_tokens(found, tokens)
}

/// The login URL of each user whose token is there: those that the operator makes are not before it made them.
pub(super) fn login_urls(found: &Found) -> BTreeMap<String, ByteString> {
    let https = found.spec.https.as_ref().map_or(HttpsType::None, |https| https.https_type);
    let public = public_url(&found.spec).unwrap_or_else(|| forwarded_url(https, &found.spec.base_url));
    let url = |user: &TokenUser| {
        let token = match &user.token_secret_ref {
            Some(secret) => found.value(secret),
            None => found.generated(&child::login_tokens(&found.name), &user.name),
        };
        let url = login_url(&public, std::str::from_utf8(token?).ok()?);
        Some((user.name.clone(), ByteString(url.into_bytes())))
    };
    users(found).iter().filter_map(url).collect()
}

fn users(found: &Found) -> &[TokenUser] {
    let token = found.spec.auth.as_ref().and_then(|auth| auth.token.as_ref());
    token.map(|token| token.users.as_slice()).unwrap_or_default()
}
