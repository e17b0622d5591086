//! Who may pass to the program: asked by the data path for each request. No I/O.

use hub_auth::cookie;
use hub_proxy::{AnswerChanges, Arrival, Gate, Passage, Verdict};
use jiff::Timestamp;
use std::net::IpAddr;
use url::form_urlencoded;

use crate::{
    credentials::Credentials,
    hosts::Hosts,
    login_cookie::{LoginCookies, without},
};

/// The name of Jupyter's cookie against cross-site requests.
pub(crate) const XSRF: &str = "_xsrf";
/// Stands in for it where the front has seen a token, which no other site knows: the program need not check again.
const CHECKED: &str = "checked-by-the-front";

/// The front: what it knows of those who may pass.
#[derive(Debug)]
pub(crate) struct Front {
    /// With a slash at both ends.
    pub(crate) base_url: String,
    pub(crate) hosts: Hosts,
    pub(crate) credentials: Credentials,
    pub(crate) cookies: LoginCookies,
    /// Whether the program is the front's own, which can be told to end.
    pub(crate) owns_program: bool,
}

/// Why a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It carries the server's token.
    Token,
    /// Its browser is logged in.
    Cookie,
    /// Authentication is switched off.
    Open,
}

/// What of a request says who sends it; pages and data path see requests in different types.
pub(crate) trait Head {
    /// The first value of a field, if it is text.
    fn field(&self, name: &'static str) -> Option<&str>;
    fn method(&self) -> &str;
    /// Without its question mark.
    fn query(&self) -> &str;
    fn cookies(&self) -> std::borrow::Cow<'_, str>;
    fn is_websocket(&self) -> bool;
    fn peer(&self) -> Option<IpAddr>;

    fn host(&self) -> Option<&str> {
        self.field("host")
    }

    /// The token that a request carries, as `?token=` or in `Authorization` (S5, S6).
    fn token(&self) -> Option<String> {
        query_token(self.query()).or_else(|| self.header_token().map(str::to_owned))
    }

    fn header_token(&self) -> Option<&str> {
        let (scheme, token) = self.field("authorization")?.trim().split_once(char::is_whitespace)?;
        let is_known = ["token", "bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        is_known.then(|| token.trim())
    }

    /// Whether a person's browser goes to a page, rather than a script to an address.
    fn is_navigation(&self) -> bool {
        let asks_for_page = match self.field("sec-fetch-mode") {
            Some(mode) => mode == "navigate",
            None => self.field("accept").is_some_and(|accept| accept.contains("text/html")),
        };
        self.method() == "GET" && !self.is_websocket() && asks_for_page
    }
}

impl Head for Arrival<'_> {
    fn field(&self, name: &'static str) -> Option<&str> {
        self.value(name)
    }

    fn method(&self) -> &str {
        self.method
    }

    fn query(&self) -> &str {
        self.query
    }

    fn cookies(&self) -> std::borrow::Cow<'_, str> {
        Arrival::cookies(self)
    }

    fn is_websocket(&self) -> bool {
        self.is_websocket
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    fn host(&self) -> Option<&str> {
        self.host
    }
}

/// The last `token` of a query that isn't empty.
pub(crate) fn query_token(query: &str) -> Option<String> {
    // Most queries have none, and need not be decoded.
    if !query.contains("token") {
        return None;
    }
    let values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "token");
    values.last().map(|(_, value)| value.trim().to_owned()).filter(|token| !token.is_empty())
}

/// A query without `token`.
pub(crate) fn without_token(query: &str) -> String {
    let is_token = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| name == "token");
    query.split('&').filter(|pair| !is_token(pair)).collect::<Vec<_>>().join("&")
}

impl Front {
    /// Why a request may pass, if it may.
    pub(crate) fn proof(&self, request: &impl Head) -> Option<Proof> {
        if self.credentials.is_open() {
            return Some(Proof::Open);
        }
        let may_guess = || self.credentials.wait(request.peer()).is_none();
        if request.token().is_some_and(|token| may_guess() && self.credentials.is_token(&token)) {
            return Some(Proof::Token);
        }
        let name = self.cookies.name(request.host().unwrap_or_default());
        let now = Timestamp::now().as_second();
        self.cookies.is_logged_in(&request.cookies(), &name, now).then_some(Proof::Cookie)
    }

    /// Whether another site may have made the request: a browser sends a login along, whoever's page asks. Reading is
    /// harmless, since browsers don't show the answer to that page.
    pub(crate) fn is_foreign(&self, request: &impl Head) -> bool {
        let reads = matches!(request.method(), "GET" | "HEAD" | "OPTIONS") && !request.is_websocket();
        if reads {
            return false;
        }
        if !self.hosts.admits(request.field("origin"), request.host()) {
            return true;
        }
        // Without an origin, the browser's own word counts.
        request.field("origin").is_none() && request.field("sec-fetch-site") == Some("cross-site")
    }

    /// Whether a path is one of the front's own pages.
    pub(crate) fn page(&self, path: &str) -> Option<Page> {
        match path.strip_prefix(&self.base_url)? {
            "login" => Some(Page::Login),
            "logout" => Some(Page::Logout),
            "login/front.css" => Some(Page::Style),
            "api/shutdown" if self.owns_program => Some(Page::Shutdown),
            _ => None,
        }
    }

    /// What the program gets of a request.
    fn passage(&self, request: &Arrival<'_>, proof: Proof) -> Passage {
        let mut passage = Passage::default();
        let cookies = request.cookies();
        let name = self.cookies.name(request.host.unwrap_or_default());
        if proof == Proof::Token {
            passage.query = query_token(request.query).map(|_| without_token(request.query));
            passage.fields.push(("authorization", None));
            let others = without(&without(&cookies, &name), XSRF);
            let separator = if others.is_empty() { "" } else { "; " };
            passage.fields.push(("cookie", Some(format!("{others}{separator}{XSRF}={CHECKED}"))));
            passage.fields.push(("x-xsrftoken", Some(CHECKED.to_owned())));
            self.pass_origin(request, &mut passage);
        } else if cookies.contains(&name) {
            passage.fields.push(("cookie", Some(without(&cookies, &name)).filter(|rest| !rest.is_empty())));
        }
        passage.answer.guarded_cookie = Some(name);
        passage
    }

    /// Who has the token may come from any origin, unless the settings name one, as with `jupyter server`.
    fn pass_origin(&self, request: &Arrival<'_>, passage: &mut Passage) {
        let Some(origin) = request.value("origin").filter(|origin| !self.hosts.admits(Some(origin), request.host))
        else {
            return;
        };
        passage.fields.push(("origin", None));
        if self.hosts.allow_origin.is_empty() && self.hosts.allow_origin_pat.is_none() {
            let allowed = ("access-control-allow-origin", origin.to_owned());
            passage.answer = AnswerChanges { fields: vec![allowed], ..AnswerChanges::default() };
        }
    }
}

impl Gate for Front {
    fn judge(&self, request: &Arrival<'_>) -> Verdict {
        if !self.hosts.serves(request.host) || self.page(request.path).is_some() {
            return Verdict::Keep;
        }
        let token = query_token(request.query);
        match self.proof(request) {
            // The token must not stay in the address, where the browser's history and others' logs keep it.
            Some(Proof::Token) if token.is_some() && request.is_navigation() => Verdict::Keep,
            Some(Proof::Cookie) if token.is_some_and(|token| self.credentials.is_launch_token(&token)) => Verdict::Keep,
            Some(Proof::Cookie | Proof::Open) if self.is_foreign(request) => Verdict::Keep,
            Some(proof) => Verdict::Pass(self.passage(request, proof)),
            None => Verdict::Keep,
        }
    }
}

/// The front's own pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Login,
    Logout,
    Style,
    Shutdown,
}

/// The value of the cross-site cookie that a browser has.
pub(crate) fn xsrf_cookie(cookies: &str) -> Option<String> {
    cookie::value(cookies, XSRF).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_last_of_a_query_and_leaves_it() {
        for (query, token, rest) in [
            ("token=abc", Some("abc"), ""),
            ("a=1&token=abc&b=%2F", Some("abc"), "a=1&b=%2F"),
            ("token=&a", None, "a"),
            ("token=x&token=y", Some("y"), ""),
            ("%74oken=abc&a=1", None, "a=1"),
            ("xtoken=1", None, "xtoken=1"),
            ("", None, ""),
        ] {
            assert_eq!(without_token(query), rest, "{query}");
            if !query.starts_with('%') {
                assert_eq!(query_token(query).as_deref(), token, "{query}");
            }
        }
    }
}
