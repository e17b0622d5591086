//! The browser that `hub server --browser` opens: an additional token that works once (S10-S13). The real server gives
//! the browser its own token.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use reqwest::{
    Method, RequestBuilder, Response,
    header::{AUTHORIZATION, LOCATION, SET_COOKIE},
};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::{
    http::client,
    jupyter_server::{Home, JupyterServer, Side, is_generated},
    servers::Servers,
    suite::{browser::run_a_cell, person::Person, webdriver::Browser},
    upstream::{BODY, Upstream},
};

/// Until the browser was started.
const OPENED: Duration = Duration::from_secs(30);
/// Longer than the token is good for.
const TOO_LATE: Duration = Duration::from_secs(305);
/// Who races for one token, and how often.
const AT_ONCE: usize = 20;
const RACES: usize = 5;

/// A server that opened a browser.
struct Launched {
    server: JupyterServer,
    /// What the browser was told to open.
    file: PathBuf,
    /// Where that leads.
    url: Url,
    home: Home,
}

impl Launched {
    /// The browser is a script that writes down what it is called with.
    async fn start(servers: &Servers, args: &[&str]) -> Result<Self> {
        let home = Home::new()?;
        let (script, opened) = (home.path().join("browser"), home.path().join("opened"));
        fs::write(&script, format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {0}.new\nmv {0}.new {0}\n", opened.display()))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let browser = script.to_string_lossy();
        let server =
            servers.start(Side::Ours, &home, &[&["--browser"], args].concat(), &[("BROWSER", &browser)]).await?;
        await_file(&opened).await.with_context(|| server.last_words())?;
        let argument = fs::read_to_string(opened)?;
        let file = Url::parse(argument.trim()).ok().and_then(|url| url.to_file_path().ok());
        let file = file.with_context(|| format!("the browser is called with {argument}"))?;
        let page = fs::read_to_string(&file)?;
        let (_, url) = page.split_once("url=").context("the file leads nowhere")?;
        let url = Url::parse(url.split('"').next().unwrap_or_default())?;
        Ok(Self { server, file, url, home })
    }

    async fn guard(servers: &Servers, upstream: &Upstream) -> Result<Self> {
        Self::start(servers, &["--upstream", &upstream.url()]).await
    }

    fn token(&self) -> Result<String> {
        let token = self.url.query_pairs().find(|(name, _)| name == "token");
        token.map(|(_, token)| token.into_owned()).context("the file holds no token")
    }

    /// Opens the launch address as a browser does that was never there.
    fn visit(&self, method: Method) -> Result<RequestBuilder> {
        let request = client(None)?.request(method, self.url.clone());
        Ok(request.header("Accept", "text/html").header("Sec-Fetch-Mode", "navigate"))
    }
}

async fn await_file(file: &Path) -> Result<()> {
    let end = Instant::now() + OPENED;
    while !file.exists() {
        ensure!(Instant::now() < end, "no browser was opened");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn is_logged_in(answer: &Response) -> bool {
    answer.headers().contains_key(SET_COOKIE) && location(answer) == "/"
}

fn is_sent_to_login(answer: &Response) -> bool {
    !answer.headers().contains_key(SET_COOKIE) && location(answer).starts_with("/login?")
}

fn location(answer: &Response) -> &str {
    answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// From the file through the token into JupyterLab, and back by the cookie alone.
pub(super) async fn jupyterlab_opens_by_the_launch_token_and_then_by_cookie_s10_s12_s13_s18(
    servers: &Servers,
) -> Result<()> {
    let launched = Launched::start(servers, &[]).await?;
    let tested = Browser::with(servers.output()?, "server-lab", async |browser| {
        browser.goto(Url::from_file_path(&launched.file).ok().context("a file has an address")?.as_str()).await?;
        browser.await_path(|path| path == "/lab").await.context("the file does not lead to JupyterLab")?;
        let url = browser.url().await?;
        ensure!(url.query().is_none_or(str::is_empty), "the address stays {url}");
        run_a_cell(browser).await?;
        let cookies = browser.cookies().await?;
        let name = format!("username-127-0-0-1-{}", launched.server.port());
        let login = cookies.iter().find(|cookie| cookie["name"] == *name).context("there is no login cookie")?;
        ensure!(login["path"] == "/" && login["httpOnly"] == true && login["sameSite"] == "Lax", "{login}");
        // What is open goes on by the cookie, and so does whatever is opened later, the spent token or not.
        for address in [&format!("{}/lab", launched.server.origin), launched.url.as_str()] {
            browser.goto(address).await?;
            browser.await_path(|path| path.starts_with("/lab")).await.context("the cookie does not go on working")?;
            browser.find("#jp-main-dock-panel").await?;
        }
        Ok(())
    });
    tested.await.with_context(|| launched.server.last_words())?;
    let elsewhere = Person::new("grace", &launched.server.origin)?;
    let refused = elsewhere.visit(launched.url.as_str()).await?;
    ensure!(refused.path() == "/login", "a second browser is led to {}", refused.url);
    launched.server.stop().await
}

/// S10: one more token, seen by nobody else; the server's own one is none of the browser's business.
pub(super) async fn the_launch_token_is_an_additional_one_that_nobody_else_sees_s10(servers: &Servers) -> Result<()> {
    let upstream = Upstream::start().await?;
    let launched = Launched::guard(servers, &upstream).await?;
    let token = launched.token()?;
    ensure!(is_generated(&token) && token != launched.server.token(), "the launch token is {token}");
    ensure!(launched.file.starts_with(launched.home.runtime()), "the file is {}", launched.file.display());
    let mode = fs::metadata(&launched.file)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "others can read the file: {mode:o}");
    ensure!(!launched.server.log().contains(&token), "the log has the launch token");
    for process in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let shown = String::from_utf8_lossy(&command);
        ensure!(!shown.contains(&token), "a command line has the launch token: {shown}");
    }
    // It opens one browser, and is no token for anything else.
    let http = client(None)?;
    let header = http.get(&launched.server.origin).header(AUTHORIZATION, format!("token {token}")).send().await?;
    ensure!(header.text().await? != BODY, "the launch token counts as the server's own");
    let file = launched.file.clone();
    ensure!(is_logged_in(&launched.visit(Method::GET)?.send().await?), "the launch token was spent by a header");
    let end = Instant::now() + OPENED;
    while file.exists() {
        ensure!(Instant::now() < end, "the file outlives what it holds");
        sleep(Duration::from_millis(10)).await;
    }
    launched.server.stop().await
}

/// S11, S13: whoever is first is let in, and nobody else.
pub(super) async fn of_twenty_simultaneous_first_uses_one_gets_a_cookie_s11_s13(servers: &Servers) -> Result<()> {
    let upstream = Upstream::start().await?;
    for _ in 0..RACES {
        let launched = Launched::guard(servers, &upstream).await?;
        let visits = (0..AT_ONCE).map(|_| Ok(launched.visit(Method::GET)?.send())).collect::<Result<Vec<_>>>()?;
        let answers = try_join_all(visits).await?;
        let winners = answers.iter().filter(|answer| is_logged_in(answer)).count();
        let losers = answers.iter().filter(|answer| is_sent_to_login(answer)).count();
        ensure!((winners, losers) == (1, AT_ONCE - 1), "{winners} get a cookie and {losers} are sent to the login");
        launched.server.stop().await?;
    }
    Ok(())
}

/// What looks at addresses before a person opens them.
pub(super) async fn looking_ahead_does_not_spend_the_launch_token_s11(servers: &Servers) -> Result<()> {
    let upstream = Upstream::start().await?;
    let launched = Launched::guard(servers, &upstream).await?;
    let looks = [
        launched.visit(Method::HEAD)?,
        launched.visit(Method::OPTIONS)?,
        launched.visit(Method::POST)?,
        launched.visit(Method::GET)?.header("Sec-Purpose", "prefetch"),
        launched.visit(Method::GET)?.header("Sec-Purpose", "prefetch;prerender"),
        launched.visit(Method::GET)?.header("Sec-Purpose", "prefetch;anonymous-client-ip"),
        launched.visit(Method::GET)?.header("Purpose", "prefetch"),
        launched.visit(Method::GET)?.header("X-Moz", "prefetch"),
    ];
    for look in looks {
        let shown = format!("{look:?}");
        let answer = look.send().await?;
        ensure!(!answer.headers().contains_key(SET_COOKIE), "it is logged in: {shown}");
        ensure!(answer.text().await? != BODY, "it sees what is guarded: {shown}");
    }
    ensure!(is_logged_in(&launched.visit(Method::GET)?.send().await?), "the launch token is spent");
    ensure!(is_sent_to_login(&launched.visit(Method::GET)?.send().await?), "the launch token works twice");
    launched.server.stop().await
}

/// A token that no browser brought is no way in for ever.
pub(super) async fn an_unused_launch_token_expires_s11(servers: &Servers) -> Result<()> {
    let upstream = Upstream::start().await?;
    let launched = Launched::guard(servers, &upstream).await?;
    sleep(TOO_LATE).await;
    ensure!(!launched.file.exists(), "the file outlives what it holds");
    ensure!(is_sent_to_login(&launched.visit(Method::GET)?.send().await?), "the launch token does not expire");
    launched.server.stop().await
}
