//! Users, and the roles and groups that they have.

use super::sql::{self, Connection, Row};
use super::{Database, FromRow, Key, Result, Subject, column, failed, failed_or_taken, one};
use jiff::Timestamp;
use serde_json::Value;

/// A user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub admin: bool,
    /// Unknown for rows of old versions.
    pub created: Option<Timestamp>,
    pub last_activity: Option<Timestamp>,
    /// What the login cookie holds, signed. Another one ends all logins of the user.
    pub cookie_id: String,
    /// What the authenticator says about the user to everyone; `null` if nothing.
    pub user_info: Value,
}

/// How many users there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserCounts {
    pub total: u64,
    /// Since each of the times that were asked for.
    pub active: [u64; 3],
}

pub(super) const COLUMNS: &str = "u.id, u.name, u.admin, u.created, u.last_activity, u.cookie_id, u.user_info";

impl FromRow for User {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            admin: row.try_get::<Option<bool>>("admin")?.unwrap_or_default(),
            created: row.try_get("created")?,
            last_activity: row.try_get("last_activity")?,
            cookie_id: row.try_get("cookie_id")?,
            user_info: column::get_json(row, "user_info")?,
        })
    }
}

/// A query for one user; the condition is ours, the value is bound.
macro_rules! user_where {
    ($condition:literal) => {
        concat!(
            "SELECT u.id, u.name, u.admin, u.created, u.last_activity, u.cookie_id, u.user_info FROM users u WHERE ",
            $condition
        )
    };
}

impl Database {
    /// The user with this id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn user(&self, id: i64) -> Result<Option<User>> {
        let read = async {
            let row = sql::query(user_where!("u.id = $1")).bind(id).fetch_optional(&self.pool).await;
            row.and_then(one).map_err(failed("find a user"))
        };
        self.memo.remember(Key::User(id), about, read).await
    }

    /// The user with this name, as it is spelt.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        let read = async {
            let row = sql::query(user_where!("u.name = $1")).bind(name).fetch_optional(&self.pool).await;
            row.and_then(one).map_err(failed("find a user by name"))
        };
        self.memo.remember(Key::UserName(name.to_owned()), about, read).await
    }

    /// The user whose login cookie holds this id, unless the one of this digest was logged out or the user is disabled.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn user_by_login(&self, cookie_id: &str, digest: &str) -> Result<Option<User>> {
        let read = async {
            let query = user_where!(
                "u.cookie_id = $1 AND NOT EXISTS (SELECT 1 FROM hub_ended_logins e WHERE e.login = $2)
                 AND NOT EXISTS (SELECT 1 FROM hub_disabled_users d WHERE d.user_id = u.id)"
            );
            let row = sql::query(query).bind(cookie_id).bind(digest).fetch_optional(&self.pool).await;
            row.and_then(one).map_err(failed("find a user by cookie"))
        };
        self.memo.remember(Key::Login(cookie_id.to_owned(), digest.to_owned()), about, read).await
    }

    /// From now on the login cookie of this digest logs nobody in. It is remembered until it would have expired.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn end_login(&self, digest: &str, expires_at: Timestamp) -> Result<()> {
        const ACTION: &str = "end a login";
        let mut tx = self.write(ACTION).await?;
        end_login(&mut tx, digest, expires_at).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Adds a user, with the roles that every user has.
    ///
    /// # Errors
    /// [`super::DatabaseError::Taken`] if the name is in use.
    pub async fn create_user(&self, name: &str, admin: bool, now: Timestamp) -> Result<User> {
        const ACTION: &str = "add a user";
        let mut tx = self.write(ACTION).await?;
        let id = insert(&mut tx, name, admin, now).await.map_err(failed_or_taken(ACTION, "user name"))?;
        let row = sql::query(user_where!("u.id = $1")).bind(id).fetch_one(&mut *tx).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))?;
        User::from_row(&row).map_err(failed(ACTION))
    }

    /// The user with this name, added if there is none: for logins.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    pub async fn ensure_user(&self, name: &str, now: Timestamp) -> Result<User> {
        if let Some(user) = self.user_by_name(name).await? {
            return Ok(user);
        }
        match self.create_user(name, false, now).await {
            // Someone else added it at the same moment.
            Err(taken @ super::DatabaseError::Taken { .. }) => self.user_by_name(name).await?.ok_or(taken),
            created => created,
        }
    }

    /// How many users there are, and how many were active since each of three times.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn count_users(&self, since: [Timestamp; 3]) -> Result<UserCounts> {
        const ACTION: &str = "count users";
        let query = "SELECT count(*), count(CASE WHEN last_activity >= $1 THEN 1 END),
                            count(CASE WHEN last_activity >= $2 THEN 1 END),
                            count(CASE WHEN last_activity >= $3 THEN 1 END) FROM users";
        let [first, second, third] = since;
        let query = sql::query(query).bind(first).bind(second).bind(third);
        let row = query.fetch_one(&self.pool).await.map_err(failed(ACTION))?;
        let number = |column: usize| row.try_get::<i64>(column).map(i64::unsigned_abs).map_err(failed(ACTION));
        Ok(UserCounts { total: number(0)?, active: [number(1)?, number(2)?, number(3)?] })
    }

    /// Makes a user an administrator or no longer one, and gives or takes the role that goes with it.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn set_admin(&self, user_id: i64, admin: bool) -> Result<()> {
        const ACTION: &str = "change an administrator";
        let mut tx = self.write(ACTION).await?;
        change_admin(&mut tx, user_id, admin).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Gives a user whose servers have stopped another name.
    ///
    /// # Errors
    /// [`super::DatabaseError::Taken`] if the name is in use.
    pub async fn rename_user(&self, user_id: i64, name: &str) -> Result<()> {
        let update = sql::query("UPDATE users SET name = $1 WHERE id = $2").bind(name).bind(user_id);
        update.execute(&self.pool).await.map(drop).map_err(failed_or_taken("rename a user", "user name"))
    }

    /// Deletes a user with all that is theirs: tokens, codes, servers' rows and shares.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_user(&self, user_id: i64) -> Result<()> {
        const ACTION: &str = "delete a user";
        let mut tx = self.write(ACTION).await?;
        // These two are referred to by the user's servers, so they don't go by themselves.
        for statement in [
            "DELETE FROM oauth_clients WHERE identifier IN (SELECT oauth_client_id FROM spawners WHERE user_id = $1)",
            "DELETE FROM servers WHERE id IN (SELECT server_id FROM spawners WHERE user_id = $1)",
            "DELETE FROM users WHERE id = $1",
        ] {
            sql::query(statement).bind(user_id).execute(&mut *tx).await.map_err(failed(ACTION))?;
        }
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Ends all logins of a user at the hub, and returns the new id for the cookie.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn rotate_cookie_id(&self, user_id: i64) -> Result<String> {
        let cookie_id = new_cookie_id();
        let update = sql::query("UPDATE users SET cookie_id = $1 WHERE id = $2").bind(&cookie_id).bind(user_id);
        update.execute(&self.pool).await.map_err(failed("rotate a user's cookie id"))?;
        Ok(cookie_id)
    }
}

/// What [`Database::end_login`] does; also within another room's transaction.
pub(super) async fn end_login(connection: &mut Connection, digest: &str, expires_at: Timestamp) -> sqlx::Result<()> {
    sql::query("INSERT INTO hub_ended_logins (login, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(digest)
        .bind(expires_at.as_second())
        .execute(&mut *connection)
        .await?;
    sql::query("DELETE FROM hub_sessions WHERE login = $1").bind(digest).execute(connection).await.map(drop)
}

/// Whose activity a user's row tells of.
fn about(user: &Option<User>) -> Option<Vec<Subject>> {
    Some(user.iter().map(|user| Subject::User(user.id)).collect())
}

/// Adds the row of a user with the roles that every user has, and returns its id; also within another room's transaction.
pub(super) async fn insert(connection: &mut Connection, name: &str, admin: bool, now: Timestamp) -> sqlx::Result<i64> {
    let id = sql::query("INSERT INTO users (name, admin, created, cookie_id) VALUES ($1, $2, $3, $4) RETURNING id")
        .bind(name)
        .bind(admin)
        .bind(now)
        .bind(new_cookie_id())
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    set_default_roles(connection, id, admin).await?;
    Ok(id)
}

/// As [`Database::set_admin`], within another room's transaction.
pub(super) async fn change_admin(connection: &mut Connection, user_id: i64, admin: bool) -> sqlx::Result<()> {
    let update = sql::query("UPDATE users SET admin = $1 WHERE id = $2").bind(admin).bind(user_id);
    update.execute(&mut *connection).await?;
    set_default_roles(connection, user_id, admin).await
}

pub(super) fn new_cookie_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// Every user has the role `user`; administrators have `admin` besides.
async fn set_default_roles(connection: &mut Connection, user_id: i64, admin: bool) -> sqlx::Result<()> {
    let assign = "INSERT INTO user_role_map (user_id, role_id, managed_by_auth)
                  SELECT $1, id, FALSE FROM roles WHERE name = $2 ON CONFLICT DO NOTHING";
    let remove = "DELETE FROM user_role_map WHERE user_id = $1 AND role_id IN (SELECT id FROM roles WHERE name = $2)";
    sql::query(assign).bind(user_id).bind("user").execute(&mut *connection).await?;
    let admin_role = if admin { assign } else { remove };
    sql::query(admin_role).bind(user_id).bind("admin").execute(connection).await?;
    Ok(())
}
