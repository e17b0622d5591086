//! The database on a real SQLite: its schema against JupyterHub's own, its operations, and what must end together.

use super::*;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

mod backup;
mod configured;
mod groups;
mod opening;
mod people;
mod schema;
mod servers;
mod shares;
mod tokens;
mod users;

pub(super) fn now() -> Timestamp {
    "2026-11-23T14:21:51.467543Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_secs(seconds)
}

async fn database() -> Database {
    Database::temporary().await.unwrap()
}

/// A database, and alice in it.
async fn with_alice() -> (Database, User) {
    let database = database().await;
    let alice = database.create_user("alice", false, now()).await.unwrap();
    (database, alice)
}

async fn roles(database: &Database, user_id: i64) -> Vec<String> {
    database.details_of(user_id, Wanted { roles: true, groups: false, servers: false }).await.unwrap().roles
}

async fn groups(database: &Database, user_id: i64) -> Vec<String> {
    database.details_of(user_id, Wanted { roles: false, groups: true, servers: false }).await.unwrap().groups
}

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

/// A token of a user's own.
fn token_of<'a>(user: &User, token: &'a SecretString, scopes: &'a [String]) -> NewToken<'a> {
    let owner = TokenOwner::User(user.id);
    NewToken { owner, token, client_id: None, session_id: None, note: "test", scopes, expires_at: None }
}

async fn count(database: &Database, query: &'static str) -> i64 {
    sql::query(query).fetch_one(&database.pool).await.unwrap().try_get(0).unwrap()
}

/// Changes the database as another program does.
async fn run(database: &Database, statements: &str) {
    let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()));
    match &database.pool {
        Pool::Sqlite(pool) => statements.execute(pool).await.map(drop),
        Pool::Postgres(pool, _) => statements.execute(pool).await.map(drop),
    }
    .unwrap();
}

/// Every value of every row of a table, as text: to look for what must not be there.
async fn dump(database: &Database) -> String {
    let mut all = String::new();
    for table in database.pool.tables().await.unwrap() {
        let query = QueryBuilder::new(format!("SELECT * FROM \"{table}\"")).build();
        for row in query.fetch_all(&database.pool).await.unwrap() {
            for column in 0..row.len() {
                all.push_str(&row.try_get_text(column).unwrap_or_default());
                all.push('\n');
            }
        }
    }
    all
}

#[test]
fn errors_say_what_to_do() {
    let place = Place::Sqlite("/data/hub.sqlite".into());
    let error = DatabaseError::Revision { place: place.clone(), found: "833da8570507".into() };
    let expected = "database /data/hub.sqlite has revision 833da8570507, this hub needs f460b0348206; \
                    bring it there with `jupyterhub upgrade-db` of JupyterHub 6.1";
    assert_eq!(error.to_string(), expected);
    let expected = "database /data/hub.sqlite is in use by another hub; stop that one first";
    assert_eq!(DatabaseError::InUse { place }.to_string(), expected);
}

#[tokio::test]
async fn settings_of_the_hub_are_kept() {
    let database = database().await;
    assert_eq!(database.hub_setting("x").await.unwrap(), None);
    for value in ["1", "2"] {
        database.set_hub_setting("x", value).await.unwrap();
        assert_eq!(database.hub_setting("x").await.unwrap().as_deref(), Some(value));
    }
}

#[test]
fn times_are_written_as_jupyterhub_writes_them() {
    assert_eq!(sql::time_text(now()), "2026-11-23 14:21:51.467543");
    assert_eq!(sql::time_text("2026-01-02T03:04:05Z".parse().unwrap()), "2026-01-02 03:04:05.000000");
    assert_eq!(column::list_text(&["a", "b\"c"]), r#"["a", "b\"c"]"#);
}
