//! `/hub/api/oauth2/authorize`: a person lets a server or service know who they are. One's own server is not asked
//! about, nor what was granted before.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hub_auth::{
    names::full_server_name,
    scopes::{self, Definitions, Owner, Resource, Target},
    token::new_oauth_token,
};
use jiff::SignedDuration;
use secrecy::ExposeSecret;

use crate::{
    app::App,
    audit::Act,
    database::{ClientTarget, NewCode, OAuthClient},
    error::{Failure, Result, found},
    form::{Fields, Form, Query},
    oauth::{AuthorizeError, AuthorizeRequest, CODE_LIFETIME, client_id},
    pages::{OAuthPage, OfferedScope, html},
    session::{LoggedIn, add_cookie, session_cookie},
};

pub async fn get(State(app): State<App>, person: LoggedIn, Query(query): Query) -> Result<Response> {
    let asked = match ask(&app, &person, &query).await? {
        Ok(asked) => asked,
        Err(error) => return refuse(error),
    };
    if is_settled(&app, &person, &asked).await? {
        return grant(&app, &person, &asked, asked.allowed.clone()).await;
    }
    let page = OAuthPage {
        frame: person.visitor.frame(&app),
        client: name(&asked.client).to_owned(),
        required: asked.required.clone(),
        scopes: offered(app.database.definitions(), &asked),
    };
    Ok(person.visitor.with_form_cookies(&app, html(StatusCode::OK, &page)))
}

/// The person's answer: what was left checked.
pub async fn post(
    State(app): State<App>,
    person: LoggedIn,
    Query(query): Query,
    Form(fields): Form,
) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    let asked = match ask(&app, &person, &query).await? {
        Ok(asked) => asked,
        Err(error) => return refuse(error),
    };
    let chosen = |scope: &String| asked.required.contains(scope) || fields.all("scopes").any(|s| s == scope);
    let granted = asked.allowed.iter().filter(|scope| chosen(scope)).cloned().collect();
    grant(&app, &person, &asked, granted).await
}

/// A request that may be granted.
struct Asked {
    client: OAuthClient,
    request: AuthorizeRequest,
    /// Raw scopes that any token of this client has: who it is, and access to what the client stands for.
    required: Vec<String>,
    /// Raw scopes that the client may ask for and the person has, the required ones among them.
    allowed: Vec<String>,
}

async fn ask(app: &App, person: &LoggedIn, query: &Fields) -> Result<Result<Asked, AuthorizeError>> {
    let id = match client_id(query) {
        Ok(id) => id,
        Err(error) => return Ok(Err(error)),
    };
    // A client without a secret could redeem no code, one without a target stands for nothing.
    let is_usable = |client: &OAuthClient| client.has_secret() && client.target.is_some();
    let Some(client) = app.database.oauth_client(id).await?.filter(is_usable) else {
        return Ok(Err(AuthorizeError::Page("Invalid client_id parameter value.")));
    };
    let request = match AuthorizeRequest::parse(query, &client.redirect_uri, app.clients.require_pkce) {
        Ok(request) => request,
        Err(error) => return Ok(Err(error)),
    };
    check_access(person, &client)?;
    let definitions = app.database.definitions();
    let Some(wanted) = wanted_scopes(app, &request, &client).await? else {
        return Ok(Err(request.refuse("invalid_scope", None)));
    };
    Ok(scopes_for(definitions, person, client, request, wanted))
}

/// The scopes that the request names, or without any all that the client may have. What is no scope is taken for a role's
/// name, as clients of JupyterHub 2 send it; `None` if it is none either.
async fn wanted_scopes(app: &App, request: &AuthorizeRequest, client: &OAuthClient) -> Result<Option<Vec<String>>> {
    let wanted = request.wanted(&client.allowed_scopes);
    let exists = |scope: &String| app.database.definitions().validate(scope).is_ok();
    match wanted.iter().all(exists) {
        true => Ok(Some(wanted)),
        false => Ok(app.database.scopes_of_roles(&wanted).await?.filter(|scopes| scopes.iter().all(exists))),
    }
}

/// Pure: what the client may ask for, and what of it the person has.
fn scopes_for(
    definitions: &Definitions,
    person: &LoggedIn,
    client: OAuthClient,
    request: AuthorizeRequest,
    wanted: Vec<String>,
) -> Result<Asked, AuthorizeError> {
    let owner = Some(Owner::User(&person.user.name));
    let target = target_of(&client);
    let mut required = vec!["read:users:groups!user".to_owned(), "read:users:name!user".to_owned()];
    required.extend(target.map(scopes::access));
    let with_required = |scopes: Vec<String>| [scopes, required.clone()].concat();

    let wanted = with_required(wanted);
    let may_ask = with_required(client.allowed_scopes.clone());
    if !definitions.resolve(&wanted, &may_ask, owner, target, &person.identity.groups).refused.is_empty() {
        return Err(request.refuse("invalid_scope", None));
    }
    let mut held = with_required(person.identity.scopes.list());
    held.push(scopes::tree::INHERIT.to_owned());
    let allowed = definitions.resolve(&wanted, &held, owner, target, &person.identity.groups).granted;
    Ok(Asked { client, request, required, allowed })
}

fn target_of(client: &OAuthClient) -> Option<Target<'_>> {
    client.target.as_ref().map(|target| match target {
        ClientTarget::Server { user, server, .. } => Target::Server { user, server },
        ClientTarget::Service(name) => Target::Service(name),
    })
}

/// What the page asks about, in words. Who lets a client do everything is asked about nothing else.
fn offered(definitions: &Definitions, asked: &Asked) -> Vec<OfferedScope> {
    let all = asked.allowed.iter().any(|scope| scope == scopes::tree::INHERIT);
    let is_offered = |scope: &&String| match all {
        true => *scope == scopes::tree::INHERIT,
        false => !asked.required.contains(scope),
    };
    let describe = |scope: &String| {
        let (name, filter) = scope.split_once('!').unwrap_or((scope, ""));
        OfferedScope {
            scope: scope.clone(),
            description: definitions.description(name).unwrap_or_default().to_owned(),
            filter: filter.replace('=', " "),
        }
    };
    asked.allowed.iter().filter(is_offered).map(describe).collect()
}

/// Whether nothing has to be confirmed: it is the person's own server, the administrator says so, or a token of this client
/// has it all already.
async fn is_settled(app: &App, person: &LoggedIn, asked: &Asked) -> Result<bool> {
    if asked.client.no_confirm {
        return Ok(true);
    }
    if is_own(person, &asked.client) {
        return Ok(true);
    }
    let tokens = app.database.tokens_of(person.user.id, app.now()).await?;
    let of_client = tokens.iter().filter(|token| token.client_id == asked.client.identifier);
    let granted: Vec<_> = of_client.flat_map(|token| &token.scopes).collect();
    Ok(!granted.is_empty() && asked.allowed.iter().all(|scope| granted.contains(&scope)))
}

fn is_own(person: &LoggedIn, client: &OAuthClient) -> bool {
    matches!(&client.target, Some(ClientTarget::Server { user_id, .. }) if *user_id == person.user.id)
}

/// Somebody's way into a server or a service, for the audit log.
fn access<'a>(person: &LoggedIn, client: &'a OAuthClient) -> Act<'a> {
    match &client.target {
        Some(ClientTarget::Server { user, server, .. }) => {
            Act::by(&person.identity, "server access").on(user).object(full_server_name(user, server))
        }
        Some(ClientTarget::Service(name)) => Act::by(&person.identity, "service access").object(name),
        None => Act::by(&person.identity, "service access").object(&client.identifier),
    }
}

/// Only who may use what the client stands for gets a code for it.
fn check_access(person: &LoggedIn, client: &OAuthClient) -> Result<()> {
    let allowed = match &client.target {
        Some(ClientTarget::Server { user, server, .. }) => {
            let name = full_server_name(user, server);
            person.identity.may("access:servers", Resource::server(&name))
        }
        Some(ClientTarget::Service(name)) => person.identity.may("access:services", Resource::service(name)),
        None => false,
    };
    if allowed {
        return Ok(());
    }
    access(person, client).refused("no scope for it");
    Err(Failure::forbidden(format!("You do not have permission to access {}", name(client))))
}

/// Sends the person back with a code. It belongs to this session, so that its logout ends the token (S65).
async fn grant(app: &App, person: &LoggedIn, asked: &Asked, scopes: Vec<String>) -> Result<Response> {
    let code = new_oauth_token(rand::random());
    let (session_id, is_new) = match &person.visitor.session_id {
        Some(id) => (id.clone(), false),
        None => (app.random_id(), true),
    };
    let new = NewCode {
        code: &code,
        client_id: &asked.client.identifier,
        user_id: person.user.id,
        redirect_uri: &asked.request.redirect_uri,
        session_id: &session_id,
        scopes: &scopes,
        challenge: asked.request.challenge.as_ref().map(|(challenge, method)| (challenge.as_str(), *method)),
        expires_at: app.now() + SignedDuration::from_secs(CODE_LIFETIME),
    };
    app.database.create_code(&new).await?;
    if !is_own(person, &asked.client) {
        access(person, &asked.client).done(if person.user.admin { "an administrator" } else { "shared, or by a role" });
    }
    let mut response = found(&asked.request.grant(code.expose_secret()));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_new {
        add_cookie(&mut response, &session_cookie(app, &session_id, person.visitor.is_secure(app)));
    }
    Ok(response)
}

/// What people call a client.
fn name(client: &OAuthClient) -> &str {
    if client.description.is_empty() { &client.identifier } else { &client.description }
}

fn refuse(error: AuthorizeError) -> Result<Response> {
    match error {
        AuthorizeError::Page(message) => Err(Failure::bad_request(message)),
        AuthorizeError::Redirect(to) => Ok(found(&to)),
    }
}
