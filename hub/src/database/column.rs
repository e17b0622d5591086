//! How JupyterHub stores what SQL has no type for: times as text in UTC without a zone, structures as JSON text.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::Value;
use sqlx::{Row, sqlite::SqliteRow};

/// `2026-11-23 14:21:51.467543`.
pub(super) fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

/// A column that [`time`] wrote, or another program did with less precision.
pub(super) fn get_time(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    let Some(text) = row.try_get::<Option<String>, _>(column)? else { return Ok(None) };
    let at = text
        .parse::<DateTime>()
        .and_then(|at| at.to_zoned(TimeZone::UTC))
        .map_err(|source| undecodable(column, source))?;
    Ok(Some(at.timestamp()))
}

/// A column with JSON; without a value it is `null`.
pub(super) fn get_json(row: &SqliteRow, column: &str) -> sqlx::Result<Value> {
    match row.try_get::<Option<String>, _>(column)? {
        Some(text) => serde_json::from_str(&text).map_err(|source| undecodable(column, source)),
        None => Ok(Value::Null),
    }
}

/// A column with a JSON list of texts; without a value it is empty.
pub(super) fn get_list(row: &SqliteRow, column: &str) -> sqlx::Result<Vec<String>> {
    match row.try_get::<Option<String>, _>(column)? {
        Some(text) => list(&text).map_err(|source| undecodable(column, source)),
        None => Ok(Vec::new()),
    }
}

/// Reads a list as [`get_list`] does. `null` is an empty one.
pub(super) fn list(text: &str) -> serde_json::Result<Vec<String>> {
    Ok(serde_json::from_str::<Option<Vec<String>>>(text)?.unwrap_or_default())
}

/// A JSON list as Python's `json` writes it: upstream compares some as text.
pub(super) fn list_text<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<_> = items.iter().map(|item| Value::from(item.as_ref()).to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn undecodable(column: &str, source: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) }
}
