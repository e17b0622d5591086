//! Which files open, and for how many hubs.

use super::*;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{os::unix::fs::PermissionsExt, path::Path};

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
    for name in ["hub.sqlite", "hub.sqlite-wal", "hub.sqlite-shm"] {
        let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read {name}");
    }
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
    assert!(matches!(Database::open(&path).await, Err(DatabaseError::Damaged { .. })));
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

/// What JupyterHub 5 has less than 6.1 is added, and the file stays as it was beside it.
#[tokio::test]
async fn a_database_of_jupyterhub_5_is_upgraded_after_a_copy() {
    const WITHOUT: &str =
        "ALTER TABLE services DROP COLUMN timeout; ALTER TABLE oauth_codes DROP COLUMN code_challenge;
        ALTER TABLE oauth_codes DROP COLUMN code_challenge_method; ALTER TABLE users DROP COLUMN user_info;
        ALTER TABLE spawners DROP COLUMN display_name; UPDATE alembic_version SET version_num = '4621fec11365';
        INSERT INTO users (name, admin, cookie_id) VALUES ('alice', TRUE, 'c')";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sqlite");
    drop(Database::open(&path).await.unwrap());
    run_on_file(&path, WITHOUT).await;
    let database = Database::open(&path).await.unwrap();
    let alice = database.user_by_name("alice").await.unwrap().unwrap();
    let server = database.save_server(alice.id, "lab").await.unwrap();
    database.set_display_name(server.id, Some("My lab")).await.unwrap();
    drop(database);
    assert!(Database::open(&path).await.unwrap().user_by_name("alice").await.unwrap().is_some());
    let options = SqliteConnectOptions::new().filename(directory.path().join("hub.sqlite.before-upgrade"));
    let mut copy = SqliteConnection::connect_with(&options).await.unwrap();
    let revision: String =
        sqlx::query_scalar("SELECT version_num FROM alembic_version").fetch_one(&mut copy).await.unwrap();
    assert_eq!(revision, "4621fec11365");
}

/// A server that somebody else backs up is left to them.
#[tokio::test]
async fn an_older_revision_in_postgresql_is_refused_with_the_remedy() {
    let Some(place) = Place::temporary().await.unwrap() else { return };
    let database = Database::open_place(&place).await.unwrap();
    super::run(&database, "UPDATE alembic_version SET version_num = '4621fec11365'").await;
    drop(database);
    let refused = Database::open_place(&place).await.unwrap_err();
    assert!(refused.to_string().contains("jupyterhub upgrade-db"), "{refused}");
}
