//! The door: every login by a password or token goes through [`attempt`], which refuses who has failed too often (attack
//! row 34). The rule is that of [`hub_auth::lockout`]; failures are noted in the database, so that a restart forgets none,
//! and what succeeds writes nothing.

use axum::http::StatusCode;
use hub_auth::{
    failure_limit::network,
    lockout::{Limits, Pair},
    names::normalize_user,
    token::is_guessable,
};
use hub_crds::LoginLimits;
use secrecy::ExposeSecret;
use std::{net::IpAddr, time::Instant};

use crate::{
    app::App,
    audit::Person,
    authenticator::Credentials,
    error::{Failure, Result},
};

/// What somebody comes with.
#[derive(Clone, Copy, Debug)]
pub enum Claim<'a> {
    /// A user's name, as it was typed, and a password.
    Name(&'a str),
    /// A token, whose user isn't known before.
    Token(&'a str),
    /// A token in the address of a server, that may be the server's own, from this user.
    ServersToken { token: &'a str, user: &'a str },
}

impl Claim<'_> {
    /// Whose failures this one's count with. Tokens without a name are guesses at any user's.
    fn counted_as(&self) -> String {
        match self {
            Self::Name(name) => format!("name: {}", normalize_user(name.trim())),
            Self::Token(_) => "token".to_owned(),
            Self::ServersToken { user, .. } => format!("token from: {user}"),
        }
    }

    /// What can't be guessed need not be kept from who guesses, and is not: nobody who has a good token is kept out by others
    /// behind the same address.
    fn is_guessable(&self) -> bool {
        match self {
            Self::Name(_) => true,
            Self::Token(token) | Self::ServersToken { token, .. } => is_guessable(token.trim().len()),
        }
    }

    fn user(&self) -> &str {
        match self {
            Self::Name(name) => name.trim(),
            Self::Token(_) => "",
            Self::ServersToken { user, .. } => user,
        }
    }
}

/// What `look` finds, `None` being a failure.
///
/// # Errors
/// 429 with `Retry-After` for who has failed too often, in most cases without a look; and what `look` fails with.
pub async fn attempt<T>(
    app: &App,
    address: Option<IpAddr>,
    claim: Claim<'_>,
    look: impl Future<Output = Result<Option<T>>>,
) -> Result<Option<T>> {
    // A name may be a password that was typed into the wrong field: the database gets none.
    let user = app.cookie_keys()?.seal(claim.counted_as().as_bytes());
    let pair = Pair { user, network: network(address).to_string() };
    let person = Person { user: claim.user(), address };
    let begun = app.lockouts.begin(&pair, app.now().as_second());
    let timed = async {
        let begun = Instant::now();
        let found = look.await?;
        app.metrics().logins.record(&[if found.is_some() { "success" } else { "failure" }], begun.elapsed());
        Ok(found)
    };
    let refuse = |seconds: i64| {
        person.refused();
        too_many(seconds.unsigned_abs())
    };
    match (begun, claim.is_guessable()) {
        (Err(seconds), true) => Err(refuse(seconds)),
        (Err(seconds), false) => timed.await?.map(Some).ok_or_else(|| refuse(seconds)),
        (Ok(()), _) => {
            let found = timed.await;
            if let Ok(None) = found {
                fail(app, &pair, person).await?;
            } else {
                app.lockouts.release(&pair);
            }
            found
        }
    }
}

/// As [`attempt`], for what may be a token of somebody else's, not of the hub's: who has failed too often is told what anyone
/// with such a token is told.
///
/// # Errors
/// What `look` fails with.
pub async fn quiet_attempt<T>(
    app: &App,
    address: Option<IpAddr>,
    claim: Claim<'_>,
    look: impl Future<Output = Result<Option<T>>>,
) -> Result<Option<T>> {
    match attempt(app, address, claim, look).await {
        Err(Failure::Status { status: StatusCode::TOO_MANY_REQUESTS, .. }) => Ok(None),
        found => found,
    }
}

/// The user whose name and password, or token, these are, if that user may come in.
///
/// # Errors
/// Those of [`attempt`].
pub async fn by_credentials(app: &App, address: Option<IpAddr>, credentials: &Credentials) -> Result<Option<String>> {
    let claim = match app.authenticator.is_token() {
        true => Claim::Token(credentials.password.expose_secret()),
        false => Claim::Name(&credentials.username),
    };
    let look = async {
        match app.authenticator.login(app, credentials).await? {
            Some(name) => Ok(app.admits(&name).await?.then_some(name)),
            None => Ok(None),
        }
    };
    attempt(app, address, claim, look).await
}

/// The user whose login token a request has in its header, if that user may come in. Programs send tokens of any kind, which
/// are no failures unless somebody has a login token that can be guessed.
///
/// # Errors
/// Those of [`attempt`].
pub async fn by_header(app: &App, address: Option<IpAddr>, token: &str) -> Result<Option<String>> {
    let look = async {
        match app.authenticator.token_user(token) {
            Some(name) => Ok(app.admits(&name).await?.then_some(name)),
            None => Ok(None),
        }
    };
    let claim = Claim::Token(token);
    match claim.is_guessable() && app.authenticator.has_guessable_tokens() {
        true => quiet_attempt(app, address, claim, look).await,
        false => look.await,
    }
}

async fn fail(app: &App, pair: &Pair, person: Person<'_>) -> Result<()> {
    let now = app.now().as_second();
    let noted = app.lockouts.fail(pair, now);
    person.failed();
    if noted.is_locked {
        person.locked_out();
    }
    Ok(app.database.note_login_failure(pair, &noted, now).await?)
}

fn too_many(seconds: u64) -> Failure {
    Failure::Status {
        status: StatusCode::TOO_MANY_REQUESTS,
        message: Some(format!("Too many failed logins. Try again in {seconds} seconds.")),
        retry_after: Some(seconds),
    }
}

/// The limits of the settings, as the rule takes them.
pub fn limits(settings: &LoginLimits) -> Limits {
    Limits {
        failures: settings.max_failures,
        window: settings.window_seconds.into(),
        lockout: settings.lockout_seconds.into(),
    }
}
