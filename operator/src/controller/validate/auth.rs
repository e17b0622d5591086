//! Who may log in, and how: the hub's own settings, and where the tokens and passwords are.

use std::{collections::BTreeMap, path::PathBuf};

use hub_auth::{names::normalize_user, password::PasswordHash};
use hub_crds::{
    Auth, DummyAuth, HttpsType, OidcAuth, PasswordAuth, SecretKeyRef, TokenAuth, TokenUser,
    config::{AuthConfig, AuthenticatorConfig, TokenLogin},
    forwarded_url, login_url,
    names::{child, path, secret_key},
};
use k8s_openapi::ByteString;

use super::{Error, Found, Problems, TokenReference, check_reference, public_url};
use crate::controller::types::SecretSources;

/// The authenticator's settings, and where the secrets of its logins are.
pub(super) fn check(found: &Found, problems: &mut Problems) -> (AuthConfig, SecretSources) {
    let auth = found.spec.auth.clone().unwrap_or_default();
    let (authenticator, secrets) = match (&auth.token, &auth.password, &auth.dummy, &auth.oidc) {
        (Some(token), None, None, None) => token_login(token, &found.name),
        (None, Some(password), None, None) => password_login(password),
        (None, None, Some(dummy), None) => dummy_login(dummy),
        (None, None, None, Some(oidc)) => oidc_login(oidc),
        _ => {
            problems.push("spec.auth needs exactly one of token, password, dummy and oidc".to_owned());
            dummy_login(&DummyAuth::default())
        }
    };
    (settings(authenticator, auth), secrets)
}

fn settings(authenticator: AuthenticatorConfig, auth: Auth) -> AuthConfig {
    AuthConfig {
        authenticator,
        allow_all: auth.allow_all,
        allowed_users: auth.allowed_users,
        blocked_users: auth.blocked_users,
        admin_users: auth.admin_users,
        allowed_groups: auth.allowed_groups,
        manage_groups: auth.manage_groups,
        auto_login: auth.auto_login,
        enable_auth_state: auth.enable_auth_state,
    }
}

fn token_login(token: &TokenAuth, hub: &str) -> (AuthenticatorConfig, SecretSources) {
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
    (config, SecretSources { login_tokens: secrets.collect(), ..SecretSources::default() })
}

fn password_login(password: &PasswordAuth) -> (AuthenticatorConfig, SecretSources) {
    let name = password.users_secret_ref.as_ref().map(|secret| secret.name.clone());
    let config = AuthenticatorConfig::Password {
        users_dir: name.as_ref().map(|_| PathBuf::from(path::PASSWORDS_DIR)),
        first_use: password.first_use,
        min_length: password.min_length,
    };
    (config, SecretSources { passwords: name, ..SecretSources::default() })
}

fn dummy_login(dummy: &DummyAuth) -> (AuthenticatorConfig, SecretSources) {
    let reference = dummy.password_secret_ref.clone();
    let password_file = reference.as_ref().map(|_| PathBuf::from(path::DUMMY_DIR).join(secret_key::DUMMY_PASSWORD));
    let secrets = SecretSources { dummy_password: reference, ..SecretSources::default() };
    (AuthenticatorConfig::Dummy { password_file }, secrets)
}

fn oidc_login(oidc: &OidcAuth) -> (AuthenticatorConfig, SecretSources) {
    let file = |name: &str| PathBuf::from(path::OIDC_DIR).join(name);
    let config = AuthenticatorConfig::Oidc {
        provider: Box::new(oidc.provider()),
        client_secret_file: file(secret_key::OIDC_CLIENT),
        ca_file: oidc.ca_secret_ref.as_ref().map(|_| file(secret_key::OIDC_CA)),
    };
    let ca = oidc.ca_secret_ref.clone().map(|secret| (secret_key::OIDC_CA.to_owned(), secret));
    let client = (secret_key::OIDC_CLIENT.to_owned(), oidc.client_secret_ref.clone());
    let secrets = SecretSources { oidc: ca.into_iter().chain([client]).collect(), ..SecretSources::default() };
    (config, secrets)
}

/// What the provider needs is there.
pub(super) fn check_oidc(found: &Found) -> Result<(), Error> {
    let Some(oidc) = found.spec.auth.as_ref().and_then(|auth| auth.oidc.as_ref()) else { return Ok(()) };
    let is_there = |value: &[u8]| if value.trim_ascii().is_empty() { Err("must not be empty") } else { Ok(()) };
    check_reference(found, "spec.auth.oidc.clientSecretRef", &oidc.client_secret_ref, is_there)?;
    let Some(ca) = &oidc.ca_secret_ref else { return Ok(()) };
    let has_certificates = |value: &[u8]| match reqwest::Certificate::from_pem_bundle(value) {
        Ok(certificates) if !certificates.is_empty() => Ok(()),
        _ => Err("must be certificates in PEM"),
    };
    check_reference(found, "spec.auth.oidc.caSecretRef", ca, has_certificates)
}

/// The Secret with users' passwords is there, and holds what can be compared with one.
pub(super) fn check_passwords(found: &Found) -> Result<(), Error> {
    const FIELD: &str = "spec.auth.password.usersSecretRef";
    let password = found.spec.auth.as_ref().and_then(|auth| auth.password.as_ref());
    let Some(reference) = password.and_then(|password| password.users_secret_ref.as_ref()) else { return Ok(()) };
    let name = reference.name.clone();
    let Some(secret) = found.referenced.get(&name) else {
        let key = "<user name>".to_owned();
        return Err(Error::SecretMissing { field: FIELD.to_owned(), name, key });
    };
    for (user, hash) in secret.data.iter().flatten() {
        let invalid = |message| Err(Error::SecretInvalid { name: name.clone(), message });
        if normalize_user(user) != *user {
            return invalid(format!("the key {user} of {FIELD} is no user's name: write it in lower case"));
        }
        let hash = std::str::from_utf8(&hash.0).unwrap_or_default();
        if PasswordHash::of_phc(hash.trim_end()).is_err() {
            return invalid(format!(
                "the value of {user}, which {FIELD} names, must be the hash that `hub password hash` prints: a password itself \
                 must not be there"
            ));
        }
    }
    Ok(())
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
