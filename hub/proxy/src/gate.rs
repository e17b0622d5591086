//! A gate before the targets: a program that embeds the proxy judges each request by its head before it goes on.
//!
//! What may not pass goes to the program's own pages, which are one more target: they log in, refuse or redirect.

use std::borrow::Cow;
use std::fmt::Debug;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use httparse::Header;

use crate::http1::field::cookie_name;
use crate::table::Route;

/// Judges requests. It is asked on the data path: an answer that needs no waiting should need no waiting.
pub trait Gate: Debug + Send + Sync {
    fn judge(&self, request: &Arrival<'_>) -> Verdict;
}

/// The gate of a proxy, and where the requests go that it keeps.
#[derive(Debug, Clone)]
pub struct GateConfig {
    pub gate: Arc<dyn Gate>,
    /// The target of the program's own pages, such as `http+unix://%2Frun%2Fpages.sock`. They see each request as it came.
    pub pages: String,
}

/// A gate in place.
#[derive(Debug)]
pub(crate) struct Gated {
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) pages: Arc<Route>,
}

/// What becomes of a request.
pub enum Verdict {
    /// It goes to its target.
    Pass(Passage),
    /// It goes to the gate's pages.
    Keep,
    /// This says.
    Wait(Pin<Box<dyn Future<Output = Verdict> + Send>>),
}

/// How a request is changed before its target sees it, and the answer before the client does.
#[derive(Debug, Default)]
pub struct Passage {
    /// The query that it gets in place of its own, without a question mark.
    pub query: Option<String>,
    /// Fields, by name in lower case, that replace all of that name; `None` takes them away.
    pub fields: Vec<(&'static str, Option<String>)>,
    pub answer: AnswerChanges,
}

/// How an answer is changed.
#[derive(Debug, Default)]
pub struct AnswerChanges {
    /// The name of a cookie that the target must not set: the gate's own.
    pub guarded_cookie: Option<String>,
    /// The target sets no cookie at all.
    pub drops_cookies: bool,
    /// Fields that replace all of their names, which are in lower case.
    pub fields: Vec<(&'static str, String)>,
}

impl AnswerChanges {
    /// Whether a field of the target's answer is left out.
    pub(crate) fn drops(&self, field: &Header<'_>) -> bool {
        self.fields.iter().any(|(name, _)| field.name.eq_ignore_ascii_case(name))
            || (self.drops_cookies && field.name.eq_ignore_ascii_case("set-cookie"))
            || self.guarded_cookie.as_deref().is_some_and(|guarded| {
                field.name.eq_ignore_ascii_case("set-cookie") && cookie_name(field.value) == guarded.as_bytes()
            })
    }
}

/// The head of a request that has arrived.
#[derive(Debug)]
pub struct Arrival<'a> {
    pub method: &'a str,
    /// The path as it came, but for dot segments, which are resolved.
    pub path: &'a str,
    /// The query without its question mark.
    pub query: &'a str,
    pub host: Option<&'a str>,
    /// Who connected; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub is_secure: bool,
    pub is_websocket: bool,
    pub(crate) fields: &'a [Header<'a>],
}

impl<'a> Arrival<'a> {
    /// The values of a field in their order. One that is no UTF-8 is left out.
    pub fn values(&self, name: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let named = self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.filter_map(|field| std::str::from_utf8(field.value).ok())
    }

    /// The first value of a field.
    #[must_use]
    pub fn value(&self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// The cookies: one header, or several as one. What is no UTF-8 in them is replaced.
    #[must_use]
    pub fn cookies(&self) -> Cow<'a, str> {
        let named = self.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("cookie"));
        let mut values = named.map(|field| String::from_utf8_lossy(field.value));
        let first = values.next().unwrap_or_default();
        values.fold(first, |joined, next| Cow::Owned(format!("{joined}; {next}")))
    }
}
