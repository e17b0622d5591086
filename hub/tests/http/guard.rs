//! A server whose guard is ours, in front of a program that knows nothing of hubs: with this hub as the OAuth provider,
//! over real HTTP.

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use futures::{SinkExt, StreamExt};
use hub_proxy::{Bind, GateConfig, ProxyConfig};
use hub_server::guard::{Environment, Guard};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, http},
};
use tokio_util::sync::CancellationToken;

use crate::{
    browser::{Answer, Browser},
    oauth,
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

/// What the hub starts: it only tells its environment, and the test starts the server.
const TELLS: &str = "
import json, os, time
with open(os.environ['JUPYTERHUB_USER'] + '.json.new', 'w') as out:
    json.dump(dict(os.environ), out)
os.rename(os.environ['JUPYTERHUB_USER'] + '.json.new', os.environ['JUPYTERHUB_USER'] + '.json')
time.sleep(600)
";

/// A program that knows nothing of hubs, but for the note that tests of any server read. It shows what it got.
const PROGRAM: &str = "
import http.server, json, os, sys
with open(os.environ['JUPYTERHUB_USER'] + '.json.new', 'w') as out:
    json.dump(dict(os.environ, PROGRAM_PORT=sys.argv[1]), out)
os.rename(os.environ['JUPYTERHUB_USER'] + '.json.new', os.environ['JUPYTERHUB_USER'] + '.json')
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        text = json.dumps({'program': True, 'method': self.command, 'target': self.path, 'headers': headers}).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.send_header('Set-Cookie', 'jupyterhub-user-alice=gone; Path=/user/alice/')
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Answer).serve_forever()
";

/// A hub, and alice's guarded server.
struct Guarded {
    hub: TestHub,
    environment: BTreeMap<String, String>,
    line: Line,
    stopping: CancellationToken,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Guarded {
    async fn new() -> Self {
        Self::with(Settings::default(), &[]).await
    }

    async fn with(settings: Settings, variables: &[(&str, &str)]) -> Self {
        let program = serve(Router::new().fallback(echo)).await;
        Self::before(program, settings, variables).await
    }

    /// In front of this program.
    async fn before(program: String, settings: Settings, variables: &[(&str, &str)]) -> Self {
        let hub = TestHub::with(Settings { server: TELLS, ..settings }).await;
        let stopping = CancellationToken::new();
        let guarding = start_guard(&hub, program, variables, &stopping);
        let ((environment, line), _) = tokio::join!(guarding, hub.start_server("alice", ALICE_TOKEN));
        Self { hub, environment, line, stopping }
    }

    /// A browser that is logged in at the hub and can reach servers.
    async fn browser(&self, token: &str) -> Browser<'_> {
        let mut browser = self.hub.logged_in(token).await;
        browser.reaches_servers = true;
        browser
    }

    /// Alice, in her server.
    async fn alice(&self) -> Browser<'_> {
        let mut browser = self.browser(ALICE_TOKEN).await;
        let page = follow(&mut browser, "/user/alice/lab").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        browser
    }

    /// A request with these headers and no cookie.
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut browser = self.hub.browser();
        browser.reaches_servers = true;
        browser.request(method, path, headers, None).await
    }
}

/// Waits until the hub has started the server, and is the server then.
async fn start_guard(
    hub: &TestHub,
    program: String,
    variables: &[(&str, &str)],
    stopping: &CancellationToken,
) -> (BTreeMap<String, String>, Line) {
    let mut environment: BTreeMap<String, String> = loop {
        match fs::read(hub.path("alice.json")) {
            Ok(text) => break serde_json::from_slice(&text).unwrap(),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let line = Line::to(&environment["JUPYTERHUB_API_URL"]).await;
    environment.insert("JUPYTERHUB_API_URL".to_owned(), line.url.clone());
    environment.insert("JUPYTERHUB_ACTIVITY_URL".to_owned(), format!("{}/users/alice/activity", line.url));
    environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let read = Environment::read(|name| environment.get(name).cloned()).unwrap().unwrap();
    let public = Bind::Tcp(read.ip.clone(), read.port);
    let guard = Guard::new(read, [7; 32]).unwrap();
    let pages = serve(guard.pages()).await;
    let gate = GateConfig { gate: Arc::new(guard.clone()), pages };
    let config =
        ProxyConfig { public, api: None, gate: Some(gate), default_target: Some(program), ..Default::default() };
    let front = hub_proxy::bind(config).await.unwrap();
    let routes = front.routes();
    let last_activity = move || routes.get("/")?["last_activity"].as_str()?.parse().ok();
    tokio::spawn(async move { guard.report_activity(last_activity).await });
    tokio::spawn(front.run(stopping.clone()));
    (environment, line)
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    url
}

/// The program: it shows what it got.
async fn echo(request: Request) -> Response {
    let headers: BTreeMap<_, _> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    Json(json!({
        "program": true,
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "headers": headers,
    }))
    .into_response()
}

/// The connection between server and hub: it notes who asks, and can be cut.
#[derive(Clone)]
struct Line {
    url: String,
    hub: String,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
    is_cut: Arc<AtomicBool>,
}

impl Line {
    async fn to(hub: &str) -> Self {
        let mut line = Self { url: String::new(), hub: hub.to_owned(), asked: Arc::default(), is_cut: Arc::default() };
        line.url = serve(Router::new().fallback(pass_on).with_state(line.clone())).await;
        line
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// How often the hub was asked for this since the last time.
    fn asked(&self, what: &str) -> usize {
        let mut asked = self.asked.lock().unwrap();
        let count = asked.iter().filter(|path| *path == what).count();
        asked.clear();
        count
    }
}

async fn pass_on(State(line): State<Line>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    line.asked.lock().unwrap().push(parts.uri.path().to_owned());
    if line.is_cut.load(Ordering::Relaxed) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let client = hub_server::http_client().no_proxy().build().unwrap();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let request = client.request(parts.method, format!("{}{}", line.hub, parts.uri)).headers(parts.headers);
    let answer = request.body(body).send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap()).into_response()
}

/// Follows redirects to the page at their end.
async fn follow(browser: &mut Browser<'_>, path: &str) -> Answer {
    let mut answer = browser.get(path).await;
    for _ in 0..10 {
        if !answer.status.is_redirection() {
            return answer;
        }
        let next = answer.location().to_owned();
        answer = browser.get(&next).await;
    }
    panic!("it never ends at {}", answer.location());
}

/// What the program got.
fn seen(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let seen = answer.json();
    assert_eq!(seen["program"], true);
    seen
}

const LAB: &str = "/user/alice/lab?a=1";
const STATE: &str = "jupyterhub-user-alice-oauth-state";
const COOKIE: &str = "jupyterhub-user-alice";

#[tokio::test]
async fn a_person_comes_in_through_the_hub_and_stays_s62_s63_s64_s69_s73_s74_s75_s76_s77() {
    let server = Guarded::new().await;
    let mut browser = server.browser(ALICE_TOKEN).await;

    let answer = browser.get(LAB).await;
    assert!(answer.location().starts_with("/hub/api/oauth2/authorize?"), "{}", answer.location());
    let [state] = answer.set_cookies(STATE)[..] else { panic!("{:?}", answer.headers) };
    assert!(state.ends_with("; HttpOnly; Max-Age=600; Path=/user/alice/; SameSite=Lax"), "{state}");
    assert!(answer.set_cookies(COOKIE).is_empty());

    let answer = browser.get(answer.location()).await;
    assert!(answer.location().starts_with("/user/alice/oauth_callback?code="), "{}", answer.location());
    let answer = browser.get(answer.location()).await;
    assert_eq!(answer.location(), LAB);
    let [cookie] = answer.set_cookies(COOKIE)[..] else { panic!("{:?}", answer.headers) };
    assert!(cookie.contains("; HttpOnly; Path=/user/alice/; SameSite=Lax"), "{cookie}");
    assert!(browser.cookie(STATE).is_none() && browser.cookie(COOKIE).is_some());

    browser.set_cookie("_xsrf", "of-the-program", "/user/alice/");
    let seen = seen(&browser.get(LAB).await);
    assert_eq!(seen["target"], LAB);
    assert_eq!(seen["headers"]["cookie"], "_xsrf=of-the-program");
    assert_eq!(seen["headers"]["host"], "hub.test");
}

#[tokio::test]
async fn the_hubs_answer_is_asked_for_once_and_again_for_another_session_s65_s66_s67() {
    let server = Guarded::new().await;
    let mut alice = server.alice().await;
    server.line.asked("");
    for _ in 0..20 {
        seen(&alice.get(LAB).await);
    }
    assert_eq!(server.line.asked("/user"), 0, "the callback has asked");

    let mut others: Vec<_> = (0..20).map(|_| alice.clone()).collect();
    let session_id = "0".repeat(32);
    for other in &mut others {
        other.set_cookie("jupyterhub-session-id", &session_id, "/");
    }
    let answers = futures::future::join_all(others.iter_mut().map(|other| other.get(LAB))).await;
    answers.iter().for_each(|answer| drop(seen(answer)));
    assert_eq!(server.line.asked("/user"), 1, "requests that come all at once ask once");
}

#[tokio::test]
async fn a_logout_ends_the_cookie_here_and_every_copy_of_it_s71() {
    let server = Guarded::new().await;
    let mut alice = server.alice().await;
    let mut copy = alice.clone();
    let answer = alice.get("/user/alice/logout").await;
    assert_eq!(answer.location(), "/hub/logout");
    assert!(alice.cookie(COOKIE).is_none());
    alice.get("/hub/logout").await;
    for browser in [&mut alice, &mut copy] {
        let answer = browser.get(LAB).await;
        assert!(answer.location().starts_with("/hub/api/oauth2/authorize?"), "{}", answer.location());
        assert!(browser.cookie(COOKIE).is_none());
    }
    let script = copy.request(Method::GET, LAB, &[("sec-fetch-mode", "cors")], None).await;
    assert_eq!(script.status, StatusCode::FORBIDDEN);
}

/// Attack row 37. The session id is another, so nothing that is remembered counts.
#[tokio::test]
async fn a_logout_at_the_hub_is_noticed_at_once_in_that_browser_s67_s71() {
    let server = Guarded::new().await;
    let mut alice = server.alice().await;
    alice.get("/hub/logout").await;
    assert!(alice.cookie(COOKIE).is_some(), "the hub can't take it away");
    let answer = alice.get(LAB).await;
    assert!(answer.location().starts_with("/hub/api/oauth2/authorize?"), "{}", answer.location());
    assert!(answer.set_cookies(COOKIE)[0].starts_with("jupyterhub-user-alice=\"\"; expires="), "it has ended");
}

#[tokio::test]
async fn whoever_may_not_access_the_server_does_not_come_in_s1() {
    let server = Guarded::new().await;
    let mut bob = server.browser(BOB_TOKEN).await;
    let page = follow(&mut bob, LAB).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("You do not have permission to access"), "{}", page.text);

    let token = server.hub.api(Method::POST, "/users/bob/tokens", BOB_TOKEN, None).await.json()["token"].clone();
    let header = format!("token {}", token.as_str().unwrap());
    let answer = server.ask(Method::GET, LAB, &[("authorization", &header)]).await;
    assert_eq!(
        (answer.status, answer.json()["message"].as_str()),
        (StatusCode::FORBIDDEN, Some("user bob is not allowed."))
    );
}

#[tokio::test]
async fn a_token_of_the_hub_in_the_header_comes_in_and_goes_no_further_s5() {
    let server = Guarded::new().await;
    let own = server.environment["JUPYTERHUB_API_TOKEN"].clone();
    let made = async |user: &str, token: &str| {
        let made = server.hub.api(Method::POST, &format!("/users/{user}/tokens"), token, None).await;
        made.json()["token"].as_str().unwrap().to_owned()
    };
    for token in [own, made("alice", ALICE_TOKEN).await, made("root", ADMIN_TOKEN).await] {
        for scheme in ["token", "Bearer"] {
            let header = format!("{scheme} {token}");
            let answer = server.ask(Method::POST, LAB, &[("authorization", &header), ("x-other", "1")]).await;
            let seen = seen(&answer);
            assert_eq!((seen["method"].as_str(), seen["headers"]["x-other"].as_str()), (Some("POST"), Some("1")));
            assert!(seen["headers"]["authorization"].is_null());
            // Jupyter's own check against other sites passes.
            let xsrf = seen["headers"]["x-xsrftoken"].as_str().unwrap();
            assert_eq!(seen["headers"]["cookie"], format!("_xsrf={xsrf}"));
        }
    }
    for header in ["token 0123456789abcdef0123456789abcdef", "token x", "Basic YTpi", "token"] {
        let answer = server.ask(Method::POST, LAB, &[("authorization", header)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{header}");
    }
}

/// The program may be another person's: a token goes no further from wherever it stands, and neither does one of
/// somebody whom the hub knows, next to a cookie. What the hub does not know may be the program's own.
#[tokio::test]
async fn tokens_of_the_hub_reach_the_program_from_nowhere() {
    let server = Guarded::with(Settings::default(), &[("JUPYTERHUB_ALLOW_TOKEN_IN_URL", "1")]).await;
    let bearer = |token: &str| format!("token {token}");
    let path = format!("/user/alice/api?token={ALICE_TOKEN}&a=1");
    let twice =
        server.ask(Method::GET, &path, &[("authorization", &bearer(ALICE_TOKEN)), ("sec-fetch-mode", "cors")]).await;
    let mut alice = server.alice().await;
    let mut seen = vec![twice.text];
    for (token, passes) in [(BOB_TOKEN, false), ("a-key-of-the-program", true)] {
        // The first is asked about, the second answered from memory.
        for _ in 0..2 {
            let answer =
                alice.request(Method::GET, "/user/alice/api", &[("authorization", &bearer(token))], None).await;
            assert_eq!((answer.status, answer.text.contains(token)), (StatusCode::OK, passes), "{}", answer.text);
            seen.push(answer.text);
        }
    }
    for text in seen {
        assert!(text.contains("/user/alice/api"), "the program is not reached: {text}");
        assert!(!text.contains(ALICE_TOKEN) && !text.contains(BOB_TOKEN), "{text}");
    }
}

#[tokio::test]
async fn programs_are_told_and_people_are_sent_to_the_login() {
    let server = Guarded::new().await;
    let page = ("accept", "text/html,*/*;q=0.8");
    for (method, path, headers, is_login) in [
        (Method::GET, "/user/alice/", &[page][..], true),
        (Method::HEAD, "/user/alice/", &[page], true),
        (Method::GET, "/user/alice/", &[], true),
        (Method::GET, "/user/alice/", &[("accept", "*/*")], true),
        (Method::GET, "/user/alice/api", &[("sec-fetch-mode", "navigate")], true),
        // The hub, which waits for the server.
        (Method::GET, "/user/alice/api", &[], false),
        (Method::GET, "/user/alice/api/kernels", &[page], false),
        (Method::GET, "/user/alice/x", &[("accept", "*/*"), ("referer", "http://hub.test/user/alice/")], false),
        (Method::GET, "/user/alice/x", &[("sec-fetch-mode", "cors")], false),
        (Method::POST, "/user/alice/", &[page], false),
        (Method::OPTIONS, "/user/alice/", &[], false),
    ] {
        let answer = server.ask(method.clone(), path, headers).await;
        assert_eq!(answer.status.is_redirection(), is_login, "{method} {path} {headers:?} {}", answer.status);
        assert_eq!(answer.set_cookies(STATE).len(), usize::from(is_login), "{method} {path} {headers:?}");
        assert_eq!(answer.header("x-jupyterhub-version"), "6.1.1");
        if !is_login {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} {headers:?}");
        }
    }
}

/// Attack rows 39 and 41.
#[tokio::test]
async fn pages_of_other_sites_do_nothing_with_the_cookie() {
    let server = Guarded::new().await;
    let mut alice = server.alice().await;
    let (ours, other) = (("origin", "http://hub.test"), ("origin", "http://evil.test"));
    let (cross, same) = (("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-origin"));
    for (method, headers, passes) in [
        (Method::POST, &[ours][..], true),
        (Method::DELETE, &[same, ours], true),
        (Method::GET, &[cross, ("sec-fetch-mode", "navigate")], true),
        (Method::POST, &[other], false),
        (Method::POST, &[], false),
        (Method::PUT, &[cross, other], false),
        (Method::GET, &[cross, ("sec-fetch-mode", "no-cors")], false),
        (Method::GET, &[cross, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], false),
        (Method::GET, &[other], false),
    ] {
        let answer = alice.request(method.clone(), LAB, headers, None).await;
        let expected = if passes { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(answer.status, expected, "{method} {headers:?} {}", answer.text);
    }
}

/// A program that speaks nothing but WebSockets: it sends back what it gets, and first the address that it was asked for.
async fn websocket_program() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut target = String::new();
                #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
                let note = |request: &http::Request<()>, response| {
                    target = format!("{} {:?}", request.uri(), request.headers().get("cookie"));
                    Ok(response)
                };
                let mut socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
                socket.send(Message::text(target)).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

type Socket = WebSocketStream<TcpStream>;

/// Opens a WebSocket of alice's server; the error is the status that refused it.
async fn open(server: &Guarded, path: &str, headers: &[(&str, &str)]) -> Result<Socket, u16> {
    let mut request = format!("ws://hub.test{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    let address = server.hub.proxy_url.trim_start_matches("http://");
    let stream = TcpStream::connect(address).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Attack row 41.
#[tokio::test]
async fn websockets_need_the_cookie_and_a_page_of_the_server_or_a_token() {
    let server = Guarded::before(websocket_program().await, Settings::default(), &[]).await;
    let mut alice = server.browser(ALICE_TOKEN).await;
    let location = alice.get(LAB).await.location().to_owned();
    let callback = alice.get(&location).await.location().to_owned();
    assert_eq!(alice.get(&callback).await.location(), LAB);
    let cookies = alice.cookie_header("/user/alice/");
    let (cookie, ours) = (("cookie", cookies.as_str()), ("origin", "http://hub.test"));
    let path = "/user/alice/ws";

    let mut socket = open(&server, path, &[cookie, ours]).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(format!("{path} None")));
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));

    let sibling = ("sec-fetch-site", "same-site");
    for headers in [&[ours][..], &[cookie, ("origin", "http://evil.test")], &[cookie, ours, sibling], &[]] {
        assert_eq!(open(&server, path, headers).await.err(), Some(403), "{headers:?}");
    }

    let made = server.hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, None).await.json();
    let with_token = format!("{path}?a=1&token={}", made["token"].as_str().unwrap());
    let mut socket = open(&server, &with_token, &[("origin", "http://evil.test")]).await.unwrap();
    let first = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(first.starts_with("/user/alice/ws?a=1 Some(\"_xsrf="), "{first}");
    assert_eq!(open(&server, "/user/alice/ws?token=0123456789abcdef", &[ours]).await.err(), Some(403));
}

#[tokio::test]
async fn websockets_by_cookie_can_be_forbidden() {
    let variables = [("JUPYTERHUB_ALLOW_WEBSOCKET_COOKIE_AUTH", "0")];
    let server = Guarded::before(websocket_program().await, Settings::default(), &variables).await;
    let mut alice = server.browser(ALICE_TOKEN).await;
    let location = alice.get(LAB).await.location().to_owned();
    let callback = alice.get(&location).await.location().to_owned();
    assert_eq!(alice.get(&callback).await.location(), LAB);
    let cookies = alice.cookie_header("/user/alice/");
    let headers = [("cookie", cookies.as_str()), ("origin", "http://hub.test")];
    assert_eq!(open(&server, "/user/alice/ws", &headers).await.err(), Some(403));
}

#[tokio::test]
async fn the_hub_is_told_that_somebody_works_and_not_that_nobody_does() {
    let variables = [("JUPYTERHUB_ACTIVITY_INTERVAL", "1")];
    let server = Guarded::before(websocket_program().await, Settings::default(), &variables).await;
    let reports = async || {
        tokio::time::sleep(Duration::from_millis(1300)).await;
        server.line.asked("/users/alice/activity")
    };
    assert_eq!(reports().await, 1, "at the start");
    assert_eq!(reports().await, 0);
    let own = format!("/user/alice/ws?token={}", server.environment["JUPYTERHUB_API_TOKEN"]);
    let mut socket = open(&server, &own, &[]).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(reports().await, 1);
    assert_eq!(reports().await, 0, "the socket is open, and silent");
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(reports().await, 1);
    let known = server.hub.get("/users/alice/server", ALICE_TOKEN).await.json();
    assert!(!known["last_activity"].is_null(), "{known}");
}

/// Attack row 28.
#[tokio::test]
async fn a_login_that_another_browser_began_is_not_completed() {
    let server = Guarded::new().await;
    let mut mallory = server.browser(BOB_TOKEN).await;
    let mut alice = server.browser(ALICE_TOKEN).await;
    let location = alice.get(LAB).await.location().to_owned();
    let callback = alice.get(&location).await.location().to_owned();
    let answer = mallory.get(&callback).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
    assert!(mallory.cookie(COOKIE).is_none());
    // It was not used up, and works for its own browser, once.
    assert_eq!(alice.get(&callback).await.location(), LAB);
    assert_eq!(alice.get(&callback).await.location(), LAB, "a second tab with the same login");
    alice.cookies.retain(|cookie| cookie.name != COOKIE);
    assert_eq!(alice.get(&callback).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_in_the_address_sets_the_cookie_and_leaves_the_address_where_that_is_allowed_s6() {
    let made = async |server: &Guarded| {
        let made = server.hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, None).await.json();
        format!("/user/alice/tree?a=1&token={}&b=2", made["token"].as_str().unwrap())
    };
    let server = Guarded::with(Settings::default(), &[("JUPYTERHUB_ALLOW_TOKEN_IN_URL", "1")]).await;
    let mut browser = server.hub.browser();
    browser.reaches_servers = true;
    let address = made(&server).await;
    let answer = browser.get(&address).await;
    assert_eq!(answer.location(), "/user/alice/tree?a=1&b=2");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    seen(&browser.get(answer.location()).await);
    // A program's request is passed on, without the token.
    let posted = server.ask(Method::POST, &address, &[]).await;
    assert_eq!(seen(&posted)["target"], "/user/alice/tree?a=1&b=2");

    let server = Guarded::new().await;
    let address = made(&server).await;
    let answer = server.ask(Method::GET, &address, &[]).await;
    assert!(answer.location().starts_with("/hub/api/oauth2/authorize?"), "{}", answer.location());
}

#[tokio::test]
async fn while_the_hub_is_away_nobody_new_comes_in_and_nobody_else_notices() {
    let server = Guarded::new().await;
    let mut alice = server.alice().await;
    let made = server.hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, None).await.json();
    let header = format!("token {}", made["token"].as_str().unwrap());
    server.line.cut(true);

    let headers = [("authorization", header.as_str())];
    let waiting = server.ask(Method::GET, LAB, &headers);
    let back = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.line.cut(false);
    };
    let (answer, ()) = tokio::join!(waiting, back);
    seen(&answer);

    server.line.cut(true);
    let started = Instant::now();
    seen(&alice.get(LAB).await);
    assert!(started.elapsed() < Duration::from_secs(1));
    let unknown = server.ask(Method::GET, LAB, &[("authorization", "token 0123456789abcdef0123456789abcdef")]).await;
    assert_eq!(unknown.status, StatusCode::SERVICE_UNAVAILABLE, "{}", unknown.text);
    assert_eq!(unknown.header("retry-after"), "5");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_default_page_and_other_spellings_of_the_path_lead_to_the_right_one() {
    let server = Guarded::with(Settings::default(), &[("JUPYTERHUB_DEFAULT_URL", "/lab")]).await;
    let mut alice = server.alice().await;
    for (path, location) in [
        ("/user/alice/?x=1", "/user/alice/lab?x=1"),
        ("/user/alice?x=1", "/user/alice/?x=1"),
        ("/user/%61lice/tree", "/user/alice/tree"),
    ] {
        assert_eq!(alice.get(path).await.location(), location, "{path}");
    }
    seen(&alice.get("/user/alice/x").await);
    let code = oauth::authorize(&server.environment, &[]);
    assert!(alice.get(&code).await.location().starts_with("/user/alice/oauth_callback?"), "our hub knows the server");
}

#[tokio::test]
async fn hub_server_makes_any_program_a_server_of_a_hub() {
    let hub = TestHub::with(Settings { server: PROGRAM, front: true, ..Settings::default() }).await;
    let environment = hub.start_server("alice", ALICE_TOKEN).await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    alice.reaches_servers = true;
    let got = seen(&follow(&mut alice, LAB).await);
    assert_eq!((got["target"].as_str(), got["headers"]["cookie"].as_str()), (Some(LAB), None));
    // The program can't take the login away.
    let page = alice.get(LAB).await;
    assert!(page.set_cookies(COOKIE).is_empty() && seen(&page)["program"] == true);

    let mut stranger = hub.browser();
    stranger.reaches_servers = true;
    assert!(stranger.get(LAB).await.location().starts_with("/hub/api/oauth2/authorize?"));
    assert_ne!(environment["PROGRAM_PORT"], environment["JUPYTERHUB_SERVICE_URL"].rsplit(':').next().unwrap());

    hub.stop_server("alice", ALICE_TOKEN).await;
}

/// With a host for each user, hub and server have no cookie in common but the session id.
#[tokio::test]
async fn a_server_at_its_users_own_host_is_entered_from_there_s62_s69_s77() {
    let subdomain_host = Some("https://hub.test");
    for (prefix, path) in [("", "/user/alice/"), ("__Host-", "/")] {
        let settings = Settings { subdomain_host, cookie_host_prefix: !prefix.is_empty(), ..Settings::default() };
        let server = Guarded::with(settings, &[]).await;
        let mut browser = server.browser(ALICE_TOKEN).await;
        browser.go_to("alice.hub.test");
        let answer = browser.get(LAB).await;
        let authorize = answer.location().strip_prefix("https://hub.test").unwrap().to_owned();
        let [state] = answer.set_cookies(&format!("{prefix}{STATE}"))[..] else { panic!("{:?}", answer.headers) };
        assert!(state.ends_with(&format!("; HttpOnly; Max-Age=600; Path={path}; SameSite=Lax; Secure")), "{state}");

        browser.go_to("hub.test");
        let answer = browser.get(&authorize).await;
        let callback = answer.location().strip_prefix("https://alice.hub.test").unwrap().to_owned();
        assert!(callback.starts_with("/user/alice/oauth_callback?code="), "{callback}");
        browser.go_to("alice.hub.test");
        let answer = browser.get(&callback).await;
        assert_eq!(answer.location(), LAB);
        let [cookie] = answer.set_cookies(&format!("{prefix}{COOKIE}"))[..] else { panic!("{:?}", answer.headers) };
        assert!(cookie.ends_with(&format!("; HttpOnly; Path={path}; SameSite=Lax; Secure")), "{cookie}");
        let got = seen(&browser.get(LAB).await);
        assert_eq!(
            (got["headers"]["cookie"].as_str(), got["headers"]["host"].as_str()),
            (None, Some("alice.hub.test"))
        );

        // A page of another user's host is another site's, and so is the hub's.
        for origin in ["https://bob.hub.test", "https://hub.test"] {
            let answer = browser.request(Method::POST, LAB, &[("origin", origin)], None).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
        }
        let answer = browser.request(Method::POST, LAB, &[("origin", "https://alice.hub.test")], None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);

        assert_eq!(browser.get("/user/alice/logout").await.location(), "https://hub.test/hub/logout");
        browser.go_to("hub.test");
        browser.get("/hub/logout").await;
        browser.go_to("alice.hub.test");
        assert!(browser.get(LAB).await.location().starts_with("https://hub.test/hub/api/oauth2/authorize?"));
    }
}

/// Attack row 37.
#[tokio::test]
async fn what_changes_at_the_hub_counts_within_ten_seconds_s66() {
    let server = Guarded::new().await;
    let made = async |user: &str, token: &str| {
        let made = server.hub.api(Method::POST, &format!("/users/{user}/tokens"), token, None).await.json();
        (made["id"].as_str().unwrap().to_owned(), format!("token {}", made["token"].as_str().unwrap()))
    };
    let ((id, alices), (_, bobs)) = tokio::join!(made("alice", ALICE_TOKEN), made("bob", BOB_TOKEN));
    let ask = async |header: &str| server.ask(Method::POST, LAB, &[("authorization", header)]).await.status;
    assert_eq!((ask(&alices).await, ask(&bobs).await), (StatusCode::OK, StatusCode::FORBIDDEN));

    let path = format!("/users/alice/tokens/{id}");
    assert_eq!(server.hub.api(Method::DELETE, &path, ALICE_TOKEN, None).await.status, StatusCode::NO_CONTENT);
    server.hub.give("bob", &["access:servers!server=alice/"]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((ask(&alices).await, ask(&bobs).await), (StatusCode::FORBIDDEN, StatusCode::OK));
}
