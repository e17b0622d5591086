//! Who may pass to the program: asked by the data path for each request. No I/O.

use hub_proxy::{Arrival, Gate, Passage, Verdict};
use jiff::Timestamp;
use std::borrow::Cow;

use crate::{
    credentials::Credentials,
    head::Head,
    hosts::Hosts,
    login_cookie::{LoginCookies, NAME_PREFIX},
    passage::{Source, passage},
};

/// The front: what it knows of those who may pass.
#[derive(Debug)]
pub(crate) struct Front {
    /// With a slash at both ends.
    pub(crate) base_url: String,
    pub(crate) hosts: Hosts,
    pub(crate) credentials: Credentials,
    pub(crate) cookies: LoginCookies,
}

/// Why a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It carries the server's token, or its browser is logged in.
    Carried(Source),
    /// Authentication is switched off.
    Open,
}

impl Front {
    /// Why a request may pass, if it may.
    pub(crate) fn proof(&self, head: &Head<'_>) -> Option<Proof> {
        if self.credentials.is_open() {
            return Some(Proof::Open);
        }
        if let Some(source) = self.token_source(head) {
            return Some(Proof::Carried(source));
        }
        let name = self.cookies.name(head.host.unwrap_or_default());
        let is_logged_in = self.cookies.is_logged_in(&head.cookies, &name, Timestamp::now().as_second());
        is_logged_in.then_some(Proof::Carried(Source::Cookie))
    }

    /// Where the server's token is (S5, S6).
    fn token_source(&self, head: &Head<'_>) -> Option<Source> {
        let in_query = head.query_token().map(|token| (Source::Query, Cow::Owned(token)));
        let in_header = || head.header_token().map(|token| (Source::Header, Cow::Borrowed(token)));
        let (source, token) = in_query.or_else(in_header)?;
        self.credentials.takes_token(&token, head.peer).then_some(source)
    }

    /// Whether another site may have made the request: a browser sends a login along, whoever's page asks. Links from
    /// elsewhere may lead here; scripts and pictures of elsewhere may not be made of what is here.
    pub(crate) fn is_foreign(&self, head: &Head<'_>) -> bool {
        let is_of_elsewhere = matches!(head.fetch_site, Some("cross-site" | "same-site"));
        match (head.is_read_only(), head.origin) {
            (true, Some(_)) if self.hosts.admits(head.origin, head.host) => false,
            (true, _) => is_of_elsewhere && head.fetch_mode.is_some_and(|mode| mode != "navigate"),
            (false, Some(_)) => !self.hosts.admits(head.origin, head.host),
            // Without an origin, the browser's own word counts.
            (false, None) => is_of_elsewhere,
        }
    }

    /// Whether a path is one of the front's own pages.
    pub(crate) fn page(&self, path: &str) -> Option<Page> {
        match path.strip_prefix(&self.base_url)? {
            "login" => Some(Page::Login),
            "logout" => Some(Page::Logout),
            "login/front.css" => Some(Page::Style),
            "api/shutdown" => Some(Page::Shutdown),
            _ => None,
        }
    }

    /// What the program gets of a request.
    fn passage(&self, head: &Head<'_>, proof: Proof) -> Passage {
        let name = self.cookies.name(head.host.unwrap_or_default());
        let source = match proof {
            Proof::Carried(source) => source,
            Proof::Open => Source::Cookie,
        };
        // Browsers send the logins of servers on other ports along.
        let is_login = |cookie: &str| cookie == name || cookie.starts_with(NAME_PREFIX);
        let mut passage = passage(head, source, is_login, name.clone());
        if source != Source::Cookie {
            self.pass_origin(head, &mut passage);
        }
        passage
    }

    /// Who has the token may come from any origin, unless the settings name one, as with `jupyter server`.
    fn pass_origin(&self, head: &Head<'_>, passage: &mut Passage) {
        let Some(origin) = head.origin.filter(|_| !self.hosts.admits(head.origin, head.host)) else { return };
        passage.fields.push(("origin", None));
        if self.hosts.allow_origin.is_empty() && self.hosts.allow_origin_pat.is_none() {
            passage.answer.fields.push(("access-control-allow-origin", origin.to_owned()));
        }
    }
}

impl Gate for Front {
    fn judge(&self, request: &Arrival<'_>) -> Verdict {
        let head = Head::of_arrival(request);
        if !self.hosts.serves(head.host) || self.page(head.path).is_some() {
            return Verdict::Keep;
        }
        let is_launch = || head.query_token().is_some_and(|token| self.credentials.is_launch_token(&token));
        match self.proof(&head) {
            // The token must not stay in the address, where the browser's history and others' logs keep it.
            Some(Proof::Carried(Source::Query)) if head.is_visit() => Verdict::Keep,
            Some(Proof::Carried(Source::Cookie)) if is_launch() => Verdict::Keep,
            Some(Proof::Carried(Source::Cookie) | Proof::Open) if self.is_foreign(&head) => Verdict::Keep,
            Some(proof) => Verdict::Pass(self.passage(&head, proof)),
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
