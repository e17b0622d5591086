//! Groups: who is in them, and the properties that they carry. Each change is made whole or not at all.

use super::sql::{self, Connection, Row};
use super::{Database, DatabaseError, FromRow, Page, Result, Window, column, failed, failed_or_taken, identity, one};
use serde_json::{Map, Value};

/// A group of users.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub id: i64,
    pub name: String,
    /// Whatever an administrator noted; an object.
    pub properties: Value,
}

/// Why a group could not be made or changed. Nothing was, then.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("Group {0} already exists")]
    Exists(String),
    #[error("No such user: {0}")]
    NoSuchUser(String),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl FromRow for Group {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let properties = match column::get_json(row, "properties")? {
            Value::Null => Value::Object(Map::new()),
            properties => properties,
        };
        Ok(Self { id: row.try_get("id")?, name: row.try_get("name")?, properties })
    }
}

impl Database {
    /// The group with this name.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn group(&self, name: &str) -> Result<Option<Group>> {
        let query = sql::query("SELECT id, name, properties FROM groups WHERE name = $1").bind(name);
        query.fetch_optional(&self.pool).await.and_then(one).map_err(failed("find a group"))
    }

    /// Groups by id, all or those of these names.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn list_groups(&self, names: Option<&[&str]>, window: Window) -> Result<Page<Group>> {
        self.page("id, name, properties", "id", window, "list groups", |sql| {
            sql.push(" FROM groups");
            if let Some(names) = names {
                sql.push(" WHERE name IN (");
                sql.push_list(names.iter().copied());
                sql.push(")");
            }
        })
        .await
    }

    /// Makes groups, each with the same members, who are given by name.
    ///
    /// # Errors
    /// If one of the groups exists, or one of the users doesn't.
    pub async fn create_groups(&self, names: &[&str], members: &[String]) -> Result<Vec<Group>, GroupError> {
        const ACTION: &str = "add groups";
        let mut tx = self.write(ACTION).await?;
        let mut created = Vec::with_capacity(names.len());
        for name in names {
            let row =
                sql::query("INSERT INTO groups (name, properties) VALUES ($1, '{}') RETURNING id, name, properties")
                    .bind(*name)
                    .fetch_one(&mut *tx)
                    .await
                    .map_err(failed_or_taken(ACTION, "group name"));
            let row = match row {
                Err(DatabaseError::Taken { .. }) => return Err(GroupError::Exists((*name).to_owned())),
                row => row?,
            };
            let group = Group::from_row(&row).map_err(failed(ACTION))?;
            for user_id in user_ids(&mut tx, members, ACTION).await? {
                join(&mut tx, group.id, user_id).await.map_err(failed(ACTION))?;
            }
            created.push(group);
        }
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(created)
    }

    /// Takes users, given by name, into a group. Who is in it already stays.
    ///
    /// # Errors
    /// If one of the users doesn't exist.
    pub async fn add_members(&self, group_id: i64, members: &[String]) -> Result<(), GroupError> {
        const ACTION: &str = "add members to a group";
        let mut tx = self.write(ACTION).await?;
        for user_id in user_ids(&mut tx, members, ACTION).await? {
            join(&mut tx, group_id, user_id).await.map_err(failed(ACTION))?;
        }
        Ok(tx.commit().await.map_err(failed(ACTION))?)
    }

    /// Removes users, given by name, from a group: what they may do through it ends. Who is not in it is no error.
    ///
    /// # Errors
    /// If one of the users doesn't exist.
    pub async fn remove_members(&self, group_id: i64, members: &[String]) -> Result<(), GroupError> {
        const ACTION: &str = "remove members from a group";
        let mut tx = self.write(ACTION).await?;
        for user_id in user_ids(&mut tx, members, ACTION).await? {
            sql::query("DELETE FROM user_group_map WHERE group_id = $1 AND user_id = $2")
                .bind(group_id)
                .bind(user_id)
                .execute(&mut *tx)
                .await
                .map_err(failed(ACTION))?;
        }
        Ok(tx.commit().await.map_err(failed(ACTION))?)
    }

    /// Notes a group's properties, in place of those before.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn set_group_properties(&self, group_id: i64, properties: &Value) -> Result<()> {
        let update = sql::query("UPDATE groups SET properties = $1 WHERE id = $2");
        let update = update.bind(properties.to_string()).bind(group_id).execute(&self.pool).await;
        update.map(drop).map_err(failed("change a group's properties"))
    }

    /// Deletes a group: its memberships, its roles and what is shared with it go along.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_group(&self, group_id: i64) -> Result<()> {
        let delete = sql::query("DELETE FROM groups WHERE id = $1").bind(group_id).execute(&self.pool).await;
        delete.map(drop).map_err(failed("delete a group"))
    }

    /// Names of the users in a group, sorted.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn members_of(&self, group_id: i64) -> Result<Vec<String>> {
        let query = "SELECT u.name FROM users u JOIN user_group_map m ON m.user_id = u.id WHERE m.group_id = $1 ORDER BY u.name";
        self.names(query, group_id, "list a group's members").await
    }

    /// Names of the roles that a group has, sorted.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn roles_of_group(&self, group_id: i64) -> Result<Vec<String>> {
        let query = "SELECT r.name FROM roles r JOIN group_role_map m ON m.role_id = r.id WHERE m.group_id = $1 ORDER BY r.name";
        self.names(query, group_id, "list a group's roles").await
    }

    /// Raw scopes of the roles that a group has.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn scopes_of_group(&self, group_id: i64) -> Result<Vec<String>> {
        self.role_scopes(identity::ROLES_OF_GROUP, group_id).await
    }

    pub(super) async fn names(&self, query: &'static str, id: i64, action: &'static str) -> Result<Vec<String>> {
        let rows = sql::query(query).bind(id).fetch_all(&self.pool).await.map_err(failed(action))?;
        rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>().map_err(failed(action))
    }
}

async fn user_ids(connection: &mut Connection, names: &[String], action: &'static str) -> Result<Vec<i64>, GroupError> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let found =
            sql::query("SELECT id FROM users WHERE name = $1").bind(name).fetch_optional(&mut *connection).await;
        let row = found.map_err(failed(action))?.ok_or_else(|| GroupError::NoSuchUser(name.clone()))?;
        ids.push(row.try_get(0).map_err(failed(action))?);
    }
    Ok(ids)
}

async fn join(connection: &mut Connection, group_id: i64, user_id: i64) -> sqlx::Result<()> {
    sql::query("INSERT INTO user_group_map (user_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(user_id)
        .bind(group_id)
        .execute(connection)
        .await
        .map(drop)
}
