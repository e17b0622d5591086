//! What users have beside their rows, for many at a time: a list costs as many queries as one.

use super::sql::QueryBuilder;
use super::{Database, FromRow, Key, Result, ServerRow, Subject, failed, servers::select_server};
use std::collections::HashMap;

/// Which of them are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub roles: bool,
    pub groups: bool,
    pub servers: bool,
}

/// Names of roles and groups, sorted, and servers, by id; what wasn't asked for is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserDetails {
    /// Without those of groups.
    pub roles: Vec<String>,
    pub groups: Vec<String>,
    pub servers: Vec<ServerRow>,
}

const ROLES: &str =
    "SELECT m.user_id, r.name FROM roles r JOIN user_role_map m ON m.role_id = r.id WHERE m.user_id IN (";
const GROUPS: &str =
    "SELECT m.user_id, g.name FROM groups g JOIN user_group_map m ON m.group_id = g.id WHERE m.user_id IN (";

impl Database {
    /// Details of one user.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn details_of(&self, user_id: i64, wanted: Wanted) -> Result<UserDetails> {
        let about = |details: &UserDetails| Some(details.servers.iter().map(|row| Subject::Server(row.id)).collect());
        let read = async { Ok(self.details_of_all(&[user_id], wanted).await?.remove(&user_id).unwrap_or_default()) };
        self.memo.remember(Key::Details(user_id, wanted), about, read).await
    }

    /// Details of several users, by id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn details_of_all(&self, users: &[i64], wanted: Wanted) -> Result<HashMap<i64, UserDetails>> {
        let mut all: HashMap<_, UserDetails> = users.iter().map(|id| (*id, UserDetails::default())).collect();
        if users.is_empty() {
            return Ok(all);
        }
        if wanted.roles {
            for (user, role) in self.names_of(ROLES, users).await.map_err(failed("list roles of users"))? {
                all.entry(user).or_default().roles.push(role);
            }
        }
        if wanted.groups {
            for (user, group) in self.names_of(GROUPS, users).await.map_err(failed("list groups of users"))? {
                all.entry(user).or_default().groups.push(group);
            }
        }
        if wanted.servers {
            for row in self.servers_of_all(users).await.map_err(failed("list servers of users"))? {
                all.entry(row.user_id).or_default().servers.push(row);
            }
        }
        Ok(all)
    }

    async fn names_of(&self, query: &'static str, users: &[i64]) -> sqlx::Result<Vec<(i64, String)>> {
        let mut query = QueryBuilder::new(query);
        push_ids(&mut query, users);
        query.push(" ORDER BY 2");
        query.build().fetch_all(&self.pool).await?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    async fn servers_of_all(&self, users: &[i64]) -> sqlx::Result<Vec<ServerRow>> {
        let mut query = QueryBuilder::new(select_server!("WHERE s.user_id IN ("));
        push_ids(&mut query, users);
        query.push(" ORDER BY s.id");
        query.build().fetch_all(&self.pool).await?.iter().map(ServerRow::from_row).collect()
    }
}

fn push_ids(query: &mut QueryBuilder, users: &[i64]) {
    query.push_list(users.iter().copied()).push(")");
}
