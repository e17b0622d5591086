//! When users, tokens and servers were last active.

use super::sql::{Query, QueryBuilder};
use super::{Database, Result, failed};
use jiff::Timestamp;

/// Who was active, by the id of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    User(i64),
    Token(i64),
    Server(i64),
}

/// Rows of one statement: a storm of logins has thousands, and whoever else wants to write waits for each statement.
const MOST: usize = 500;

impl Database {
    /// Notes activity, all of it in one commit; each subject is there once. Times never move backwards; who is gone is
    /// passed over.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn save_activity(&self, seen: &[(Subject, Timestamp)]) -> Result<()> {
        const ACTION: &str = "note activity";
        let mut tx = self.write(ACTION).await?;
        let before = self.memo.version();
        for table in ["users", "api_tokens", "spawners"] {
            let rows: Vec<_> = seen.iter().filter_map(|(subject, at)| Some((subject.row_of(table)?, *at))).collect();
            for rows in rows.chunks(MOST) {
                later(table, rows).execute(&mut *tx).await.map_err(failed(ACTION))?;
            }
        }
        tx.commit().await.map_err(failed(ACTION))?;
        self.memo.pass(before, seen);
        Ok(())
    }
}

impl Subject {
    /// The id, if its row is in this table.
    fn row_of(self, table: &str) -> Option<i64> {
        match (self, table) {
            (Self::User(id), "users") | (Self::Token(id), "api_tokens") | (Self::Server(id), "spawners") => Some(id),
            _ => None,
        }
    }
}

/// Gives rows of a table these times, where they are later than what is there.
fn later(table: &str, rows: &[(i64, Timestamp)]) -> Query {
    let mut sql = QueryBuilder::new(format!("UPDATE {table} SET last_activity = seen.column2 FROM (VALUES "));
    for (number, (id, at)) in rows.iter().enumerate() {
        sql.push(if number == 0 { "(" } else { ", (" }).push_bind(*id).push(", ").push_bind(*at).push(")");
    }
    sql.push(format_args!(
        ") AS seen WHERE {table}.id = seen.column1 AND ({table}.last_activity IS NULL OR {table}.last_activity < \
         seen.column2)"
    ));
    sql.build()
}
