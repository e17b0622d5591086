//! A client that keeps cookies as a browser does: by name and path, sent where the path says.

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
}

#[derive(Clone)]
pub(crate) struct Browser<'a> {
    hub: &'a TestHub,
    pub(crate) cookies: Vec<Cookie>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(hub: &'a TestHub) -> Self {
        Self { hub, cookies: Vec::new(), headers: vec![("host", "hub.test".into()), ("user-agent", "Test/1".into())] }
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    pub(crate) fn set_cookie(&mut self, name: &str, value: &str, path: &str) {
        self.cookies.retain(|cookie| !(cookie.name == name && cookie.path == path));
        self.cookies.push(Cookie { name: name.into(), value: value.into(), path: path.into() });
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
        let sent: Vec<_> = self
            .cookies
            .iter()
            .filter(|cookie| path.starts_with(&cookie.path))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        if !sent.is_empty() {
            request = request.header(header::COOKIE, sent.join("; "));
        }
        let answer = self.hub.send(request.body(body.map_or_else(Body::empty, Body::from)).unwrap()).await;
        self.keep(&answer);
        answer
    }

    fn keep(&mut self, answer: &Answer) {
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            let path = attributes.split(';').find_map(|a| a.trim().strip_prefix("Path=")).unwrap_or("/");
            if value == "\"\"" {
                self.cookies.retain(|cookie| !(cookie.name == name && cookie.path == path));
            } else {
                self.set_cookie(name, value, path);
            }
        }
    }

    /// Fills in the login form as it was served.
    pub(crate) async fn log_in(&mut self, path: &str, username: &str, password: &str) -> Answer {
        self.get(path).await;
        let xsrf = self.cookie("_xsrf").unwrap_or_default().to_owned();
        self.post(path, &[("_xsrf", &xsrf), ("username", username), ("password", password)]).await
    }

    /// Posts a form of a page, with the page's token.
    pub(crate) async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let xsrf = self.cookie("_xsrf").unwrap_or_default().to_owned();
        let fields: Vec<_> = std::iter::once(("_xsrf", xsrf.as_str())).chain(fields.iter().copied()).collect();
        self.post(path, &fields).await
    }
}
