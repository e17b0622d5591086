//! The sender of an API request: token or cookie, the rules against other sites' requests, and the scope checks.

use axum::{
    extract::FromRequestParts,
    http::{Method, header, request::Parts},
};
use hub_auth::scopes::{Access, Resource};

use super::{Identity, Via, Visitor};
use crate::{
    app::App,
    error::{Failure, Result},
    form::Fields,
};

/// The sender of an API request, known or not. Each endpoint says what it requires.
#[derive(Clone, Debug)]
pub struct Caller {
    pub visitor: Visitor,
    pub identity: Option<Identity>,
}

/// A caller whose request is not checked for another site's doing until [`Self::checked`]: for the one endpoint that
/// may be told who calls in its body.
pub struct UncheckedCaller(Caller);

impl FromRequestParts<App> for UncheckedCaller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        let mut identity = visitor.identity.clone();
        if is_cookie(identity.as_ref()) && parts.method == Method::POST && !may_be_json(parts) {
            // A form of another site can post anything but JSON.
            identity = None;
        }
        Ok(Self(Caller { visitor, identity }))
    }
}

impl UncheckedCaller {
    pub fn is_known(&self) -> bool {
        self.0.identity.is_some()
    }

    /// The caller, if no other site can have sent the request.
    pub fn checked(self) -> Result<Caller> {
        let Caller { visitor, identity } = &self.0;
        let cross_origin = identity.is_none() && visitor.headers.contains_key(header::ORIGIN);
        if is_cookie(identity.as_ref()) || cross_origin {
            visitor.check_xsrf(&Fields::default())?;
        }
        Ok(self.0)
    }

    pub fn visitor(&self) -> &Visitor {
        &self.0.visitor
    }

    /// The caller that the request's body names.
    pub fn named(self, identity: Identity) -> Caller {
        Caller { visitor: self.0.visitor, identity: Some(identity) }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        UncheckedCaller::from_request_parts(parts, app).await?.checked()
    }
}

fn is_cookie(identity: Option<&Identity>) -> bool {
    matches!(identity, Some(Identity { via: Via::Cookie, .. }))
}

fn may_be_json(parts: &Parts) -> bool {
    match parts.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase()) {
        None => true,
        Some(kind) => kind.split(';').any(|field| field.trim_start().starts_with("application/json")),
    }
}

impl Caller {
    /// Whoever it is, or 403.
    pub fn known(&self) -> Result<&Identity> {
        self.identity.as_ref().ok_or_else(|| Failure::forbidden("Missing or invalid credentials."))
    }

    /// Someone with one of these scopes, whatever it is filtered by: for lists, whose entries are filtered.
    pub fn holds(&self, scope: &'static str) -> Result<&Identity> {
        let identity = self.known()?;
        if identity.scopes.holds(scope) { Ok(identity) } else { Err(lacking(&[scope])) }
    }

    /// Someone with one of these scopes for this resource, or for everything. Held for others only, the resource does
    /// not exist for the caller.
    pub fn require(&self, scopes: &[&str], resource: Option<Resource<'_>>) -> Result<&Identity> {
        let identity = self.known()?;
        match identity.check(scopes, resource) {
            Access::Granted => Ok(identity),
            Access::Hidden => Err(Failure::no_access()),
            Access::Denied => Err(lacking(scopes)),
        }
    }
}

fn lacking(scopes: &[&str]) -> Failure {
    Failure::forbidden(format!("Action is not authorized with current scopes; requires any of [{}]", scopes.join(", ")))
}
