//! The front's own pages: login, logout, and the refusals of what may not pass. They see requests as they came, through
//! a socket that only the data path reaches, so that its word on who connected can be believed.

use askama::Template;
use axum::{
    Router,
    body::{self, Body},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use hub_auth::{
    cookie::{self, SetCookie},
    next_url::{OwnHost, safe_next, with_query},
    token::equal,
};
use jiff::Timestamp;
use serde_json::json;
use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use crate::{
    credentials::Login,
    front::{Front, Page, Proof},
    head::{Head, without_token},
    passage::{Source, XSRF},
    password,
};

/// A login form is no larger than this.
const MAX_FORM: usize = 64 * 1024;
/// Passwords are checked one at a time: each takes memory and a while of a processor.
const CHECKS_AT_ONCE: usize = 1;

/// What the pages need.
#[derive(Clone)]
pub(crate) struct Pages(Arc<Inner>);

struct Inner {
    front: Arc<Front>,
    /// Whether somebody who has the token may set a password, and where it is written.
    password_file: Option<PathBuf>,
    checks: Semaphore,
    stopping: CancellationToken,
    launched: CancellationToken,
}

impl Pages {
    /// `password_file` is where a password is written that is set in the login form; `launched` is cancelled when the
    /// launch token is spent.
    pub(crate) fn new(
        front: Arc<Front>,
        login: &Login,
        password_file: Option<PathBuf>,
        stopping: CancellationToken,
        launched: CancellationToken,
    ) -> Self {
        let password_file = password_file.filter(|_| login.allow_password_change && login.token.is_some());
        let checks = Semaphore::new(CHECKS_AT_ONCE);
        Self(Arc::new(Inner { front, password_file, checks, stopping, launched }))
    }

    /// The router that serves them all.
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    style: String,
    action: String,
    xsrf: &'a str,
    error: Option<&'a str>,
    has_token: bool,
    has_password: bool,
    may_set_password: bool,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    style: String,
    title: &'a str,
    message: &'a str,
    login: Option<String>,
}

/// What became of a guess.
enum Checked {
    Right,
    Wrong,
    /// There were too many before it.
    TooMany,
}

/// Who asks for a page.
struct Visitor<'a> {
    head: Head<'a>,
    headers: &'a HeaderMap,
}

impl<'a> Visitor<'a> {
    fn field(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the browser only looks ahead, and nobody has asked for the page yet.
    fn is_prefetch(&self) -> bool {
        let purposes = ["sec-purpose", "purpose", "x-moz"].iter().filter_map(|name| self.field(name));
        purposes.into_iter().any(|purpose| purpose.contains("prefetch") || purpose.contains("preview"))
    }

    /// Who it is, for the log.
    fn client(&self) -> String {
        self.head.peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_canonical().to_string())
    }

    fn host(&self) -> &'a str {
        self.head.host.unwrap_or_default()
    }
}

async fn answer(State(pages): State<Pages>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let visitor = Visitor { head: Head::of_parts(&parts), headers: &parts.headers };
    let mut response = pages.respond(&visitor, body).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'self'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

impl Pages {
    async fn respond(&self, visitor: &Visitor<'_>, body: Body) -> Response {
        let Inner { front, .. } = &*self.0;
        if !front.hosts.serves(visitor.head.host) {
            return self.refuse_host(visitor);
        }
        let proof = front.proof(&visitor.head);
        let page = front.page(visitor.head.path);
        if proof.is_none() && self.is_guess(visitor) {
            if front.credentials.wait(visitor.head.peer).is_some() {
                return self.too_many(visitor);
            }
            tracing::warn!(client = visitor.client(), "a request carried a wrong token");
            front.credentials.wrong_token(visitor.head.peer);
        }
        match (page, visitor.head.method) {
            (Some(Page::Style), "GET" | "HEAD") => style(),
            (Some(Page::Login), "GET" | "HEAD") if proof == Some(Proof::Carried(Source::Query)) => {
                self.enter(visitor, &self.next(visitor))
            }
            (Some(Page::Login), "GET" | "HEAD") if proof.is_some() => self.go(&self.next(visitor)),
            (Some(Page::Login), "GET" | "HEAD") => {
                let form = self.form(visitor, StatusCode::OK, None);
                self.without_stale_login(visitor, form)
            }
            (Some(Page::Login), "POST") => self.log_in(visitor, proof, body).await,
            (Some(Page::Logout), "GET" | "HEAD") => self.log_out(visitor),
            (Some(Page::Shutdown), "POST") => self.shut_down(visitor, proof),
            (Some(_), _) => self.refuse(visitor, StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
            (None, _) => self.kept(visitor, proof),
        }
    }

    /// Whether a request that proves nothing carries a token: any but the launch token, which can't be guessed.
    fn is_guess(&self, visitor: &Visitor<'_>) -> bool {
        let head = &visitor.head;
        let token = head.query_token().or_else(|| head.header_token().map(str::to_owned));
        token.is_some_and(|token| !self.0.front.credentials.is_launch_token(&token))
    }

    /// What the front kept from the program.
    fn kept(&self, visitor: &Visitor<'_>, proof: Option<Proof>) -> Response {
        let Inner { front, launched, .. } = &*self.0;
        let token = visitor.head.query_token();
        if let Some(token) = token.as_deref().filter(|_| matches!(visitor.head.method, "GET" | "HEAD")) {
            let is_launch = front.credentials.is_launch_token(token);
            if is_launch && (visitor.is_prefetch() || visitor.head.method == "HEAD") {
                return self.refuse(visitor, StatusCode::FORBIDDEN, "This address works once, when it is opened.");
            }
            if is_launch && front.credentials.spend_launch_token(token) {
                launched.cancel();
                tracing::info!("the browser was logged in by the launch token");
                return self.enter(visitor, &self.without_token(visitor));
            }
            if is_launch && proof.is_some() {
                return self.go(&self.without_token(visitor));
            }
            if is_token(proof) {
                return self.enter(visitor, &self.without_token(visitor));
            }
        }
        if proof.is_some() {
            // Only another site's requests are kept from who may pass.
            let status = if visitor.head.is_websocket { StatusCode::FORBIDDEN } else { StatusCode::NOT_FOUND };
            tracing::warn!(origin = visitor.head.origin.unwrap_or_default(), "blocked a request of another origin");
            return self.refuse(visitor, status, "Blocked a request of another origin");
        }
        if visitor.head.method == "OPTIONS" {
            return self.preflight(visitor);
        }
        let is_page =
            matches!(visitor.head.method, "GET" | "HEAD") && !visitor.head.is_websocket && !self.is_api(visitor);
        if is_page {
            let login = with_query(&format!("{}login", front.base_url), "next", &visitor.head.target());
            let response = self.go(&login);
            return self.without_stale_login(visitor, response);
        }
        let response = self.refuse(visitor, StatusCode::FORBIDDEN, "Forbidden");
        self.without_stale_login(visitor, response)
    }

    /// Whether an address is for scripts: those of Jupyter have a segment `api` near their beginning.
    fn is_api(&self, visitor: &Visitor<'_>) -> bool {
        let path = visitor.head.path.strip_prefix(&self.0.front.base_url).unwrap_or_default();
        path.split('/').take(2).any(|segment| segment == "api")
    }

    /// A question of a browser before it sends another origin's request. It carries no login, so it can't reach the
    /// program; the request itself must carry the token.
    fn preflight(&self, visitor: &Visitor<'_>) -> Response {
        let mut response = StatusCode::OK.into_response();
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, "accept, content-type, authorization, x-xsrftoken");
        set(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, PUT, POST, PATCH, DELETE, OPTIONS");
        if let Some(origin) = visitor.head.origin.filter(|origin| self.0.front.hosts.is_allowed(origin)) {
            set(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            set(header::VARY, "Origin");
        }
        response
    }

    async fn log_in(&self, visitor: &Visitor<'_>, proof: Option<Proof>, body: Body) -> Response {
        let Inner { front, .. } = &*self.0;
        let Some(fields) = form(body).await else {
            return self.refuse(visitor, StatusCode::BAD_REQUEST, "The form is malformed or too long.");
        };
        let field = |name: &str| fields.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        if !is_token(proof) {
            if let Err(message) = check_xsrf(visitor, field(XSRF)) {
                return self.refuse(visitor, StatusCode::FORBIDDEN, message);
            }
            if front.is_foreign(&visitor.head) {
                return self.refuse(visitor, StatusCode::NOT_FOUND, "Blocked a request of another origin");
            }
        }
        if front.credentials.wait(visitor.head.peer).is_some() {
            return self.too_many(visitor);
        }
        let given = field("password").unwrap_or_default().to_owned();
        let may_set = self.0.password_file.is_some();
        let new_password = field("new_password").filter(|new| may_set && !new.is_empty());
        let by_token = front.credentials.is_token(given.trim());
        let checked = match (proof, new_password) {
            (Some(Proof::Open), _) => Checked::Right,
            _ if by_token => Checked::Right,
            // Only the token lets somebody set a password.
            (_, new) => self.check_password(visitor.head.peer, given, new.is_none()).await,
        };
        match checked {
            Checked::Right => {}
            Checked::Wrong => {
                tracing::warn!(client = visitor.client(), "failed login");
                return self.form(visitor, StatusCode::UNAUTHORIZED, Some("Invalid credentials"));
            }
            Checked::TooMany => return self.too_many(visitor),
        }
        if let (true, Some(new)) = (by_token, new_password)
            && let Err(error) = self.set_password(new.to_owned()).await
        {
            tracing::error!(%error, "failed to set the password");
            return self.form(
                visitor,
                StatusCode::INTERNAL_SERVER_ERROR,
                Some("The password could not be set. The log says why."),
            );
        }
        tracing::info!(client = visitor.client(), "logged in");
        self.enter(visitor, &self.next(visitor))
    }

    /// Checks a password if it may count. One guess is noted before the next is looked at, however many come at once.
    async fn check_password(&self, peer: Option<IpAddr>, given: String, counts: bool) -> Checked {
        let Ok(_turn) = self.0.checks.acquire().await else { return Checked::TooMany };
        if self.0.front.credentials.wait(peer).is_some() {
            return Checked::TooMany;
        }
        let front = self.0.front.clone();
        let checking = tokio::task::spawn_blocking(move || counts && front.credentials.is_password(&given));
        if checking.await.unwrap_or(false) {
            return Checked::Right;
        }
        self.0.front.credentials.wrong_password(peer);
        Checked::Wrong
    }

    /// Every login that there was ends: its cookie was signed for the old password.
    async fn set_password(&self, new: String) -> anyhow::Result<()> {
        let Inner { front, password_file, .. } = &*self.0;
        let Some(file) = password_file.clone() else { anyhow::bail!("the settings don't allow it") };
        let hash = tokio::task::spawn_blocking(move || password::store(&file, &new)).await??;
        front.cookies.password_changed(Some(&hash));
        front.credentials.set_password(hash);
        tracing::info!("a new password was set; every login before it has ended");
        Ok(())
    }

    fn log_out(&self, visitor: &Visitor<'_>) -> Response {
        let message = match self.0.front.credentials.is_open() {
            false => "Successfully logged out.",
            true => "Cannot log out. Authentication is disabled.",
        };
        let login = Some(format!("{}login", self.0.front.base_url));
        let response = self.message(StatusCode::OK, "Logged out", message, login);
        with_cookie(response, &self.0.front.cookies.log_out(visitor.host(), now()))
    }

    /// Ends the front, and the program that it started, as `jupyter server stop` asks. What ran before goes on.
    fn shut_down(&self, visitor: &Visitor<'_>, proof: Option<Proof>) -> Response {
        let is_safe = match proof {
            Some(Proof::Carried(Source::Query | Source::Header)) => true,
            Some(_) => !self.0.front.is_foreign(&visitor.head) && check_xsrf(visitor, None).is_ok(),
            None => false,
        };
        if !is_safe {
            return self.refuse(visitor, StatusCode::FORBIDDEN, "Forbidden");
        }
        tracing::info!("stopping on request");
        self.0.stopping.cancel();
        StatusCode::OK.into_response()
    }

    /// Logs the browser in.
    fn enter(&self, visitor: &Visitor<'_>, location: &str) -> Response {
        let login = self.0.front.cookies.log_in(visitor.host(), rand::random(), visitor.head.is_secure, now());
        with_cookie(self.go(location), &login)
    }

    fn go(&self, location: &str) -> Response {
        let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
        (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
    }

    /// Where to go after a login: below the base URL of this server.
    fn next(&self, visitor: &Visitor<'_>) -> String {
        let base_url = &self.0.front.base_url;
        let asked = form_urlencoded::parse(visitor.head.query.as_bytes()).filter(|(name, _)| name == "next").last();
        let own = visitor.head.host.map(|host| OwnHost { host, with_subdomains: false });
        let next = asked.and_then(|(_, next)| safe_next(&next, own));
        next.filter(|next| next.starts_with(base_url.as_str())).unwrap_or_else(|| base_url.clone())
    }

    fn without_token(&self, visitor: &Visitor<'_>) -> String {
        let query = without_token(visitor.head.query);
        let separator = if query.is_empty() { "" } else { "?" };
        // Two slashes at the front would name another host.
        format!("/{}{separator}{query}", visitor.head.path.trim_start_matches('/'))
    }

    /// A cookie that is no login any more is taken away.
    fn without_stale_login(&self, visitor: &Visitor<'_>, response: Response) -> Response {
        let cookies = &self.0.front.cookies;
        let name = cookies.name(visitor.host());
        match cookie::value(&visitor.head.cookies, &name) {
            Some(_) => with_cookie(response, &cookies.log_out(visitor.host(), now())),
            None => response,
        }
    }

    fn form(&self, visitor: &Visitor<'_>, status: StatusCode, error: Option<&str>) -> Response {
        let front = &self.0.front;
        let kept = xsrf_cookie(&visitor.head.cookies);
        let xsrf = kept.clone().unwrap_or_else(|| hex::encode(rand::random::<[u8; 16]>()));
        let page = LoginPage {
            style: self.style_url(),
            action: with_query(&format!("{}login", front.base_url), "next", &self.next(visitor)),
            xsrf: &xsrf,
            error,
            has_token: front.credentials.token().is_some(),
            has_password: front.credentials.password().is_some(),
            may_set_password: self.0.password_file.is_some(),
        };
        let response = html(status, &page);
        match kept {
            Some(_) => response,
            None => with_cookie(response, &SetCookie::new(XSRF, xsrf, &front.base_url).secure(visitor.head.is_secure)),
        }
    }

    fn too_many(&self, visitor: &Visitor<'_>) -> Response {
        let wait = self.0.front.credentials.wait(visitor.head.peer).unwrap_or(Duration::ZERO);
        let mut response =
            self.refuse(visitor, StatusCode::TOO_MANY_REQUESTS, "Too many wrong passwords or tokens. Try again later.");
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        response
    }

    fn refuse_host(&self, visitor: &Visitor<'_>) -> Response {
        tracing::warn!(
            host = visitor.host(),
            "blocked a request with a Host that is not local; if the server is to be reached by that name, set ServerApp.allow_remote_access=True"
        );
        self.refuse(visitor, StatusCode::FORBIDDEN, "Forbidden")
    }

    fn refuse(&self, visitor: &Visitor<'_>, status: StatusCode, message: &str) -> Response {
        let is_page = visitor.head.is_visit() || self.0.front.page(visitor.head.path).is_some();
        if is_page && !self.is_api(visitor) {
            return self.message(status, status.canonical_reason().unwrap_or_default(), message, None);
        }
        (status, axum::Json(json!({"message": message, "reason": null}))).into_response()
    }

    fn message(&self, status: StatusCode, title: &str, message: &str, login: Option<String>) -> Response {
        html(status, &MessagePage { style: self.style_url(), title, message, login })
    }

    fn style_url(&self) -> String {
        format!("{}login/front.css", self.0.front.base_url)
    }
}

fn style() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, include_str!("../static/front.css")).into_response()
}

/// The fields of a posted form, in their order.
async fn form(body: Body) -> Option<Vec<(String, String)>> {
    let bytes = body::to_bytes(body, MAX_FORM).await.ok()?;
    Some(form_urlencoded::parse(&bytes).into_owned().collect())
}

/// The cross-site cookie's value that a browser has.
fn xsrf_cookie(cookies: &str) -> Option<String> {
    cookie::value(cookies, XSRF).filter(|value| !value.is_empty())
}

/// Whether the request carries the cross-site cookie's value, which another site can't read.
fn check_xsrf(visitor: &Visitor<'_>, field: Option<&str>) -> Result<(), &'static str> {
    let header = visitor.field("x-xsrftoken").or_else(|| visitor.field("x-csrftoken"));
    match (xsrf_cookie(&visitor.head.cookies), field.or(header)) {
        (_, None) => Err("'_xsrf' argument missing from POST"),
        (Some(cookie), Some(carried)) if equal(&cookie, carried) => Ok(()),
        _ => Err("XSRF cookie does not match POST argument"),
    }
}

/// Whether the request carries the server's token: then no other site made it.
fn is_token(proof: Option<Proof>) -> bool {
    matches!(proof, Some(Proof::Carried(Source::Query | Source::Header)))
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

fn with_cookie(mut response: Response, cookie: &SetCookie) -> Response {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "failed to render a page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
