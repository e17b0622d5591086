//! How JupyterHub stores structures: as JSON text.

use serde_json::Value;

use super::sql::Row;

/// A column with JSON; without a value it is `null`.
pub(super) fn get_json(row: &Row, column: &str) -> sqlx::Result<Value> {
    match row.try_get::<Option<String>>(column)? {
        Some(text) => serde_json::from_str(&text).map_err(|source| undecodable(column, source)),
        None => Ok(Value::Null),
    }
}

/// A column with a JSON list of texts; without a value it is empty.
pub(super) fn get_list(row: &Row, column: &str) -> sqlx::Result<Vec<String>> {
    match row.try_get::<Option<String>>(column)? {
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
