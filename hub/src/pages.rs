//! The HTML pages: a typed context for each template, and how a page becomes a response.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use hub_crds::PageLink;

use crate::{app::App, handlers::assets};

/// What every page shows around its content.
pub struct Frame {
    /// Path of the hub, such as `/hub/`.
    pub hub: String,
    /// What the administrator calls the place.
    pub title: String,
    /// What everybody should know now, as text.
    pub announcement: Option<String>,
    /// Links at the foot.
    pub links: Vec<PageLink>,
    /// Which page it is, as its path below the hub's: `home`.
    pub here: String,
    /// Who is logged in.
    pub user: Option<String>,
    /// They may open the admin page.
    pub admin: bool,
    /// Goes into every form.
    pub xsrf: String,
    /// Changes when a static file does, so that browsers may keep them.
    pub version: &'static str,
}

impl Frame {
    /// What it is for somebody whom the hub doesn't know.
    pub fn new(app: &App) -> Self {
        Self {
            hub: app.urls.hub().to_owned(),
            title: app.pages.title.clone().unwrap_or_else(|| "Jupyter".to_owned()),
            announcement: app.pages.announcement.clone(),
            links: app.pages.links.clone(),
            here: String::new(),
            user: None,
            admin: false,
            xsrf: String::new(),
            version: assets::version(),
        }
    }
}

#[derive(Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    pub frame: Frame,
    pub action: String,
    pub username: String,
    pub error: Option<String>,
    pub token: bool,
    /// People log in elsewhere.
    pub provider: Option<ProviderButton>,
    /// Neither TLS nor the settings say that the connection is safe (S30, S35).
    pub insecure: bool,
}

/// The way to a provider that people log in at.
pub struct ProviderButton {
    pub name: String,
    pub url: String,
}

/// How pages show a server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    Ready,
    Starting,
    Stopping,
    Stopped,
}

/// A server on the home page.
pub struct ServerLine {
    /// Empty for the default one.
    pub name: String,
    pub title: String,
    pub state: ServerState,
    pub failure: Option<String>,
    pub server_url: String,
    pub spawn_url: String,
    pub pending_url: String,
}

/// A service that the visitor may use.
pub struct ServiceLink {
    pub name: String,
    pub href: String,
}

#[derive(Template)]
#[template(path = "home.html")]
pub struct HomePage {
    pub frame: Frame,
    /// The default one.
    pub server: ServerLine,
    /// Whether there may be others.
    pub named: bool,
    pub others: Vec<ServerLine>,
    pub services: Vec<ServiceLink>,
    pub home_url: String,
}

#[derive(Template)]
#[template(path = "spawn.html")]
pub struct SpawnPage {
    pub frame: Frame,
    pub action: String,
    pub own: bool,
    pub owner: String,
    /// Empty for the default one.
    pub server: String,
    pub error: Option<String>,
    /// There is something to choose, and nothing that this user may.
    pub nothing_offered: bool,
    pub profiles: Vec<ProfileCard>,
}

/// A profile that somebody may choose.
pub struct ProfileCard {
    pub slug: String,
    pub title: String,
    pub description: Option<String>,
    pub checked: bool,
    pub options: Vec<OptionField>,
}

/// A choice within a profile.
pub struct OptionField {
    /// Of the form's field, and its id.
    pub name: String,
    pub title: String,
    pub choices: Vec<ChoiceLine>,
    pub unlisted: Option<UnlistedField>,
}

/// An entry of a list.
pub struct ChoiceLine {
    pub value: String,
    pub title: String,
    pub selected: bool,
}

/// Where people write an image of their own.
pub struct UnlistedField {
    /// Of the form's field, and its id.
    pub name: String,
    pub title: String,
    /// What it must begin with, for people.
    pub prefixes: String,
    /// What was written before.
    pub value: String,
}

#[derive(Template)]
#[template(path = "spawn_pending.html")]
pub struct SpawnPendingPage {
    pub frame: Frame,
    /// Where its start is cancelled.
    pub action: String,
    pub own: bool,
    pub owner: String,
    pub stopping: bool,
    pub failed: Option<String>,
    pub events_url: String,
    pub ready_url: String,
    pub spawn_url: String,
}

#[derive(Template)]
#[template(path = "not_running.html")]
pub struct NotRunningPage {
    pub frame: Frame,
    pub own: bool,
    pub owner: String,
    pub failure: Option<String>,
    pub spawn_url: String,
}

/// All users, a page at a time.
#[derive(Template)]
#[template(path = "admin.html")]
pub struct AdminPage {
    pub frame: Frame,
    /// Where forms go: this page, with the part of the list that is shown.
    pub action: String,
    /// What was done, in words.
    pub done: Option<&'static str>,
    pub error: Option<String>,
    pub name_filter: String,
    pub state: String,
    pub sort: String,
    pub users: Vec<AdminUser>,
    /// Such as `1-50 of 10000`.
    pub range: String,
    pub previous_url: Option<String>,
    pub next_url: Option<String>,
    /// They may make others administrators.
    pub grants_admin: bool,
    /// They may add users.
    pub adds_users: bool,
}

/// A user on the admin page.
pub struct AdminUser {
    pub name: String,
    pub admin: bool,
    pub disabled: bool,
    pub last_activity: String,
    pub groups: String,
    pub servers: Vec<AdminServer>,
    /// The visitor may make an administrator of them, or the reverse.
    pub changes: bool,
    /// The visitor may disable them, or the reverse.
    pub bars: bool,
    /// The visitor may log them out everywhere.
    pub ends_sessions: bool,
    /// Where a deletion is asked for, if the visitor may.
    pub delete_url: Option<String>,
}

/// A server on the admin page.
pub struct AdminServer {
    /// With its user's: `alice/lab`, or `alice/` for the default one.
    pub full_name: String,
    /// Empty for the default one.
    pub title: String,
    pub state: ServerState,
    pub starts: bool,
    pub stops: bool,
    /// Where it is, if it runs and the visitor may use it.
    pub open_url: Option<String>,
    /// The page that chooses a profile before a start.
    pub spawn_url: Option<String>,
}

#[derive(Template)]
#[template(path = "admin_delete.html")]
pub struct AdminDeletePage {
    pub frame: Frame,
    pub action: String,
    pub back_url: String,
    pub name: String,
}

/// A line of the table of tokens, as people read it.
pub struct TokenLine {
    pub id: String,
    pub note: String,
    pub scopes: String,
    pub created: String,
    pub last_used: String,
    pub expires: String,
}

#[derive(Template)]
#[template(path = "token.html")]
pub struct TokenPage {
    pub frame: Frame,
    pub tokens: Vec<TokenLine>,
    pub created: Option<String>,
    pub error: Option<String>,
    pub sessions: Vec<SessionLine>,
    /// The person has a password, and can change it.
    pub has_password: bool,
}

/// A login in a browser.
pub struct SessionLine {
    pub id: String,
    /// As it names itself.
    pub browser: String,
    pub address: String,
    pub since: String,
    pub seen: String,
    /// The page is shown in it.
    pub is_this: bool,
}

#[derive(Template)]
#[template(path = "change_password.html")]
pub struct ChangePasswordPage {
    pub frame: Frame,
    /// The user, for password managers.
    pub name: String,
    pub min_length: u32,
    pub error: Option<String>,
}

#[derive(Template)]
#[template(path = "oauth.html")]
pub struct OAuthPage {
    pub frame: Frame,
    pub client: String,
    /// Granted with any answer.
    pub required: Vec<String>,
    /// Granted as chosen.
    pub scopes: Vec<OfferedScope>,
}

/// A scope that a client asks for.
pub struct OfferedScope {
    pub scope: String,
    /// What it lets its holder do.
    pub description: String,
    /// For what: `user alice`, or just `user` for one's own; empty for everything.
    pub filter: String,
}

/// A line of what a share lets someone do.
pub struct SharedScope {
    /// Without its filter.
    pub name: String,
    pub description: String,
}

#[derive(Template)]
#[template(path = "accept_share.html")]
pub struct AcceptSharePage {
    pub frame: Frame,
    pub code: String,
    pub owner: String,
    /// Empty for the default server.
    pub server: String,
    pub server_url: String,
    pub ready: bool,
    pub scopes: Vec<SharedScope>,
    /// Where to go then, if it isn't the server.
    pub next: Option<String>,
}

/// After a login elsewhere.
#[derive(Template)]
#[template(path = "continue.html")]
pub struct ContinuePage {
    pub frame: Frame,
    pub url: String,
}

/// A login by an address that somebody else may have made, or in place of another person.
#[derive(Template)]
#[template(path = "ask_login.html")]
pub struct AskLoginPage {
    pub frame: Frame,
    pub action: String,
    /// Whose token it is.
    pub name: String,
    pub token: String,
}

/// What the person may not have asked for themselves.
#[derive(Template)]
#[template(path = "ask.html")]
pub struct AskPage {
    pub frame: Frame,
    pub question: &'static str,
    pub consequence: &'static str,
    pub confirm: &'static str,
    pub confirm_url: String,
}

#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub frame: Frame,
    pub status: u16,
    pub reason: &'static str,
    pub message: Option<String>,
}

/// Renders a page. Pages hold tokens for forms, so nobody keeps them.
pub fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => {
            let mut response = (status, Html(text)).into_response();
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            tracing::error!(error.message = %error, "failed to render a page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
