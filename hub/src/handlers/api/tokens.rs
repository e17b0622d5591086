//! `/hub/api/users/{name}/tokens`: list, make and revoke API tokens.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hub_auth::{
    scopes::{self, Definitions, Owner, Resource, tree},
    token::{new_token, parse_token_id, token_id},
};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{JsonBody, models, no_content};
use crate::{
    app::App,
    audit::{Act, Person},
    authenticator::Credentials,
    database::{ApiToken, NewToken, RevokedCounts, TokenOwner, User},
    error::{Failure, Result},
    login_attempts,
    revocation::{RevocationError, TOKENS_REVOKED, Whose, revoke},
    session::{Caller, Identity, UncheckedCaller, Via, Visitor},
};

pub async fn list(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Json<Value>> {
    caller.require(&["read:tokens"], Some(Resource::user(&name)))?;
    let user = find(&app, &name).await?;
    let mut models = Vec::new();
    for token in app.database.tokens_of(user.id, app.now()).await? {
        models.push(models::token(&app, &user, &token).await?);
    }
    Ok(Json(json!({"api_tokens": models})))
}

pub async fn create(
    State(app): State<App>,
    caller: UncheckedCaller,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Response> {
    let body = body.object("Body must be a JSON dict or empty")?;
    let caller = match caller.is_known() {
        true => caller.checked()?,
        false => {
            let identity = by_body(&app, caller.visitor(), body.get("auth")).await?;
            caller.named(identity)
        }
    };
    let identity = caller.known()?;
    let not_found = || Failure::forbidden(format!("User {name} not found or no permissions to generate tokens"));
    if !identity.may("tokens", Resource::user(&name)) {
        return Err(not_found());
    }
    let user = app.database.user_by_name(&name).await?.ok_or_else(not_found)?;
    let wish = TokenWish::read(&body)?;
    let (token, secret) = issue(&app, identity, &user, &wish).await?.map_err(Failure::bad_request)?;
    let mut model = models::token(&app, &user, &token).await?;
    model.insert("token".into(), json!(secret.expose_secret()));
    Ok((StatusCode::CREATED, Json(model)).into_response())
}

/// Who the body's `auth` says: what the login form would be sent.
async fn by_body(app: &App, visitor: &Visitor, auth: Option<&Value>) -> Result<Identity> {
    let refusal = || Failure::bare(StatusCode::FORBIDDEN);
    let auth = auth.ok_or_else(refusal)?;
    let text = |name: &str| auth.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let credentials = Credentials { username: text("username"), password: SecretString::from(text("password")) };
    let address = visitor.address(app);
    let name = login_attempts::by_credentials(app, address, &credentials).await?.ok_or_else(refusal)?;
    let user = app.admit(&name).await?;
    Person { user: &user.name, address }.logged_in("password or token, for an API token");
    Ok(app.identity_of_user(user, Via::LoginToken).await?)
}

/// What is asked of a new token.
#[derive(Clone, Debug, Default)]
pub struct TokenWish {
    pub note: Option<String>,
    /// Seconds; without them it lives until it is revoked.
    pub expires_in: Option<i64>,
    pub scopes: Option<Vec<String>>,
    pub roles: Option<Vec<String>>,
}

impl TokenWish {
    fn read(body: &Map<String, Value>) -> Result<Self> {
        let expires_in = match body.get("expires_in") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_i64().ok_or_else(|| {
                Failure::bad_request(format!("token expires_in must be null or integer, not {value}"))
            })?),
        };
        let note = match body.get("note") {
            None | Some(Value::Null) => None,
            Some(Value::String(note)) => Some(note.clone()).filter(|note| !note.is_empty()),
            Some(_) => return Err(Failure::bad_request("token note must be null or a string")),
        };
        Ok(Self { note, expires_in, scopes: names(body, "scopes")?, roles: names(body, "roles")? })
    }
}

fn names(body: &Map<String, Value>, key: &str) -> Result<Option<Vec<String>>> {
    let bad =
        |value: &Value| Failure::bad_request(format!("token {key} must be null or a list of strings, not {value}"));
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => {
            let read = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| bad(item));
            list.iter().map(read).collect::<Result<_>>().map(Some)
        }
        Some(other) => Err(bad(other)),
    }
}

/// Makes a token, or says what is wrong with the wish. A token can't do more than its owner.
pub async fn issue(
    app: &App,
    identity: &Identity,
    user: &User,
    wish: &TokenWish,
) -> Result<std::result::Result<(ApiToken, SecretString), String>> {
    let raw = match raw_scopes(app.database.definitions(), wish) {
        Ok(raw) => raw,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let held = app.database.user_scopes(user).await?;
    let groups = app.database.memberships(&held).await?;
    let wanted = app.database.definitions().expand(&raw, Some(Owner::User(&user.name)), None);
    let excess = scopes::excess(&wanted, &held, &groups);
    if !excess.is_empty() && !raw.iter().any(|scope| scope == tree::INHERIT) {
        return Ok(Err(format!("Not assigning scopes that {} does not have: {}", user.name, excess.join(", "))));
    }
    let expires_at = match wish.expires_in {
        None => None,
        Some(seconds) => match (seconds > 0).then(|| app.now().checked_add(SignedDuration::from_secs(seconds)).ok()) {
            Some(Some(at)) => Some(at),
            _ => return Ok(Err(format!("token expires_in must be a positive number of seconds, not {seconds}"))),
        },
    };
    let asker = identity.user().filter(|asker| asker.id == user.id);
    let note = wish.note.clone().unwrap_or_else(|| match asker {
        Some(_) => "Requested via api".to_owned(),
        None => format!("Requested via api by {}", identity.name()),
    });
    let secret = new_token(rand::random());
    let new = NewToken {
        owner: TokenOwner::User(user.id),
        token: &secret,
        client_id: None,
        session_id: None,
        note: &note,
        scopes: &raw,
        expires_at,
    };
    let token = app.database.create_token(new, app.now()).await?;
    Act::by(identity, "token made").on(&user.name).object(token_id(token.id)).done("asked for");
    Ok(Ok((token, secret)))
}

/// The scopes of a wish; without any, all that the owner has. Of roles only `token` is known, which says just that.
fn raw_scopes(definitions: &Definitions, wish: &TokenWish) -> std::result::Result<Vec<String>, String> {
    if let Some(unknown) = wish.roles.iter().flatten().find(|role| *role != "token") {
        return Err(format!("Requested role {unknown} can't be given to a token; name scopes instead"));
    }
    let Some(raw) = wish.scopes.clone().filter(|_| wish.roles.is_none()) else {
        return Ok(vec![tree::INHERIT.to_owned()]);
    };
    raw.iter().try_for_each(|scope| definitions.validate(scope).map_err(|error| error.to_string()))?;
    Ok(raw)
}

pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Map<String, Value>>> {
    caller.require(&["read:tokens"], Some(Resource::user(&name)))?;
    let user = find(&app, &name).await?;
    let token = find_token(&app, &user, &id).await?;
    Ok(Json(models::token(&app, &user, &token).await?))
}

/// Revokes a token (S34); one that came by OAuth with all others of its client.
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response> {
    let identity = caller.require(&["tokens"], Some(Resource::user(&name)))?;
    let user = find(&app, &name).await?;
    let token = find_token(&app, &user, &id).await?;
    revoke_one(&app, identity, &user, &token).await?;
    Ok(no_content())
}

/// Ends a token; one that came by OAuth with all others of its client.
pub async fn revoke_one(app: &App, identity: &Identity, owner: &User, token: &ApiToken) -> Result<()> {
    app.database.delete_token(token).await?;
    Act::by(identity, "token revoked").on(&owner.name).object(token_id(token.id)).done("asked for");
    Ok(())
}

/// `DELETE /hub/api/tokens`: revokes everybody's tokens (S34), the one that this is asked with among them.
pub async fn revoke_all(State(app): State<App>, caller: Caller) -> Result<Json<RevokedCounts>> {
    // Whoever may end every user's tokens and rule every service: an administrator.
    caller.require(&["tokens"], None)?;
    let identity = caller.require(&["admin:services"], None)?;
    Ok(Json(revoke(&app, &Whose::All, Act::by(identity, TOKENS_REVOKED)).await.map_err(refusal)?))
}

/// `DELETE /hub/api/users/{name}/tokens`: revokes a user's tokens (S34), those of servers and sessions among them.
pub async fn revoke_of_user(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<RevokedCounts>> {
    let identity = caller.require(&["tokens"], Some(Resource::user(&name)))?;
    Ok(Json(revoke(&app, &Whose::User(name), Act::by(identity, TOKENS_REVOKED)).await.map_err(refusal)?))
}

/// `DELETE /hub/api/services/{name}/tokens`: revokes a service's tokens (S34).
pub async fn revoke_of_service(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<RevokedCounts>> {
    let identity = caller.require(&["admin:services"], Some(Resource::service(&name)))?;
    Ok(Json(revoke(&app, &Whose::Service(name), Act::by(identity, TOKENS_REVOKED)).await.map_err(refusal)?))
}

fn refusal(error: RevocationError) -> Failure {
    match error {
        RevocationError::Database(error) => error.into(),
        gone => Failure::new(StatusCode::NOT_FOUND, gone.to_string()),
    }
}

async fn find(app: &App, name: &str) -> Result<User> {
    let not_found = || Failure::new(StatusCode::NOT_FOUND, format!("No such user: {name}"));
    app.database.user_by_name(name).await?.ok_or_else(not_found)
}

async fn find_token(app: &App, user: &User, id: &str) -> Result<ApiToken> {
    let found = match parse_token_id(id) {
        Some(row) => app.database.token(user.id, row, app.now()).await?,
        None => None,
    };
    let not_found = || Failure::new(StatusCode::NOT_FOUND, format!("No such token {id} for user {}", user.name));
    found.ok_or_else(not_found)
}
