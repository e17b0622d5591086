//! Secrets that are made from others: the login URLs, with which a person needs not put an address and a token together,
//! the certificate that the proxy serves, and the one by which servers know hub and proxy.

use hub_crds::names::{CERTIFICATE_SOURCE_ANNOTATION, HTTPS_TYPE_ANNOTATION, child, label_value};
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

/// The certificate, as files of the proxy's directory; nothing as long as there is none.
pub(super) fn build_tls(hub: &ValidatedHub) -> Option<Secret> {
    let served = hub.certificate.served.as_ref()?;
    let mut metadata = owned_meta(hub, child::tls(&hub.name), label_value::PROXY);
    let annotations =
        [(CERTIFICATE_SOURCE_ANNOTATION, served.facts.source.as_str()), (HTTPS_TYPE_ANNOTATION, hub.https.as_str())];
    metadata.annotations = Some(annotations.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    Some(Secret {
        metadata,
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(served.files.clone()),
        ..Secret::default()
    })
}

/// By which the pods know each other; nothing as long as the authority has no key.
pub(super) fn build_internal_tls(hub: &ValidatedHub) -> Option<Secret> {
    let internal = hub.internal_tls.as_ref()?;
    Some(Secret {
        metadata: owned_meta(hub, child::internal_tls(&hub.name), label_value::PROXY),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(internal.files.clone()),
        ..Secret::default()
    })
}
