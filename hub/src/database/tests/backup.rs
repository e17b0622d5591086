//! A copy comes back whole, or not at all.

use super::*;
use std::{
    fs,
    io::{Read, Write},
    path::Path,
};

async fn open_file(path: &Path) -> Database {
    Database::open(path).await.unwrap()
}

async fn copy(database: &Database, directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    database.back_up(directory).await.unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_copy_that_was_made_meanwhile_comes_back_and_what_it_replaces_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sqlite");
    let database = open_file(&path).await;
    database.create_user("alice", false, now()).await.unwrap();
    let backup = copy(&database, directory.path()).await;
    database.create_user("bob", false, now()).await.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4, "file, log, index and lock: no copy is left");

    let incoming = database.incoming().unwrap();
    incoming.create().unwrap().write_all(&backup).unwrap();
    incoming.accept().await.unwrap();
    assert!(database.user_by_name("bob").await.unwrap().is_some(), "the hub that runs keeps what it has");
    assert!(matches!(incoming.take_up_now(), Err(BackupError::Database(DatabaseError::InUse { .. }))));
    drop(database);
    let database = open_file(&path).await;
    assert!(database.user_by_name("alice").await.unwrap().is_some());
    assert!(database.user_by_name("bob").await.unwrap().is_none());
    drop(database);
    // What was committed last is only in the log.
    let replaced = open_file(&directory.path().join("hub.sqlite.before-restore")).await;
    assert!(replaced.user_by_name("bob").await.unwrap().is_some());
}

/// Killed at any point in between, the next start does the rest.
#[tokio::test]
async fn a_copy_comes_back_after_any_interruption() {
    for moved in [&[][..], &["-wal"], &["-wal", "-shm"], &["-wal", "-shm", ""]] {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let backup = {
            let database = open_file(&at("hub.sqlite")).await;
            let backup = copy(&database, directory.path()).await;
            database.create_user("bob", false, now()).await.unwrap();
            backup
        };
        fs::write(at("hub.sqlite.restore"), backup).unwrap();
        for part in moved {
            let _ = fs::rename(at(&format!("hub.sqlite{part}")), at(&format!("hub.sqlite.before-restore{part}")));
        }
        let database = open_file(&at("hub.sqlite")).await;
        assert!(database.user_by_name("bob").await.unwrap().is_none(), "{moved:?}");
        assert!(!at("hub.sqlite.restore").exists());
    }
}

#[tokio::test]
async fn what_is_no_backup_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sqlite");
    let database = open_file(&path).await;
    database.create_user("alice", false, now()).await.unwrap();
    let good = copy(&database, directory.path()).await;
    let mut damaged = good.clone();
    // The head stays readable, the pages behind it don't.
    damaged[4096..8192].fill(0xa5);
    let old = {
        let other = directory.path().join("old.sqlite");
        let old = open_file(&other).await;
        run(&old, "UPDATE alembic_version SET version_num = '833da8570507'").await;
        copy(&old, directory.path()).await
    };
    let incoming = database.incoming().unwrap();
    for (bytes, words) in [
        (&b""[..], "no backup of a hub's database"),
        (b"something else", "no backup of a hub's database"),
        (&good[..good.len() / 2], "no backup of a hub's database"),
        (&damaged, "no backup of a hub's database"),
        (&old, "has revision 833da8570507"),
    ] {
        incoming.create().unwrap().write_all(bytes).unwrap();
        let refused = incoming.accept().await.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    drop(database);
    assert!(open_file(&path).await.user_by_name("alice").await.unwrap().is_some());
    assert!(!directory.path().join("hub.sqlite.before-restore").exists());
}

/// Fault row 34: a damaged page.
#[tokio::test]
async fn a_damaged_file_is_refused_with_the_way_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sqlite");
    open_file(&path).await.close().await;
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let refused = Database::open(&path).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Damaged { .. }), "{refused:?}");
    assert!(refused.to_string().contains("hub restore"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "it is left as it is");
}

/// Whoever copies the database of JupyterHub 5 before moving in must have just that.
#[tokio::test]
async fn a_copy_of_a_file_that_no_hub_uses_changes_nothing_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sqlite");
    let database = open_file(&path).await;
    run(&database, "UPDATE alembic_version SET version_num = '4621fec11365'").await;
    assert!(matches!(Database::back_up_closed(&path).await, Err(BackupError::Database(DatabaseError::InUse { .. }))));
    database.close().await;
    drop(database);
    let before = fs::read(&path).unwrap();
    let mut bytes = Vec::new();
    Database::back_up_closed(&path).await.unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    let copy = directory.path().join("copy.sqlite");
    fs::write(&copy, bytes).unwrap();
    let place = Place::Sqlite(copy);
    assert!(matches!(Database::examine(&place).await, Err(DatabaseError::Revision { .. })));
}

/// A volume must not fill with halves.
#[tokio::test]
async fn what_was_not_finished_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let database = open_file(&at("hub.sqlite")).await;
    let incoming = database.incoming().unwrap();
    incoming.create().unwrap().write_all(b"half").unwrap();
    assert!(at("hub.sqlite.restore-partial").exists());
    drop(incoming);
    assert!(!at("hub.sqlite.restore-partial").exists());
    drop(database);
    for left in ["hub.sqlite.restore-partial", ".backup-0123456789abcdef"] {
        fs::write(at(left), "of a hub that was killed").unwrap();
    }
    open_file(&at("hub.sqlite")).await;
    assert!(!at("hub.sqlite.restore-partial").exists() && !at(".backup-0123456789abcdef").exists());
}
