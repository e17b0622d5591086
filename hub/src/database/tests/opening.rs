//! Which files open, and for how many hubs.

use super::*;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::path::Path;

async fn run_on_file(path: &Path, statements: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_file_keeps_what_was_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sqlite");
    let database = Database::open(&path).await.unwrap();
    database.check().await.unwrap();
    let alice = database.create_user("alice", true, now()).await.unwrap();
    database.close().await;
    drop(database);
    let database = Database::open(&path).await.unwrap();
    assert_eq!(database.user_by_name("alice").await.unwrap(), Some(alice));
    assert_eq!(count(&database, "SELECT count(*) FROM roles").await, 4);
}

#[tokio::test]
async fn a_second_hub_is_refused_until_the_first_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sqlite");
    let first = Database::open(&path).await.unwrap();
    let clone = first.clone();
    drop(first);
    assert!(matches!(Database::open(&path).await, Err(DatabaseError::InUse { .. })));
    drop(clone);
    Database::open(&path).await.unwrap();
}

/// Another program may read and write while the hub runs: only hubs exclude each other.
#[tokio::test]
async fn other_programs_may_use_the_file_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sqlite");
    let database = Database::open(&path).await.unwrap();
    run_on_file(&path, "INSERT INTO users (name, admin, cookie_id) VALUES ('bob', TRUE, 'c')").await;
    let bob = database.user_by_login("c", "").await.unwrap().unwrap();
    assert_eq!((bob.name.as_str(), bob.admin, bob.created), ("bob", true, None));
}

#[tokio::test]
async fn another_revision_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for (name, statements, found) in [
        (
            "old",
            "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('833da8570507')",
            "833da8570507",
        ),
        ("unmarked", "CREATE TABLE users (id INTEGER)", "none"),
        ("empty mark", "CREATE TABLE alembic_version (version_num)", "none"),
    ] {
        let path = directory.path().join(name);
        run_on_file(&path, statements).await;
        let before = std::fs::metadata(&path).unwrap().len();
        match Database::open(&path).await {
            Err(DatabaseError::Revision { found: revision, .. }) => assert_eq!(revision, found),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), before, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sqlite");
    std::fs::write(
        &path,
        "not a database, but long enough to be taken for the head of one by a careless reader".repeat(20),
    )
    .unwrap();
    assert!(matches!(Database::open(&path).await, Err(DatabaseError::Open { .. })));
    let nowhere = directory.path().join("none").join("hub.sqlite");
    assert!(matches!(Database::open(&nowhere).await, Err(DatabaseError::Lock { .. })));
}

/// Many writers at once wait for each other; none fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_wait_for_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("hub.sqlite")).await.unwrap();
    let writers = (0..40).map(|number| {
        let database = database.clone();
        tokio::spawn(async move {
            let user = database.ensure_user(&format!("user{}", number % 20), now()).await.unwrap();
            database.save_server(user.id, "").await.unwrap();
        })
    });
    futures::future::try_join_all(writers).await.unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM users").await, 20);
    assert_eq!(count(&database, "SELECT count(*) FROM spawners").await, 20);
}
