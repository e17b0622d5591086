//! `bench proxy`: our proxy beside configurable-http-proxy, nginx and HAProxy. Small requests (P1), many routes (P2), the
//! API that sets them (P3), large bodies (P4), WebSockets (P5), connections that break (P6) and TLS (P7).

mod leaks;
mod peers;
mod traffic;

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustls::HandshakeKind;
use tokio::time::{sleep, timeout};

use self::{
    leaks::{Held, break_connections},
    peers::{Certificate, Key, Kind, Programs, Proxy, TOKEN, post_route},
};
use super::{
    MEGABYTE, MILLISECOND, Pairs,
    load::{Load, Request, Round},
    process::{Process, machine, measured},
    shown,
    table::{Aim, Line, Section, Subject, page},
};
use crate::{places::Places, progress::seconds, upstream::Upstream};

const SUBJECT: Subject = Subject { title: "the proxy", command: "proxy", theirs: "the reference", ours: "`hub-proxy`" };
/// One round, and what goes before the first.
const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
/// Connections with small requests, and with large ones.
const MANY: usize = 64;
const SOME: usize = 10;
/// Connections that shake hands. A session's tickets are used once each, and clients keep no more than eight.
const SHAKING: usize = 4;
/// Bytes of a small body, of a large one and of a very large one.
const SMALL: usize = 200;
const LARGE: usize = 1_000_000;
const VERY_LARGE: usize = 100_000_000;
const ROUTES: [usize; 2] = [500, 10_000];
/// Names of routes that are set again and again, and how often a second while others are used.
const NAMES: usize = 1000;
const CHANGES: f64 = 200.0;
/// As many as fit into 20,000 open files, with two for each and some to spare.
const IDLE_SOCKETS: usize = 9000;
const BUSY_SOCKETS: usize = 200;
const MESSAGES: f64 = 50.0;
const BREAKS: usize = 200_000;
/// Before what is held is counted for the first time.
const FIRST_BREAKS: usize = 5000;
/// How long a proxy is left alone before its memory is read, and how often it is read under load.
const IDLE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// Until all routes are set.
const SETTING: Duration = Duration::from_secs(120);

/// A part of it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Small requests, and memory at rest
    P1,
    /// 10,000 routes
    P2,
    /// The API that sets routes
    P3,
    /// Large bodies
    P4,
    /// WebSockets
    P5,
    /// Connections that break
    P6,
    /// TLS
    P7,
}

/// Measures all parts, or one, and writes the page if it is all of them.
pub(crate) async fn run(places: &Places, rounds: usize, only: Option<Part>, release: bool, yes: bool) -> Result<()> {
    let start = Instant::now();
    let programs = Programs::prepare(places, release, yes).await?;
    let mut bench = Bench { programs, upstream: Upstream::start().await?, rounds, report: Report::default() };
    for part in Part::value_variants().iter().filter(|part| only.is_none_or(|only| only == **part)) {
        if let Err(error) = bench.measure(*part).await {
            bench.report.failed.push(format!("{part:?} failed: {error:#}"));
        }
    }
    let failed: String = bench.report.failed.iter().map(|failed| format!("\n\n**{failed}**")).collect();
    let page = page(SUBJECT, &(bench.setting(release) + &failed), &bench.report.sections());
    println!("{page}");
    let file = places.repository.join("docs/benchmarks-proxy.md");
    match only {
        Some(_) => eprintln!("a part of it: {}; nothing is written", seconds(start.elapsed())),
        None => {
            fs::write(&file, &page).with_context(|| format!("failed to write {}", file.display()))?;
            eprintln!("all of it: {}; written to docs/benchmarks-proxy.md", seconds(start.elapsed()));
        }
    }
    Ok(())
}

struct Bench {
    programs: Programs,
    /// In this process, and so on the core of the load.
    upstream: Upstream,
    rounds: usize,
    report: Report,
}

/// Lines by what they tell.
#[derive(Default)]
struct Report {
    cpu: Vec<Line>,
    rate: Vec<Line>,
    middle: Vec<Line>,
    slowest: Vec<Line>,
    memory: Vec<Line>,
    left: Vec<Line>,
    /// Parts that were not measured to their end, and why.
    failed: Vec<String>,
}

/// One proxy under one load, round by round.
struct Trial<'a> {
    process: Process,
    name: &'static str,
    address: SocketAddr,
    load: Load,
    /// What else goes on: changes of routes over the API.
    changes: Option<(SocketAddr, &'a Load)>,
    /// CPU time, requests a second, and latencies.
    cpu: Vec<f64>,
    rate: Vec<f64>,
    middle: Vec<f64>,
    slowest: Vec<f64>,
    voided: Vec<String>,
}

impl<'a> Trial<'a> {
    fn new(proxy: &Proxy, load: Load) -> Self {
        Self::at(proxy.address, proxy, load)
    }

    /// The API's address is another.
    fn at(address: SocketAddr, proxy: &Proxy, load: Load) -> Self {
        let (process, name) = (proxy.process, proxy.kind.name());
        let [cpu, rate, middle, slowest] = [const { Vec::new() }; 4];
        Self { process, name, address, load, changes: None, cpu, rate, middle, slowest, voided: Vec::new() }
    }

    fn with_changes(self, api: SocketAddr, changes: &'a Load) -> Self {
        Self { changes: Some((api, changes)), ..self }
    }

    async fn round(&self, time: Duration) -> Result<Round> {
        let load = self.load.run(self.address, time, None);
        match self.changes {
            Some((api, changes)) => Ok(tokio::try_join!(load, changes.run(api, time, Some(CHANGES)))?.0),
            None => load.await,
        }
    }

    fn add(&mut self, round: &Round, cpu: Duration) {
        self.cpu.push(round.cpu_per_request(cpu));
        self.rate.push(round.requests() as f64 / round.time.as_secs_f64());
        self.middle.push(round.within(0.5).as_secs_f64() * MILLISECOND);
        self.slowest.push(round.within(0.99).as_secs_f64() * MILLISECOND);
    }
}

/// What a comparison should come to.
#[derive(Clone, Copy, Default)]
struct Aims {
    cpu: &'static [Aim],
    /// Of the 99th percentile.
    slowest: &'static [Aim],
}

impl Report {
    fn compare(&mut self, what: &str, theirs: &Trial<'_>, ours: &Trial<'_>, aims: Aims) {
        let what = format!("{what}, beside {}", theirs.name);
        let line = |of: for<'t> fn(&'t Trial<'_>) -> &'t Vec<f64>, aims| {
            Line::new(&what, Pairs { theirs: of(theirs).clone(), ours: of(ours).clone() }, aims)
        };
        let mut cpu = line(|trial| &trial.cpu, aims.cpu);
        cpu.voided = [&theirs.voided[..], &ours.voided].concat();
        self.cpu.push(cpu);
        self.rate.push(line(|trial| &trial.rate, &[]));
        self.middle.push(line(|trial| &trial.middle, &[]));
        self.slowest.push(line(|trial| &trial.slowest, aims.slowest));
    }

    fn sections(&self) -> Vec<Section> {
        let section = |title, note, lines: &[Line]| Section { title, note, lines: lines.to_vec() };
        vec![
            section(
                "CPU time",
                "In microseconds for each request (P5: each message and its echo; P7: each connection with its one request), in \
                 the process of the proxy. This is what counts: the load and the server share a core, which is often the one \
                 that is full.",
                &self.cpu,
            ),
            section("Throughput", "Requests a second; here a ratio below 1 is better.", &self.rate),
            section("Latency, median", "In milliseconds, with connections that are never idle.", &self.middle),
            section(
                "Latency, 99th percentile",
                "In milliseconds, with connections that are never idle; of WebSockets from when a message was due.",
                &self.slowest,
            ),
            section("Memory", "In MB (PSS), and in KB where it says so.", &self.memory),
            section(
                "Connections that break",
                "What the proxy holds before (the reference) and ten seconds after 200,000 connections broke, in turn: half a \
                 request and a reset; a server that resets in the middle of its answer; a client that closes its half after the \
                 request; one that is gone in the middle of its body; one that is gone while its WebSocket talks.",
                &self.left,
            ),
        ]
    }
}

impl Bench {
    async fn measure(&mut self, part: Part) -> Result<()> {
        match part {
            Part::P1 => self.small().await,
            Part::P2 => self.routes().await,
            Part::P3 => self.api().await,
            Part::P4 => self.bodies().await,
            Part::P5 => self.websockets().await,
            Part::P6 => self.leaks().await,
            Part::P7 => self.tls().await,
        }
    }

    async fn start(&self, kind: Kind) -> Result<Proxy> {
        self.programs.start(kind, self.upstream.address, None).await
    }

    /// All of them, the reference proxies first.
    async fn start_all(&self, certificate: Option<&Certificate>) -> Result<Vec<Proxy>> {
        let mut proxies = Vec::new();
        for kind in Kind::ALL {
            proxies.push(self.programs.start(kind, self.upstream.address, certificate).await?);
        }
        Ok(proxies)
    }

    /// Rounds of all trials in turn. A round counts for all of them or for none.
    async fn rounds(&self, what: &str, trials: &mut [Trial<'_>]) -> Result<()> {
        for trial in &*trials {
            trial.round(WARM_UP).await.with_context(|| format!("{}: {what} fails", trial.name))?;
        }
        for number in 1..=self.rounds {
            let mut done = Vec::new();
            for trial in &mut *trials {
                match measured(trial.process, trial.round(ROUND)).await {
                    Ok((round, _, cpu)) => done.push((round, cpu)),
                    Err(error) => trial.voided.push(format!("{}: {error:#}", trial.name)),
                }
            }
            if done.len() < trials.len() {
                continue;
            }
            for (trial, (round, cpu)) in trials.iter_mut().zip(&done) {
                trial.add(round, *cpu);
            }
            let costs = trials.iter().filter_map(|trial| Some(format!("{} {}", trial.name, shown(*trial.cpu.last()?))));
            eprintln!("· {what}, round {number}, us: {}", costs.collect::<Vec<_>>().join(", "));
        }
        Ok(())
    }

    /// The same load on all proxies; `load` makes one for each.
    async fn on_all(
        &mut self,
        what: &str,
        proxies: &[Proxy],
        load: impl Fn() -> Result<Load>,
        aims: impl Fn(Kind) -> &'static [Aim],
    ) -> Result<()> {
        let trials = proxies.iter().map(|proxy| Ok(Trial::new(proxy, load()?)));
        let mut trials = trials.collect::<Result<Vec<_>>>()?;
        self.rounds(what, &mut trials).await?;
        let Some((ours, theirs)) = trials.split_last() else { return Ok(()) };
        for (trial, proxy) in theirs.iter().zip(proxies) {
            self.report.compare(what, trial, ours, Aims { cpu: aims(proxy.kind), ..Aims::default() });
        }
        Ok(())
    }

    async fn small(&mut self) -> Result<()> {
        let proxies = self.start_all(None).await?;
        sleep(IDLE).await;
        self.memory("P1 at rest", &proxies, &[Aim::AtMost(10.0)])?;
        self.on_all("P1 `GET` of 200 B", &proxies, || Ok(small("u")), of_small).await
    }

    /// A line for each reference of what all hold now.
    fn memory(&mut self, what: &str, proxies: &[Proxy], aims: &[Aim]) -> Result<()> {
        let held = proxies.iter().map(|proxy| Ok((proxy.kind, proxy.process.memory()? / MEGABYTE)));
        self.add_memory(what, &held.collect::<Result<Vec<_>>>()?, aims);
        Ok(())
    }

    /// Ours comes last.
    fn add_memory(&mut self, what: &str, held: &[(Kind, f64)], aims: &[Aim]) {
        let Some(((_, ours), theirs)) = held.split_last() else { return };
        for (kind, held) in theirs {
            let pairs = Pairs { theirs: vec![*held], ours: vec![*ours] };
            self.report.memory.push(Line::new(format!("{what}, beside {}", kind.name()), pairs, aims));
        }
    }

    async fn routes(&mut self) -> Result<()> {
        const WHAT: &str = "P2 10,000 routes";
        for kind in [Kind::ConfigurableHttpProxy, Kind::Ours] {
            let (few, many) = (self.start(kind).await?, self.start(kind).await?);
            self.set_routes(&many, ROUTES[1]).await?;
            let requests = (0..ROUTES[1]).map(|number| get_small(&format!("u{number}")));
            let spread = Load::new(&requests.collect::<Vec<_>>().into()).with_connections(MANY);
            let again = Load::new(&changes().into()).with_connections(1);
            let mut trials = [
                Trial::new(&few, small("u")),
                Trial::new(&many, spread.clone()),
                Trial::new(&many, spread).with_changes(many.api, &again),
            ];
            self.rounds(WHAT, &mut trials).await?;
            let cpu: &[Aim] = if kind == Kind::Ours { &[Aim::Ratio(0.97)] } else { &[] };
            let [one, all, changing] = &trials;
            for (what, trial, cpu) in [("", all, cpu), (" that change 200 times a second", changing, &[][..])] {
                let line = Line::new(
                    format!("{WHAT}{what}: {} beside itself with one route", kind.name()),
                    Pairs { theirs: one.cpu.clone(), ours: trial.cpu.clone() },
                    cpu,
                );
                self.report.cpu.push(Line { voided: trial.voided.clone(), ..line });
            }
        }
        Ok(())
    }

    async fn set_routes(&self, proxy: &Proxy, count: usize) -> Result<()> {
        let requests = (0..count).map(|number| post_route(&format!("u{number}"), self.upstream.address));
        let load = Load::new(&requests.collect::<Vec<_>>().into()).once();
        let all = load.run(proxy.api, SETTING, None);
        timeout(SETTING, all).await.context("routes are not set in time")?.map(drop)
    }

    async fn api(&mut self) -> Result<()> {
        let target = self.upstream.address;
        for routes in ROUTES {
            let (theirs, ours) = (self.start(Kind::ConfigurableHttpProxy).await?, self.start(Kind::Ours).await?);
            for proxy in [&theirs, &ours] {
                self.set_routes(proxy, routes).await?;
            }
            for connections in [1, SOME, 50] {
                let load = || {
                    let requests = (0..NAMES).map(|number| post_route(&format!("v{number}"), target));
                    Load::new(&requests.collect::<Vec<_>>().into()).with_connections(connections)
                };
                let what = format!("P3 set a route of {routes}, {connections} at a time");
                let aims = match connections {
                    1 => Aims { cpu: &[], slowest: &[Aim::AtMost(0.2)] },
                    50 => Aims { cpu: &[Aim::Ratio(10.0)], slowest: &[Aim::AtMost(2.0)] },
                    _ => Aims::default(),
                };
                self.on_apis(&what, [&theirs, &ours], load, aims).await?;
            }
            let list = || Load::new(&[Request::get("/api/routes", Some(TOKEN), "/user/u0")].into()).with_connections(1);
            let slowest: &[Aim] = if routes == ROUTES[1] { &[Aim::AtMost(10.0)] } else { &[] };
            let what = format!("P3 list {routes} routes and {NAMES} more");
            self.on_apis(&what, [&theirs, &ours], list, Aims { cpu: &[], slowest }).await?;
        }
        Ok(())
    }

    async fn on_apis(&mut self, what: &str, sides: [&Proxy; 2], load: impl Fn() -> Load, aims: Aims) -> Result<()> {
        let mut trials = sides.map(|proxy| Trial::at(proxy.api, proxy, load()));
        self.rounds(what, &mut trials).await?;
        self.report.compare(what, &trials[0], &trials[1], aims);
        Ok(())
    }

    async fn bodies(&mut self) -> Result<()> {
        let proxies = self.start_all(None).await?;
        for (size, name, unasked) in [(LARGE, "1 MB", false), (VERY_LARGE, "100 MB", true)] {
            let down = Request::get_bytes(&format!("/user/u/bytes/{size}"), size);
            let up = Request::post_bytes("/user/u/bytes/1", size, 1);
            for (request, way) in [(down, "down"), (up, "up")] {
                let what = format!("P4 {name} {way}");
                let requests = [request].into();
                let load = || Load::new(&requests).with_connections(SOME);
                self.on_all(&what, &proxies, || Ok(load()), of_bodies).await?;
                if unasked {
                    self.growth(&what, &proxies, load).await?;
                }
            }
        }
        Ok(())
    }

    /// How much more each proxy holds under a load than before it.
    async fn growth(&mut self, what: &str, proxies: &[Proxy], load: impl Fn() -> Load) -> Result<()> {
        let mut grown = Vec::new();
        for proxy in proxies {
            let load = load();
            sleep(IDLE).await;
            let before = proxy.process.memory()?;
            let run = load.run(proxy.address, ROUND, None);
            let most = async {
                let mut most = before;
                let end = Instant::now() + ROUND;
                while Instant::now() < end {
                    most = most.max(proxy.process.memory()?);
                    sleep(LOOK).await;
                }
                Ok(most)
            };
            let (_, most) = tokio::try_join!(run, most)?;
            grown.push((proxy.kind, (most - before) / MEGABYTE));
        }
        self.add_memory(&format!("{what}, growth"), &grown, &[Aim::AtMost(4.0)]);
        Ok(())
    }

    /// One proxy after the other: no machine's limit of open files holds the idle WebSockets of all.
    async fn websockets(&mut self) -> Result<()> {
        const WHAT: &str = "P5 WebSocket, 1 KB and its echo";
        let mut idle_memory = Vec::new();
        let mut trials = Vec::new();
        for kind in Kind::ALL {
            let proxy = self.start(kind).await?;
            sleep(IDLE).await;
            let before = proxy.process.memory()?;
            let idle = traffic::open(proxy.address, IDLE_SOCKETS).await?;
            sleep(IDLE).await;
            idle_memory.push((kind, (proxy.process.memory()? - before) / IDLE_SOCKETS as f64 / 1000.0));
            let mut busy = traffic::open(proxy.address, BUSY_SOCKETS).await?;
            let mut trial = Trial::new(&proxy, small("u"));
            traffic::echo(&mut busy, MESSAGES, WARM_UP).await?;
            for number in 1..=self.rounds {
                let talk = traffic::echo(&mut busy, MESSAGES, ROUND);
                let (round, _, cpu) = measured(proxy.process, talk).await?;
                trial.add(&round, cpu);
                eprintln!("· {WHAT}, round {number}, us: {} {}", kind.name(), shown(round.cpu_per_request(cpu)));
            }
            trials.push(trial);
            drop(idle);
        }
        self.add_memory("P5 an idle WebSocket, in KB", &idle_memory, &[Aim::AtMost(10.0)]);
        let Some((ours, theirs)) = trials.split_last() else { return Ok(()) };
        for trial in theirs {
            let is_replaced = trial.name == Kind::ConfigurableHttpProxy.name();
            let cpu: &[Aim] = if is_replaced { &[Aim::Ratio(8.0)] } else { &[] };
            self.report.compare(WHAT, trial, ours, Aims { cpu, slowest: &[] });
        }
        let added = self.added_latency(&ours.slowest).await?;
        self.report.slowest.push(added);
        Ok(())
    }

    /// What the proxy adds to the slowest hundredth of echoes.
    async fn added_latency(&self, ours: &[f64]) -> Result<Line> {
        let mut busy = traffic::open(self.upstream.address, BUSY_SOCKETS).await?;
        let mut added = Vec::new();
        for ours in ours {
            let alone = traffic::echo(&mut busy, MESSAGES, ROUND).await?.within(0.99).as_secs_f64() * MILLISECOND;
            added.push(ours - alone);
        }
        let pairs = Pairs { theirs: Vec::new(), ours: added };
        Ok(Line::new("P5 what is added to the server's own", pairs, &[Aim::AtMost(1.0)]))
    }

    async fn leaks(&mut self) -> Result<()> {
        let proxy = self.start(Kind::Ours).await?;
        break_connections(proxy.address, FIRST_BREAKS).await?;
        let before = Held::after_drain(proxy.process).await?;
        let start = Instant::now();
        break_connections(proxy.address, BREAKS).await?;
        eprintln!("· P6 {BREAKS} connections broke in {}", seconds(start.elapsed()));
        let after = Held::after_drain(proxy.process).await?;
        small("u").run(proxy.address, WARM_UP, None).await.context("it does not serve any more")?;
        for (what, of) in [
            ("P6 open files", (|held| held.files as f64) as fn(&Held) -> f64),
            ("P6 sockets", |held| held.sockets as f64),
            ("P6 memory, in MB", |held| held.memory / MEGABYTE),
        ] {
            let pairs = Pairs { theirs: vec![of(&before)], ours: vec![of(&after)] };
            self.report.left.push(Line::new(what, pairs, &[Aim::Ratio(0.99)]));
        }
        Ok(())
    }

    async fn tls(&mut self) -> Result<()> {
        for (key, name) in [(Key::P256, "P-256"), (Key::Rsa2048, "RSA-2048")] {
            let certificate = Certificate::make(key).await?;
            let proxies = self.start_all(Some(&certificate)).await?;
            let shaking = |handshakes| -> Result<Load> {
                let tls = certificate.client(Some(handshakes))?;
                Ok(small("u").with_connections(SHAKING).with_tls(Some(tls)).reconnecting())
            };
            let full = || shaking(HandshakeKind::Full);
            self.on_all(&format!("P7 {name}, full handshake"), &proxies, full, of_handshakes).await?;
            if key != Key::P256 {
                continue;
            }
            let resumed = || shaking(HandshakeKind::Resumed);
            // configurable-http-proxy does not always resume them.
            self.on_all("P7 P-256, resumed session", &proxies[1..], resumed, of_resumed).await?;
            let requests = [Request::get_bytes(&format!("/user/u/bytes/{LARGE}"), LARGE)].into();
            let bulk = || Ok(Load::new(&requests).with_connections(SOME).with_tls(Some(certificate.client(None)?)));
            self.on_all("P7 1 MB down over TLS", &proxies, bulk, of_bodies).await?;
        }
        Ok(())
    }

    fn setting(&self, release: bool) -> String {
        let machine = machine(self.programs.cores);
        let profile = if release { "release" } else { "development" };
        format!(
            "Measured {machine}. Each load had {} rounds of {} on each proxy.\n\nThe machine was not quiet: ratios of CPU time are \
             what counts, throughput and latency say little. configurable-http-proxy is 5.3.0 from npm on Node.js 22, nginx \
             and HAProxy are Debian's, ours is in the {profile} profile; each has one worker. All have the route `/user/u/`, keep \
             their connections to the server, add the same `X-Forwarded-` fields and log nothing. The server is in the load \
             generator's process. Status and length of every answer are checked. Small requests have {MANY} \
             connections, large ones {SOME}; over TLS all use TLS 1.3 with AES-256-GCM and X25519. WebSockets are {IDLE_SOCKETS} that are \
             idle, since a process here may open 20,000 files and a proxy needs two for each, and {BUSY_SOCKETS} that send \
             50 messages a second each; their rounds do not alternate. What a TLS session takes in memory was not measured.",
            self.rounds,
            seconds(ROUND)
        )
    }
}

/// Routes that come and go. As with users' servers, none leads where another does: what ends with a route are all the
/// connections that are kept to its target.
fn changes() -> Vec<Request> {
    let pairs = (1..=NAMES).map(|number| {
        let user = format!("guest{number}");
        let delete = Request::delete(&format!("/api/routes/user/{user}"), Some(TOKEN)).with_status(204);
        [post_route(&user, SocketAddr::from(([127, 0, 0, 2], number as u16))), delete]
    });
    pairs.flatten().collect()
}

fn get_small(user: &str) -> Request {
    Request::get_bytes(&format!("/user/{user}/bytes/{SMALL}"), SMALL)
}

fn small(user: &str) -> Load {
    Load::new(&[get_small(user)].into()).with_connections(MANY)
}

fn of_small(peer: Kind) -> &'static [Aim] {
    match peer {
        Kind::ConfigurableHttpProxy => &[Aim::Ratio(12.0)],
        Kind::Nginx => &[Aim::Ratio(1.0)],
        Kind::Haproxy | Kind::Ours => &[],
    }
}

fn of_bodies(peer: Kind) -> &'static [Aim] {
    if peer == Kind::Nginx { &[Aim::Ratio(1.0)] } else { &[] }
}

fn of_handshakes(peer: Kind) -> &'static [Aim] {
    match peer {
        Kind::ConfigurableHttpProxy => &[Aim::Ratio(4.0)],
        Kind::Nginx => &[Aim::Ratio(1.2)],
        Kind::Haproxy | Kind::Ours => &[],
    }
}

fn of_resumed(peer: Kind) -> &'static [Aim] {
    if peer == Kind::Nginx { &[Aim::Ratio(1.5)] } else { &[] }
}
