//! The schema, column for column, against that of a database which JupyterHub 6.1.1 made (`schema.json`).

use super::*;
use serde_json::{Value, json};
use sqlx::Row as _;
use std::collections::BTreeMap;

#[tokio::test]
async fn the_tables_are_jupyterhubs_own() {
    let expected: BTreeMap<String, Value> = serde_json::from_str(include_str!("../schema.json")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let database = Database::open(&place.path().join("hub.sqlite")).await.unwrap();
    assert_eq!(count(&database, "PRAGMA foreign_keys").await, 1);
    let query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'hub_%'";
    let mut found = BTreeMap::new();
    for table in pragma(&database, query.to_owned()).await {
        let name: String = table.get("name");
        let facts = json!({
            "columns": columns(&database, &name).await,
            "references": references(&database, &name).await,
            "indexes": indexes(&database, &name).await,
            "constraints": constraints(table.get("sql")),
        });
        found.insert(name, facts);
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, facts) in expected {
        assert_eq!(found[&name], facts, "{name}");
    }
}

async fn pragma(database: &Database, query: String) -> Vec<sqlx::sqlite::SqliteRow> {
    let Pool::Sqlite(pool) = &database.pool else { panic!("it is SQLite's") };
    sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(pool).await.unwrap()
}

async fn columns(database: &Database, table: &str) -> Vec<Value> {
    let rows = pragma(database, format!("PRAGMA table_info(\"{table}\")")).await;
    let column = |row: &sqlx::sqlite::SqliteRow| {
        json!({
            "name": row.get::<String, _>("name"),
            "type": row.get::<String, _>("type"),
            "not_null": row.get::<bool, _>("notnull"),
            "key": row.get::<i64, _>("pk") > 0,
        })
    };
    rows.iter().map(column).collect()
}

async fn references(database: &Database, table: &str) -> Vec<String> {
    let rows = pragma(database, format!("PRAGMA foreign_key_list(\"{table}\")")).await;
    let text = |row: &sqlx::sqlite::SqliteRow| {
        let [from, table, to, rule] = ["from", "table", "to", "on_delete"].map(|column| row.get::<String, _>(column));
        format!("{from} -> {table}.{to} on delete {rule}")
    };
    let mut texts: Vec<_> = rows.iter().map(text).collect();
    texts.sort();
    texts
}

async fn indexes(database: &Database, table: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for index in pragma(database, format!("PRAGMA index_list(\"{table}\")")).await {
        let name: String = index.get("name");
        let columns = pragma(database, format!("PRAGMA index_info(\"{name}\")")).await;
        let columns: Vec<String> = columns.iter().map(|row| row.get("name")).collect();
        let unique = if index.get::<bool, _>("unique") { "unique " } else { "" };
        let name = if name.starts_with("sqlite_") { String::new() } else { format!("{name} ") };
        texts.push(format!("{unique}{name}({})", columns.join(", ")));
    }
    texts.sort();
    texts
}

/// Names of constraints: Alembic's migrations refer to them.
fn constraints(sql: &str) -> Vec<String> {
    let mut names: Vec<_> =
        sql.split("CONSTRAINT ").skip(1).map(|rest| rest.split_whitespace().next().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_new_database_has_the_rows_of_a_first_start() {
    let database = database().await;
    let text = dump(&database).await;
    for expected in [
        REVISION,
        "jupyterhub",
        "Standard user privileges",
        r#"["users:activity!user", "access:servers!server"]"#,
        r#"["inherit"]"#,
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}");
    }
    assert_eq!(count(&database, "SELECT count(*) FROM roles").await, 4);
    assert_eq!(count(&database, "SELECT count(*) FROM oauth_clients WHERE secret = ''").await, 1);
}
