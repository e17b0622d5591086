//! Counts every request that the operator sends to the API server, by verb and resource as RBAC names them.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Uri};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// Puts a counter in front of a client's service.
#[derive(Clone)]
pub struct CountRequests(pub Arc<Metrics>);

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.0.clone() }
    }
}

/// A service whose requests are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let (verb, resource) = describe(request.method(), request.uri());
        self.metrics.count_api_request(verb, resource);
        self.inner.call(request)
    }
}

/// Verb and resource of a request: `("patch", "hubs/status")`.
fn describe(method: &Method, uri: &Uri) -> (&'static str, String) {
    let mut segments = uri.path().split('/').filter(|segment| !segment.is_empty());
    // /api/v1/.. or /apis/<group>/<version>/..
    let group_segments = if segments.next() == Some("apis") { 2 } else { 1 };
    let mut rest: Vec<&str> = segments.skip(group_segments).collect();
    if rest.len() > 2 && rest[0] == "namespaces" {
        rest.drain(..2);
    }
    let has_name = rest.len() > 1;
    let resource = match rest[..] {
        [resource, _, subresource, ..] => format!("{resource}/{subresource}"),
        [resource, ..] => resource.to_owned(),
        [] => "none".to_owned(),
    };
    let is_watch = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    let verb = match (method, has_name) {
        (&Method::GET, _) if is_watch => "watch",
        (&Method::GET, true) => "get",
        (&Method::GET, false) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        _ => "other",
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_as_rbac_names_them() {
        for (method, uri, expected) in [
            (Method::GET, "/api/v1/namespaces/n/secrets/s", ("get", "secrets")),
            (Method::GET, "/api/v1/secrets?limit=500", ("list", "secrets")),
            (Method::GET, "/apis/apps/v1/deployments?allowWatchBookmarks=true&watch=true", ("watch", "deployments")),
            (Method::GET, "/api/v1/namespaces/n", ("get", "namespaces")),
            (Method::POST, "/api/v1/namespaces/n/pods?", ("create", "pods")),
            (
                Method::PATCH,
                "/apis/jupyter.rs/v1alpha1/namespaces/n/hubs/h/status?force=true",
                ("patch", "hubs/status"),
            ),
            (Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/n/leases/l", ("update", "leases")),
            (Method::DELETE, "/api/v1/namespaces/n/services/s", ("delete", "services")),
        ] {
            let (verb, resource) = describe(&method, &uri.parse().unwrap());
            assert_eq!((verb, resource.as_str()), expected, "{method} {uri}");
        }
    }
}
