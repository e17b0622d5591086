//! Chromium, seen through chromedriver: the few commands of W3C WebDriver that the tests need.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use url::Url;

/// Until chromedriver listens, and until a page does what is waited for.
const START: Duration = Duration::from_secs(20);
const PAGE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Shift, as WebDriver's keyboard has it. It stays down to the end of what is typed.
pub(super) const SHIFT: &str = "\u{E008}";
pub(super) const ENTER: &str = "\u{E007}";
pub(super) const TAB: &str = "\u{E004}";
pub(super) const DOWN: &str = "\u{E015}";
/// Pictures taller than this are cut: they are for people to look at.
const TALLEST: f64 = 2400.0;

/// A page that takes longer to load, or a script to run, is a failure that says which.
const PAGE_LOAD: Duration = Duration::from_secs(45);

/// What the person has set for all pages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    /// As CSS calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// One of a browser's tabs.
pub(super) struct Tab(String);

/// A headless Chromium with an empty profile, and the driver that it answers to.
pub(super) struct Browser {
    driver: Child,
    http: reqwest::Client,
    /// `http://127.0.0.1:PORT/session/ID`, once there is a session.
    session: String,
    output: PathBuf,
    _profile: TempDir,
}

impl Browser {
    /// Gives a test a browser of its own and ends it, whatever the test says. Screenshots go to `output`; a failed
    /// test's last sight is kept as `NAME-failed.png`.
    pub(super) async fn with(output: PathBuf, name: &str, test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let browser = Self::start(output).await?;
        let mut result = test(&browser).await;
        if result.is_err() {
            let _ = browser.screenshot(&format!("{name}-failed")).await;
            let place = browser.url().await.map_or_else(|error| error.to_string(), |url| url.to_string());
            result = result.with_context(|| format!("the browser was at {place}"));
        }
        browser.close().await.and(result)
    }

    async fn start(output: PathBuf) -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start chromedriver; install chromium-driver")?;
        let port = timeout(START, port_of(&mut driver)).await.context("chromedriver did not start")??;
        let http = reqwest::Client::builder().no_proxy().timeout(PAGE).build()?;
        let mut browser =
            Self { driver, http, session: format!("http://127.0.0.1:{port}/session"), output, _profile: profile };
        let answer = browser.command(Method::POST, "", Some(browser.capabilities())).await?;
        let id = answer["sessionId"].as_str().context("chromedriver opened no session")?;
        browser.session = format!("{}/{id}", browser.session);
        Ok(browser)
    }

    fn capabilities(&self) -> Value {
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", self._profile.path().display()),
        ];
        json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"pageLoad": PAGE_LOAD.as_millis(), "script": PAGE_LOAD.as_millis()},
        }}})
    }

    async fn close(mut self) -> Result<()> {
        self.command(Method::DELETE, "", None).await.context("failed to close the browser")?;
        self.driver.kill().await.context("failed to end chromedriver")
    }

    pub(super) async fn goto(&self, url: &str) -> Result<()> {
        self.command(Method::POST, "/url", Some(json!({"url": url}))).await.map(|_| ())
    }

    pub(super) async fn url(&self) -> Result<Url> {
        let url = self.command(Method::GET, "/url", None).await?;
        Ok(Url::parse(url.as_str().context("an address is text")?)?)
    }

    /// Waits until the address' path is as wanted.
    pub(super) async fn await_path(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let end = Instant::now() + PAGE;
        while !wanted(self.url().await?.path()) {
            ensure!(Instant::now() < end, "the browser stays at {}", self.url().await?);
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits for an element that can be seen, by CSS selector; gives its id.
    pub(super) async fn find(&self, css: &str) -> Result<String> {
        let end = Instant::now() + PAGE;
        loop {
            if let Some(id) = self.shown(css).await? {
                return Ok(id);
            }
            ensure!(Instant::now() < end, "the page shows no {css}");
            sleep(POLL).await;
        }
    }

    /// Whether such an element can be seen now.
    pub(super) async fn shows(&self, css: &str) -> Result<bool> {
        Ok(self.shown(css).await?.is_some())
    }

    async fn shown(&self, css: &str) -> Result<Option<String>> {
        let query = json!({"using": "css selector", "value": css});
        let found = self.command(Method::POST, "/elements", Some(query)).await?;
        for element in found.as_array().into_iter().flatten() {
            let id = element[ELEMENT].as_str().context("an element has an id")?;
            // It may have gone since it was found.
            let shown = self.command(Method::GET, &format!("/element/{id}/displayed"), None).await;
            if shown.is_ok_and(|shown| shown == true) {
                return Ok(Some(id.to_owned()));
            }
        }
        Ok(None)
    }

    /// Clicks until the element is gone: a button that a script brings to life may not hear the first one.
    pub(super) async fn click_away(&self, css: &str) -> Result<()> {
        self.find(css).await?;
        let end = Instant::now() + PAGE;
        while self.shows(css).await? {
            ensure!(Instant::now() < end, "the page still shows {css}");
            // It may have gone by itself.
            let _ = self.press(css).await;
            sleep(5 * POLL).await;
        }
        Ok(())
    }

    async fn press(&self, css: &str) -> Result<()> {
        self.script("document.querySelector(args[0])?.click()", json!([css])).await.map(|_| ())
    }

    pub(super) async fn click(&self, css: &str) -> Result<()> {
        let id = self.find(css).await?;
        self.command(Method::POST, &format!("/element/{id}/click"), Some(json!({}))).await.map(|_| ())
    }

    pub(super) async fn type_into(&self, css: &str, text: &str) -> Result<()> {
        let id = self.find(css).await?;
        self.command(Method::POST, &format!("/element/{id}/value"), Some(json!({"text": text}))).await.map(|_| ())
    }

    /// Types whatever has the focus.
    pub(super) async fn press_keys(&self, keys: &str) -> Result<()> {
        let focused = self.command(Method::GET, "/element/active", None).await?;
        let id = focused[ELEMENT].as_str().context("an element has an id")?;
        self.command(Method::POST, &format!("/element/{id}/value"), Some(json!({"text": keys}))).await.map(|_| ())
    }

    /// Shows pages in this scheme and width, in CSS pixels.
    pub(super) async fn look_as(&self, scheme: Scheme, width: u32) -> Result<()> {
        let metrics = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
        let features = json!([{"name": "prefers-color-scheme", "value": scheme.name()}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await.map(|_| ())
    }

    /// Keeps the page, below the window's edge too, as `NAME.png`.
    pub(super) async fn whole_page(&self, name: &str) -> Result<()> {
        let size = &self.devtools("Page.getLayoutMetrics", json!({})).await?["cssContentSize"];
        let height = size["height"].as_f64().unwrap_or_default().min(TALLEST);
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1});
        let image =
            self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip})).await?;
        self.keep(name, image["data"].as_str().context("a screenshot is text")?)
    }

    async fn devtools(&self, command: &str, params: Value) -> Result<Value> {
        let command = json!({"cmd": command, "params": params});
        self.command(Method::POST, "/goog/cdp/execute", Some(command)).await
    }

    /// Waits until an element shows a text.
    pub(super) async fn await_text(&self, css: &str, wanted: &str) -> Result<()> {
        let end = Instant::now() + PAGE;
        loop {
            let id = self.find(css).await?;
            let text = self.command(Method::GET, &format!("/element/{id}/text"), None).await.unwrap_or_default();
            if text.as_str().is_some_and(|text| text.contains(wanted)) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{css} shows {text}, not {wanted}");
            sleep(POLL).await;
        }
    }

    /// Runs the body of an async function in the page; gives what it returns.
    pub(super) async fn script(&self, body: &str, args: Value) -> Result<Value> {
        let script = format!(
            "const done = arguments[arguments.length - 1], args = arguments;
             (async () => {{ {body} }})().then(value => done([value]), error => done(String(error)));"
        );
        let answer =
            self.command(Method::POST, "/execute/async", Some(json!({"script": script, "args": args}))).await?;
        match answer {
            Value::Array(mut value) if !value.is_empty() => Ok(value.remove(0)),
            error => bail!("the page's script failed: {error}"),
        }
    }

    /// The cookies that the page's own path gets, as the browser keeps them: `name`, `path`, `httpOnly`, `secure`, `expiry`.
    pub(super) async fn cookies(&self) -> Result<Vec<Value>> {
        let cookies = self.command(Method::GET, "/cookie", None).await?;
        cookies.as_array().cloned().context("cookies are a list")
    }

    /// What the browser's console said since it was asked last, with its `level`, `source` and `message`.
    pub(super) async fn console(&self) -> Result<Vec<Value>> {
        let entries = self.command(Method::POST, "/se/log", Some(json!({"type": "browser"}))).await?;
        entries.as_array().cloned().context("a console is a list")
    }

    /// The tab that commands go to.
    pub(super) async fn tab(&self) -> Result<Tab> {
        let handle = self.command(Method::GET, "/window", None).await?;
        handle.as_str().map(|handle| Tab(handle.to_owned())).context("a tab has a handle")
    }

    /// Opens another tab; commands go to it from now on.
    pub(super) async fn open_tab(&self) -> Result<Tab> {
        let window = self.command(Method::POST, "/window/new", Some(json!({"type": "tab"}))).await?;
        let tab = Tab(window["handle"].as_str().context("a tab has a handle")?.to_owned());
        self.switch_to(&tab).await?;
        Ok(tab)
    }

    pub(super) async fn switch_to(&self, tab: &Tab) -> Result<()> {
        self.command(Method::POST, "/window", Some(json!({"handle": tab.0}))).await.map(|_| ())
    }

    /// Keeps what is to be seen as `NAME.png`.
    pub(super) async fn screenshot(&self, name: &str) -> Result<()> {
        let image = self.command(Method::GET, "/screenshot", None).await?;
        self.keep(name, image.as_str().context("a screenshot is text")?)
    }

    fn keep(&self, name: &str, image: &str) -> Result<()> {
        fs::write(self.output.join(format!("{name}.png")), BASE64_STANDARD.decode(image)?)?;
        Ok(())
    }

    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.context("failed to ask chromedriver")?;
        let (status, mut answer) = (response.status(), response.json::<Value>().await?);
        let value = answer["value"].take();
        ensure!(status.is_success(), "chromedriver refused {path}: {}: {}", value["error"], value["message"]);
        Ok(value)
    }
}

/// chromedriver chooses a free port and says which.
async fn port_of(driver: &mut Child) -> Result<u16> {
    let words = driver.stdout.as_mut().context("a piped standard output")?;
    let mut lines = BufReader::new(words).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().context("chromedriver's port");
        }
    }
    bail!("chromedriver ended before it listened")
}
