//! When users, tokens and servers were last active.

use super::sql;
use super::{Database, Result, failed};
use jiff::Timestamp;

/// Who was active, by the id of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    User(i64),
    Token(i64),
    Server(i64),
}

impl Database {
    /// Notes activity, all of it in one commit. Times never move backwards; who is gone is passed over.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn save_activity(&self, seen: &[(Subject, Timestamp)]) -> Result<()> {
        const ACTION: &str = "note activity";
        let mut tx = self.write(ACTION).await?;
        let before = self.memo.version();
        for (subject, at) in seen {
            let (statement, id) = statement(*subject);
            let update = sql::query(statement).bind(*at).bind(id);
            update.execute(&mut *tx).await.map_err(failed(ACTION))?;
        }
        tx.commit().await.map_err(failed(ACTION))?;
        self.memo.pass(before, seen);
        Ok(())
    }
}

fn statement(subject: Subject) -> (&'static str, i64) {
    macro_rules! later {
        ($table:literal) => {
            concat!(
                "UPDATE ",
                $table,
                " SET last_activity = $1 WHERE id = $2 AND (last_activity IS NULL OR last_activity < $1)"
            )
        };
    }
    match subject {
        Subject::User(id) => (later!("users"), id),
        Subject::Token(id) => (later!("api_tokens"), id),
        Subject::Server(id) => (later!("spawners"), id),
    }
}
