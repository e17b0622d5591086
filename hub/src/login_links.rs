//! One-time login links (S10 to S13), as an administrator makes them in the hub's pod. They work with every way of
//! logging in: whom they let in, the allow list decides when they are made and again when they are used.

use hub_auth::{
    names::{normalize_user, valid_user},
    token::new_login_token,
};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{app::App, database::DatabaseError, loggable::loggable};

/// A week: whoever can't open a link by then asks for another one.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wish {
    /// Whom it shall let in. `None`: the one person in question.
    pub user: Option<String>,
    /// Seconds until it expires.
    pub seconds: i64,
}

/// A link that was made.
#[derive(Clone, Serialize, Deserialize)]
pub struct Link {
    pub url: String,
    /// The command that makes the address lead to the hub, if it doesn't by itself.
    pub forward: Option<String>,
    pub user: String,
    pub expires_at: Timestamp,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("{0} may not log in at this hub: allow it in the settings (auth.allowedUsers), or name somebody else")]
    NotAllowed(String),
    #[error("say for whom, with --user: {0}")]
    Whose(String),
    #[error("a link must expire within a week, and not at once")]
    Expiry,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Makes a link, stores its hash, and leaves a line in the log. `asker` is who wanted it.
///
/// # Errors
/// Nobody is named and several may be meant, whoever is may not log in, or the database can't be written.
pub async fn make(app: &App, wish: &Wish, asker: &str) -> Result<Link, LinkError> {
    let name = match &wish.user {
        Some(name) => normalize_user(name),
        None => only_one(app)?,
    };
    if !valid_user(&name) || !app.admits(&name).await? {
        return Err(LinkError::NotAllowed(loggable(&name)));
    }
    let lifetime = SignedDuration::from_secs(wish.seconds);
    if !lifetime.is_positive() || lifetime > LONGEST {
        return Err(LinkError::Expiry);
    }
    let expires_at = app.now() + lifetime;
    let user = app.admit(&name).await?;
    let token = new_login_token(rand::random());
    app.database.create_login_link(user.id, &token, expires_at).await?;
    tracing::warn!(audit = "login link made", user.name = name, asker.name = asker, %expires_at, "made a login link");
    let url = app.address.login(token.expose_secret());
    Ok(Link { url, forward: app.address.forward.clone(), user: name, expires_at })
}

/// The only one whom the settings name, or the only administrator among them.
fn only_one(app: &App) -> Result<String, LinkError> {
    let named: Vec<_> = app.allow.named().collect();
    let admins: Vec<_> = named.iter().filter(|(_, is_admin)| *is_admin).collect();
    match (named.as_slice(), admins.as_slice()) {
        ([(name, _)], _) | (_, [(name, _)]) => Ok((*name).to_owned()),
        ([], _) => Err(LinkError::Whose("the settings name nobody".to_owned())),
        _ => {
            let names: Vec<_> = named.iter().map(|(name, _)| *name).collect();
            Err(LinkError::Whose(names.join(", ")))
        }
    }
}
