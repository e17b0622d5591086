//! `/hub/api/share-codes/{user}` and `/hub/api/share-codes/{user}/{server}`: codes that whoever gets one may exchange for
//! a share, at `/hub/accept-share`.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use hub_auth::{
    next_url::with_query,
    token::{new_share_code, parse_share_code_id, share_code_id},
};
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::{
    JsonBody, Pagination, models, no_content,
    shares::{
        SharedServer, check_may_grant, read_body, read_scopes, readable_of_server, readable_of_user, server_model,
    },
};
use crate::{
    app::App,
    database::{ShareCode, SharedBy},
    error::{Failure, Result},
    form::{Fields, Query},
    session::Caller,
};

/// How long a code may be valid, in seconds: from a minute to a year.
const LIFETIME: std::ops::RangeInclusive<i64> = 60..=31_536_000;
/// A day.
const DEFAULT_LIFETIME: i64 = 86_400;

/// Codes of all servers of a user.
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(owner): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>> {
    let by = readable_of_user(&app, &caller, &owner).await?;
    let pagination = Pagination::read(&app, &caller.visitor, &query)?;
    page(&app, &caller, pagination, by).await
}

/// Codes of one server.
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    path: Path<Vec<String>>,
    Query(query): Query,
) -> Result<Json<Value>> {
    let by = readable_of_server(&app, &caller, path).await?;
    let pagination = Pagination::read(&app, &caller.visitor, &query)?;
    page(&app, &caller, pagination, by).await
}

async fn page(app: &App, caller: &Caller, pagination: Pagination, by: SharedBy) -> Result<Json<Value>> {
    let page = app.database.list_share_codes(by, pagination.window, app.now()).await?;
    let items: Vec<Value> = page.items.iter().map(|code| model(app, code).into()).collect();
    Ok(Json(pagination.page(app, &caller.visitor, items.into(), page.total)))
}

/// Makes a code. It is told only now.
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    path: Path<Vec<String>>,
    body: JsonBody,
) -> Result<Json<Value>> {
    let shared = SharedServer::from(path);
    let identity = shared.require(&caller, "shares")?;
    let body = read_body(body, &["scopes", "expires_in"])?;
    let lifetime = read_lifetime(&body)?;
    let scopes = read_scopes(app.database.definitions(), &body, &shared)?.unwrap_or_else(|| shared.default_scopes());
    check_may_grant(identity, &scopes, &shared)?;
    let server = shared.get(&app).await?;
    let (code, now) = (new_share_code(rand::random()), app.now());
    let stored = app.database.create_share_code(&server, &code, &scopes, now + lifetime, now).await?;
    let id = share_code_id(stored.id);
    shared.act(identity, "share code made").object(format!("{} by {id}", shared.full_name())).done("asked for");
    let mut model = model(&app, &stored);
    let code = code.expose_secret();
    let page = app.urls.at("accept-share");
    model.insert("full_accept_url".into(), json!(app.urls.absolute(&page).map(|page| with_query(&page, "code", code))));
    model.insert("accept_url".into(), json!(with_query(&page, "code", code)));
    model.insert("code".into(), json!(code));
    Ok(Json(model.into()))
}

/// A whole number, also as text or with a fraction of nothing.
fn read_lifetime(body: &Map<String, Value>) -> Result<SignedDuration> {
    let Some(value) = body.get("expires_in") else { return Ok(SignedDuration::from_secs(DEFAULT_LIFETIME)) };
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
    let seconds = match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|seconds| LIFETIME.contains(seconds)).ok_or_else(|| {
        let (least, most) = (LIFETIME.start(), LIFETIME.end());
        Failure::bad_request(format!("expires_in must be a whole number of seconds from {least} to {most}"))
    })?;
    Ok(SignedDuration::from_secs(seconds))
}

/// Deletes one code, given itself or by its id, or all of the server.
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    path: Path<Vec<String>>,
    Query(query): Query,
) -> Result<Response> {
    let shared = SharedServer::from(path);
    let identity = shared.require(&caller, "shares")?;
    let server = shared.get(&app).await?;
    let deleted = match read_which(&query) {
        Which::All => app.database.delete_share_codes(server.id).await?,
        Which::Code(code) => {
            let found = app.database.share_code(code, app.now()).await?;
            let Some(found) = found.filter(|found| found.server_id == server.id) else {
                return Err(Failure::new(StatusCode::NOT_FOUND, "No matching code found"));
            };
            app.database.delete_share_code(server.id, found.id).await?.into()
        }
        Which::Id(id) => {
            let row = parse_share_code_id(id);
            let done = match row {
                Some(row) => app.database.delete_share_code(server.id, row).await?,
                None => false,
            };
            if !done {
                return Err(Failure::new(StatusCode::NOT_FOUND, format!("No code found matching id={id}")));
            }
            1
        }
    };
    shared.act(identity, "share codes revoked").count(deleted).done("asked for");
    Ok(no_content())
}

/// Which codes to delete.
enum Which<'a> {
    All,
    Code(&'a str),
    Id(&'a str),
}

fn read_which(query: &Fields) -> Which<'_> {
    let given = |name| query.get(name).filter(|value| !value.is_empty());
    match (given("code"), given("id")) {
        (Some(code), _) => Which::Code(code),
        (None, Some(id)) => Which::Id(id),
        (None, None) => Which::All,
    }
}

/// A code as its server's owner sees it, without the code itself.
fn model(app: &App, code: &ShareCode) -> Map<String, Value> {
    let fields = [
        ("server", server_model(app, &code.owner, &code.server)),
        ("scopes", json!(code.scopes)),
        ("id", json!(share_code_id(code.id))),
        ("created_at", json!(models::time(code.created_at))),
        ("expires_at", json!(models::time(code.expires_at))),
        ("exchange_count", json!(code.exchange_count)),
        ("last_exchanged_at", json!(models::time(code.last_exchanged_at))),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codes_lifetime_is_bounded() {
        let read = |value: Value| {
            let body = json!({"expires_in": value}).as_object().cloned().unwrap();
            read_lifetime(&body).ok().map(|lifetime| lifetime.as_secs())
        };
        for (value, expected) in
            [(json!(60), 60), (json!(31_536_000), 31_536_000), (json!("3600"), 3600), (json!(3600.0), 3600)]
        {
            assert_eq!(read(value), Some(expected));
        }
        for bad in [
            json!(59),
            json!(31_536_001),
            json!(-60),
            json!(3600.5),
            json!(1e300),
            json!(u64::MAX),
            json!(true),
            json!(null),
            json!("x"),
            json!([60]),
        ] {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
        assert_eq!(read_lifetime(&Map::new()).unwrap().as_secs(), 86_400);
    }
}
