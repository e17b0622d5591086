//! The ways into the hub that only lead on: `/`, `/hub/`, `/hub/user-redirect/...`, and where a login leads to.

use axum::{
    extract::State,
    http::{Method, StatusCode, Uri},
    response::Response,
};
use hub_auth::next_url::{safe_next, with_query};

use crate::{
    app::App,
    database::User,
    error::{Failure, Result, found, redirect},
    form::Fields,
    servers::ServerStatus,
    session::{LoggedIn, Visitor, path_and_query},
    urls::landing_address,
};

/// `/hub` -> `/hub/`.
pub async fn slash(State(app): State<App>) -> Response {
    redirect(StatusCode::MOVED_PERMANENTLY, app.urls.hub())
}

/// `/hub/`: to where a login leads, or to the login. The settings may have another start page, which asks for a login
/// itself if it needs one.
pub async fn get(State(app): State<App>, visitor: Visitor) -> Response {
    match (visitor.user(), default_url(&app)) {
        (Some(user), _) => found(&after_login(&app, &visitor, user)),
        (None, Some(address)) => found(&address),
        (None, None) => found(&app.urls.login(&path_and_query(&visitor.uri))),
    }
}

/// What the proxy has no route for is asked of the hub at its own path, and with subdomains at its own host, where its
/// cookies are. Only reading is: a form or an API request for a stopped server must not be repeated elsewhere.
pub fn outside(app: &App, method: &Method, uri: &Uri) -> Result<Response> {
    let rest = uri.path().strip_prefix(app.urls.base()).filter(|_| !uri.path().starts_with(app.urls.hub()));
    let rest = rest.ok_or_else(Failure::not_found)?;
    if *method != Method::GET {
        return Err(Failure::forbidden(format!("'_xsrf' argument missing from {method}")));
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = app.urls.at(rest);
    let address = app.urls.domain().and_then(|_| app.urls.absolute(&path)).unwrap_or(path);
    Ok(found(&format!("{address}{query}")))
}

/// `/hub/user-redirect/lab/tree/x`: the same path on one's own server, wherever that is.
pub async fn user_redirect(State(app): State<App>, person: LoggedIn, uri: Uri) -> Response {
    let prefix = app.urls.at("user-redirect/");
    let rest = uri.path().strip_prefix(&prefix).unwrap_or_default();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let next = format!("{}{rest}{query}", app.urls.server(&person.user.name, ""));
    found(&with_query(&app.urls.spawn(&person.user.name, ""), "next", &next))
}

/// Where to go after a login: what was asked for before it, if it is ours, else what the settings say.
pub fn after_login(app: &App, visitor: &Visitor, user: &User) -> String {
    after_login_with(app, visitor, user, &Fields::of_query(&visitor.uri))
}

/// The same, with the `next=` of these fields.
pub fn after_login_with(app: &App, visitor: &Visitor, user: &User, fields: &Fields) -> String {
    let wanted = wanted(app, visitor, fields, &user.name).or_else(|| default_url(app));
    wanted.unwrap_or_else(|| match app.servers.status(&user.name, "") {
        _ if !app.landing.redirect_to_server => app.urls.at("home"),
        ServerStatus::Stopped { .. } => app.urls.at("spawn"),
        _ => app.urls.server(&user.name, ""),
    })
}

fn default_url(app: &App) -> Option<String> {
    landing_address(app.landing.default_url.as_deref()?)
}

/// The `next=` of a request, if it stays on this hub. What belongs to a server of `owner`, whom the request is about, is
/// on that user's host; anyone else's is led to from the hub's, where it is seen whether the visitor may go there.
pub fn wanted(app: &App, visitor: &Visitor, query: &Fields, owner: &str) -> Option<String> {
    let next = query.get("next").filter(|next| !next.is_empty())?;
    let safe = safe_next(next, visitor.own_host(app)).filter(|next| next.starts_with(app.urls.base()));
    if safe.is_none() {
        tracing::warn!(next.length = next.len(), "dropped a next address that is not ours");
    }
    safe.map(|path| app.urls.on_its_host(owner, path))
}
