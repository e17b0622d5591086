//! `bench server`: what `hub server` adds to a server that it guards.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use reqwest::header::{AUTHORIZATION, SET_COOKIE};
use tokio::time::sleep;

use super::{
    MEGABYTE, MILLISECOND, Pairs,
    load::{Load, Request, Round},
    process::{Cores, Process, machine, measured},
    shown,
    sides::free_ports,
    table::{Aim, Line, Section, Subject, page},
};
use crate::{
    cargo,
    http::client,
    jupyter_server::{Home, JupyterServer},
    packages,
    places::Places,
    progress::seconds,
    upstream::{BODY, Upstream},
};

const SUBJECT: Subject = Subject {
    title: "the front of a server",
    command: "server",
    theirs: "the server alone",
    ours: "behind `hub server`",
};
const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";
/// One round, and what goes before the first.
const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
/// How long a front is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(2);
/// How often a front that starts is asked.
const POLL: Duration = Duration::from_micros(500);
const START: Duration = Duration::from_secs(10);

/// Measures everything and writes the page.
pub(crate) async fn run(places: &Places, rounds: usize, release: bool, yes: bool) -> Result<()> {
    let start = Instant::now();
    packages::ensure(places, yes, packages::BENCHMARKS).await?;
    let hub = cargo::build_hub(places, release).await?;
    let bench = Bench { hub, cores: Cores::claim().await?, upstream: Upstream::start().await?, rounds };
    let mut sections = bench.requests_and_memory().await?;
    sections.push(bench.starts().await?);
    let page = page(SUBJECT, &bench.setting(release), &sections);
    let file = places.repository.join("docs/benchmarks-server.md");
    fs::write(&file, &page).with_context(|| format!("failed to write {}", file.display()))?;
    println!("{page}");
    eprintln!("all of it: {}; written to docs/benchmarks-server.md", seconds(start.elapsed()));
    Ok(())
}

struct Bench {
    hub: PathBuf,
    cores: Cores,
    /// In this process, and so on the core of the load.
    upstream: Upstream,
    rounds: usize,
}

impl Bench {
    /// A front of the upstream, and how long it took to its first good answer.
    async fn start(&self, home: &Home) -> Result<(JupyterServer, Duration)> {
        let [address] = free_ports()?;
        let program = self
            .cores
            .program(&self.hub)
            .only_env(home.environment(Path::new("/usr/bin"))?)
            .env("JUPYTER_TOKEN", TOKEN)
            .args(["server", "--ip=127.0.0.1", "--upstream", &self.upstream.url()])
            .arg(format!("--port={}", address.port()));
        let started = Instant::now();
        let (server, answered) = tokio::join!(JupyterServer::start(program, home), await_answer(address, started));
        Ok((server?, answered?))
    }

    async fn requests_and_memory(&self) -> Result<Vec<Section>> {
        let home = Home::new()?;
        let (server, _) = self.start(&home).await?;
        let process = Process(server.pid()?);
        let host = format!("127.0.0.1:{}", server.port());
        let front: SocketAddr = host.parse()?;
        sleep(IDLE).await;
        let mut memory = vec![of_memory("idle", process)?];
        let direct = Load::new(&one(Request::get("/", None, BODY)));
        let cookies = login(&server.origin).await?;
        let (mut cpu, mut middle, mut slowest) = (Vec::new(), Vec::new(), Vec::new());
        for (what, request) in [
            ("`GET /` with the token", Request::get("/", Some(TOKEN), BODY)),
            ("`GET /` with the cookie", Request::get_with_cookies(&host, "/", &cookies, BODY)),
        ] {
            let load = Load::new(&one(request));
            load.run(front, WARM_UP, None).await.with_context(|| format!("{what} fails"))?;
            let mut costs = Line::new(what, Pairs::default(), &[Aim::AtMost(30.0)]);
            let (mut half, mut most) = (costs.clone(), costs.clone());
            for line in [&mut half, &mut most] {
                line.aims.clear();
            }
            for round in 1..=self.rounds {
                let alone = direct.run(self.upstream.address, ROUND, None).await?;
                let (behind, _, cpu) = measured(process, load.run(front, ROUND, None)).await?;
                costs.pairs.ours.push(behind.cpu_per_request(cpu));
                add_latency(&mut half, &alone, &behind, 0.5);
                add_latency(&mut most, &alone, &behind, 0.99);
                eprintln!("· {what}, round {round}: {} us", shown(behind.cpu_per_request(cpu)));
            }
            cpu.push(costs);
            middle.push(half);
            slowest.push(most);
        }
        sleep(IDLE).await;
        memory.push(of_memory("after all requests", process)?);
        server.stop().await?;
        Ok(vec![
            Section {
                title: "CPU time of a request",
                note: "In microseconds, in the process of the front: what it adds to the server that it guards.",
                lines: cpu,
            },
            Section {
                title: "Latency, median",
                note: "In milliseconds, with 32 connections that are never idle.",
                lines: middle,
            },
            Section {
                title: "Latency, 99th percentile",
                note: "In milliseconds, with 32 connections that are never idle.",
                lines: slowest,
            },
            Section { title: "Memory", note: "In MB (PSS).", lines: memory },
        ])
    }

    async fn starts(&self) -> Result<Section> {
        let mut pairs = Pairs::default();
        for _ in 0..self.rounds {
            let home = Home::new()?;
            let (server, answered) = self.start(&home).await?;
            pairs.ours.push(answered.as_secs_f64() * MILLISECOND);
            server.stop().await?;
        }
        Ok(Section {
            title: "Start",
            note: "In milliseconds, from the program's start to its first answer from a server that runs already.",
            lines: vec![Line::new("start", pairs, &[Aim::AtMost(50.0)])],
        })
    }

    fn setting(&self, release: bool) -> String {
        let machine = machine(self.cores);
        let profile = if release { "release" } else { "development" };
        format!(
            "Measured {machine}. Each kind of request had {} rounds of {} with and without the front, and there were as many \
             starts.\n\n`hub server --upstream`, in the {profile} profile, guards a server that answers at once with a few \
             bytes. That server is in the load generator's process, so that only the front is measured.",
            self.rounds,
            seconds(ROUND)
        )
    }
}

fn one(request: Request) -> Arc<[Request]> {
    [request].into()
}

fn of_memory(what: &str, process: Process) -> Result<Line> {
    let ours = vec![process.memory()? / MEGABYTE];
    Ok(Line::new(what, Pairs { theirs: Vec::new(), ours }, &[Aim::AtMost(15.0)]))
}

fn add_latency(line: &mut Line, alone: &Round, behind: &Round, part: f64) {
    line.pairs.theirs.push(alone.within(part).as_secs_f64() * MILLISECOND);
    line.pairs.ours.push(behind.within(part).as_secs_f64() * MILLISECOND);
}

/// Asks until what is guarded is answered.
async fn await_answer(address: SocketAddr, started: Instant) -> Result<Duration> {
    let http = client(None)?;
    loop {
        let answer =
            http.get(format!("http://{address}/")).header(AUTHORIZATION, format!("token {TOKEN}")).send().await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return Ok(started.elapsed());
        }
        ensure!(started.elapsed() < START, "the front does not answer");
        sleep(POLL).await;
    }
}

/// The cookies of a browser that was logged in by the address.
async fn login(origin: &str) -> Result<String> {
    let visit = client(None)?.get(format!("{origin}/?token={TOKEN}")).header("Accept", "text/html");
    let answer = visit.send().await?;
    let set = answer.headers().get(SET_COOKIE).context("the front sets no cookie")?.to_str()?;
    Ok(set.split(';').next().unwrap_or_default().to_owned())
}
