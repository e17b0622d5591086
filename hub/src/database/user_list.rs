//! Lists of users, filtered, sorted and cut into pages.

use super::sql::QueryBuilder;
use super::{Database, Result, User, all, failed, users};

/// Which users to list. The default lists all, by id.
#[derive(Clone, Debug, Default)]
pub struct UserQuery {
    /// Only those with (`true`) or without (`false`) an active server.
    pub active: Option<bool>,
    /// Only those whose name contains this, in any case.
    pub name_filter: Option<String>,
    pub sort: UserSort,
    pub descending: bool,
    pub offset: u32,
    /// At most so many; without a limit all.
    pub limit: Option<u32>,
    /// Only those that the caller may see; without it all.
    pub visible: Option<Visible>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserSort {
    #[default]
    Id,
    Name,
    LastActivity,
}

/// The users that a filtered scope lets someone see: those named, and those in a group.
#[derive(Clone, Debug, Default)]
pub struct Visible {
    pub users: Vec<String>,
    pub groups: Vec<String>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct UserPage {
    pub users: Vec<User>,
    /// How many there are in all pages together.
    pub total: u64,
}

impl Database {
    /// Lists users.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn list_users(&self, query: &UserQuery) -> Result<UserPage> {
        const ACTION: &str = "list users";
        let mut list = QueryBuilder::new("SELECT ");
        list.push(users::COLUMNS);
        push_conditions(&mut list, query);
        push_order(&mut list, query);
        let rows = list.build().fetch_all(&self.pool).await.map_err(failed(ACTION))?;

        let mut count = QueryBuilder::new("SELECT count(*)");
        push_conditions(&mut count, query);
        let total: i64 =
            count.build().fetch_one(&self.pool).await.and_then(|row| row.try_get(0)).map_err(failed(ACTION))?;
        Ok(UserPage { users: all(rows).map_err(failed(ACTION))?, total: total.unsigned_abs() })
    }
}

fn push_conditions(sql: &mut QueryBuilder, query: &UserQuery) {
    const ACTIVE: &str = "EXISTS (SELECT 1 FROM spawners s WHERE s.user_id = u.id AND s.server_id IS NOT NULL)";
    sql.push(" FROM users u WHERE TRUE");
    match query.active {
        Some(true) => sql.push(" AND ").push(ACTIVE),
        Some(false) => sql.push(" AND NOT ").push(ACTIVE),
        None => sql,
    };
    if let Some(filter) = &query.name_filter {
        let pattern =
            format!("%{}%", filter.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
        sql.push(" AND lower(u.name) LIKE ").push_bind(pattern).push(" ESCAPE '\\'");
    }
    if let Some(visible) = &query.visible {
        sql.push(" AND (u.name IN (");
        sql.push_list(&visible.users);
        sql.push(") OR EXISTS (SELECT 1 FROM user_group_map m JOIN groups g ON g.id = m.group_id WHERE m.user_id = u.id AND g.name IN (");
        sql.push_list(&visible.groups);
        sql.push(")))");
    }
}

fn push_order(sql: &mut QueryBuilder, query: &UserQuery) {
    let column = match query.sort {
        UserSort::Id => "u.id",
        UserSort::Name => "u.name",
        UserSort::LastActivity => "u.last_activity",
    };
    // Where a value is absent, it is the smallest, in every database. Equal ones need an order for pages to fit together.
    let (absent, direction) = if query.descending { ("NULL", "DESC") } else { ("NOT NULL", "ASC") };
    sql.push(format!(" ORDER BY {column} IS {absent}, {column} {direction}, u.id {direction}"));
    let limit = query.limit.map_or(i64::MAX, i64::from);
    sql.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(i64::from(query.offset));
}
