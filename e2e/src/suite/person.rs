//! A person at a browser, without the browser: cookies are kept, redirects are followed one by one so that tests see
//! them, and requests say of themselves what a browser's say. Works alike with every JupyterHub.

mod form;
mod jar;
mod kernel;
mod server;
mod socket;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{
    Method, RequestBuilder,
    header::{HeaderMap, LOCATION, SET_COOKIE},
};
use serde_json::Value;
use url::Url;

use crate::{http::client, tls_client::TlsClient};

pub(super) use jar::Jar;
pub(super) use kernel::Kernel;
pub(super) use server::ServerState;
pub(super) use socket::Socket;

/// A browser gives up after about as many.
const MAX_REDIRECTS: usize = 20;

/// A person, by user name, with the cookies of one browser.
pub(super) struct Person {
    pub(super) name: String,
    origin: Url,
    http: reqwest::Client,
    /// Asks in place of `http`, which knows no TLS.
    tls: Option<TlsClient>,
    jar: Mutex<Jar>,
}

/// What came back: of the last request if redirects were followed.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// Addresses that were redirected away from, oldest first.
    pub(super) redirects: Vec<Url>,
}

impl Answer {
    pub(super) fn path(&self) -> &str {
        self.url.path()
    }

    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{} answered no JSON", self.url))
    }

    /// This answer, if it has one of these statuses.
    pub(super) fn expect(self, statuses: &[u16]) -> Result<Self> {
        if statuses.contains(&self.status) {
            return Ok(self);
        }
        let start: String = self.body.chars().take(600).collect();
        bail!("{} answered {}, expected {statuses:?}:\n{start}", self.path(), self.status);
    }

    /// An error if an address on the way holds a secret, but for the first one, in which it was given.
    pub(super) fn leaves_behind(&self, secret: &str) -> Result<()> {
        for place in self.redirects.iter().skip(1).chain([&self.url]) {
            ensure!(!place.as_str().contains(secret), "the token stays in the address {}", place.path());
        }
        Ok(())
    }

    fn location(&self) -> Result<Option<Url>> {
        if !matches!(self.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let location = self.headers.get(LOCATION).context("a redirect without Location")?.to_str()?;
        Ok(Some(self.url.join(location)?))
    }
}

impl Person {
    /// Somebody who has never been at `base_url`, such as `http://127.0.0.1:8080`.
    pub(super) fn new(name: &str, base_url: &str) -> Result<Self> {
        let (origin, http) = (Url::parse(base_url)?, client(None)?);
        Ok(Self { name: name.to_owned(), origin, http, tls: None, jar: Mutex::default() })
    }

    /// The same person with a browser that finds the host and trusts its certificate.
    pub(super) fn over(self, tls: &TlsClient) -> Self {
        Self { tls: Some(tls.clone()), ..self }
    }

    /// The same person at a machine with this address: any of 127.0.0.0/8 is one.
    pub(super) fn at(self, address: IpAddr) -> Result<Self> {
        Ok(Self { http: client(Some(address))?, ..self })
    }

    /// The same person and browser when the Hub has moved to another address of the same host.
    pub(super) fn moved_to(self, base_url: &str) -> Result<Self> {
        Ok(Self { origin: Url::parse(base_url)?, ..self })
    }

    pub(super) fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another person's cookies of one name into this browser, as a thief would.
    pub(super) fn steal(&self, other: &Self, name: &str) {
        let stolen = other.jar().set_cookies(name);
        stolen.iter().for_each(|cookie| self.plant(cookie));
    }

    /// Puts a cookie into this browser, as a `Set-Cookie` field would.
    pub(super) fn plant(&self, set_cookie: &str) {
        self.jar().store("/", set_cookie);
    }

    /// Types an address: redirects are followed.
    pub(super) async fn visit(&self, path: &str) -> Result<Answer> {
        self.follow(self.look(path).await?).await
    }

    /// Types an address; a redirect is the answer.
    pub(super) async fn look(&self, path: &str) -> Result<Answer> {
        self.look_at(self.url(path)?).await
    }

    async fn look_at(&self, url: Url) -> Result<Answer> {
        self.send(self.navigation(Method::GET, url)).await
    }

    /// Submits a form of a page that was visited, with its hidden fields; redirects are followed.
    pub(super) async fn submit(&self, page: &Answer, fields: &BTreeMap<&str, &str>) -> Result<Answer> {
        let action = form::action(&page.body).context("the page has no form")?;
        let url = if action.is_empty() { page.url.clone() } else { page.url.join(&action)? };
        let hidden = form::hidden(&page.body);
        ensure!(hidden.iter().any(|(name, _)| name == "_xsrf"), "the form has no _xsrf field");
        let hidden = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = hidden.chain(fields.iter().map(|(name, value)| (*name, *value))).collect();
        let origin = self.origin.origin().ascii_serialization();
        self.follow(self.send(self.navigation(Method::POST, url).header("Origin", origin).form(&fields)).await?).await
    }

    /// What a script of a page asks for.
    pub(super) async fn fetch(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = self.script(method, self.url(path)?);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await
    }

    fn navigation(&self, method: Method, url: Url) -> RequestBuilder {
        self.http
            .request(method, url)
            .header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("Sec-Fetch-Mode", "navigate")
            .header("Sec-Fetch-Dest", "document")
    }

    fn script(&self, method: Method, url: Url) -> RequestBuilder {
        let xsrf = self.jar().value("_xsrf", url.path()).unwrap_or_default().to_owned();
        self.http
            .request(method, url)
            .header("Sec-Fetch-Mode", "cors")
            .header("Sec-Fetch-Site", "same-origin")
            .header("Origin", self.origin.origin().ascii_serialization())
            .header("X-XSRFToken", xsrf)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let response = self.respond(request).await?;
        let (url, status, headers) = (response.url().clone(), response.status().as_u16(), response.headers().clone());
        let body = response.text().await.with_context(|| format!("failed to read what {} answered", url.path()))?;
        Ok(Answer { url, status, headers, body, redirects: Vec::new() })
    }

    async fn respond(&self, request: RequestBuilder) -> Result<reqwest::Response> {
        let mut request = request.build()?;
        let path = request.url().path().to_owned();
        if let Some(cookies) = self.jar().header(&path) {
            request.headers_mut().insert("Cookie", cookies.parse()?);
        }
        let response = match &self.tls {
            Some(tls) => tls.execute(request).await,
            None => self.http.execute(request).await.map_err(Into::into),
        };
        let response = response.with_context(|| format!("failed to ask for {path}"))?;
        for cookie in response.headers().get_all(SET_COOKIE) {
            self.jar().store(&path, cookie.to_str()?);
        }
        Ok(response)
    }

    async fn follow(&self, mut answer: Answer) -> Result<Answer> {
        let mut redirects = Vec::new();
        while let Some(next) = answer.location()? {
            ensure!(next.origin() == self.origin.origin(), "{} redirects to another host: {next}", answer.path());
            redirects.push(answer.url);
            ensure!(redirects.len() <= MAX_REDIRECTS, "redirects don't end: {redirects:?}");
            answer = self.look_at(next).await?;
        }
        Ok(Answer { redirects, ..answer })
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.origin.join(path).with_context(|| format!("failed to make an address of {path}"))
    }
}

/// What people do at the hub itself.
impl Person {
    /// Opens a login address with a token in it.
    pub(super) async fn log_in_with_url(&self, token: &str) -> Result<Answer> {
        self.visit(&format!("/hub/login?token={token}")).await
    }

    /// Fills in the login form.
    pub(super) async fn log_in_with_form(&self, password: &str) -> Result<Answer> {
        let page = self.visit("/hub/login").await?.expect(&[200])?;
        self.submit(&page, &BTreeMap::from([("username", self.name.as_str()), ("password", password)])).await
    }

    pub(super) async fn log_out(&self) -> Result<Answer> {
        self.visit("/hub/logout").await
    }

    /// Whether the hub's own pages are open to this browser.
    pub(super) async fn is_logged_in(&self) -> Result<bool> {
        let answer = self.visit("/hub/home").await?;
        match (answer.status, answer.path()) {
            (200, "/hub/home") => Ok(true),
            (_, "/hub/login") => Ok(false),
            _ => answer.expect(&[]).map(|_| false),
        }
    }
}

#[cfg(test)]
mod tests;
