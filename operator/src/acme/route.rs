//! The challenges' route at the proxy, by the REST API that configurable-http-proxy has, too. It carries no `jupyterhub` key, so
//! that the hub, which mends its own routes, leaves it alone.

use std::time::Duration;

use futures::future::join_all;
use http::{Method, StatusCode};
use hub_crds::proxy_pods::{Member, SERVICE_LABEL, members_of};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::ListParams};
use reqwest::{Client, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{CHALLENGE_PATH, authority::chain};

const TIMEOUT: Duration = Duration::from_secs(4);

/// The proxy of a Hub.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Such as `http://hub-proxy-api.namespace:8001`.
    pub api_url: String,
    /// Where its pods are found, each of which has a table of its own; without it they are behind `api_url`.
    pub pods: Option<Pods>,
    /// Every value that the proxy may accept now.
    pub tokens: Vec<SecretString>,
    /// The first segment of its routes is the host.
    pub is_by_host: bool,
}

/// The Service of a proxy's REST API.
#[derive(Clone)]
pub struct Pods {
    pub client: kube::Client,
    pub namespace: String,
    pub service: String,
}

impl std::fmt::Debug for Pods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pods({}/{})", self.namespace, self.service)
    }
}

impl Pods {
    async fn list(&self) -> Result<Vec<Member>, kube::Error> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let of_service = ListParams::default().labels(&format!("{SERVICE_LABEL}={}", self.service));
        let slices = slices.list(&of_service).await?;
        Ok(members_of(slices.items.iter()))
    }
}

/// Why the proxy has not the route, or has it still.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the proxy's API at {0} cannot be reached: {1}")]
    Unreachable(String, String),
    #[error("the proxy's API at {0} answers with {1}")]
    Refused(String, StatusCode),
    #[error("the proxy's API at {0} accepts none of the Hub's tokens")]
    Forbidden(String),
    #[error("the proxy's pods can't be listed: {0}")]
    Pods(#[source] kube::Error),
}

/// Puts routes into proxies.
#[derive(Clone, Debug)]
pub struct Router(Client);

impl Router {
    /// # Errors
    /// No client can be made.
    pub fn new() -> Result<Self, reqwest::Error> {
        Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).build().map(Self)
    }

    /// Leads the challenges of these hosts to `target`; it does no harm to do so again.
    ///
    /// # Errors
    /// The proxy is not there, or refuses.
    pub async fn put(&self, proxy: &Proxy, hosts: &[String], target: &str) -> Result<(), Error> {
        let pods = pods(proxy).await?;
        for route in routes(proxy, hosts) {
            self.call(proxy, &pods, Method::POST, &route, Some(target)).await?;
        }
        Ok(())
    }

    /// Takes the route away; it may be gone.
    ///
    /// # Errors
    /// The proxy is not there, or refuses.
    pub async fn remove(&self, proxy: &Proxy, hosts: &[String]) -> Result<(), Error> {
        let pods = pods(proxy).await?;
        for route in routes(proxy, hosts) {
            match self.call(proxy, &pods, Method::DELETE, &route, None).await {
                Err(Error::Refused(_, StatusCode::NOT_FOUND)) => {}
                answer => answer?,
            }
        }
        Ok(())
    }

    /// At each pod. What fails at one that people are not led to is no failure.
    async fn call(
        &self,
        proxy: &Proxy,
        pods: &[Member],
        method: Method,
        route: &str,
        target: Option<&str>,
    ) -> Result<(), Error> {
        if !pods.iter().any(|pod| pod.is_ready) {
            return self.call_at(&proxy.api_url, proxy, method, route, target).await;
        }
        let calls = pods.iter().map(|pod| self.call_at(&pod.api_url, proxy, method.clone(), route, target));
        let answers = pods.iter().zip(join_all(calls).await);
        answers.filter(|(pod, _)| pod.is_ready).try_for_each(|(_, answer)| answer)
    }

    async fn call_at(
        &self,
        api_url: &str,
        Proxy { tokens, .. }: &Proxy,
        method: Method,
        route: &str,
        target: Option<&str>,
    ) -> Result<(), Error> {
        for token in tokens {
            let mut request = self.0.request(method.clone(), format!("{api_url}/api/routes{route}"));
            request = request.header("authorization", format!("token {}", token.expose_secret()));
            if let Some(target) = target {
                request = request.json(&json!({"target": target}));
            }
            let answer = request.send().await;
            let answer = answer.map_err(|error| Error::Unreachable(api_url.to_owned(), chain(&error.without_url())))?;
            match answer.status() {
                StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {}
                status if status.is_success() => return Ok(()),
                status => return Err(Error::Refused(api_url.to_owned(), status)),
            }
        }
        Err(Error::Forbidden(api_url.to_owned()))
    }
}

/// None where nobody knows them.
async fn pods(proxy: &Proxy) -> Result<Vec<Member>, Error> {
    match &proxy.pods {
        Some(pods) => pods.list().await.map_err(Error::Pods),
        None => Ok(Vec::new()),
    }
}

/// With host routing there is one for each host.
fn routes(proxy: &Proxy, hosts: &[String]) -> Vec<String> {
    let path = CHALLENGE_PATH.trim_end_matches('/');
    match proxy.is_by_host {
        true => hosts.iter().map(|host| format!("/{host}{path}")).collect(),
        false => vec![path.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_host_routing_each_host_has_its_route() {
        let mut proxy = Proxy { api_url: String::new(), pods: None, tokens: Vec::new(), is_by_host: false };
        let hosts = ["a.test".to_owned(), "b.test".to_owned()];
        assert_eq!(routes(&proxy, &hosts), ["/.well-known/acme-challenge"]);
        proxy.is_by_host = true;
        assert_eq!(
            routes(&proxy, &hosts),
            ["/a.test/.well-known/acme-challenge", "/b.test/.well-known/acme-challenge"]
        );
    }
}
