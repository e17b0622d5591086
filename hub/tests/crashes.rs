//! `kill -9` of the real program while it makes its database (fault row 38): the next start finds all of it or nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{ConnectOptions, Row, sqlite::SqliteConnectOptions};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Starts `hub local` on a directory and kills it after so long.
fn start_and_kill(directory: &Path, after: Duration) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_hub"))
        .args(["local", "--port", "0", "--user", "alice", "--data-dir"])
        .arg(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    kill_process(Pid::from_child(&process), Signal::KILL).unwrap();
    process.wait().unwrap();
}

async fn facts(directory: &Path) -> (String, i64, i64) {
    let options = SqliteConnectOptions::new().filename(directory.join("jupyterhub.sqlite"));
    let mut connection = options.connect().await.unwrap();
    let integrity = sqlx::query("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap().get(0);
    let mut count =
        async |query: &'static str| -> i64 { sqlx::query(query).fetch_one(&mut connection).await.unwrap().get(0) };
    (integrity, count("SELECT count(*) FROM roles").await, count("SELECT count(*) FROM users").await)
}

#[tokio::test]
async fn a_hub_killed_while_it_makes_its_database_starts_again() {
    let place = tempfile::tempdir().unwrap();
    for round in 0..12 {
        let directory = place.path().join(round.to_string());
        // From before the file is there until after the hub serves.
        for step in 0..3 {
            start_and_kill(&directory, Duration::from_millis(round * 6 + step * 3));
        }
        start_and_kill(&directory, Duration::from_millis(1500));
        assert_eq!(facts(&directory).await, ("ok".to_owned(), 4, 1), "round {round}");
    }
}
