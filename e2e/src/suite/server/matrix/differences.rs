//! The differences that the requirements want, or that nobody can notice. Each changes what the real server answers to
//! what ours must answer; one that changes nothing fails the comparison.

use url::form_urlencoded;

use super::{
    Ask, Cell, Mode,
    outcome::{Body, LoginCookie, Outcome},
    requests::Request,
    visitor::{Proof, Secret},
};

/// A difference: where it holds, and what it makes of the real server's answer.
pub(super) struct Wanted {
    pub(super) reason: &'static str,
    pub(super) holds: fn(&Cell, &Outcome) -> bool,
    pub(super) change: fn(&Cell, &mut Outcome),
}

/// In the order in which they change an answer.
pub(super) const WANTED: &[Wanted] = &[
    Wanted {
        reason: "S1, S4: who may not pass is led to the login, and learns nothing of what there is",
        holds: |cell, _| {
            const OPEN: [&str; 6] = ["root", "tree", "missing page", "static", "head", "metrics"];
            !cell.opens() && cell.asks_one_of(&OPEN)
        },
        change: |cell, answer| {
            let next: String = form_urlencoded::byte_serialize(cell.address().as_bytes()).collect();
            (answer.status, answer.body) = (302, Body::Empty);
            answer.location = Some(format!("/login?next={next}"));
            if cell.brings_stale_cookie() {
                answer.login_cookie = LoginCookie::Cleared; // the real one's redirect at the root passes over it
            }
        },
    },
    Wanted {
        reason: "S1, S4: a program that may not pass is refused, whatever it asks for and wherever it comes from",
        holds: |cell, real| {
            const OPEN: [&str; 5] =
                ["version", "missing api", "foreign write", "foreign write with XSRF token", "foreign read"];
            !cell.opens() && cell.asks_one_of(&OPEN) && real.status != 403
        },
        change: |_, answer| (answer.status, answer.body) = (403, Body::Json),
    },
    Wanted {
        reason: "browsers show no answer to a WebSocket that was refused",
        holds: |cell, real| cell.request().is_some_and(Request::is_websocket) && real.status == 403,
        change: |_, answer| answer.body = Body::Json,
    },
    Wanted {
        reason: "S6: the token leaves the address, where the browser's history and others' logs would keep it",
        holds: |cell, real| cell.visits_with_token() && !cell.asks_one_of(&OWN_PAGES) && real.status != 403,
        change: |cell, answer| {
            let path = cell.request().map(|request| request.path.to_owned());
            *answer = Outcome { status: 302, location: path, login_cookie: LoginCookie::Set, ..Outcome::EMPTY };
        },
    },
    Wanted {
        reason: "S18: visiting a page logs in; a program that sends the token with each request keeps no cookies",
        holds: |cell, real| {
            let brings_token = matches!(cell.proof, Proof::Header(..) | Proof::Address(_));
            brings_token && !cell.visits_with_token() && real.login_cookie == LoginCookie::Set
        },
        change: |_, answer| answer.login_cookie = LoginCookie::Untouched,
    },
    Wanted {
        reason: "S24: where nobody need log in, nobody is",
        holds: |cell, real| {
            let brings_token = matches!(cell.proof, Proof::Header(..) | Proof::Address(_));
            cell.mode == Mode::Nothing && !brings_token && real.login_cookie == LoginCookie::Set
        },
        change: |_, answer| answer.login_cookie = LoginCookie::Untouched,
    },
    Wanted {
        reason: "S24: where nobody need log in, the login page leads on",
        holds: |cell, _| cell.mode == Mode::Nothing && cell.asks_one_of(&["login page", "login page to elsewhere"]),
        change: |cell, answer| {
            let next = if cell.asks_one_of(&["login page"]) { "/lab/tree" } else { "/" };
            *answer = Outcome { status: 302, location: Some(next.to_owned()), ..Outcome::EMPTY };
        },
    },
    Wanted {
        reason: "a site needs no permission to read what is its own",
        holds: |_, real| real.readable_by.as_deref() == Some("its own site"),
        change: |_, answer| answer.readable_by = None,
    },
    Wanted {
        reason: "browsers send no cookies with a preflight that could be cleared",
        holds: |cell, real| cell.asks_one_of(&["preflight"]) && real.login_cookie == LoginCookie::Cleared,
        change: |_, answer| answer.login_cookie = LoginCookie::Untouched,
    },
    Wanted {
        reason: "a login leads to a page of this server, whichever sites may use it",
        holds: |_, real| real.location.as_deref().is_some_and(|location| location.starts_with("http://")),
        change: |_, answer| answer.location = Some("/".to_owned()),
    },
    Wanted {
        reason: "a site that is allowed may read what the server answers; the pages of the login are for people",
        holds: |cell, real| {
            let is_ours = match cell.ask {
                Ask::Login(_) => true,
                Ask::Request(_) => cell.asks_one_of(&OWN_PAGES) || !(cell.opens() || cell.asks_one_of(&["preflight"])),
            };
            cell.mode == Mode::Wide && is_ours && real.readable_by.is_some()
        },
        change: |_, answer| answer.readable_by = None,
    },
    Wanted {
        reason: "a redirect to nowhere would lead back to the form",
        holds: |_, real| real.location.as_deref() == Some(""),
        change: |_, answer| answer.location = Some("/".to_owned()),
    },
];

/// Pages that the login itself has.
const OWN_PAGES: [&str; 3] = ["login page", "login page to elsewhere", "logout"];

impl Cell {
    fn request(&self) -> Option<&'static Request> {
        match self.ask {
            Ask::Request(request) => Some(request),
            Ask::Login(_) => None,
        }
    }

    fn asks_one_of(&self, names: &[&str]) -> bool {
        self.request().is_some_and(|request| names.contains(&request.name))
    }

    /// Path and query as they were sent.
    fn address(&self) -> String {
        self.request().map(|request| self.proof.address(request.path, "TOKEN")).unwrap_or_default()
    }

    /// Whether the visitor has what the server asks for. A cookie counts for the host that set it.
    fn opens(&self) -> bool {
        let is_elsewhere = self.asks_one_of(&["rebound page", "rebound read"]);
        let counts = self.proof.is_right(self.mode) && !(is_elsewhere && matches!(self.proof, Proof::Cookie(_)));
        self.mode == Mode::Nothing || counts
    }

    fn brings_stale_cookie(&self) -> bool {
        matches!(self.proof, Proof::Cookie(Secret::Wrong | Secret::Empty))
    }

    /// Whether a person opens an address that holds the right token.
    fn visits_with_token(&self) -> bool {
        let navigates = self.request().is_some_and(Request::is_navigation);
        navigates && matches!(self.proof, Proof::Address(_)) && self.proof.is_right(self.mode)
    }
}
