//! What goes wrong with databases (fault rows 34 to 37): the hub says so and goes on, and nothing that was answered is lost.

use std::{
    fs,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use reqwest::header::{AUTHORIZATION, RETRY_AFTER};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::one_machine::{Hub, Place, Side};
use crate::{
    clients::Clients,
    http,
    postgres::Postgres,
    program::Program,
    suite::{person::Person, skip},
};

/// A request must not hang, whatever PostgreSQL does.
const FAST: Duration = Duration::from_millis(3000);
/// From the moment that PostgreSQL is back.
const RECOVERED: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);
/// How long PostgreSQL stalls.
const STALL: Duration = Duration::from_secs(8);
/// Of this size is a disk that is soon full.
const SMALL: &str = "size=4m";
/// Long enough for a hub to have started.
const WAITED: Duration = Duration::from_secs(2);
/// Deaths of a hub that writes.
const KILLS: usize = 20;
const KILLS_LONG: usize = 500;

/// Somebody with a token of their own at a hub that runs.
struct Client<'a> {
    place: &'a Place<'a>,
    token: String,
    http: reqwest::Client,
}

/// How a request ended.
#[derive(Debug)]
struct Ended {
    status: u16,
    retry_after: bool,
    took: Duration,
}

impl<'a> Client<'a> {
    async fn new(place: &'a Place<'a>) -> Result<Self> {
        let ada = Person::new("ada", &place.base_url)?;
        ada.log_in_with_form("any").await?;
        Self::with_token(place, place.token_of(&ada).await?)
    }

    fn with_token(place: &'a Place<'a>, token: String) -> Result<Self> {
        Ok(Self { place, token, http: http::client(None)? })
    }

    async fn read(&self) -> Result<Ended> {
        self.send(self.http.get(self.url("/users/ada"))).await
    }

    async fn add(&self, user: &str) -> Result<Ended> {
        self.send(self.http.post(self.url("/users")).json(&json!({"usernames": [user]}))).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Ended> {
        let start = Instant::now();
        let answer = request.header(AUTHORIZATION, format!("token {}", self.token)).send().await?;
        let (status, retry_after) = (answer.status().as_u16(), answer.headers().contains_key(RETRY_AFTER));
        answer.bytes().await?;
        Ok(Ended { status, retry_after, took: start.elapsed() })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/hub/api{path}", self.place.base_url)
    }

    /// Asks until the hub reads and writes again, within the time that row 37 gives it.
    async fn recovers(&self, user: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            let (read, written) = (self.read().await?, self.add(user).await?);
            if read.status == 200 && matches!(written.status, 201 | 409) {
                return Ok(());
            }
            ensure!(start.elapsed() < RECOVERED, "it has not recovered: {read:?}, {written:?}");
            sleep(POLL).await;
        }
    }
}

fn is_told_to_wait(ended: &Ended) -> Result<()> {
    ensure!(ended.status == 503 && ended.retry_after, "it answered {ended:?}, not 503 with Retry-After");
    Ok(())
}

pub(super) async fn a_restart_or_stall_of_postgresql_is_survived_row_37(clients: &Clients) -> Result<()> {
    let mut postgres = Postgres::start().await?;
    let place = Place::new(clients, &postgres.database("jupyterhub").await?).await?;
    let test = async {
        let _hub = place.start(Side::Ours).await?;
        let client = Client::new(&place).await?;
        postgres.restart().await?;
        client.recovers("after-restart").await.context("after a restart")?;

        postgres.stall().await?;
        let asked = ask_while_it_stalls(&client).await;
        postgres.resume().await?;
        asked?;
        client.recovers("after-stall").await.context("after a stall")
    };
    place.finish(test).await
}

/// Every answer comes in time, and once it is noticed each is that the database is not available.
async fn ask_while_it_stalls(client: &Client<'_>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < STALL {
        for ended in [client.read().await?, client.add("meanwhile").await?] {
            ensure!(ended.took < FAST, "a request hung: {ended:?}");
            is_told_to_wait(&ended)?;
        }
    }
    Ok(())
}

/// One database, two hubs: the second waits, and takes over when the first is gone. Neither writes beside the other.
pub(super) async fn a_second_hub_on_postgresql_waits_for_the_first_row_35(clients: &Clients) -> Result<()> {
    let postgres = Postgres::start().await?;
    let url = postgres.database("jupyterhub").await?;
    let (first, second) = (Place::new(clients, &url).await?, Place::new(clients, &url).await?);
    let test = async {
        let hub = first.start(Side::Ours).await?;
        let client = Client::new(&first).await?;
        fs::copy(first.dir().join("jupyterhub_cookie_secret"), second.dir().join("jupyterhub_cookie_secret"))?;
        let mut waiting = second.start_alone(Side::Ours)?;
        sleep(WAITED).await;
        ensure!(waiting.runs()?, "the second hub has ended");
        ensure!(
            second.log(Side::Ours).contains("waits until it has ended"),
            "the second hub does not say that it waits"
        );
        ensure!(client.add("by-the-first").await?.status == 201, "the first hub does not write");
        hub.kill().await?;
        let died = Instant::now();
        waiting.answers(&second.base_url).await?;
        ensure!(died.elapsed() < RECOVERED, "the second hub took {:?} to take over", died.elapsed());
        let user = second.api(&client.token, reqwest::Method::GET, "/users/by-the-first", None, 200).await?;
        ensure!(user["name"] == "by-the-first", "{user}");
        Ok(())
    };
    first.finish(second.finish(test)).await
}

/// Nothing is half written, reads go on, and with room again so do writes.
pub(super) async fn a_full_disk_is_survived_row_34(clients: &Clients) -> Result<()> {
    if Program::new("id").arg("-u").output().await? != "0" {
        return skip("only root can make a small disk");
    }
    let disk = tempfile::tempdir()?;
    let path = disk.path().to_string_lossy().into_owned();
    Program::new("mount").args(["-t", "tmpfs", "-o", SMALL, "hub-e2e", &path]).output().await?;
    let place = Place::new(clients, &format!("sqlite:///{path}/jupyterhub.sqlite")).await?;
    let tested = place.finish(fill(&place, disk.path())).await;
    Program::new("umount").args(["--lazy", &path]).output().await?;
    tested
}

async fn fill(place: &Place<'_>, disk: &Path) -> Result<()> {
    let hub = place.start(Side::Ours).await?;
    let client = Client::new(place).await?;
    ensure!(client.add("before").await?.status == 201, "it does not write");
    let filler = disk.join("filler");
    // As much as goes on it; the last write fails, which is what it is for.
    let _ = fs::write(&filler, vec![0; 8 << 20]);
    // What is free in the log's last page may take a few.
    let mut answers = Vec::new();
    for number in 0..200 {
        answers.push(client.add(&format!("meanwhile{number}")).await?);
        if answers.last().is_some_and(|last| last.status != 201) {
            break;
        }
    }
    is_told_to_wait(answers.last().context("there are answers")?)?;
    let read = client.read().await?;
    ensure!(read.status == 200, "reading does not go on: {read:?}");
    fs::remove_file(&filler)?;
    client.recovers("after").await?;
    hub.kill().await?;
    let written = answers.len() - 1;
    let users = users_in(place.clients(), &disk.join("jupyterhub.sqlite")).await?;
    for name in ["before", "after"].into_iter().map(str::to_owned).chain((0..written).map(|n| format!("meanwhile{n}")))
    {
        ensure!(users.contains(&name), "{name} is lost");
    }
    ensure!(!users.contains(&format!("meanwhile{written}")), "what was refused was written");
    Ok(())
}

/// Another program that writes is waited for, and not for ever; readers don't wait at all.
pub(super) async fn a_program_that_holds_the_database_is_waited_for_row_35(clients: &Clients) -> Result<()> {
    let place = Place::new(clients, "sqlite:///jupyterhub.sqlite").await?;
    let test = async {
        let _hub = place.start(Side::Ours).await?;
        let client = Client::new(&place).await?;
        let hold = |seconds: u32| {
            let script = format!(
                "import sqlite3, time; c = sqlite3.connect('jupyterhub.sqlite', isolation_level=None); \
                 c.execute('BEGIN IMMEDIATE'); open('held', 'w').close(); time.sleep({seconds}); c.execute('COMMIT')"
            );
            clients.python().args(["-c", &script]).dir(place.dir())
        };
        let held = async || {
            while fs::remove_file(place.dir().join("held")).is_err() {
                sleep(POLL).await;
            }
        };
        let (short, added) = tokio::join!(hold(2).output(), async {
            held().await;
            let read = client.read().await?;
            ensure!(read.status == 200 && read.took < Duration::from_secs(1), "a reader waits: {read:?}");
            client.add("patient").await
        });
        short?;
        let added = added?;
        ensure!(added.status == 201 && added.took > Duration::from_secs(1), "a writer did not wait: {added:?}");
        let (long, added) = tokio::join!(hold(15).output(), async {
            held().await;
            client.add("refused").await
        });
        long?;
        is_told_to_wait(&added?)?;
        client.recovers("afterwards").await
    };
    place.finish(test).await
}

pub(super) async fn what_was_answered_outlives_kills_on_sqlite_row_36(clients: &Clients) -> Result<()> {
    killed_on_sqlite(clients, KILLS).await
}

pub(super) async fn what_was_answered_outlives_many_kills_on_sqlite_row_36(clients: &Clients) -> Result<()> {
    killed_on_sqlite(clients, KILLS_LONG).await
}

async fn killed_on_sqlite(clients: &Clients, kills: usize) -> Result<()> {
    let place = Place::new(clients, "sqlite:///jupyterhub.sqlite").await?;
    let test = async {
        let written = write_and_kill(&place, kills).await?;
        let users = users_in(clients, &place.dir().join("jupyterhub.sqlite")).await?;
        let lost: Vec<_> = written.iter().filter(|name| !users.contains(*name)).collect();
        ensure!(lost.is_empty(), "lost after kill -9: {lost:?}");
        Ok(())
    };
    place.finish(test).await
}

pub(super) async fn what_was_answered_outlives_kills_on_postgresql_row_36(clients: &Clients) -> Result<()> {
    let postgres = Postgres::start().await?;
    let place = Place::new(clients, &postgres.database("jupyterhub").await?).await?;
    let test = async {
        let written = write_and_kill(&place, KILLS).await?;
        let _hub = place.start(Side::Ours).await?;
        let client = Client::new(&place).await?;
        for name in &written {
            place.api(&client.token, reqwest::Method::GET, &format!("/users/{name}"), None, 200).await?;
        }
        Ok(())
    };
    place.finish(test).await
}

/// Kills a hub again and again while it writes; gives the users that it said it had made.
async fn write_and_kill(place: &Place<'_>, kills: usize) -> Result<Vec<String>> {
    let first = place.start(Side::Ours).await?;
    let client = Client::new(place).await?;
    first.kill().await?;
    let written = Mutex::new(Vec::new());
    for round in 0..kills {
        let hub = place.start(Side::Ours).await?;
        let writers = join_all((0..4).map(|writer| write(&client, round, writer, &written)));
        tokio::join!(writers, end(hub, Duration::from_millis(50 + (round as u64 * 37) % 200))).1?;
    }
    let written = written.into_inner().unwrap_or_default();
    ensure!(written.len() > 2 * kills, "only {} users were made between the kills", written.len());
    Ok(written)
}

async fn write(client: &Client<'_>, round: usize, writer: usize, written: &Mutex<Vec<String>>) {
    for number in 0.. {
        let name = format!("u{round}-{writer}-{number}");
        match client.add(&name).await {
            Ok(Ended { status: 201, .. }) => {
                if let Ok(mut written) = written.lock() {
                    written.push(name);
                }
            }
            _ => return,
        }
    }
}

async fn end(hub: Hub, after: Duration) -> Result<()> {
    sleep(after).await;
    hub.kill().await
}

/// Names in a database that is whole, as SQLite itself reads them.
async fn users_in(clients: &Clients, database: &Path) -> Result<Vec<String>> {
    let script = "import json, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                  assert c.execute('PRAGMA integrity_check').fetchall() == [('ok',)]; \
                  assert c.execute('PRAGMA foreign_key_check').fetchall() == []; \
                  print(json.dumps([name for name, in c.execute('SELECT name FROM users')]))";
    let names: Value = serde_json::from_str(&clients.python().args(["-c", script]).arg(database).output().await?)?;
    Ok(serde_json::from_value(names)?)
}
