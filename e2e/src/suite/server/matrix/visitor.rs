//! Who asks, and what they prove themselves with.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result};
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, ORIGIN},
};

use super::{
    Mode, PASSWORD,
    outcome::{Outcome, is_login},
    requests::{Login, Request},
};
use crate::{http::client, jupyter_server::JupyterServer, suite::person::Person};

/// What a visitor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secret {
    Token,
    Password,
    Wrong,
    Empty,
}

impl Secret {
    const ALL: [Self; 4] = [Self::Token, Self::Password, Self::Wrong, Self::Empty];

    fn text(self, token: &str) -> &str {
        match self {
            Self::Token => token,
            Self::Password => PASSWORD,
            Self::Wrong => "wrong",
            Self::Empty => "",
        }
    }
}

/// Where a visitor puts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Nothing,
    /// `Authorization`, with a scheme.
    Header(&'static str, Secret),
    /// `?token=`.
    Address(Secret),
    /// The cookie that a login with it set; a wrong one is forged.
    Cookie(Secret),
    /// The login form's field.
    Form(Secret),
}

impl Proof {
    /// Every way to ask for something. Whether a token was given or made makes no difference to most.
    pub(super) fn all(mode: Mode) -> Vec<Self> {
        if mode == Mode::Generated {
            let right =
                [Self::Header("token", Secret::Token), Self::Address(Secret::Token), Self::Cookie(Secret::Token)];
            return [&[Self::Nothing, Self::Address(Secret::Wrong)][..], &right].concat();
        }
        let headers = Secret::ALL.map(|secret| Self::Header("token", secret));
        let schemes = ["Token", "bearer", "Bearer", "Basic"].map(|scheme| Self::Header(scheme, Secret::Token));
        let addresses = Secret::ALL.map(Self::Address);
        let cookies = Secret::ALL.map(Self::Cookie);
        [&[Self::Nothing][..], &headers, &schemes, &addresses, &cookies].concat()
    }

    /// Path and query, with what is proved in the query.
    pub(super) fn address(self, path: &str, token: &str) -> String {
        let Self::Address(secret) = self else { return path.to_owned() };
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("{path}{separator}token={}", secret.text(token).replace(' ', "%20"))
    }

    /// Whether it is what a server of this mode asks for.
    pub(super) fn is_right(self, mode: Mode) -> bool {
        let takes_token = matches!(mode, Mode::Generated | Mode::Given | Mode::Both | Mode::Wide);
        match self {
            Self::Nothing | Self::Header("Basic", _) => false,
            Self::Header(_, secret) | Self::Address(secret) => takes_token && secret == Secret::Token,
            Self::Cookie(secret) | Self::Form(secret) => match secret {
                Secret::Token => takes_token,
                Secret::Password => matches!(mode, Mode::Password | Mode::Both),
                Secret::Wrong | Secret::Empty => false,
            },
        }
    }

    /// Every way to fill in the login form.
    pub(super) fn typed() -> [Self; 4] {
        Secret::ALL.map(Self::Form)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(out, "with nothing"),
            Self::Header(scheme, secret) => write!(out, "with `Authorization: {scheme} {secret:?}`"),
            Self::Address(secret) => write!(out, "with `?token={secret:?}`"),
            Self::Cookie(secret) => write!(out, "with the cookie of {secret:?}"),
            Self::Form(secret) => write!(out, "with {secret:?} typed in"),
        }
    }
}

/// Somebody who has been at the login page, and has its `_xsrf` cookie.
pub(super) struct Visitor {
    origin: String,
    token: String,
    proof: Proof,
    xsrf: String,
    /// `name=value`.
    login_cookie: Option<String>,
}

impl Visitor {
    pub(super) async fn arrives(server: &JupyterServer, mode: Mode, token: &str, proof: Proof) -> Result<Self> {
        let person = Person::new("ada", &server.origin)?.at(another_address())?;
        let page = person.visit("/login").await?;
        if mode == Mode::Nothing {
            person.visit("/lab").await?; // there is nowhere to log in, and a visit sets the cookie
        }
        let login_cookie = match proof {
            Proof::Cookie(secret) => {
                let typed = match (secret, mode) {
                    (Secret::Token | Secret::Password, _) => secret,
                    (_, Mode::Password) => Secret::Password,
                    _ => Secret::Token,
                };
                if mode != Mode::Nothing {
                    person.submit(&page, &BTreeMap::from([("password", typed.text(token))])).await?;
                }
                cookie_of(&person).map(|(name, value)| format!("{name}={}", altered(&value, secret)))
            }
            _ => None,
        };
        let xsrf = person.jar().value("_xsrf", "/").context("the pages set no _xsrf cookie")?.to_owned();
        Ok(Self { origin: server.origin.clone(), token: token.to_owned(), proof, xsrf, login_cookie })
    }

    pub(super) async fn asks(&self, request: &Request) -> Result<Outcome> {
        let mut asked = self.request(request.method.parse()?, request.path)?;
        for (name, value) in request.headers {
            asked = asked.header(HeaderName::try_from(*name)?, value.replace("{origin}", &self.origin));
        }
        if request.xsrf {
            asked = asked.header("X-XSRFToken", &self.xsrf);
        }
        if let Some(json) = request.json {
            asked = asked.header(CONTENT_TYPE, "application/json").body(json);
        }
        self.send(asked, request.xsrf).await
    }

    pub(super) async fn logs_in(&self, login: &Login) -> Result<Outcome> {
        let Proof::Form(secret) = self.proof else { anyhow::bail!("nothing is typed {}", self.proof) };
        let mut fields = vec![("password", secret.text(&self.token))];
        if login.xsrf {
            fields.push(("_xsrf", &self.xsrf));
        }
        let mut asked = self.request(Method::POST, &format!("/login?next={}", login.next))?.form(&fields);
        if let Some(origin) = login.origin {
            asked = asked.header(ORIGIN, origin.replace("{origin}", &self.origin));
        }
        self.send(asked, login.xsrf).await
    }

    /// A request from an address that nobody used before, with what the address and headers prove.
    fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder> {
        let url = format!("{}{}", self.origin, self.proof.address(path, &self.token));
        let request = client(Some(another_address()))?.request(method, url);
        Ok(match self.proof {
            Proof::Header(scheme, secret) => {
                request.header(AUTHORIZATION, format!("{scheme} {}", secret.text(&self.token)))
            }
            _ => request,
        })
    }

    async fn send(&self, request: reqwest::RequestBuilder, xsrf: bool) -> Result<Outcome> {
        let xsrf = xsrf.then(|| format!("_xsrf={}", self.xsrf));
        let cookies: Vec<_> = self.login_cookie.iter().cloned().chain(xsrf).collect();
        let request = if cookies.is_empty() { request } else { request.header(COOKIE, cookies.join("; ")) };
        Outcome::of(request.send().await?, &self.origin, &self.token).await
    }
}

fn cookie_of(person: &Person) -> Option<(String, String)> {
    let jar = person.jar();
    let name = jar.names().into_iter().map(|(name, _)| name).find(|name| is_login(name))?;
    Some((name.to_owned(), jar.value(name, "/")?.to_owned()))
}

/// What a visitor who does not have the right cookie sends for it.
fn altered(value: &str, secret: Secret) -> String {
    match secret {
        Secret::Token | Secret::Password => value.to_owned(),
        Secret::Empty => String::new(),
        Secret::Wrong => {
            // A digit of the signature: the last ones may hold bits that don't count.
            let mut value = value.as_bytes().to_vec();
            if let Some(digit) = value.iter_mut().rev().nth(10) {
                *digit = if *digit == b'0' { b'1' } else { b'0' };
            }
            String::from_utf8_lossy(&value).into_owned()
        }
    }
}

/// One of 127.0.0.0/8 that nobody in this program had before.
fn another_address() -> IpAddr {
    static LAST: AtomicU16 = AtomicU16::new(0);
    let [high, low] = LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low).into()
}
