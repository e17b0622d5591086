//! Services, roles, groups and custom scopes: the hub's own settings, and where the services' tokens are.

use std::{collections::BTreeMap, path::Path};

use hub_crds::{
    HubService, HubSpec, SecretKeyRef,
    config::{Problem, RbacConfig, ServiceConfig},
    names::path,
};

use super::{Error, Found, Problems, TokenReference};

/// The settings, and each service's Secret. What is wrong is what the hub would not start with.
pub(super) fn check(spec: &HubSpec, problems: &mut Problems) -> (RbacConfig, BTreeMap<String, SecretKeyRef>) {
    let rbac = RbacConfig {
        services: spec.services.iter().map(settings).collect(),
        roles: spec.roles.clone(),
        groups: spec.groups.clone(),
        custom_scopes: spec.custom_scopes.clone(),
    };
    problems.extend(rbac.problems().into_iter().map(|Problem { field, message }| format!("spec.{field}: {message}")));
    let tokens = spec.services.iter().filter_map(|service| {
        let reference = service.api_token_secret_ref.clone()?;
        Some((service.name.clone(), reference))
    });
    (rbac, tokens.collect())
}

fn settings(service: &HubService) -> ServiceConfig {
    let token_file = |_: &SecretKeyRef| Path::new(path::SERVICE_TOKENS_DIR).join(&service.name);
    ServiceConfig {
        name: service.name.clone(),
        url: service.url.clone(),
        token_file: service.api_token_secret_ref.as_ref().map(token_file),
        oauth_redirect_uri: service.oauth_redirect_uri.clone(),
        oauth_client_id: service.oauth_client_id.clone(),
        oauth_client_allowed_scopes: service.oauth_client_allowed_scopes.clone(),
        oauth_no_confirm: service.oauth_no_confirm,
        display: service.display,
        admin: service.admin,
        info: service.info.clone(),
    }
}

/// The services' tokens are there, and each is one service's.
pub(super) fn check_tokens(found: &Found) -> Result<(), Error> {
    let tokens = found.spec.services.iter().filter_map(|service| {
        Some(TokenReference {
            field: format!("spec.services[{}].apiTokenSecretRef", service.name),
            holder: format!("the service {}", service.name),
            secret: service.api_token_secret_ref.as_ref()?,
        })
    });
    super::check_tokens(found, tokens)
}
