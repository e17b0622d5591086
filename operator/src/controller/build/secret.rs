//! The Secret that is made from others: with it a person needs not put an address and a token together.

use hub_crds::names::{child, label_value};
use k8s_openapi::api::core::v1::Secret;

use super::{ValidatedHub, owned_meta};

/// The login URLs; nothing as long as there is no token.
pub(super) fn build_login_urls(hub: &ValidatedHub) -> Option<Secret> {
    (!hub.login_urls.is_empty()).then(|| Secret {
        metadata: owned_meta(hub, child::login_urls(&hub.name), label_value::HUB),
        type_: Some("Opaque".to_owned()),
        data: Some(hub.login_urls.clone()),
        ..Secret::default()
    })
}
