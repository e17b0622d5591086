//! A client that keeps cookies as a browser does: by name, host and path, sent where host and path say.

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, Response, StatusCode, header},
};
use serde_json::Value;
use url::form_urlencoded;

use crate::test_hub::TestHub;

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Self { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.into()).unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn location(&self) -> &str {
        assert!(self.status.is_redirection(), "{} {}", self.status, self.text);
        self.header("location")
    }

    /// The whole `Set-Cookie` lines of this name.
    pub(crate) fn set_cookies(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap());
        lines.filter(|line| line.split('=').next() == Some(name)).collect()
    }
}

#[derive(Clone)]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) path: String,
    host: String,
    /// It is sent to all hosts below its own, too.
    for_subdomains: bool,
}

impl Cookie {
    fn is_for(&self, host: &str, path: &str) -> bool {
        let below = || host.strip_suffix(&self.host).is_some_and(|labels| labels.ends_with('.'));
        (host == self.host || self.for_subdomains && below()) && path.starts_with(&self.path)
    }

    fn is_same(&self, other: &Self) -> bool {
        let key =
            |cookie: &Self| (cookie.name.clone(), cookie.host.clone(), cookie.for_subdomains, cookie.path.clone());
        key(self) == key(other)
    }
}

#[derive(Clone)]
pub(crate) struct Browser<'a> {
    hub: &'a TestHub,
    /// Pages below `/user/` come from the server, over the proxy. Without it the hub answers for them.
    pub(crate) reaches_servers: bool,
    pub(crate) cookies: Vec<Cookie>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(hub: &'a TestHub) -> Self {
        let headers = vec![("host", "hub.test".into()), ("user-agent", "Test/1".into())];
        Self { hub, reaches_servers: false, cookies: Vec::new(), headers }
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    pub(crate) fn set_cookie(&mut self, name: &str, value: &str, path: &str) {
        let (host, for_subdomains) = (self.host().to_owned(), false);
        self.put(Cookie { name: name.into(), value: value.into(), path: path.into(), host, for_subdomains });
    }

    /// A cookie of a name that the browser has already, set by a page of a sibling host for a longer path: it comes first.
    pub(crate) fn plant_cookie(&mut self, name: &str, value: &str, path: &str) {
        let (host, for_subdomains) = (self.host().to_owned(), false);
        self.cookies
            .insert(0, Cookie { name: name.into(), value: value.into(), path: path.into(), host, for_subdomains });
    }

    /// What is sent to a path.
    pub(crate) fn cookie_header(&self, path: &str) -> String {
        let sent = self.cookies.iter().filter(|cookie| cookie.is_for(self.host(), path));
        sent.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect::<Vec<_>>().join("; ")
    }

    fn put(&mut self, cookie: Cookie) {
        self.cookies.retain(|other| !other.is_same(&cookie));
        self.cookies.push(cookie);
    }

    fn host(&self) -> &str {
        let (_, host) = self.headers.iter().find(|(name, _)| *name == "host").unwrap();
        host.split(':').next().unwrap()
    }

    /// From now on paths are those of another host.
    pub(crate) fn go_to(&mut self, host: &str) {
        self.headers.retain(|(name, _)| *name != "host");
        self.headers.push(("host", host.into()));
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], None).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let form = ("content-type", "application/x-www-form-urlencoded");
        self.request(Method::POST, path, &[form], Some(body)).await
    }

    pub(crate) async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in self.headers.iter().map(|(n, v)| (*n, v.as_str())).chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        let cookies = self.cookie_header(path);
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies);
        }
        let request = request.body(body.map_or_else(Body::empty, Body::from)).unwrap();
        let answer = match self.reaches_servers && path.starts_with("/user/") {
            true => self.hub.send_to_proxy(request).await,
            false => self.hub.send(request).await,
        };
        self.keep(&answer);
        answer
    }

    fn keep(&mut self, answer: &Answer) {
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            let attribute = |name: &str| attributes.split(';').find_map(|a| a.trim().strip_prefix(name));
            let (path, domain) = (attribute("Path=").unwrap_or("/"), attribute("Domain="));
            let is_refused =
                name.starts_with("__Host-") && (path != "/" || domain.is_some() || attribute("Secure").is_none());
            assert!(!is_refused, "a browser refuses {line}");
            let (host, for_subdomains) = (domain.unwrap_or(self.host()).to_owned(), domain.is_some());
            let cookie = Cookie { name: name.into(), value: value.into(), path: path.into(), host, for_subdomains };
            if value == "\"\"" {
                self.cookies.retain(|other| !other.is_same(&cookie));
            } else {
                self.put(cookie);
            }
        }
    }

    /// Fills in the login form as it was served.
    pub(crate) async fn log_in(&mut self, path: &str, username: &str, password: &str) -> Answer {
        self.get(path).await;
        let xsrf = self.cookie("_xsrf").unwrap_or_default().to_owned();
        self.post(path, &[("_xsrf", &xsrf), ("username", username), ("password", password)]).await
    }

    /// Presses the button of the page that asks before a login.
    pub(crate) async fn agree_to_login(&mut self, asked: &Answer) -> Answer {
        let value_after = |mark: &str| asked.text.split_once(mark).unwrap().1.split_once('"').unwrap().0.to_owned();
        let (action, token) = (value_after("method=\"post\" action=\""), value_after("name=\"token\" value=\""));
        self.submit(&action, &[("token", &token)]).await
    }

    /// Posts a form of a page, with the page's token.
    pub(crate) async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let xsrf = self.cookie("_xsrf").unwrap_or_default().to_owned();
        let fields: Vec<_> = std::iter::once(("_xsrf", xsrf.as_str())).chain(fields.iter().copied()).collect();
        self.post(path, &fields).await
    }
}
