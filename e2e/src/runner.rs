//! The run of all tests: areas one after another, each with its time, and one line at the end that counts.

use std::{
    fs,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream};
use tokio::time::timeout;

use crate::{
    cargo,
    clients::Clients,
    cluster::Cluster,
    commands,
    control_plane::ControlPlane,
    diagnosis, install,
    kind::Kind,
    packages, peers,
    places::Places,
    postgres::Postgres,
    program::which,
    progress::{Log, explained, seconds, step},
    servers::Servers,
    suite::{self, Skipped, Test},
    tools,
};

/// The cluster that tests make for themselves.
pub(crate) const CLUSTER: &str = "hub-e2e-test";
/// Tests that don't disturb each other run this many at a time.
const TOGETHER: usize = 4;
/// With it the same inputs come each time: what fails is then of the change that is tested.
const FUZZ_SEED: &str = "1";
/// Tells tests of the hub to use a PostgreSQL.
const TEST_DATABASE: &str = "HUB_TEST_DATABASE";
/// Tells tests of the operator where a Kubernetes API is.
const TEST_KUBECONFIG: &str = "KUBECONFIG_TEST";
/// Tells tests that they have time.
const TEST_LONG: &str = "HUB_TEST_LONG";
/// How long each target of fuzzing runs, and how long where there is time.
const FUZZ_SECONDS: &str = "30";
const FUZZ_SECONDS_LONG: &str = "600";

/// Which tests to run.
pub(crate) struct Selection {
    pub(crate) long: bool,
    pub(crate) only: Option<String>,
}

/// The cluster that the cluster tests run in.
pub(crate) enum Where {
    Own,
    /// A cluster that `up` made.
    Existing(&'static str),
}

const FORMAT: &str = "lint::format";
const CLIPPY: &str = "lint::clippy";
const UNIT: &str = "unit";
const CLIENTS: &str = "clients";
const SERVER: &str = "server";
const CLUSTER_AREA: &str = "cluster";
const AREAS: [&str; 5] = ["lint", UNIT, CLIENTS, SERVER, CLUSTER_AREA];

impl Selection {
    /// A pattern that names an area means that area alone; any other is looked for in every name.
    fn has(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|pattern| {
            if AREAS.contains(&pattern) { name.split("::").next() == Some(pattern) } else { name.contains(pattern) }
        })
    }

    fn client_tests(&self) -> Vec<Test<Clients>> {
        self.of_area(CLIENTS, suite::clients::tests())
    }

    fn server_tests(&self) -> Vec<Test<Servers>> {
        self.of_area(SERVER, suite::server::tests())
    }

    fn cluster_tests(&self) -> Vec<Test<Cluster>> {
        self.of_area(CLUSTER_AREA, suite::tests())
    }

    fn of_area<G>(&self, area: &str, tests: Vec<Test<G>>) -> Vec<Test<G>> {
        let tests = tests.into_iter().filter(|test| self.long || !test.long);
        tests.filter(|test| self.has(&format!("{area}::{}", test.name))).collect()
    }

    /// Names of what is selected.
    pub(crate) fn names(&self) -> Vec<String> {
        let areas = [FORMAT, CLIPPY, UNIT].into_iter().filter(|name| self.has(name)).map(str::to_owned);
        let clients = self.client_tests().into_iter().map(|test| format!("{CLIENTS}::{}", test.name));
        let server = self.server_tests().into_iter().map(|test| format!("{SERVER}::{}", test.name));
        let cluster = self.cluster_tests().into_iter().map(|test| format!("{CLUSTER_AREA}::{}", test.name));
        areas.chain(clients).chain(server).chain(cluster).collect()
    }
}

/// How one test, or many of an area, ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    /// Names, with the reason where it is known: it is told again at the end, where whoever reads a long log looks first.
    failed: Vec<String>,
    skipped: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped += other.skipped;
    }

    fn of(name: &str, result: &Result<()>) -> Self {
        match result {
            Ok(()) => Self { passed: 1, ..Self::default() },
            Err(error) if error.is::<Skipped>() => Self { skipped: 1, ..Self::default() },
            Err(error) => Self { failed: vec![format!("{name}: {error:#}")], ..Self::default() },
        }
    }
}

/// Runs what is selected and prints the summary; an error if a test failed or none was found.
pub(crate) async fn run(places: &Places, selection: &Selection, cluster: Where, yes: bool) -> Result<()> {
    if selection.names().is_empty() {
        bail!(
            "no test has `{}` in its name; `cargo e2e test --list` names them",
            selection.only.as_deref().unwrap_or_default()
        );
    }
    let start = Instant::now();
    let mut tally = Tally::default();
    for (name, work) in local_areas(places, selection.long, yes) {
        if selection.has(name) {
            tally.add(work.await);
        }
    }
    let tests = selection.client_tests();
    if !tests.is_empty() {
        tally.add(tally_of_area(CLIENTS, &tests, clients_area(places, &tests, yes).await));
    }
    let tests = selection.server_tests();
    if !tests.is_empty() {
        tally.add(tally_of_area(SERVER, &tests, server_area(places, &tests, yes).await));
    }
    let tests = selection.cluster_tests();
    if !tests.is_empty() {
        tally.add(tally_of_area(CLUSTER_AREA, &tests, cluster_area(places, &tests, cluster, yes).await));
    }
    for name in &tally.failed {
        eprintln!("failed: {name}");
    }
    eprintln!("all areas: {}\n", seconds(start.elapsed()));
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed.len(), tally.skipped);
    if tally.failed.is_empty() { Ok(()) } else { Err(anyhow!("{} tests failed", tally.failed.len())) }
}

/// What needs no cluster.
fn local_areas(places: &Places, long: bool, yes: bool) -> Vec<(&'static str, LocalBoxFuture<'_, Tally>)> {
    let format = async {
        let work = async |log: &Log| cargo::command(places).args(["fmt", "--all", "--check"]).logged(log).await;
        Tally::of(FORMAT, &shown(step(places, "Check the format", work).await))
    };
    let clippy = async {
        let args = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
        let work = async |log: &Log| cargo::command(places).args(args).logged(log).await;
        Tally::of(CLIPPY, &shown(step(places, "Check with clippy", work).await))
    };
    vec![
        (FORMAT, format.boxed_local()),
        (CLIPPY, clippy.boxed_local()),
        (UNIT, unit_area(places, long, yes).boxed_local()),
    ]
}

/// Unit and integration tests of every crate, counted from what libtest says.
async fn unit_area(places: &Places, long: bool, yes: bool) -> Tally {
    let mut words = String::new();
    let result = async {
        packages::ensure(places, yes, &[packages::UNIT, packages::DATABASES, packages::PEERS].concat()).await?;
        tools::ensure(places, tools::ACME).await?;
        tools::ensure(places, tools::H2SPEC).await?;
        let node_packages = peers::node_packages(places).await?;
        step(places, "Run unit and integration tests", async |log| {
            // Binaries first: integration tests start them, and images hold them.
            cargo::command(places).args(["build", "--quiet", "--workspace", "--bins"]).logged(log).await?;
            let test = cargo::command(places).args(["test", "--workspace", "--no-fail-fast"]);
            let test = tools::variables(places).into_iter().fold(test, |test, (name, path)| test.env(name, path));
            let valgrind = which("valgrind").context("valgrind is not on PATH")?;
            let test = test.env("VALGRIND", valgrind).env("OIDC_PROVIDER", &node_packages);
            let test = match long {
                true => test.env("FUZZ_SECONDS", FUZZ_SECONDS_LONG),
                false => test.env("FUZZ_SECONDS", FUZZ_SECONDS).env("FUZZ_SEED", FUZZ_SEED),
            };
            let result = test.logged(log).await;
            let result = result.and(on_postgresql(places, log).await).and(on_kubernetes(places, long, log).await);
            words = String::from_utf8_lossy(&fs::read(log.path())?).into_owned();
            result
        })
        .await
    }
    .await;
    let mut tally = tally_of_libtest(&words);
    if result.is_err() {
        eprintln!("{}", failures_in(&words));
        if tally.failed.is_empty() {
            // It did not come to tests at all.
            tally.add(Tally::of(UNIT, &shown(result)));
        }
    }
    tally
}

/// Once more what stands on a database, on the other one that there is.
async fn on_postgresql(places: &Places, log: &Log) -> Result<()> {
    let postgres = Postgres::start().await?;
    let url = postgres.database("tests").await?;
    let test = |args: &[&str]| cargo::command(places).args(["test", "--workspace"]).args(args);
    let lib = test(&["--lib", "--", "database::"]).env(TEST_DATABASE, &url).logged(log).await;
    let http = test(&["--test", "http"]).env(TEST_DATABASE, &url).logged(log).await;
    lib.and(http)
}

/// The operator's tests against a real Kubernetes API, apart from the others: they tell how fast it is. Those that run a
/// lifecycle again for each of its writes take minutes.
async fn on_kubernetes(places: &Places, long: bool, log: &Log) -> Result<()> {
    let control_plane = ControlPlane::start(places).await?;
    let test = cargo::command(places).args(["test", "--workspace", "--lib", "--", "cluster_tests::"]);
    let test = if long { test.env(TEST_LONG, "1") } else { test.args(["--skip", "crashes::"]) };
    test.env(TEST_KUBECONFIG, control_plane.kubeconfig()).logged(log).await
}

/// Prints an error and hands it on.
fn shown(result: Result<()>) -> Result<()> {
    result.inspect_err(|error| eprintln!("{}", explained(error)))
}

/// Sums the `test result:` lines; failed tests by name.
fn tally_of_libtest(words: &str) -> Tally {
    let mut tally = Tally::default();
    for line in words.lines() {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            tally.failed.push(name.to_owned());
        }
        let Some(counts) = line.strip_prefix("test result: ") else { continue };
        for count in counts.split(['.', ';']) {
            match count.split_whitespace().collect::<Vec<_>>()[..] {
                [number, "passed"] => tally.passed += number.parse::<usize>().unwrap_or(0),
                [number, "ignored"] => tally.skipped += number.parse::<usize>().unwrap_or(0),
                _ => {}
            }
        }
    }
    tally
}

/// The parts of libtest's words that say why tests failed.
fn failures_in(words: &str) -> String {
    let mut shown = String::new();
    let mut inside = false;
    for line in words.lines() {
        inside = (inside || line == "failures:") && !line.starts_with("test result:");
        if inside {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    shown
}

/// Sums an area; if it did not come to tests at all, each of them failed.
fn tally_of_area<G>(area: &str, tests: &[Test<G>], outcomes: Result<Vec<Outcome>>) -> Tally {
    let mut tally = Tally::default();
    match outcomes {
        Ok(outcomes) => outcomes.into_iter().for_each(|outcome| tally.add(outcome.tally)),
        Err(error) => {
            eprintln!("\nerror: no {area} test could run: {}", explained(&error));
            tally.failed.extend(tests.iter().map(|test| test.name.to_owned()));
        }
    }
    tally
}

/// Runs the tests of real clients against hubs on this machine.
async fn clients_area(places: &Places, tests: &[Test<Clients>], yes: bool) -> Result<Vec<Outcome>> {
    let start = Instant::now();
    let clients = Clients::prepare(places, yes).await?;
    let outcomes = run_tests(&clients, tests).await;
    eprintln!("clients tests: {}", seconds(start.elapsed()));
    Ok(outcomes)
}

/// Runs the tests of `hub server` beside the real Jupyter Server.
async fn server_area(places: &Places, tests: &[Test<Servers>], yes: bool) -> Result<Vec<Outcome>> {
    let start = Instant::now();
    let servers = Servers::prepare(places, yes).await?;
    let outcomes = run_tests(&servers, tests).await;
    eprintln!("server tests: {}", seconds(start.elapsed()));
    Ok(outcomes)
}

/// Makes the cluster, runs the tests in it, and deletes it unless something failed.
async fn cluster_area(places: &Places, tests: &[Test<Cluster>], place: Where, yes: bool) -> Result<Vec<Outcome>> {
    let start = Instant::now();
    let cluster = prepare(places, &place, yes).await?;
    eprintln!("cluster is ready for tests after {}", seconds(start.elapsed()));
    let outcomes = run_tests(&cluster, tests).await;
    for (what, value) in cluster.measurements() {
        eprintln!("measured: {what}: {value}");
    }
    let failed = outcomes.iter().any(|outcome| !outcome.tally.failed.is_empty());
    if failed {
        let report = diagnosis::of_cluster(&cluster).await;
        fs::write(places.output()?.join("cluster.log"), &report)?;
        eprintln!("{report}");
    }
    if let Where::Own = place {
        if failed {
            eprintln!("cluster {CLUSTER} stays, to be looked at: {}", cluster.kubeconfig_hint());
        } else {
            delete_own(places, yes).await?;
        }
    }
    write_long_table(places, tests, &outcomes)?;
    eprintln!("cluster tests: {}", seconds(start.elapsed()));
    Ok(outcomes)
}

async fn prepare(places: &Places, place: &Where, yes: bool) -> Result<Cluster> {
    packages::ensure(places, yes, &[packages::IMAGES, packages::BROWSER, packages::PEERS].concat()).await?;
    let docker = commands::docker(places, yes).await?;
    commands::client_tools(places).await?;
    let name = match place {
        Where::Existing(name) if Kind::new(places, &docker, name).exists().await => name,
        Where::Existing(name) => bail!("cluster {name} does not run; `cargo e2e up` makes it"),
        Where::Own => {
            Kind::new(places, &docker, CLUSTER).delete().await?; // a run that failed leaves its cluster
            CLUSTER
        }
    };
    let cluster = commands::kind_cluster(places, &docker, name, None, yes).await?;
    install::install(&cluster).await?;
    let peers = peers::ensure(places, &Kind::new(places, &docker, name), yes).await?;
    Ok(cluster.with_peers(peers))
}

async fn delete_own(places: &Places, yes: bool) -> Result<()> {
    let docker = commands::docker(places, yes).await?;
    step(places, &format!("Delete cluster {CLUSTER}"), async |_| Kind::new(places, &docker, CLUSTER).delete().await)
        .await
}

/// One test's end.
struct Outcome {
    name: &'static str,
    time: Duration,
    tally: Tally,
}

/// First those that can run together, then the others one by one.
async fn run_tests<G>(given: &G, tests: &[Test<G>]) -> Vec<Outcome> {
    let (alone, together): (Vec<_>, Vec<_>) = tests.iter().partition(|test| test.alone);
    let together = stream::iter(together).map(|test| run_test(given, test)).buffer_unordered(TOGETHER);
    let mut outcomes: Vec<_> = together.collect().await;
    for test in alone {
        outcomes.push(run_test(given, test).await);
    }
    outcomes
}

async fn run_test<G>(given: &G, test: &Test<G>) -> Outcome {
    let start = Instant::now();
    let result = match timeout(test.limit, AssertUnwindSafe((test.run)(given)).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow!("it panicked; its words are above")),
        Err(_) => Err(anyhow!("it did not end within {} s", test.limit.as_secs())),
    };
    let tally = Tally::of(test.name, &result);
    let time = start.elapsed();
    match result {
        Ok(()) => eprintln!("✓ {}  {}", test.name, seconds(time)),
        Err(error) if tally.skipped > 0 => eprintln!("- {}  skipped: {error}", test.name),
        Err(error) => eprintln!("✗ {}  {}\n{}", test.name, seconds(time), explained(&error)),
    }
    Outcome { name: test.name, time, tally }
}

/// The long tests' table, for readers of the documentation.
fn write_long_table(places: &Places, tests: &[Test<Cluster>], outcomes: &[Outcome]) -> Result<()> {
    let long: Vec<_> =
        outcomes.iter().filter(|outcome| tests.iter().any(|test| test.long && test.name == outcome.name)).collect();
    if long.is_empty() {
        return Ok(());
    }
    let date = jiff::Zoned::now().date();
    let mut table = format!(
        "# Long tests\n\nWritten by `cargo e2e test --long` on {date}.\n\n| test | result | time |\n|---|---|---|\n"
    );
    for outcome in long {
        let result = if outcome.tally.failed.is_empty() { "passed" } else { "failed" };
        table += &format!("| {} | {result} | {} |\n", outcome.name, seconds(outcome.time));
    }
    fs::write(places.repository.join("docs/long-tests.md"), table).context("failed to write docs/long-tests.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_lines_are_summed_over_binaries() {
        let words = "test a::b ... ok\ntest c ... FAILED\ntest result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                     test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(tally_of_libtest(words), Tally { passed: 7, failed: vec!["c".to_owned()], skipped: 2 });
    }

    #[test]
    fn reasons_of_failures_are_kept_and_the_rest_is_not() {
        let words =
            "test x ... ok\nfailures:\n---- c ----\nwhy\n\nfailures:\n    c\n\ntest result: FAILED.\ntest y ... ok\n";
        let shown = failures_in(words);
        assert!(shown.contains("why") && !shown.contains("test y"));
    }

    #[test]
    fn a_pattern_selects_by_area_and_by_name() {
        let names = |only: &str| Selection { long: false, only: Some(only.to_owned()) }.names();
        assert_eq!(names("lint"), [FORMAT, CLIPPY]);
        assert_eq!(names("unit"), [UNIT]);
        assert!(names("cluster::smoke").len() > 1);
        assert_eq!(names("cluster").len(), names("cluster::").len());
        assert_eq!(names("clients").len(), names("clients::").len());
        for area in ["clients", "server"] {
            assert!(names(area).iter().all(|name| name.starts_with(&format!("{area}::"))));
        }
        assert_eq!(names("helm_lint"), ["cluster::installed::charts_pass_helm_lint"]);
        assert!(names("no such test").is_empty());
    }

    #[test]
    fn a_skipped_test_is_no_failure() {
        assert_eq!(Tally::of("t", &suite::skip("no browser")), Tally { skipped: 1, ..Tally::default() });
        assert_eq!(Tally::of("t", &Err(anyhow!("no").context("why"))).failed, ["t: why: no"]);
    }
}
