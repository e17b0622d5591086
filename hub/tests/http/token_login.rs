//! `?token=` in addresses of the hub's pages and of servers (S6, S16, S18), on its way through the real proxy where a
//! server runs.

use axum::http::{Method, StatusCode};
use reqwest::{Client, redirect::Policy};
use std::fs;
use url::Url;

use crate::{
    browser::Browser,
    test_hub::{ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

/// A server that writes down the addresses that it is asked for.
const RECORDER: &str = "
import http.server, os, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(os.environ['JUPYTERHUB_USER'] + '.requests', 'a') as out:
            out.write(self.path + '\\n')
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'{}')
    def log_message(self, *args):
        pass
port = urllib.parse.urlsplit(os.environ['JUPYTERHUB_SERVICE_URL']).port
http.server.ThreadingHTTPServer(('127.0.0.1', port), Answer).serve_forever()
";

/// Whom the hub's pages show to be logged in.
async fn user(browser: &mut Browser<'_>) -> Option<String> {
    let home = browser.get("/hub/home").await;
    let name = home.text.split_once("<span>").and_then(|(_, rest)| Some(rest.split_once("</span>")?.0.to_owned()));
    name.filter(|_| home.status == StatusCode::OK)
}

#[tokio::test]
async fn a_token_in_the_address_of_any_page_logs_in_and_leaves_the_address_s6_s18() {
    let hub = TestHub::new().await;
    for (address, expected) in [
        ("/hub/home?token=T", "/hub/home"),
        ("/hub/?token=T", "/hub/"),
        ("/hub/token?token=T", "/hub/token"),
        (
            "/hub/spawn/alice?opt-size=big&token=T&next=%2Fuser%2Falice%2F%3Fa",
            "/hub/spawn/alice?opt-size=big&next=%2Fuser%2Falice%2F%3Fa",
        ),
        ("/hub/login?next=%2Fhub%2Fhome&token=T", "/hub/login?next=%2Fhub%2Fhome"),
        ("/hub/user/alice/tree?token=T", "/user/alice/tree"),
        ("/hub/user/alice/tree/x%20y?a=b+c&token=T&d", "/user/alice/tree/x%20y?a=b+c&d"),
        ("/hub/no-such-page?token=T", "/hub/no-such-page"),
    ] {
        let mut browser = hub.browser();
        let answer = browser.get(&address.replace("=T", &format!("={ALICE_TOKEN}"))).await;
        assert_eq!(answer.location(), expected, "{address}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{address}");
        assert_eq!(user(&mut browser).await.as_deref(), Some("alice"), "{address}");
    }
}

/// What no server's route takes comes to the hub: the root, and a server that does not run.
#[tokio::test]
async fn a_token_at_the_root_or_at_a_stopped_server_comes_to_the_hub_s6() {
    for (base_url, root) in [("/", "/"), ("/jupyter/", "/jupyter/")] {
        let hub = TestHub::with(Settings { base_url, ..Settings::default() }).await;
        let login = |path: &str| format!("{root}{path}?token={ALICE_TOKEN}");
        for (path, inside, without) in
            [("", "hub/", "hub/"), ("user/alice/tree", "hub/user/alice/tree", "user/alice/tree")]
        {
            let mut browser = hub.browser();
            let first = browser.get(&login(path)).await.location().to_owned();
            assert_eq!(first, login(inside));
            assert_eq!(browser.get(&first).await.location(), format!("{root}{without}"));
        }
    }
}

#[tokio::test]
async fn a_page_asks_first_if_somebody_else_is_logged_in() {
    let hub = TestHub::new().await;
    for page in ["/hub/home?a=1", "/hub/user/alice/tree?a=1"] {
        let mut browser = hub.logged_in(BOB_TOKEN).await;
        browser.headers.extend([("sec-fetch-site", "none".into()), ("sec-fetch-mode", "navigate".into())]);
        let asked = browser.get(&format!("{page}&token={ALICE_TOKEN}")).await;
        assert_eq!(asked.status, StatusCode::OK);
        assert!(
            asked.text.contains("You are logged in as bob") && asked.text.contains("Log in as alice"),
            "{}",
            asked.text
        );
        assert_eq!(asked.header("cache-control"), "no-store", "the page holds the token");
        assert_eq!(user(&mut browser).await.as_deref(), Some("bob"), "asking changes nothing");

        let without = browser.clone().post("/hub/login", &[("token", ALICE_TOKEN)]).await;
        assert_eq!(without.status, StatusCode::FORBIDDEN, "a form of another site");
        let agreed = browser.agree_to_login(&asked).await;
        assert_eq!(agreed.location(), page.replace("/hub/user", "/user"));
        assert_eq!(user(&mut browser).await.as_deref(), Some("alice"));
        let again = browser.get(&format!("{page}&token={ALICE_TOKEN}")).await;
        assert_eq!(again.location(), agreed.location(), "the same person is asked nothing");
    }
}

#[tokio::test]
async fn neither_a_head_request_nor_a_prefetch_logs_in() {
    let hub = TestHub::new().await;
    let login = format!("/hub/home?token={ALICE_TOKEN}");
    let mut browser = hub.browser();
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        let answer = browser.request(Method::GET, &login, &[(name, value)], None).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{name}: {value}");
        assert!(answer.set_cookies("jupyterhub-hub-login").is_empty());
    }
    let answer = browser.request(Method::HEAD, &login, &[], None).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(user(&mut browser).await, None);
    assert_eq!(browser.get(&login).await.location(), "/hub/home");
}

#[tokio::test]
async fn a_wrong_token_in_the_address_shows_the_form_and_keeps_the_way_back() {
    let hub = TestHub::new().await;
    for (page, action) in [
        ("/hub/home?token=wrong-wrong", "/hub/login?next=%2Fhub%2Fhome"),
        ("/hub/user/alice/x?token=wrong-wrong", "/hub/login?next=%2Fhub%2Fuser%2Falice%2Fx%3Ftoken%3Dwrong-wrong"),
        ("/hub/login?next=%2Fhub%2Fhome&token=wrong-wrong", "/hub/login?next=%2Fhub%2Fhome"),
    ] {
        let mut browser = hub.browser();
        let answer = browser.get(page).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{page}");
        assert!(answer.text.contains("Invalid token"), "{}", answer.text);
        assert!(answer.text.contains(&format!("action=\"{action}\"")), "{}", answer.text);
        assert_eq!(user(&mut browser).await, None);
    }
}

#[tokio::test]
async fn the_form_of_a_hub_with_tokens_has_no_field_for_a_name_s7() {
    let hub = TestHub::new().await;
    let page = hub.browser().get("/hub/login").await;
    assert!(page.text.contains("name=\"password\"") && !page.text.contains("username"), "{}", page.text);
    let hub = TestHub::with(Settings { dummy_password: Some("open sesame"), ..Settings::default() }).await;
    assert!(hub.browser().get("/hub/login").await.text.contains("name=\"username\""));
}

/// A browser at the proxy: with cookies, and one redirect at a time.
struct AtProxy<'a> {
    hub: &'a TestHub,
    client: Client,
}

impl<'a> AtProxy<'a> {
    fn new(hub: &'a TestHub) -> Self {
        let client = hub_server::http_client().cookie_store(true).no_proxy().redirect(Policy::none()).build().unwrap();
        Self { hub, client }
    }

    /// The status, and where a redirect leads: path and query.
    async fn get(&self, path: &str, accept: &str) -> (StatusCode, String) {
        let url = Url::parse(&self.hub.proxy_url).unwrap().join(path).unwrap();
        let answer = self.client.get(url.clone()).header("accept", accept).send().await.unwrap();
        let location = answer.headers().get("location").map(|to| url.join(to.to_str().unwrap()).unwrap());
        let place = location.map(|to| to[url::Position::BeforePath..].to_owned()).unwrap_or_default();
        (answer.status(), place)
    }

    /// Follows redirects to their end; every address on the way, the first one included.
    async fn visit(&self, path: &str) -> (StatusCode, Vec<String>) {
        let mut way = vec![path.to_owned()];
        loop {
            let (status, place) = self.get(way.last().unwrap(), "text/html,*/*;q=0.8").await;
            if place.is_empty() {
                return (status, way);
            }
            way.push(place);
            assert!(way.len() < 10, "{way:?}");
        }
    }
}

/// A user's server is a program of that user's. A token with which somebody logs in at the hub is none of its business, so
/// that it can neither keep it nor outlive its end.
#[tokio::test]
async fn a_token_at_a_running_server_logs_in_at_the_hub_and_never_reaches_the_server_s6() {
    let hub = TestHub::with(Settings { server: RECORDER, ..Settings::default() }).await;
    hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, None).await;
    hub.becomes_ready("alice", ALICE_TOKEN).await;
    let browser = AtProxy::new(&hub);
    let (status, way) = browser.visit(&format!("/user/alice/tree?a=b&token={ALICE_TOKEN}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(way[1..], [format!("/hub/user/alice/tree?a=b&token={ALICE_TOKEN}"), "/user/alice/tree?a=b".into()]);
    assert_eq!(browser.get("/hub/home", "text/html").await.0, StatusCode::OK, "logged in");

    // A wrong one shows the hub's form.
    let (status, way) = AtProxy::new(&hub).visit("/user/alice/tree?token=wrong-wrong").await;
    assert_eq!((status, way.len()), (StatusCode::FORBIDDEN, 2));

    // A token of what runs behind the server is not the hub's: it arrives, once the visitor is known.
    let (status, way) = browser.visit("/user/alice/proxy/8888/lab?token=another-programs-token").await;
    assert_eq!((status, way.len()), (StatusCode::OK, 3));
    assert_eq!(way[2], "/user/alice/proxy/8888/lab?token=another-programs-token&redirects=1");
    let (status, _) = browser.get("/user/alice/api/contents?token=a-programs-token", "application/json").await;
    assert_eq!(status, StatusCode::OK, "what a script asks for goes straight to the server");

    let seen = fs::read_to_string(hub.path("alice.requests")).unwrap();
    assert!(seen.contains("/user/alice/tree?a=b\n") && seen.contains("another-programs-token"), "{seen}");
    assert!(!seen.contains(ALICE_TOKEN), "{seen}");
}

/// Only where people log in with tokens.
#[tokio::test]
async fn servers_of_a_hub_without_login_tokens_get_every_token() {
    let settings = || Settings { server: RECORDER, ..Settings::default() };
    let hub = TestHub::with(Settings { dummy_password: Some("open sesame"), ..settings() }).await;
    let alice = hub.app.database.user_by_name("alice").await.unwrap().unwrap();
    hub.app.servers.start(&alice, "", None).await.unwrap();
    let mut browser = hub.browser();
    browser.log_in("/hub/login", "alice", "open sesame").await;
    let events = browser.get("/hub/api/users/alice/server/progress").await;
    assert!(events.text.contains("\"ready\":true"), "{}", events.text);
    let (status, way) = AtProxy::new(&hub).visit("/user/alice/tree?token=a-programs-token").await;
    assert_eq!((status, way.len()), (StatusCode::OK, 1));
}
