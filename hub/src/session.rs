//! Who sends a request, and with what rights: by the login cookie, by a token of the database, or by a login token.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::Response,
};
use hub_auth::{
    cookie,
    next_url::OwnHost,
    scopes::{Access, Groups, Resource, Scopes},
    xsrf,
};
use jiff::Timestamp;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use crate::{
    app::App,
    authenticator::oidc::refresh::refresh_if_due,
    client_address::client_address,
    database::{ApiToken, Principal, User},
    error::{Failure, Result},
    form::Fields,
    login_attempts,
    pages::Frame,
};

mod activity;
mod browser;
mod caller;
mod seen;

pub use browser::{
    LoginTimes, StartedLogin, end_login, end_logins, forgotten_at, forwarded_https, session_cookie, start_login,
};
pub use caller::{Caller, UncheckedCaller};
pub use seen::{INTERVAL as SEEN_INTERVAL, SeenSessions};

/// Someone known, with the rights that hold at this moment.
#[derive(Clone, Debug)]
pub struct Identity {
    pub principal: Principal,
    pub scopes: Scopes,
    /// The memberships that the scopes' filters ask for.
    pub groups: Groups,
    pub via: Via,
}

impl Identity {
    /// The user, if it is not a service.
    pub fn user(&self) -> Option<&User> {
        match &self.principal {
            Principal::User(user) => Some(user),
            Principal::Service(_) => None,
        }
    }

    pub fn name(&self) -> &str {
        match &self.principal {
            Principal::User(user) => &user.name,
            Principal::Service(service) => &service.name,
        }
    }

    pub fn is_admin(&self) -> bool {
        match &self.principal {
            Principal::User(user) => user.admin,
            Principal::Service(service) => service.admin,
        }
    }

    /// Whether a scope is held for this resource.
    pub fn may(&self, scope: &str, resource: Resource<'_>) -> bool {
        self.scopes.allow(scope, Some(resource), &self.groups)
    }

    /// Whether one of the scopes is held for the resource, or for everything, and what to answer if not.
    pub fn check(&self, scopes: &[&str], resource: Option<Resource<'_>>) -> Access {
        self.scopes.check(scopes, resource, &self.groups)
    }
}

/// How someone is known.
#[derive(Clone, Debug)]
pub enum Via {
    /// The login cookie (S59).
    Cookie,
    /// A token of the database.
    Token(Box<ApiToken>),
    /// A login token in the `Authorization` header (S5).
    LoginToken,
}

/// The sender of a request, known or not.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub identity: Option<Identity>,
    pub session_id: Option<String>,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// A page of another origin made the request, by its own account.
    foreign_origin: bool,
    /// The random cookie that an anonymous form binds to; made for this request if the browser has none.
    anonymous: String,
    xsrf: xsrf::Token,
    now: Timestamp,
}

/// A page's visitor who must be logged in; anyone else is sent to the login page.
pub struct LoggedIn {
    pub visitor: Visitor,
    pub user: User,
    pub identity: Identity,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let cookies = cookie_header(&parts.headers);
        let session_id = cookie::value(&cookies, cookie::SESSION_ID).filter(|id| is_random(id));
        let mut identity = known(app, &parts.headers, &cookies).await?;
        if let Some(user) = identity.as_ref().and_then(Identity::user)
            && refresh_if_due(app, user).await?
        {
            identity = known(app, &parts.headers, &cookies).await?;
        }
        if let Some(identity) = &identity {
            activity::record(app, identity, &parts.uri);
        }
        let anonymous = match cookie::value(&cookies, &app.cookie_name(xsrf::ANONYMOUS)).filter(|id| is_random(id)) {
            Some(id) => id,
            None => app.random_id(),
        };
        let user_agent = parts.headers.get(header::USER_AGENT).map(|v| String::from_utf8_lossy(v.as_bytes()));
        let holder = match identity.as_ref().and_then(Identity::user) {
            Some(user) => xsrf::Holder::User { session_id: session_id.as_deref(), cookie_id: &user.cookie_id },
            None => {
                xsrf::Holder::Anonymous { random: &anonymous, user_agent: user_agent.as_deref().unwrap_or_default() }
            }
        };
        let now = app.now();
        let xsrf = xsrf::token(&*app.cookie_keys()?, &cookies, holder, now.as_second());
        Ok(Self {
            identity,
            session_id,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            foreign_origin: is_of_foreign_origin(app, &parts.headers),
            anonymous,
            xsrf,
            now,
        })
    }
}

impl Visitor {
    /// The user who visits, if it is known.
    pub fn user(&self) -> Option<&User> {
        self.identity.as_ref().and_then(Identity::user)
    }

    /// The user who visits by a login. A token of the API is none: it may do less than its owner, whom pages are for.
    pub fn login(&self) -> Option<(&Identity, &User)> {
        let identity = self.identity.as_ref().filter(|identity| !matches!(identity.via, Via::Token(_)))?;
        Some((identity, identity.user()?))
    }

    /// The host that people use: the public one if it is known, else what the browser asked for.
    pub fn own_host<'a>(&'a self, app: &'a App) -> Option<OwnHost<'a>> {
        app.urls.own_host().or_else(|| Some(OwnHost { host: self.header("host")?, with_subdomains: false }))
    }

    /// Scheme, host and port of the hub as this visitor sees it.
    pub fn origin(&self, app: &App) -> String {
        match (app.urls.public(), self.header("host")) {
            (Some(public), _) => public.origin().ascii_serialization(),
            (None, Some(host)) => format!("{}://{host}", if self.is_secure(app) { "https" } else { "http" }),
            (None, None) => String::new(),
        }
    }

    /// What a page shows around its content, for this visitor.
    pub fn frame(&self, app: &App) -> Frame {
        let here = self.uri.path().strip_prefix(app.urls.hub()).unwrap_or_default();
        Frame {
            here: here.to_owned(),
            user: self.user().map(|user| user.name.clone()),
            admin: self.identity.as_ref().is_some_and(|identity| identity.scopes.holds("admin-ui")),
            xsrf: self.xsrf.text.clone(),
            ..Frame::new(app)
        }
    }

    /// Text of the form token, for addresses that a script will ask.
    pub fn xsrf_token(&self) -> &str {
        &self.xsrf.text
    }

    /// Gives the browser the cookies that the page's forms need, if it lacks them. Only pages that are navigated to
    /// do: a script's request must not replace the token of an open page.
    pub fn with_form_cookies(&self, app: &App, mut response: Response) -> Response {
        if self.xsrf.is_new && self.is_navigation() {
            self.set_form_cookies(app, &mut response);
        }
        response
    }

    /// As [`Self::with_form_cookies`], and starts the hour anew: for the login page.
    pub fn renew_form_cookies(&self, app: &App, mut response: Response) -> Response {
        if self.is_navigation() {
            self.set_form_cookies(app, &mut response);
        }
        response
    }

    fn set_form_cookies(&self, app: &App, response: &mut Response) {
        let path = app.urls.hub();
        let token = cookie::SetCookie::new(xsrf::NAME, self.xsrf.text.as_str(), path).secure(self.is_secure(app));
        if self.identity.is_some() {
            return add_cookie(response, &token);
        }
        add_cookie(response, &token.max_age(xsrf::ANONYMOUS_MAX_AGE));
        let anonymous = cookie::SetCookie::new(app.cookie_name(xsrf::ANONYMOUS), self.anonymous.as_str(), path)
            .max_age(xsrf::ANONYMOUS_MAX_AGE)
            .http_only()
            .secure(self.is_secure(app));
        add_cookie(response, &anonymous);
    }

    /// Whether cookies may be sent over TLS only: the public address decides if it is known, else the request.
    pub fn is_secure(&self, app: &App) -> bool {
        match app.urls.public() {
            Some(public) => public.scheme() == "https",
            None => forwarded_https(&self.headers),
        }
    }

    /// Whether the browser reaches the hub by a loopback address: nobody else can listen there.
    pub fn is_on_this_machine(&self) -> bool {
        let host = self.header("host").unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        host == "localhost" || host == "[::1]" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether the person meant to come here: no page of another origin led here, and neither an image nor a script
    /// asks. What changes something asks first otherwise (attack row 40). Browsers say so; whoever says nothing is no
    /// browser, or an old one.
    pub fn is_deliberate(&self) -> bool {
        let site = self.header("sec-fetch-site");
        self.is_navigation() && !self.is_prefetch() && site.is_none_or(|site| matches!(site, "none" | "same-origin"))
    }

    /// Whether a browser asks ahead of the person, who may never come: `Sec-Purpose`, and what older browsers say.
    pub fn is_prefetch(&self) -> bool {
        let says =
            |name| self.header(name).is_some_and(|value| value.contains("prefetch") || value.contains("preview"));
        ["sec-purpose", "purpose", "x-purpose", "x-moz"].into_iter().any(says)
    }

    /// The value of a random cookie that we set, if the browser has it.
    pub fn random_cookie(&self, name: &str) -> Option<String> {
        cookie::value(&cookie_header(&self.headers), name).filter(|id| is_random(id))
    }

    /// Every session id that the browser sent. One that a sibling domain added must not hide the hub's own.
    pub fn session_ids(&self) -> BTreeSet<String> {
        cookie::values(&cookie_header(&self.headers), cookie::SESSION_ID).filter(|id| is_random(id)).collect()
    }

    /// The digest of every login cookie that the browser sent.
    pub fn logins(&self, app: &App) -> BTreeSet<String> {
        let (cookies, name) = (cookie_header(&self.headers), app.cookie_name(cookie::LOGIN));
        cookie::values(&cookies, &name).map(|signed| cookie::digest(&signed)).collect()
    }

    pub fn is_navigation(&self) -> bool {
        self.header("sec-fetch-mode").is_none_or(|mode| mode == "navigate")
    }

    /// Refuses a request that another site may have made in this visitor's name. `fields` are the posted form's.
    pub fn check_xsrf(&self, fields: &Fields) -> Result<()> {
        let request = xsrf::Request {
            method: self.method.as_str(),
            fetch_mode: self.header("sec-fetch-mode"),
            fetch_site: self.header("sec-fetch-site"),
            foreign_origin: self.foreign_origin,
        };
        let by_header = matches!(&self.identity, Some(Identity { via: Via::Token(_) | Via::LoginToken, .. }));
        if by_header || !xsrf::needs_check(request) {
            return Ok(());
        }
        let query = Fields::of_query(&self.uri);
        let carried = fields
            .get(xsrf::NAME)
            .or_else(|| query.get(xsrf::NAME))
            .or_else(|| xsrf::HEADERS.iter().find_map(|name| self.header(name)));
        xsrf::check(self.method.as_str(), carried, &self.xsrf).map_err(|error| Failure::forbidden(error.to_string()))
    }

    /// Where the request comes from, if the proxy told.
    pub fn address(&self, app: &App) -> Option<IpAddr> {
        client_address(&self.headers, &app.trusted_proxies)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Time of the request.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

impl LoggedIn {
    /// The same, for what pages leave to the API. Their forms are checked before.
    pub fn caller(&self) -> Caller {
        Caller { visitor: self.visitor.clone(), identity: Some(self.identity.clone()) }
    }
}

impl FromRequestParts<App> for LoggedIn {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        match visitor.login().map(|(identity, user)| (identity.clone(), user.clone())) {
            Some((identity, user)) => Ok(Self { visitor, user, identity }),
            None if parts.method == Method::GET => Err(Failure::Redirect(app.urls.login(&path_and_query(&parts.uri)))),
            None => Err(Failure::bare(StatusCode::FORBIDDEN)),
        }
    }
}

/// Only the host of an origin counts: whoever ends TLS may not have said so. `Origin: null` has none. A user's own host
/// is another origin than the hub's.
fn is_of_foreign_origin(app: &App, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let theirs = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    let ours = match app.urls.public() {
        Some(public) => Some(public.authority()),
        None => headers.get(header::HOST).and_then(|host| host.to_str().ok()),
    };
    !theirs.zip(ours).is_some_and(|(theirs, ours)| theirs.eq_ignore_ascii_case(ours))
}

/// Path and query as they came.
pub fn path_and_query(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string)
}

/// All `Cookie` headers as one.
fn cookie_header(headers: &HeaderMap) -> String {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join("; ")
}

/// Ids that we made: 32 hexadecimal digits.
fn is_random(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The token of `Authorization: token X` or `bearer X`, in any case (S5).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (kind, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (kind.eq_ignore_ascii_case("token") || kind.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

async fn known(app: &App, headers: &HeaderMap, cookies: &str) -> Result<Option<Identity>> {
    match bearer(headers) {
        Some(token) => by_token(app, headers, token).await,
        None => by_cookie(app, headers, cookies).await,
    }
}

/// A sibling domain can add a login cookie of its own beside the person's. Rubbish is passed over; but of two people's
/// logins nobody can say which one the person means, and neither counts.
async fn by_cookie(app: &App, headers: &HeaderMap, cookies: &str) -> Result<Option<Identity>> {
    let mut found: Option<(User, String)> = None;
    for signed in cookie::values(cookies, &app.cookie_name(cookie::LOGIN)) {
        let Some(user) = user_of_login(app, &signed).await? else { continue };
        if found.as_ref().is_some_and(|(other, _)| other.id != user.id) {
            tracing::warn!("ignored the login cookies of two users in one request");
            return Ok(None);
        }
        found = Some((user, signed));
    }
    match found {
        Some((user, signed)) => {
            seen::record(app, headers, &user, &signed);
            Ok(Some(app.identity_of_user(user, Via::Cookie).await?))
        }
        None => Ok(None),
    }
}

/// Whom a login cookie of this value belongs to: somebody who was not logged out since, and may still come in.
pub async fn user_of_login(app: &App, signed: &str) -> Result<Option<User>> {
    let Some(id) = browser::verify_login(app, signed)? else { return Ok(None) };
    let user = app.database.user_by_login(&id, &cookie::digest(signed)).await?;
    match user {
        Some(user) if app.admits(&user.name).await? => Ok(Some(user)),
        _ => Ok(None),
    }
}

async fn by_token(app: &App, headers: &HeaderMap, token: &str) -> Result<Option<Identity>> {
    if let Some(found) = app.database.find_token(token, app.now()).await? {
        return Ok(app.identity_of_token(found).await?);
    }
    let address = client_address(headers, &app.trusted_proxies);
    let Some(name) = login_attempts::by_header(app, address, token).await? else { return Ok(None) };
    let user = app.admit(&name).await?;
    Ok(Some(app.identity_of_user(user, Via::LoginToken).await?))
}

/// Appends a cookie to a response.
pub fn add_cookie(response: &mut Response, cookie: &cookie::SetCookie) {
    match HeaderValue::from_str(&cookie.to_string()) {
        Ok(value) => {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        Err(error) => tracing::error!(error.message = %error, "failed to write a cookie"),
    }
}
