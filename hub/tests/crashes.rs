//! `kill -9` of the real program while it makes its database (fault row 38): the next start finds all of it or nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{ConnectOptions, Row, sqlite::SqliteConnectOptions};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Starts `hub local` on a directory.
fn start(directory: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hub"))
        .args(["local", "--port", "0", "--user", "alice", "--data-dir"])
        .arg(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn kill(mut process: Child) {
    kill_process(Pid::from_child(&process), Signal::KILL).unwrap();
    process.wait().unwrap();
}

/// Until it has printed its address: it serves.
fn wait_until_it_serves(process: &mut Child) {
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.contains("http://")), "it ended before it served");
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
            let process = start(&directory);
            std::thread::sleep(Duration::from_millis(round * 6 + step * 3));
            kill(process);
        }
        let mut last = start(&directory);
        wait_until_it_serves(&mut last);
        kill(last);
        assert_eq!(facts(&directory).await, ("ok".to_owned(), 4, 1), "round {round}");
    }
}
