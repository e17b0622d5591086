//! Every page of the hub in Chromium, as people see it: light and dark, wide and on a phone, by keyboard alone, and as axe
//! judges it for people with disabilities. Screenshots are what a person looks at afterwards.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    clients::Clients,
    environments::Version,
    local_hub::LocalHub,
    suite::webdriver::{Browser, DOWN, ENTER, Scheme, TAB},
};

/// What the administrator of the previewed Hub has written.
const PREVIEW: &str = "preview.yaml";
/// Widths of a screen and of a phone, in CSS pixels.
const WIDTHS: [u32; 2] = [1280, 360];
/// What a page must not make more of: the width that it has.
const OVERFLOW: &str = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
/// Violations that stand in somebody's way.
const AXE: &str = "
    const found = await axe.run();
    return found.violations.filter(it => it.impact === 'serious' || it.impact === 'critical')
        .map(it => `${it.impact} ${it.id}: ${it.nodes.slice(0, 3).map(node => node.html.slice(0, 200)).join(' | ')}`);";
/// Tabs from one element to the next before a person gives up.
const MOST_TABS: usize = 40;

pub(super) async fn every_page_is_fit_to_be_seen_and_accessible(clients: &Clients) -> Result<()> {
    let axe = axe(clients).await?;
    with_preview(clients, "pages", async |browser, hub| {
        let look = Look { browser, axe: &axe };
        browser.goto(&format!("{}/hub/login", hub.base_url)).await?;
        look.at("login").await?;
        browser.type_into("input[name=password]", &format!("wrong{ENTER}")).await?;
        browser.find("[role=alert]").await?;
        look.at("login-refused").await?;
        browser.type_into("input[name=password]", &format!("{}{ENTER}", hub.token)).await?;
        browser.await_path(|path| path == "/hub/spawn").await?;
        spawn_pages(&look, hub).await?;
        other_pages(&look, hub).await
    })
    .await
}

/// The form, what it refuses, and the start that it leads to.
async fn spawn_pages(look: &Look<'_>, hub: &LocalHub) -> Result<()> {
    let browser = look.browser;
    browser.click("input[value=large]").await?;
    let select = "document.querySelector('select[name=profile-option-large--image]').value = 'unlisted-choice'";
    browser.script(select, json!([])).await?;
    look.at("spawn").await?;
    browser.type_into(".unlisted input", &format!("evil.example/image{ENTER}")).await?;
    browser.find("[role=alert]").await?;
    look.at("spawn-refused").await?;
    browser.goto(&format!("{}/hub/home", hub.base_url)).await?;
    look.at("home-stopped").await?;
    browser.goto(&format!("{}/hub/spawn?profile=small", hub.base_url)).await?;
    look.at_once("starting").await?;
    browser.await_path(|path| path.starts_with("/user/ada/")).await?;
    browser.console().await.map(drop) // what the server's pages say is theirs
}

async fn other_pages(look: &Look<'_>, hub: &LocalHub) -> Result<()> {
    let (browser, base) = (look.browser, &hub.base_url);
    let students: Vec<_> = (0..60).map(|number| format!("student{number:02}")).collect();
    let long = "a-name-of-some-length@physics.example.org";
    ask(hub, Method::POST, "/users", &json!({"usernames": ["grace", long]})).await?;
    ask(hub, Method::POST, "/users", &json!({"usernames": students})).await?;
    ask(hub, Method::POST, "/groups/ml", &json!({"users": ["grace"]})).await?;
    ask(hub, Method::PUT, "/users/ada/servers/thesis", &json!({"display_name": "My thesis"})).await?;
    ask(hub, Method::PUT, "/users/ada/servers/lab", &json!({})).await?;
    let code = ask(hub, Method::POST, "/share-codes/grace/", &json!({})).await?;
    let share = code["accept_url"].as_str().context("a share code has an address")?.to_owned();
    // The server's OAuth client is there while it starts.
    ask(hub, Method::POST, "/users/grace/server", &json!({})).await?;
    let authorize = "/hub/api/oauth2/authorize?client_id=jupyterhub-user-grace&response_type=code&redirect_uri=/user/grace/oauth_callback";
    for (name, path, heading) in [
        ("authorize", authorize, "Allow access?"),
        ("home", "/hub/home", "Your server"),
        ("admin", "/hub/admin", "Users"),
        ("admin-searched", "/hub/admin?name_filter=student&sort=name&offset=50", "Users"),
        ("admin-delete", "/hub/admin/delete?user=grace", "Delete grace?"),
        ("not-running", "/hub/user/student00/", "The server of student00 is not running"),
        ("accept-share", &share, "Accept a share?"),
        ("error", "/hub/no-such-page", "404: Not Found"),
        ("token", "/hub/token", "API tokens"),
    ] {
        browser.goto(&format!("{base}{path}")).await?;
        browser.await_text("h1", heading).await?;
        look.at(name).await?;
        if browser.shows(".menu > summary").await? {
            browser.click(".menu > summary").await?;
            look.at(&format!("{name}-menu")).await?;
        }
    }
    ask(hub, Method::DELETE, "/users/grace/server", &json!({})).await?;
    browser.type_into("#token-note", &format!("Nightly reports{ENTER}")).await?;
    browser.find("#token-result").await?;
    look.at("token-made").await
}

/// Nobody needs a mouse: to log in, choose, start and find the way home.
pub(super) async fn the_way_to_a_server_is_walked_by_keyboard(clients: &Clients) -> Result<()> {
    with_preview(clients, "pages-keyboard", async |browser, hub| {
        browser.goto(&format!("{}/hub/login", hub.base_url)).await?;
        // The field has the focus when the page opens.
        browser.press_keys(&format!("{}{ENTER}", hub.token)).await?;
        browser.await_path(|path| path == "/hub/spawn").await?;
        tab_to(browser, ".skip").await?;
        browser.press_keys(ENTER).await?;
        tab_to(browser, "input[name=profile]:checked").await?;
        browser.press_keys(DOWN).await?;
        ensure!(
            browser.shows("select[name=profile-option-large--image]").await?,
            "the choices of a profile do not show"
        );
        tab_to(browser, "select[name=profile-option-large--image]").await?;
        tab_to(browser, "#start").await?;
        browser.press_keys(ENTER).await?;
        browser.await_path(|path| path == "/hub/spawn-pending/ada").await?;
        tab_to(browser, "#progress-cancel button").await?;
        browser.press_keys(ENTER).await?;
        browser.await_path(|path| path == "/hub/home").await?;
        tab_to(browser, "header nav a[href='/hub/admin']").await?;
        browser.press_keys(ENTER).await?;
        browser.await_path(|path| path == "/hub/admin").await?;
        tab_to(browser, "#name_filter").await?;
        browser.press_keys(&format!("ad{ENTER}")).await?;
        browser.await_text("nav.pages", "1\u{2013}1 of 1").await
    })
    .await
}

/// Presses Tab until an element has the focus, which is to be seen.
async fn tab_to(browser: &Browser, css: &str) -> Result<()> {
    const HAS_FOCUS: &str = "
        const it = document.activeElement;
        return it.matches(args[0]) && getComputedStyle(it).outlineStyle !== 'none';";
    for _ in 0..MOST_TABS {
        browser.press_keys(TAB).await?;
        if browser.script(HAS_FOCUS, json!([css])).await? == true {
            return Ok(());
        }
    }
    anyhow::bail!("Tab does not lead to {css}")
}

/// A browser that looks at pages.
struct Look<'a> {
    browser: &'a Browser,
    axe: &'a str,
}

impl Look<'_> {
    /// Judges a page in each of its looks, and keeps a picture of each.
    async fn at(&self, name: &str) -> Result<()> {
        for scheme in [Scheme::Light, Scheme::Dark] {
            for width in WIDTHS {
                self.browser.look_as(scheme, width).await?;
                self.judge(&format!("page-{name}-{}-{width}", scheme.name())).await?;
            }
        }
        self.complaints(name).await
    }

    /// The same for a page that soon leads on.
    async fn at_once(&self, name: &str) -> Result<()> {
        self.browser.look_as(Scheme::Light, WIDTHS[0]).await?;
        self.judge(&format!("page-{name}-light-{}", WIDTHS[0])).await?;
        self.complaints(name).await
    }

    async fn judge(&self, name: &str) -> Result<()> {
        let overflow = self.browser.script(OVERFLOW, json!([])).await?;
        ensure!(overflow.as_i64() <= Some(0), "{name} is {overflow} pixels wider than the window");
        // Scripts of WebDriver's are none of the page's: its policy lets no other in.
        self.browser.script(self.axe, json!([])).await?;
        let violations = self.browser.script(AXE, json!([])).await?;
        ensure!(violations == json!([]), "axe finds in {name}: {violations:#}");
        self.browser.whole_page(name).await
    }

    async fn complaints(&self, name: &str) -> Result<()> {
        let said = self.browser.console().await?;
        // That a page of an error comes with that error's status is none.
        let is_complaint = |entry: &&Value| entry["level"] == "SEVERE" && entry["source"] != "network";
        let complaints: Vec<_> = said.iter().filter(is_complaint).collect();
        ensure!(complaints.is_empty(), "the console says at {name}: {complaints:?}");
        Ok(())
    }
}

/// A hub with what a preview shows, and a browser.
async fn with_preview(
    clients: &Clients,
    name: &str,
    test: impl AsyncFnOnce(&Browser, &LocalHub) -> Result<()>,
) -> Result<()> {
    let output = clients.output()?;
    let preview = clients.file(PREVIEW).display().to_string();
    clients
        .with_flags(name, Version::V6, &["--preview", &preview], async |hub| {
            Browser::with(output, name, async |browser| test(browser, hub).await).await
        })
        .await
}

/// A request to the REST API in the administrator's name.
async fn ask(hub: &LocalHub, method: Method, path: &str, body: &Value) -> Result<Value> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.request(method, format!("{}/hub/api{path}", hub.base_url)).json(body);
    let response = request.header("authorization", format!("token {}", hub.token)).send().await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "{path}: {status} {text}");
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// axe's script, from the locked version.
async fn axe(clients: &Clients) -> Result<String> {
    let file: PathBuf = clients.axe().await?;
    fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))
}
