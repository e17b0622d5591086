//! `bench hub`: the hub beside JupyterHub. Requests (H1), activity (H2), start-up (H4) and memory (H6).

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context, Result};

use super::{
    Extent, MEGABYTE, MILLISECOND, Pairs, Spread,
    load::{Load, NOW, Request, Round},
    process::{machine, measured},
    shown,
    sides::{Programs, Seed, Server, Side, token},
    table::{Aim, Line, Section, Subject, page},
};
use crate::{local_hub::USER, places::Places, progress::seconds};

/// Users in the database that requests are measured with.
const USERS: usize = 5000;
/// Users in the smallest one.
const FEW: usize = 1000;
/// One round, and what goes before the first.
const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
/// Users who ask again and again.
const REGULARS: usize = 32;
/// Requests a second at which latencies are measured once more.
const PACE: f64 = 5000.0;
/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

const SUBJECT: Subject = Subject { title: "the hub", command: "hub", theirs: "JupyterHub", ours: "hub" };

/// Measures everything and writes the page.
pub(crate) async fn run(places: &Places, extent: Extent, release: bool, yes: bool) -> Result<()> {
    let start = std::time::Instant::now();
    let programs = Programs::prepare(places, release, yes).await?;
    for seed in grid(extent).into_iter().chain([Seed { users: USERS, running: 0 }]) {
        programs.seed(seed).await?;
    }
    let mut sections = requests_and_memory(&programs, extent).await?;
    sections.extend(start_up(&programs, extent).await?);
    let page = page(SUBJECT, &setting(&programs, extent, release), &sections);
    let file = places.repository.join("docs/benchmarks-hub.md");
    fs::write(&file, &page).with_context(|| format!("failed to write {}", file.display()))?;
    println!("{page}");
    eprintln!("all of it: {}; written to docs/benchmarks-hub.md", seconds(start.elapsed()));
    Ok(())
}

/// A kind of request, and what it should come to.
struct Kind {
    what: &'static str,
    requests: Arc<[Request]>,
    aim: &'static [Aim],
}

fn kinds() -> Vec<Kind> {
    let at_least_50 = &[Aim::Ratio(50.0)];
    vec![
        Kind { what: "H1 `GET /hub/api/user`", requests: each(USERS, whoami), aim: at_least_50 },
        Kind { what: "H1 `GET /hub/api/user`, 32 users", requests: each(REGULARS, whoami), aim: at_least_50 },
        Kind { what: "H1 `GET /hub/api/users/NAME`", requests: each(USERS, model), aim: at_least_50 },
        Kind {
            what: "H1 `GET /hub/api/users?limit=50`",
            requests: [Request::get("/hub/api/users?limit=50", Some(&token(USER)), "\"u10\"")].into(),
            aim: at_least_50,
        },
        Kind {
            what: "H1 `GET /hub/login`",
            requests: [Request::get("/hub/login", None, "_xsrf")].into(),
            aim: at_least_50,
        },
        Kind { what: "H2 `POST /hub/api/users/NAME/activity`", requests: each(USERS, activity), aim: at_least_50 },
    ]
}

/// The same request of as many users, with a token of their own each.
fn each(users: usize, request: fn(&str) -> Request) -> Arc<[Request]> {
    (0..users).map(|number| request(&format!("u{number}"))).collect()
}

/// What services and servers ask for every visitor.
fn whoami(user: &str) -> Request {
    Request::get("/hub/api/user", Some(&token(user)), &format!("\"{user}\""))
}

fn model(user: &str) -> Request {
    Request::get(&format!("/hub/api/users/{user}"), Some(&token(user)), &format!("\"{user}\""))
}

/// What a server says of itself every few minutes.
fn activity(user: &str) -> Request {
    let body = format!(r#"{{"servers": {{"": {{"last_activity": "{NOW}"}}}}, "last_activity": "{NOW}"}}"#);
    Request::post(&format!("/hub/api/users/{user}/activity"), Some(&token(&format!("server {user}"))), &body)
}

/// Both sides at once, of which one works at a time.
struct Both {
    theirs: Server,
    ours: Server,
}

impl Both {
    async fn start(programs: &Programs, seed: Seed) -> Result<Self> {
        let theirs = programs.start(Side::Theirs, seed).await?;
        Ok(Self { theirs, ours: programs.start(Side::Ours, seed).await? })
    }

    fn server(&self, side: Side) -> &Server {
        match side {
            Side::Theirs => &self.theirs,
            Side::Ours => &self.ours,
        }
    }

    async fn stop(self) -> Result<()> {
        tokio::try_join!(self.theirs.stop(), self.ours.stop()).map(drop)
    }

    async fn idle_memory(&self) -> Result<Pairs> {
        tokio::time::sleep(IDLE).await;
        let of = |side| Ok::<_, anyhow::Error>(vec![self.server(side).process.memory()? / MEGABYTE]);
        Ok(Pairs { theirs: of(Side::Theirs)?, ours: of(Side::Ours)? })
    }
}

async fn requests_and_memory(programs: &Programs, extent: Extent) -> Result<Vec<Section>> {
    let mut memory = Vec::new();
    let few = Both::start(programs, Seed { users: FEW, running: 0 }).await?;
    memory.push(Line::new(format!("H6 idle, {FEW} users"), few.idle_memory().await?, &[Aim::AtMost(20.0)]));
    few.stop().await?;
    let both = Both::start(programs, Seed { users: USERS, running: 0 }).await?;
    memory.push(Line::new(format!("H6 idle, {USERS} users"), both.idle_memory().await?, &[Aim::AtMost(40.0)]));
    let (mut cpu, mut middle, mut slowest, mut disk) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for kind in kinds() {
        let lines = rounds(&both, &kind, extent).await?;
        cpu.push(lines.cpu);
        middle.push(lines.middle);
        slowest.push(lines.slowest);
    }
    slowest.push(paced(&both, extent).await?);
    if let Some((calls, rate)) = disk_use(programs, &both).await? {
        disk.extend([calls, rate]);
    }
    let after = format!("H6 {USERS} users, after all requests");
    memory.push(Line::new(after, both.idle_memory().await?, &[Aim::AtMost(40.0)]));
    both.stop().await?;
    Ok(vec![
        Section {
            title: "CPU time of a request",
            note: "In microseconds, in the hub's process. 5,000 users ask in turn unless it says otherwise: most of their \
                   requests are the first of a token for a while, and both sides write down when that was.",
            lines: cpu,
        },
        Section {
            title: "Latency, median",
            note: "In milliseconds, with 32 connections that are never idle.",
            lines: middle,
        },
        Section {
            title: "Latency, 99th percentile",
            note: "In milliseconds, with 32 connections that are never idle; at a pace, counted from when the request was due.",
            lines: slowest,
        },
        Section {
            title: "Disk",
            note: "Calls of `fsync` and `fdatasync` while activity is posted, counted by strace, which slows both down.",
            lines: disk,
        },
        Section { title: "Memory", note: "In MB (PSS). `hub local` has its proxy in the same process.", lines: memory },
    ])
}

/// The lines of one kind of request.
struct Lines {
    cpu: Line,
    middle: Line,
    slowest: Line,
}

async fn rounds(both: &Both, kind: &Kind, extent: Extent) -> Result<Lines> {
    let loads = [Side::Theirs, Side::Ours].map(|side| (side, Load::new(&kind.requests)));
    for (side, load) in &loads {
        load.run(both.server(*side).address, WARM_UP, None)
            .await
            .with_context(|| format!("{side:?}: {} fails", kind.what))?;
    }
    let mut lines = Lines {
        cpu: Line::new(kind.what, Pairs::default(), kind.aim),
        middle: Line::new(kind.what, Pairs::default(), &[]),
        slowest: Line::new(kind.what, Pairs::default(), &[]),
    };
    for round in 1..=extent.rounds {
        let mut done = Vec::new();
        for (side, load) in &loads {
            let server = both.server(*side);
            match measured(server.process, load.run(server.address, ROUND, None)).await {
                Ok((round, _, cpu)) => done.push((round, cpu)),
                Err(error) => lines.cpu.voided.push(format!("{side:?}: {error:#}")),
            }
        }
        // A round counts for both or for neither.
        if let [theirs, ours] = &done[..] {
            lines.add(theirs, ours);
            let [theirs, ours] = [theirs, ours].map(|(round, cpu)| shown(round.cpu_per_request(*cpu)));
            eprintln!("· {}, round {round}: {theirs} us, {ours} us", kind.what);
        }
    }
    Ok(lines)
}

impl Lines {
    fn add(&mut self, theirs: &(Round, Duration), ours: &(Round, Duration)) {
        let mut push = |line: fn(&mut Self) -> &mut Line, value: fn(&Round, Duration) -> f64| {
            let pairs = &mut line(self).pairs;
            pairs.theirs.push(value(&theirs.0, theirs.1));
            pairs.ours.push(value(&ours.0, ours.1));
        };
        push(|lines| &mut lines.cpu, Round::cpu_per_request);
        push(|lines| &mut lines.middle, |round, _| round.within(0.5).as_secs_f64() * MILLISECOND);
        push(|lines| &mut lines.slowest, |round, _| round.within(0.99).as_secs_f64() * MILLISECOND);
    }
}

/// Ours at a pace that JupyterHub does not come near.
async fn paced(both: &Both, extent: Extent) -> Result<Line> {
    let load = Load::new(&each(USERS, whoami));
    load.run(both.ours.address, ROUND, None).await?;
    let what = format!("H1 `GET /hub/api/user`, {PACE} a second");
    let mut line = Line::new(what, Pairs::default(), &[Aim::AtMost(5.0)]);
    for _ in 0..extent.rounds {
        match load.run(both.ours.address, ROUND, Some(PACE)).await {
            Ok(round) => line.pairs.ours.push(round.within(0.99).as_secs_f64() * MILLISECOND),
            Err(error) => line.voided.push(format!("{error:#}")),
        }
    }
    Ok(line)
}

/// How often each side makes the disk keep activity: for each request, and in each tenth of a second. `None` where calls
/// can't be counted.
async fn disk_use(programs: &Programs, both: &Both) -> Result<Option<(Line, Line)>> {
    let requests = each(USERS, activity);
    let (mut each, mut rate) = (Pairs::default(), Pairs::default());
    for side in [Side::Theirs, Side::Ours] {
        let server = both.server(side);
        let load = Load::new(&requests);
        let Some((calls, round)) =
            server.process.fsyncs(&programs.places, load.run(server.address, ROUND, None)).await?
        else {
            return Ok(None);
        };
        let (each, rate) = match side {
            Side::Theirs => (&mut each.theirs, &mut rate.theirs),
            Side::Ours => (&mut each.ours, &mut rate.ours),
        };
        each.push(calls as f64 / round.requests() as f64);
        rate.push(calls as f64 / round.time.as_secs_f64() / 10.0);
    }
    Ok(Some((
        Line::new("H2 for each post", each, &[]),
        Line::new("H2 in a tenth of a second", rate, &[Aim::AtMost(1.0)]),
    )))
}

/// The databases that both are started with.
fn grid(extent: Extent) -> Vec<Seed> {
    let sizes = [FEW, USERS].into_iter().chain(extent.long.then_some(50_000));
    sizes.flat_map(|users| [Seed { users, running: 0 }, Seed { users, running: users / 4 }]).collect()
}

async fn start_up(programs: &Programs, extent: Extent) -> Result<Vec<Section>> {
    let (mut healthy, mut settled) = (Vec::new(), Vec::new());
    for seed in grid(extent) {
        let what = format!("H4 {} users, {} servers", seed.users, seed.running);
        let (mut health, mut settling) = (Pairs::default(), Pairs::default());
        for round in 1..=extent.rounds.div_ceil(2) {
            for (side, health, settling) in [
                (Side::Theirs, &mut health.theirs, &mut settling.theirs),
                (Side::Ours, &mut health.ours, &mut settling.ours),
            ] {
                let server = programs.start(side, seed).await?;
                health.push(server.healthy_after.as_secs_f64() * MILLISECOND);
                if seed.running > 0 {
                    settling.push(server.settled_after().await?.as_secs_f64() * MILLISECOND);
                }
                server.stop().await?;
            }
            if let (Some(theirs), Some(ours)) = (Spread::of(&health.theirs), Spread::of(&health.ours)) {
                eprintln!("· {what}, round {round}: {theirs} ms, {ours} ms");
            }
        }
        healthy.push(Line::new(&what, health, &[Aim::AtMost(100.0), Aim::Ratio(30.0)]));
        if seed.running > 0 {
            settled.push(Line::new(&what, settling, &[]));
        }
    }
    Ok(vec![
        Section {
            title: "Start-up",
            note: "In milliseconds, from the program's start to the first 200 of `/hub/health`.",
            lines: healthy,
        },
        Section {
            title: "Start-up after a crash of the machine",
            note: "In milliseconds, until none of the servers counts as active any more: all of them are gone.",
            lines: settled,
        },
    ])
}

/// On what, and with what, it was measured.
fn setting(programs: &Programs, extent: Extent, release: bool) -> String {
    let machine = machine(programs.cores);
    let profile = if release { "release" } else { "development" };
    let (rounds, starts) = (extent.rounds, extent.rounds.div_ceil(2));
    format!(
        "Measured {machine}. Each kind of \
         request had {rounds} rounds of {} on each side, each start {starts}.\n\nBoth sides are asked at the hub's own \
         port, past the proxy. JupyterHub 6.1.1 runs with its defaults (SQLite, dummy authenticator, local processes), \
         ours is `hub local` in the {profile} profile. The databases are made with JupyterHub's own tables by \
         `e2e/clients/seed_database.py` and copied for each side; both write ahead (WAL) and wait for the disk \
         (`synchronous=FULL`).",
        seconds(ROUND)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_request_for_each_who_sends_it() {
        let counts: Vec<_> = kinds().iter().map(|kind| kind.requests.len()).collect();
        assert_eq!(counts, [USERS, REGULARS, USERS, 1, 1, USERS]);
    }

    #[test]
    fn only_a_long_run_starts_with_50_000_users() {
        let sizes =
            |long| grid(Extent { rounds: 1, long }).iter().map(|seed| (seed.users, seed.running)).collect::<Vec<_>>();
        assert_eq!(sizes(false), [(1000, 0), (1000, 250), (5000, 0), (5000, 1250)]);
        assert_eq!(sizes(true)[4..], [(50_000, 0), (50_000, 12_500)]);
    }
}
