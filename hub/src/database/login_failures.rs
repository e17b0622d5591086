//! Failed logins that still count, so that a restart of the hub forgives none. There are never more than the hub keeps in
//! its memory.

use hub_auth::lockout::{Failures, MOST_PAIRS, Noted, Pair};
use jiff::Timestamp;

use super::sql::{self, Row};
use super::{Database, FromRow, Result, all, failed};

impl FromRow for (Pair, Failures) {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let pair = Pair { user: row.try_get("login")?, network: row.try_get("network")? };
        let count = u32::try_from(row.try_get::<i64>("failures")?).unwrap_or(u32::MAX);
        Ok((pair, Failures { count, expires_at: row.try_get("expires_at")? }))
    }
}

impl Database {
    /// What still counts, the heaviest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn login_failures(&self, now: Timestamp) -> Result<Vec<(Pair, Failures)>> {
        let select = "SELECT login, network, failures, expires_at FROM hub_login_failures WHERE expires_at > $1
             ORDER BY failures DESC, expires_at DESC LIMIT $2";
        let query = sql::query(select).bind(now.as_second()).bind(i64::try_from(MOST_PAIRS).unwrap_or(i64::MAX));
        query.fetch_all(&self.pool).await.and_then(all).map_err(failed("read failed logins"))
    }

    /// Notes what a failed login changed, at `now` in seconds since 1970, and removes what no longer counts.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn note_login_failure(&self, pair: &Pair, noted: &Noted, now: i64) -> Result<()> {
        const ACTION: &str = "note a failed login";
        let mut tx = self.write(ACTION).await?;
        let expired = sql::query("DELETE FROM hub_login_failures WHERE expires_at <= $1").bind(now);
        expired.execute(&mut *tx).await.map_err(failed(ACTION))?;
        if let Some(Pair { user, network }) = &noted.forgotten {
            let forgotten = sql::query("DELETE FROM hub_login_failures WHERE login = $1 AND network = $2");
            forgotten.bind(user).bind(network).execute(&mut *tx).await.map_err(failed(ACTION))?;
        }
        let insert = "INSERT INTO hub_login_failures (login, network, failures, expires_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (login, network) DO UPDATE SET failures = excluded.failures, expires_at = excluded.expires_at";
        let insert = sql::query(insert).bind(&pair.user).bind(&pair.network).bind(noted.failures.count);
        insert.bind(noted.failures.expires_at).execute(&mut *tx).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }
}
