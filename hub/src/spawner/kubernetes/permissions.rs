//! Whether the hub may do what starting servers takes: asked of the API server itself.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, api::PostParams};

use super::connect;

/// What the operator's Role gives.
const NEEDED: [(&str, &[&str]); 4] = [
    ("pods", &["get", "list", "watch", "create", "patch", "delete"]),
    ("persistentvolumeclaims", &["get", "list", "watch", "create", "delete"]),
    ("secrets", &["create", "patch", "delete"]),
    ("events", &["get", "list", "watch"]),
];

/// What of it is missing in the namespace of the user pods: `create pods`.
///
/// # Errors
/// The API server can't be asked.
pub async fn missing(namespace: &str) -> anyhow::Result<Vec<String>> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(connect().await?);
    let mut missing = Vec::new();
    for (resource, verbs) in NEEDED {
        for verb in verbs {
            let review = review(namespace, resource, verb);
            let answer = reviews.create(&PostParams::default(), &review).await?;
            if !answer.status.is_some_and(|status| status.allowed) {
                missing.push(format!("{verb} {resource}"));
            }
        }
    }
    Ok(missing)
}

fn review(namespace: &str, resource: &str, verb: &str) -> SelfSubjectAccessReview {
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        resource: Some(resource.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), non_resource_attributes: None };
    SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() }
}
