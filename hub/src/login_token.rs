//! A token that logs somebody in at the hub's pages: a user's own (S4 to S7), or one that works once (S10 to S13).

use crate::{app::App, database::DatabaseError};

/// A token that was found good. It has logged nobody in yet.
pub enum LoginToken {
    /// Of the user of this name.
    Own(String),
    /// Of a link for the user of this name.
    Once(String),
}

impl LoginToken {
    /// Finds out whose a token is, and whether that user may come in. Nothing is used up.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn find(app: &App, token: &str) -> Result<Option<Self>, DatabaseError> {
        let found = match app.authenticator.token_user(token) {
            Some(name) => Some(Self::Own(name)),
            None => app.database.user_by_login_link(token, app.now()).await?.map(|user| Self::Once(user.name)),
        };
        match found {
            Some(found) if app.admits(found.user()).await? => Ok(Some(found)),
            _ => Ok(None),
        }
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        match self {
            Self::Own(name) | Self::Once(name) => name,
        }
    }

    /// Uses it, for good if it works once only (S13); false if somebody else was faster.
    ///
    /// # Errors
    /// The database can't be written.
    pub async fn take(&self, app: &App, token: &str) -> Result<bool, DatabaseError> {
        let Self::Once(name) = self else { return Ok(true) };
        let redeemed = app.database.redeem_login_link(token, app.now()).await?;
        if redeemed.is_some() {
            tracing::warn!(audit = "login link used", user.name = name, "used a login link");
        }
        Ok(redeemed.is_some())
    }
}
