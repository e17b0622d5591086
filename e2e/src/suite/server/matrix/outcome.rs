//! What of an answer counts.

use std::fmt;

use anyhow::Result;
use cookie::Cookie;
use reqwest::{
    Response,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, LOCATION, SET_COOKIE},
};

/// An answer, without what differs from server to server: its own address and its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: u16,
    /// Path and query where a redirect within the server leads.
    pub(super) location: Option<String>,
    pub(super) login_cookie: LoginCookie,
    pub(super) body: Body,
    /// Which site may read the answer, by CORS.
    pub(super) readable_by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginCookie {
    Untouched,
    Set,
    Cleared,
}

/// What a body is. That of a redirect, which nobody sees, counts as empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Empty,
    /// A page with the login form.
    LoginForm,
    Page,
    Json,
    Other,
}

impl Outcome {
    /// An answer that says nothing yet.
    pub(super) const EMPTY: Self =
        Self { status: 0, location: None, login_cookie: LoginCookie::Untouched, body: Body::Empty, readable_by: None };

    pub(super) async fn of(response: Response, origin: &str, token: &str) -> Result<Self> {
        let plain = |text: &str, own: &str| text.replace(origin, own).replace(token, "TOKEN");
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let login_cookie = login_cookie(&response);
        let status = response.status().as_u16();
        // That of a new file is numbered.
        let location = header(LOCATION).filter(|_| response.status().is_redirection()).map(|path| plain(path, ""));
        let readers = header(ACCESS_CONTROL_ALLOW_ORIGIN).filter(|site| !site.is_empty());
        let readable_by = readers.map(|site| plain(site, "its own site"));
        let kind = header(CONTENT_TYPE).unwrap_or_default().to_owned();
        // The body of an upgraded connection does not end.
        let text = if status == 101 { String::new() } else { response.text().await? };
        let body = if location.is_some() { Body::Empty } else { Body::of(&kind, &text) };
        Ok(Self { status, location, login_cookie, body, readable_by })
    }
}

impl Body {
    fn of(kind: &str, text: &str) -> Self {
        match kind.split(';').next().unwrap_or_default().trim() {
            _ if text.is_empty() => Self::Empty,
            "application/json" => Self::Json,
            "text/html" if text.contains("name=\"password\"") => Self::LoginForm,
            "text/html" => Self::Page,
            _ => Self::Other,
        }
    }
}

/// The last word on the login cookie.
fn login_cookie(response: &Response) -> LoginCookie {
    let mut cookies =
        response.headers().get_all(SET_COOKIE).iter().filter_map(|value| Cookie::parse(value.to_str().ok()?).ok());
    match cookies.rfind(|cookie| is_login(cookie.name())) {
        None => LoginCookie::Untouched,
        Some(cookie) if cookie.value_trimmed().is_empty() => LoginCookie::Cleared,
        Some(_) => LoginCookie::Set,
    }
}

pub(super) fn is_login(name: &str) -> bool {
    name.starts_with("username-")
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.status)?;
        if let Some(location) = &self.location {
            write!(out, " to {location}")?;
        }
        write!(out, ", {:?}", self.body)?;
        if self.login_cookie != LoginCookie::Untouched {
            write!(out, ", login cookie {:?}", self.login_cookie)?;
        }
        if let Some(site) = &self.readable_by {
            write!(out, ", readable by {site}")?;
        }
        Ok(())
    }
}
