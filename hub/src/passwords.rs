//! Users' passwords: how they are compared, and who sets them. What the administrator's Secret says of a user comes first,
//! and is changed there only; everybody else's is in the database. Whoever is known by a password that is no longer the
//! user's is logged out.

use hub_auth::{
    names::{normalize_user, valid_user},
    password::PasswordHash,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

use crate::{
    app::App,
    audit::Act,
    authenticator::{Credentials, Passwords},
    database::User,
    error::Result,
    loggable::loggable,
    login_attempts::{Claim, attempt},
};

/// What the audit log calls it.
const PASSWORD_SET: &str = "password set";

/// Why a password was not changed, in words for whoever wanted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The old one is wrong.
    Wrong,
    /// It stands in the administrator's Secret.
    Given,
    /// The new one can't be had.
    Unfit(String),
}

impl Refusal {
    pub fn message(&self) -> String {
        match self {
            Self::Wrong => "The old password is wrong.".to_owned(),
            Self::Given => "This password is in the Secret of spec.auth.password.usersSecretRef, and is changed there \
                            only: put the hash that `hub password hash` prints in its place."
                .to_owned(),
            Self::Unfit(why) => why.clone(),
        }
    }
}

/// What `hub password set` asks for.
#[derive(Serialize, Deserialize)]
pub struct PasswordWish {
    pub user: String,
    /// In the clear, over a socket that only the hub's own user can reach.
    pub password: String,
}

/// What is kept of a user's password, and where.
struct Kept {
    in_secret: bool,
    text: String,
    /// `None` if the text is no hash, so that nobody logs in with it.
    hash: Option<PasswordHash>,
}

impl Kept {
    async fn find(app: &App, passwords: &Passwords, name: &str) -> Result<Option<Self>> {
        let (in_secret, text) = match passwords.given(name) {
            Some(text) => (true, Some(text)),
            None => (false, app.database.password_hash(name).await?),
        };
        let Some(text) = text else { return Ok(None) };
        let hash = PasswordHash::of_phc(&text).ok();
        if hash.is_none() {
            tracing::warn!(
                user.name = name,
                in_secret,
                "a user's password is no hash of argon2: nobody logs in with it; put there what `hub password hash` prints"
            );
        }
        Ok(Some(Self { in_secret, text, hash }))
    }
}

/// The name of the user whose password this is. One hash is made whoever it is (attack row 35).
///
/// # Errors
/// Too many log in at this moment, or the database can't be read or written.
pub async fn login(app: &App, passwords: &Passwords, credentials: &Credentials) -> Result<Option<String>> {
    let Credentials { username, password } = credentials;
    let name = normalize_user(username.trim());
    if !valid_user(&name) {
        return passwords.hashing.verify(None, password).await.map(|_| None);
    }
    let Some(kept) = Kept::find(app, passwords, &name).await? else {
        let may_claim = passwords.first_use && passwords.fault(password.expose_secret()).is_none();
        if may_claim && app.admits(&name).await? {
            return Ok(claim(app, passwords, &name, password).await?.then_some(name));
        }
        return passwords.hashing.verify(None, password).await.map(|_| None);
    };
    if !passwords.hashing.verify(kept.hash.clone(), password).await? {
        return Ok(None);
    }
    // Whoever waited with a password that was changed meanwhile must not come in after everybody who had it was sent out.
    if Kept::find(app, passwords, &name).await?.is_none_or(|now| now.text != kept.text) {
        return Ok(None);
    }
    if !kept.in_secret && kept.hash.as_ref().is_some_and(PasswordHash::is_outdated) {
        let anew = passwords.hashing.hash(password).await?;
        app.database.rehash_password(&name, &kept.text, &anew).await?;
    }
    Ok(Some(name))
}

/// Somebody who may come in and has no password yet gets this one, unless somebody else was faster.
async fn claim(app: &App, passwords: &Passwords, name: &str, password: &SecretString) -> Result<bool> {
    let hash = passwords.hashing.hash(password).await?;
    let user = app.admit(name).await?;
    let is_first = app.database.claim_password(user.id, &hash, app.now()).await?;
    if is_first {
        Act::of(name, PASSWORD_SET).on(name).done("first login");
    }
    Ok(is_first)
}

/// Somebody changes their own password. A wrong old one counts as a failed login. Every session of theirs ends.
///
/// # Errors
/// 429 for who has failed too often, 503 if too many log in, or the database can't be read or written.
pub async fn change(
    app: &App,
    passwords: &Passwords,
    user: &User,
    address: Option<IpAddr>,
    [old, new]: [&SecretString; 2],
) -> Result<Result<(), Refusal>> {
    let kept = Kept::find(app, passwords, &user.name).await?;
    if kept.as_ref().is_some_and(|kept| kept.in_secret) {
        return Ok(Err(Refusal::Given));
    }
    let hash = kept.and_then(|kept| kept.hash);
    let compare = async {
        let is_right = Passwords::is_comparable(old) && passwords.hashing.verify(hash, old).await?;
        Ok(is_right.then_some(()))
    };
    if attempt(app, address, Claim::Name(&user.name), compare).await?.is_none() {
        return Ok(Err(Refusal::Wrong));
    }
    store(app, passwords, user, new, &user.name).await
}

/// An administrator sets somebody's password, or takes it away with `None`. Every session of theirs ends.
///
/// # Errors
/// As [`change`].
pub async fn set(
    app: &App,
    passwords: &Passwords,
    user: &User,
    password: Option<&SecretString>,
    actor: &str,
) -> Result<Result<(), Refusal>> {
    if passwords.given(&user.name).is_some() {
        return Ok(Err(Refusal::Given));
    }
    match password {
        Some(password) => store(app, passwords, user, password, actor).await,
        None => {
            app.database.set_password(user.id, None, app.now()).await?;
            app.database.end_sessions_of(user.id).await?;
            Act::of(actor, "password removed").on(&user.name).done("asked for");
            Ok(Ok(()))
        }
    }
}

/// The same for the command in the hub's pod, which may also name somebody who may log in and never did.
///
/// # Errors
/// As [`change`].
pub async fn set_by_command(app: &App, wish: &PasswordWish) -> Result<Result<(), String>> {
    let Some(passwords) = app.authenticator.passwords() else {
        return Ok(Err(
            "people don't log in with passwords of their own at this hub: set spec.auth.password".to_owned()
        ));
    };
    let name = normalize_user(&wish.user);
    let user = match app.database.user_by_name(&name).await? {
        Some(user) => user,
        None if valid_user(&name) && app.admits(&name).await? => app.admit(&name).await?,
        None => return Ok(Err(format!("no such user: {}", loggable(&name)))),
    };
    let password = SecretString::from(wish.password.as_str());
    Ok(set(app, passwords, &user, Some(&password), "hub password").await?.map_err(|refusal| refusal.message()))
}

async fn store(
    app: &App,
    passwords: &Passwords,
    user: &User,
    password: &SecretString,
    actor: &str,
) -> Result<Result<(), Refusal>> {
    if let Some(fault) = passwords.fault(password.expose_secret()) {
        return Ok(Err(Refusal::Unfit(fault)));
    }
    let hash = passwords.hashing.hash(password).await?;
    app.database.set_password(user.id, Some(&hash), app.now()).await?;
    app.database.end_sessions_of(user.id).await?;
    Act::of(actor, PASSWORD_SET).on(&user.name).done("asked for");
    Ok(Ok(()))
}
