//! Who users are at the provider that people log in at, the groups that it said they are in, and the sessions that it may end.

use hub_auth::token::hash_code;
use jiff::Timestamp;
use std::collections::BTreeSet;

use super::sql::{self, Connection};
use super::{Database, Key, Result, User, column, failed, users};

/// Somebody at a provider: nobody else ever has the same subject there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
}

/// What a login or refresh found out about somebody.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The user's name, if there is none for this identity yet.
    pub name: &'a str,
    /// Groups as the provider names them.
    pub groups: &'a BTreeSet<String>,
    /// The user's groups in the hub become these.
    pub manage_groups: bool,
    /// `None` leaves it as it is.
    pub admin: Option<bool>,
}

/// A login that the provider may end.
#[derive(Clone, Copy, Debug)]
pub struct ProviderSession<'a> {
    /// The provider's name for its session.
    pub id: &'a str,
    pub user_id: i64,
    /// The hub's own, to which tokens of servers belong.
    pub session_id: &'a str,
    /// Digest of the login cookie.
    pub login: &'a str,
    /// When neither can be of use any more.
    pub expires_at: Timestamp,
}

impl Database {
    /// The user who this is, after a first login.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn user_of_identity(&self, identity: Identity<'_>) -> Result<Option<User>> {
        const ACTION: &str = "find a user by the provider's word";
        let query = sql::query("SELECT user_id FROM hub_oidc_identities WHERE issuer = $1 AND subject = $2");
        let row = query.bind(identity.issuer).bind(identity.subject).fetch_optional(&self.pool).await;
        let Some(row) = row.map_err(failed(ACTION))? else { return Ok(None) };
        self.user(row.try_get(0).map_err(failed(ACTION))?).await
    }

    /// The issuer and subject of a user who has logged in at a provider.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn identity_of(&self, user_id: i64) -> Result<Option<(String, String)>> {
        const ACTION: &str = "find who a user is at the provider";
        let query = sql::query("SELECT issuer, subject FROM hub_oidc_identities WHERE user_id = $1").bind(user_id);
        let row = query.fetch_optional(&self.pool).await.map_err(failed(ACTION))?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose().map_err(failed(ACTION))
    }

    /// Groups that the provider said the user is in.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn provider_groups(&self, user_id: i64) -> Result<BTreeSet<String>> {
        const ACTION: &str = "find the groups of a user at the provider";
        let read = async {
            let query = sql::query("SELECT member_of FROM hub_oidc_identities WHERE user_id = $1").bind(user_id);
            let row = query.fetch_optional(&self.pool).await.map_err(failed(ACTION))?;
            let groups = row.map(|row| column::get_list(&row, "member_of")).transpose().map_err(failed(ACTION))?;
            Ok(groups.unwrap_or_default().into_iter().collect())
        };
        self.memo.remember(Key::ProviderGroups(user_id), |_| Some(Vec::new()), read).await
    }

    /// The user who this is: the one that was, or the one of that name, who is made if there is none, and bound to this identity
    /// from now on. `None`: the name belongs to somebody else at the provider. All of it happens or nothing.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn bind_identity(
        &self,
        identity: Identity<'_>,
        found: &Found<'_>,
        now: Timestamp,
    ) -> Result<Option<User>> {
        const ACTION: &str = "note who logged in at the provider";
        let mut tx = self.write(ACTION).await?;
        let Some(user_id) = bound(&mut tx, identity, found, now).await.map_err(failed(ACTION))? else {
            return Ok(None);
        };
        note_groups(&mut tx, user_id, found.groups).await.map_err(failed(ACTION))?;
        if let Some(admin) = found.admin {
            users::change_admin(&mut tx, user_id, admin).await.map_err(failed(ACTION))?;
        }
        if found.manage_groups {
            replace_groups(&mut tx, user_id, found.groups).await.map_err(failed(ACTION))?;
        }
        tx.commit().await.map_err(failed(ACTION))?;
        self.user(user_id).await
    }

    /// Notes the groups that the provider names for a user who has logged in there.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn note_provider_groups(&self, user_id: i64, groups: &BTreeSet<String>) -> Result<()> {
        const ACTION: &str = "note the groups of a user at the provider";
        let mut tx = self.write(ACTION).await?;
        note_groups(&mut tx, user_id, groups).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Notes that a login came of one of the provider's sessions.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn note_provider_session(&self, session: ProviderSession<'_>) -> Result<()> {
        sql::query(
            "INSERT INTO hub_oidc_sessions (login, provider_session, session_id, user_id, expires_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(session.login)
        .bind(hash_code(session.id))
        .bind(session.session_id)
        .bind(session.user_id)
        .bind(session.expires_at.as_second())
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed("note a session of the provider"))
    }

    /// Ends the logins that came of one of the provider's sessions, with the tokens of servers. Returns whose they were.
    ///
    /// # Errors
    /// If the database cannot be written. What was ended stays ended.
    pub async fn end_provider_session(&self, id: &str) -> Result<Vec<User>> {
        const ACTION: &str = "end a session of the provider";
        let query = "SELECT login, session_id, user_id, expires_at FROM hub_oidc_sessions WHERE provider_session = $1";
        let rows = sql::query(query).bind(hash_code(id)).fetch_all(&self.pool).await.map_err(failed(ACTION))?;
        let mut ended = Vec::new();
        for row in rows {
            let read = || {
                let (login, session_id): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                Ok((login, session_id, row.try_get::<i64>(2)?, row.try_get::<i64>(3)?))
            };
            let (login, session_id, user_id, expires_at) = read().map_err(failed(ACTION))?;
            self.end_login(&login, Timestamp::from_second(expires_at).unwrap_or(Timestamp::MAX)).await?;
            self.delete_session_tokens(user_id, &session_id).await?;
            sql::query("DELETE FROM hub_oidc_sessions WHERE login = $1")
                .bind(&login)
                .execute(&self.pool)
                .await
                .map_err(failed(ACTION))?;
            ended.extend(self.user(user_id).await?);
        }
        Ok(ended)
    }
}

/// The id of the user, bound to the identity. `None` if the name is another's.
async fn bound(
    connection: &mut Connection,
    identity: Identity<'_>,
    found: &Found<'_>,
    now: Timestamp,
) -> sqlx::Result<Option<i64>> {
    let Identity { issuer, subject } = identity;
    let known = sql::query("SELECT user_id FROM hub_oidc_identities WHERE issuer = $1 AND subject = $2");
    if let Some(row) = known.bind(issuer).bind(subject).fetch_optional(&mut *connection).await? {
        return row.try_get(0).map(Some);
    }
    let by_name = sql::query("SELECT id FROM users WHERE name = $1").bind(found.name);
    let user_id = match by_name.fetch_optional(&mut *connection).await? {
        Some(row) => row.try_get(0)?,
        None => users::insert(connection, found.name, false, now).await?,
    };
    let other = sql::query("SELECT issuer FROM hub_oidc_identities WHERE user_id = $1").bind(user_id);
    if let Some(row) = other.fetch_optional(&mut *connection).await? {
        if row.try_get::<String>(0)? == issuer {
            return Ok(None);
        }
        // Of a provider that the settings no longer name.
        let forget = sql::query("DELETE FROM hub_oidc_identities WHERE user_id = $1").bind(user_id);
        forget.execute(&mut *connection).await?;
    }
    sql::query("INSERT INTO hub_oidc_identities (issuer, subject, user_id, member_of) VALUES ($1, $2, $3, '[]')")
        .bind(issuer)
        .bind(subject)
        .bind(user_id)
        .execute(connection)
        .await?;
    Ok(Some(user_id))
}

async fn note_groups(connection: &mut Connection, user_id: i64, groups: &BTreeSet<String>) -> sqlx::Result<()> {
    let groups: Vec<_> = groups.iter().collect();
    sql::query("UPDATE hub_oidc_identities SET member_of = $1 WHERE user_id = $2")
        .bind(column::list_text(&groups))
        .bind(user_id)
        .execute(connection)
        .await
        .map(drop)
}

/// Makes these the user's groups, and those that don't exist yet.
async fn replace_groups(connection: &mut Connection, user_id: i64, names: &BTreeSet<String>) -> sqlx::Result<()> {
    let current =
        sql::query("SELECT g.id, g.name FROM groups g JOIN user_group_map m ON m.group_id = g.id WHERE m.user_id = $1");
    let mut missing = names.clone();
    for row in current.bind(user_id).fetch_all(&mut *connection).await? {
        let (group_id, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        if !missing.remove(&name) {
            sql::query("DELETE FROM user_group_map WHERE user_id = $1 AND group_id = $2")
                .bind(user_id)
                .bind(group_id)
                .execute(&mut *connection)
                .await?;
        }
    }
    for name in &missing {
        sql::query("INSERT INTO groups (name, properties) VALUES ($1, '{}') ON CONFLICT DO NOTHING")
            .bind(name)
            .execute(&mut *connection)
            .await?;
        sql::query("INSERT INTO user_group_map (user_id, group_id) SELECT $1, id FROM groups WHERE name = $2")
            .bind(user_id)
            .bind(name)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
