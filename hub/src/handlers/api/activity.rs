//! `/hub/api/users/{name}/activity`: servers say when they were last used.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use hub_auth::scopes::Resource;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Map, Value};

use super::JsonBody;
use crate::{
    app::App,
    database::{Subject, User},
    error::{Failure, Result},
    session::Caller,
};

/// How far a server's clock may be ahead.
const MOST_AHEAD: SignedDuration = SignedDuration::from_mins(59);
const SERVERS: &str = "servers must be a dict of the form {server_name: {last_activity: timestamp}}";

pub async fn post(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<StatusCode> {
    caller.require(&["users:activity"], Some(Resource::user(&name)))?;
    let not_found = || Failure::new(StatusCode::NOT_FOUND, format!("No such user: '{name}'"));
    let user = app.database.user_by_name(&name).await?.ok_or_else(not_found)?;
    let Some(Value::Object(body)) = body.0 else { return Err(Failure::bad_request("body must be a json dict")) };
    let own = body.get("last_activity").filter(|time| !time.is_null());
    let servers = body.get("servers").filter(|servers| !servers.is_null());
    if own.is_none() && servers.is_none_or(|servers| servers.as_object().is_some_and(Map::is_empty)) {
        return Err(Failure::bad_request("body must contain at least one of `last_activity` or `servers`"));
    }
    // All is read before anything is written: a bad request changes nothing.
    let servers = match servers {
        Some(servers) => read_servers(&app, &user, servers).await?,
        None => Vec::new(),
    };
    if let Some(time) = own {
        app.activity.note(Subject::User(user.id), read_time(time, app.now())?);
    }
    for (id, time) in servers {
        app.activity.note(Subject::Server(id), time);
    }
    Ok(StatusCode::OK)
}

async fn read_servers(app: &App, user: &User, servers: &Value) -> Result<Vec<(i64, Timestamp)>> {
    let servers = servers.as_object().ok_or_else(|| Failure::bad_request(SERVERS))?;
    let mut found = Vec::new();
    for (name, server) in servers {
        let unknown = || Failure::bad_request(format!("No such server '{name}' for user {}", user.name));
        let row = app.database.server(user.id, name).await?.ok_or_else(unknown)?;
        let time = server.get("last_activity").ok_or_else(|| Failure::bad_request(SERVERS))?;
        found.push((row.id, read_time(time, app.now())?));
    }
    Ok(found)
}

/// A time with its zone; without one it is UTC.
fn read_time(value: &Value, now: Timestamp) -> Result<Timestamp> {
    let text = value.as_str().unwrap_or_default();
    let naive = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let time = text.parse::<Timestamp>().ok().or_else(naive).filter(|time| *time >= Timestamp::UNIX_EPOCH);
    let time = time.ok_or_else(|| Failure::bad_request(format!("Not a valid timestamp: {value}")))?;
    if time.duration_since(now) > MOST_AHEAD {
        let message = format!("Rejecting activity from more than an hour in the future: {time:.6}");
        return Err(Failure::bad_request(message));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_zone_and_never_from_the_future() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let read = |text: &str| read_time(&Value::from(text), now).ok().map(|time| time.to_string());
        assert_eq!(read("2026-11-23T11:59:00.250000Z").as_deref(), Some("2026-11-23T11:59:00.25Z"));
        assert_eq!(read("2026-11-23T13:30:00+02:00").as_deref(), Some("2026-11-23T11:30:00Z"));
        assert_eq!(read("2026-11-23T11:00:00").as_deref(), Some("2026-11-23T11:00:00Z"));
        // A year before the first has no text that the database could be read from again.
        for bad in ["2026-11-23T13:00:00Z", "yesterday", "", "-009999-01-01T00:00:00Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
