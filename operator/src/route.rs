//! The HTTPRoute of `proxy.httpRoute`, which leads to the proxy through a Gateway of somebody's.

use std::time::Duration;

use hub_crds::{
    ProxyHttpRoute,
    names::{child, label_value},
    status::condition,
};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use crate::{
    controller::{
        Context,
        apply::Error,
        build::{owned_meta, service::PUBLIC_PORT},
        types::ValidatedHub,
    },
    extension::{HTTP_ROUTE, Presence},
    stored::StoredHub,
};

/// How long a Hub whose HTTPRoute can't be made for want of its kind is not looked at again.
pub const WAIT: Duration = Duration::from_secs(15);

/// Makes the route, or takes it away when it is wanted no more; nothing where none is wanted.
///
/// # Errors
/// The API server refuses, or there is somebody else's HTTPRoute of that name.
pub async fn keep(context: &Context, stored: &StoredHub, hub: &ValidatedHub) -> Result<Option<Presence>, Error> {
    if hub.paused {
        return Ok(None);
    }
    match &hub.http_route {
        Some(route) => {
            let desired = build_route(hub, route);
            context.extensions.keep(&context.client, HTTP_ROUTE, desired, Duration::MAX).await.map(Some)
        }
        // The condition tells that there was one.
        None if stored.status().conditions.iter().any(|found| found.type_ == condition::ROUTE_READY) => {
            let owner = (hub.name.as_str(), hub.namespace.as_str());
            context.extensions.remove(&context.client, HTTP_ROUTE, &stored.name_any(), owner).await.map(|()| None)
        }
        None => Ok(None),
    }
}

fn build_route(hub: &ValidatedHub, route: &ProxyHttpRoute) -> DynamicObject {
    let hostnames = if route.hostnames.is_empty() { &hub.hosts } else { &route.hostnames };
    let mut spec = json!({
        "parentRefs": route.parent_refs,
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": path(&hub.base_url)}}],
            "backendRefs": [{"name": child::proxy_public(&hub.name), "port": PUBLIC_PORT}],
        }],
    });
    if !hostnames.is_empty() {
        spec["hostnames"] = json!(hostnames);
    }
    let mut object = DynamicObject::new(&hub.name, &HTTP_ROUTE.resource()).data(json!({"spec": spec}));
    object.metadata = owned_meta(hub, hub.name.clone(), label_value::PROXY);
    object
}

/// Gateways want no slash at the end of a prefix, which they match by whole segments.
fn path(base_url: &str) -> Value {
    let path = base_url.trim_end_matches('/');
    json!(if path.is_empty() { "/" } else { path })
}
