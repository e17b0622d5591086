//! Whether somebody whom the provider vouches for comes in, and as which user: at a login and at each refresh.

use std::collections::BTreeSet;

use crate::{
    app::App,
    database::{DatabaseError, Found, Identity, User},
};

/// Why somebody stays outside. The texts are for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnedAway {
    #[error("You are not allowed to use this hub. Ask its administrator.")]
    NotAllowed,
    #[error(
        "Your user name belongs to somebody else here, who had it at the provider before. Ask the administrator of this hub."
    )]
    NameTaken,
}

impl TurnedAway {
    /// In the words of the audit log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAllowed => "not allowed",
            Self::NameTaken => "the name is another person's at the provider",
        }
    }
}

/// The user who this is, with the groups and rights that the provider's word gives. Whoever was here before is the user of
/// then, whatever the provider calls them now.
///
/// # Errors
/// The database can't be read or written.
pub async fn take_in(
    app: &App,
    identity: Identity<'_>,
    name: &str,
    groups: &BTreeSet<String>,
) -> Result<Result<User, TurnedAway>, DatabaseError> {
    let known = app.database.user_of_identity(identity).await?;
    let name = known.as_ref().map_or(name, |user| user.name.as_str());
    if !app.allow.admits_member(name, groups) || app.database.disabled_users().await?.contains(name) {
        if let Some(user) = &known {
            // Sessions that groups have opened end with them.
            app.database.note_provider_groups(user.id, groups).await?;
        }
        return Ok(Err(TurnedAway::NotAllowed));
    }
    let manage_groups = app.authenticator.oidc().is_some_and(|oidc| oidc.manages_groups);
    let found = Found { name, groups, manage_groups, admin: app.allow.admin_of_member(name, groups) };
    Ok(app.database.bind_identity(identity, &found, app.now()).await?.ok_or(TurnedAway::NameTaken))
}
