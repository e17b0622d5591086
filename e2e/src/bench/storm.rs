//! `bench storm`: a thousand people log in within ten seconds, and start their servers (H3). One settings file serves both
//! sides, and so does the server: a process that is ready after a second.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::future::join_all;
use reqwest::{
    Client, Response, StatusCode, Url,
    cookie::{CookieStore, Jar},
    redirect::Policy,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Child, time::sleep};

use super::{
    MILLISECOND, Pairs,
    load::Round,
    process::{Cores, Process, machine},
    sides::{PROXY_TOKEN, Programs, Seed, Side, await_health, await_listener, free_ports},
    table::{Aim, Line, Section, Subject, page},
};
use crate::{mock_server, places::Places, program::last_lines, progress::seconds, real_hub::start_proxy};

/// People, and the time in which all of them come.
const PEOPLE: usize = 1000;
const WITHIN: Duration = Duration::from_secs(10);
/// How long somebody waits for a server, and how often they look.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(1);
/// How often it is asked whether the hub is well.
const HEALTH: Duration = Duration::from_millis(50);
/// One answer.
const ANSWER: Duration = Duration::from_secs(60);

const SUBJECT: Subject =
    Subject { title: "the hub in a storm of logins", command: "storm", theirs: "JupyterHub", ours: "hub" };

/// Measures both sides in turn and writes the page.
pub(crate) async fn run(places: &Places, rounds: usize, release: bool, yes: bool) -> Result<()> {
    let programs = Programs::prepare(places, release, yes).await?;
    let mut lines = Lines::new();
    for round in 1..=rounds {
        let mut storms = Vec::new();
        for side in [Side::Theirs, Side::Ours] {
            let storm = storm(&programs, side).await.with_context(|| format!("{side:?}"))?;
            let (failures, last) = (storm.failures.len(), seconds(storm.last));
            eprintln!("· {side:?}, round {round}: {failures} failures, the last server after {last}");
            if let Some(failure) = storm.failures.first() {
                eprintln!("  {failure}");
            }
            storms.push(storm);
        }
        lines.add(&storms[0], &storms[1])?;
    }
    let page = page(SUBJECT, &setting(&programs, rounds, release), &lines.sections());
    let file = places.repository.join("docs/benchmarks-storm.md");
    fs::write(&file, &page).with_context(|| format!("failed to write {}", file.display()))?;
    println!("{page}");
    Ok(())
}

/// What came of one storm.
struct Storm {
    /// Why people got no server.
    failures: Vec<String>,
    /// How long pages took.
    pages: Vec<Duration>,
    /// How long it took to hear that the hub is well.
    health: Vec<Duration>,
    /// From the first visit until the last server was ready.
    last: Duration,
    /// Of the hub's process.
    cpu: Duration,
}

async fn storm(programs: &Programs, side: Side) -> Result<Storm> {
    let hub = Hub::start(programs, side).await?;
    let before = hub.process.cpu()?;
    let begun = Instant::now();
    let everybody = async {
        let people = (0..PEOPLE).map(|number| {
            let delay = WITHIN.mul_f64(number as f64 / PEOPLE as f64);
            Person::new(hub.address, format!("u{number}")).come(delay)
        });
        join_all(people).await
    };
    let mut health = Vec::new();
    let visits = tokio::select! {
        visits = everybody => visits,
        failed = watch_health(hub.address, &mut health) => failed.context("the hub's health")?,
    };
    let (last, cpu) = (begun.elapsed(), hub.process.cpu()?.saturating_sub(before));
    let (mut failures, mut pages) = (Vec::new(), Vec::new());
    for visit in visits {
        match visit {
            Ok(times) => pages.extend(times),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    hub.stop().await?;
    Ok(Storm { failures, pages, health, last, cpu })
}

/// Until it is dropped; a hub that does not say that it is well is an error.
async fn watch_health<T>(address: SocketAddr, times: &mut Vec<Duration>) -> Result<T> {
    let client = Client::builder().no_proxy().timeout(ANSWER).build()?;
    let url = format!("http://{address}/hub/health");
    loop {
        let begun = Instant::now();
        let answer = client.get(&url).send().await?;
        times.push(begun.elapsed());
        ensure!(answer.status() == StatusCode::OK, "it answered {}", answer.status());
        sleep(HEALTH).await;
    }
}

/// Somebody with a browser.
struct Person {
    name: String,
    origin: Url,
    client: Client,
    jar: Arc<Jar>,
    pages: Vec<Duration>,
}

impl Person {
    fn new(address: SocketAddr, name: String) -> Self {
        let jar = Arc::new(Jar::default());
        let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(ANSWER).cookie_provider(jar.clone());
        let origin = Url::parse(&format!("http://{address}")).expect("an address makes a URL");
        Self { name, origin, client: client.build().expect("a client without TLS"), jar, pages: Vec::new() }
    }

    /// Comes after a while, logs in, starts a server and waits for it; how long each page took.
    async fn come(mut self, delay: Duration) -> Result<Vec<Duration>> {
        sleep(delay).await;
        self.log_in().await.with_context(|| format!("{} does not log in", self.name))?;
        self.start().await.with_context(|| format!("{} gets no server", self.name))?;
        Ok(self.pages)
    }

    async fn log_in(&mut self) -> Result<()> {
        self.page("/hub/login", None, StatusCode::OK).await?;
        let xsrf = self.xsrf()?;
        let form = [("username", self.name.clone()), ("password", "any".to_owned()), ("_xsrf", xsrf)];
        self.page("/hub/login?next=%2Fhub%2Fhome", Some(&form), StatusCode::FOUND).await?;
        self.page("/hub/home", None, StatusCode::OK).await
    }

    async fn start(&mut self) -> Result<()> {
        let begun = Instant::now();
        let path = format!("/hub/api/users/{}", self.name);
        let asked = self.script(self.client.post(self.url(&format!("{path}/server"))?))?.send().await?;
        self.pages.push(begun.elapsed());
        ensure!(asked.status().is_success(), "the start was answered with {}", told(asked).await);
        while begun.elapsed() < PATIENCE {
            sleep(LOOK).await;
            let looked = Instant::now();
            let answer = self.script(self.client.get(self.url(&path)?))?.send().await?;
            self.pages.push(looked.elapsed());
            ensure!(answer.status() == StatusCode::OK, "the look was answered with {}", told(answer).await);
            let user: Value = answer.json().await?;
            let server = &user["servers"][""];
            if server["ready"] == true {
                return Ok(());
            }
            ensure!(server["pending"] == "spawn", "it ended: {user}");
        }
        bail!("it is not ready after {}", seconds(PATIENCE))
    }

    async fn page(&mut self, path: &str, form: Option<&[(&str, String)]>, expected: StatusCode) -> Result<()> {
        let url = self.url(path)?;
        let request = match form {
            Some(form) => self.client.post(url).form(form),
            None => self.client.get(url),
        };
        let request = request.header("Sec-Fetch-Mode", "navigate").header("Sec-Fetch-Site", "same-origin");
        let begun = Instant::now();
        let answer = request.send().await?;
        let status = answer.status();
        answer.bytes().await?;
        self.pages.push(begun.elapsed());
        ensure!(status == expected, "{path} was answered with {status}");
        Ok(())
    }

    fn script(&self, request: reqwest::RequestBuilder) -> Result<reqwest::RequestBuilder> {
        let request = request.header("X-XSRFToken", self.xsrf()?).header("Content-Type", "application/json");
        Ok(request.header("Sec-Fetch-Mode", "cors").header("Sec-Fetch-Site", "same-origin"))
    }

    /// What forms and scripts show, to tell them from another site's.
    fn xsrf(&self) -> Result<String> {
        let cookies = self.jar.cookies(&self.url("/hub/")?).context("there are no cookies")?;
        let value = cookies.to_str()?.split("; ").find_map(|pair| pair.strip_prefix("_xsrf="));
        Ok(value.context("there is no _xsrf cookie")?.to_owned())
    }

    fn url(&self, path: &str) -> Result<Url> {
        Ok(self.origin.join(path)?)
    }
}

async fn told(answer: Response) -> String {
    let status = answer.status();
    format!("{status}: {}", answer.text().await.unwrap_or_default().chars().take(200).collect::<String>())
}

/// A hub that starts a process for each server.
struct Hub {
    process: Process,
    /// Its own, without a proxy before it.
    address: SocketAddr,
    hub: Child,
    proxy: Child,
    _dir: TempDir,
}

impl Hub {
    async fn start(programs: &Programs, side: Side) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let database = dir.path().join("jupyterhub.sqlite");
        fs::copy(programs.seed(Seed { users: PEOPLE, running: 0 }).await?, &database)?;
        let [public, api, own] = free_ports()?;
        let config = dir.path().join("jupyterhub_config.py");
        fs::write(&config, settings(programs.cores, dir.path(), &database, [public, api, own])?)?;
        let proxy = start_proxy(programs.proxy(), public, api, PROXY_TOKEN)?;
        await_listener(api).await?;
        let log = dir.path().join("hub.log");
        let mut hub = programs.hub_with_settings(side);
        hub.arg("--config").arg(&config).env("CONFIGPROXY_AUTH_TOKEN", PROXY_TOKEN).current_dir(dir.path());
        hub.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?).kill_on_drop(true);
        let hub = hub.spawn().context("failed to start the hub")?;
        let process = Process(hub.id().context("the hub has ended")?);
        let healthy = await_health(&format!("http://{own}"), Instant::now()).await;
        healthy.with_context(|| last_lines(&fs::read_to_string(&log).unwrap_or_default(), 20))?;
        Ok(Self { process, address: own, hub, proxy, _dir: dir })
    }

    /// With its servers, as it is told by a signal.
    async fn stop(mut self) -> Result<()> {
        crate::program::Program::new("kill").arg(self.process.0.to_string()).output().await?;
        if tokio::time::timeout(PATIENCE, self.hub.wait()).await.is_err() {
            self.hub.kill().await?;
        }
        Ok(self.proxy.kill().await?)
    }
}

/// What both sides are told, in literals that ours reads as well.
fn settings(cores: Cores, dir: &Path, database: &Path, ports: [SocketAddr; 3]) -> Result<String> {
    let [public, api, own] = ports;
    // Servers run where the load is made, and take nothing from the hub's core.
    let pinned: &[&str] = if cores == Cores::Apart { &["taskset", "--cpu-list", "0"] } else { &[] };
    let command: Vec<_> = pinned.iter().map(|word| (*word).to_owned()).chain(mock_server::command()?).collect();
    Ok(format!(
        "c.JupyterHub.db_url = 'sqlite:///{}'
c.JupyterHub.bind_url = 'http://{public}'
c.JupyterHub.hub_bind_url = 'http://{own}'
c.JupyterHub.authenticator_class = 'dummy'
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = 'simple'
c.JupyterHub.concurrent_spawn_limit = 0
c.Spawner.cmd = {}
c.SimpleLocalProcessSpawner.home_dir_template = '{}'
c.ConfigurableHTTPProxy.api_url = 'http://{api}'
c.ConfigurableHTTPProxy.should_start = False
",
        database.display(),
        serde_json::to_string(&command)?,
        dir.display(),
    ))
}

struct Lines {
    failures: Line,
    last: Line,
    pages: Line,
    health: Line,
    cpu: Line,
}

impl Lines {
    fn new() -> Self {
        let line = |what, aims: &[Aim]| Line::new(what, Pairs::default(), aims);
        Self {
            failures: line("H3 people who got no server", &[Aim::AtMost(0.0)]),
            last: line("H3 until the last server was ready", &[]),
            pages: line("H3 pages, 99th percentile", &[Aim::AtMost(300.0)]),
            health: line("H3 `/hub/health`, 99th percentile", &[Aim::AtMost(10.0)]),
            cpu: line("H3 a login with a start", &[Aim::Ratio(30.0)]),
        }
    }

    fn add(&mut self, theirs: &Storm, ours: &Storm) -> Result<()> {
        let p99 = |times: &[Duration]| -> Result<f64> {
            Ok(Round::of(Duration::ZERO, times.to_vec())?.within(0.99).as_secs_f64() * MILLISECOND)
        };
        let add = |line: &mut Line, value: &dyn Fn(&Storm) -> Result<f64>| -> Result<()> {
            line.pairs.theirs.push(value(theirs)?);
            line.pairs.ours.push(value(ours)?);
            Ok(())
        };
        add(&mut self.failures, &|storm| Ok(storm.failures.len() as f64))?;
        add(&mut self.last, &|storm| Ok(storm.last.as_secs_f64() * MILLISECOND))?;
        add(&mut self.pages, &|storm| p99(&storm.pages))?;
        add(&mut self.health, &|storm| p99(&storm.health))?;
        // Who failed cost less; it is divided among those who did not.
        add(&mut self.cpu, &|storm| {
            let served = PEOPLE.saturating_sub(storm.failures.len()).max(1);
            Ok(storm.cpu.as_secs_f64() * MILLISECOND / served as f64)
        })
    }

    fn sections(self) -> Vec<Section> {
        vec![
            Section { title: "Failures", note: "Of 1,000 people.", lines: vec![self.failures] },
            Section { title: "Latency", note: "In milliseconds.", lines: vec![self.last, self.pages, self.health] },
            Section {
                title: "CPU time",
                note: "In milliseconds, in the hub's process, for each person who got a server: the login, the start and all looks \
                       at it until it was ready, one a second.",
                lines: vec![self.cpu],
            },
        ]
    }
}

/// On what, and with what, it was measured.
fn setting(programs: &Programs, rounds: usize, release: bool) -> String {
    let machine = machine(programs.cores);
    let profile = if release { "release" } else { "development" };
    format!(
        "Measured {machine}. There were {rounds} rounds on each side.\n\n1,000 people come within {}, one each {} ms: each opens the \
         login page, logs in, opens the home page, starts a server over the API, and looks once a second whether it is ready. A \
         server is a process that listens a second after its start; JupyterHub 6.1.1 and `hub serve`, which is in the {profile} \
         profile, have the same settings file, with dummy logins, local processes, SQLite and no limit of starts, and are asked at \
         their own port, past the proxy.",
        seconds(WITHIN),
        WITHIN.as_millis() / PEOPLE as u128,
    )
}
