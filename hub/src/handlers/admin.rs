//! `/hub/admin`: all users and their servers, a page at a time, without a script. What the page shows and does is what the REST
//! API shows and does for the same person: each form is one of its requests, made by the API's own functions.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use hub_auth::{names::full_server_name, next_url::with_query, scopes::Resource};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use super::{
    api::{JsonBody, Pagination, disabled, models, servers, sessions, users},
    home,
};
use crate::{
    app::App,
    error::{Failure, Result, found},
    form::{Fields, Form, Query},
    pages::{AdminDeletePage, AdminPage, AdminServer, AdminUser, html},
    session::{Identity, LoggedIn},
};

/// Which part of the list is shown: the API's own arguments.
const ARGUMENTS: [&str; 5] = ["name_filter", "state", "sort", "offset", "limit"];

/// What was done, as the address says it, and for people.
const DONE: [(&str, &str); 9] = [
    ("start", "The server is starting."),
    ("stop", "The server is stopping."),
    ("add", "The users were added."),
    ("delete", "The user was deleted."),
    ("make-admin", "The user is an administrator now."),
    ("remove-admin", "The user is no longer an administrator."),
    ("end-sessions", "The user is logged out everywhere."),
    ("disable", "The user is disabled: sessions, tokens and servers have ended."),
    ("enable", "The user may log in again."),
];

pub async fn get(State(app): State<App>, person: LoggedIn, Query(query): Query) -> Result<Response> {
    may_open(&person)?;
    let done = DONE.iter().find(|(name, _)| query.get("done") == Some(name)).map(|(_, words)| *words);
    page(&app, &person, &query, StatusCode::OK, done, None).await
}

/// Does what a form asks for. What the API refuses is told above the list.
pub async fn post(
    State(app): State<App>,
    person: LoggedIn,
    Query(query): Query,
    Form(fields): Form,
) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    may_open(&person)?;
    let (action, what) = asked(&fields)?;
    match act(&app, &person, action, what, &fields).await {
        Ok(()) => Ok(found(&with_query(&here(&app, &query, None), "done", action))),
        Err(Failure::Status { status, message, .. }) if status.is_client_error() => {
            let message = message.unwrap_or_else(|| "There is no such user or server".to_owned());
            page(&app, &person, &query, status, None, Some(message)).await
        }
        Err(other) => Err(other),
    }
}

/// Asks before a user is deleted.
pub async fn confirm_delete(State(app): State<App>, person: LoggedIn, Query(query): Query) -> Result<Response> {
    may_open(&person)?;
    let name = query.text("user");
    person.caller().require(&["delete:users"], Some(Resource::user(name)))?;
    let user = users::find(&app, name).await?;
    let back_url = here(&app, &query, None);
    let page =
        AdminDeletePage { frame: person.visitor.frame(&app), action: back_url.clone(), back_url, name: user.name };
    Ok(person.visitor.with_form_cookies(&app, html(StatusCode::OK, &page)))
}

fn may_open(person: &LoggedIn) -> Result<()> {
    person.caller().holds("admin-ui").map(|_| ())
}

/// The button that was pressed, and the user or the server (`alice/lab`) that it is about.
fn asked(fields: &Fields) -> Result<(&'static str, &str)> {
    let pressed = DONE.into_iter().find_map(|(action, _)| Some((action, fields.get(action)?)));
    pressed.ok_or_else(|| Failure::bad_request("The form asks for nothing that this page does"))
}

async fn act(app: &App, person: &LoggedIn, action: &str, what: &str, fields: &Fields) -> Result<()> {
    let (app, caller) = (State(app.clone()), person.caller());
    let (user, server) = what.split_once('/').unwrap_or((what, ""));
    let server = servers::path(user, server);
    let set_admin = |admin: bool| JsonBody(Some(json!({"admin": admin})));
    match action {
        "start" => servers::start(app, caller, server, JsonBody(None)).await.map(drop),
        "stop" => servers::stop(app, caller, server, JsonBody(None)).await.map(drop),
        "add" => users::create_many(app, caller, new_users(fields)).await.map(drop),
        "delete" => users::delete(app, caller, Path(what.to_owned())).await.map(drop),
        "make-admin" => users::change(app, caller, Path(what.to_owned()), set_admin(true)).await.map(drop),
        "remove-admin" => users::change(app, caller, Path(what.to_owned()), set_admin(false)).await.map(drop),
        "end-sessions" => sessions::end_all(app, caller, Path(what.to_owned())).await.map(drop),
        "disable" => disabled::disable(app, caller, Path(what.to_owned())).await.map(drop),
        "enable" => disabled::enable(app, caller, Path(what.to_owned())).await.map(drop),
        _ => Err(Failure::not_found()),
    }
}

/// Names are separated by spaces, commas or lines.
fn new_users(fields: &Fields) -> JsonBody {
    let is_between = |c: char| c.is_whitespace() || c == ',';
    let names: Vec<_> = fields.text("names").split(is_between).filter(|name| !name.is_empty()).collect();
    JsonBody(Some(json!({"usernames": names, "admin": fields.get("admin").is_some()})))
}

/// This page with the same part of the list, or with another beginning.
fn here(app: &App, query: &Fields, offset: Option<u32>) -> String {
    arguments(&app.urls.at("admin"), query, offset)
}

fn arguments(url: &str, query: &Fields, offset: Option<u32>) -> String {
    let offset = offset.map(|offset| offset.to_string());
    ARGUMENTS.into_iter().fold(url.to_owned(), |url, name| {
        let value = offset.as_deref().filter(|_| name == "offset").or_else(|| query.get(name));
        match value.filter(|value| !value.is_empty()) {
            Some(value) => with_query(&url, name, value),
            None => url,
        }
    })
}

async fn page(
    app: &App,
    person: &LoggedIn,
    query: &Fields,
    status: StatusCode,
    done: Option<&'static str>,
    error: Option<String>,
) -> Result<Response> {
    let caller = person.caller();
    let identity = caller.holds("list:users")?;
    let window = Pagination::for_people(app, query)?.window;
    let listed = users::listed(app, identity, query, window).await?;
    let shown = models::users(app, identity, &listed.users, true).await?;
    let disabled = app.database.disabled_users().await?;
    let (first, after) = (u64::from(window.offset), u64::from(window.offset) + listed.users.len() as u64);
    let page = AdminPage {
        frame: person.visitor.frame(app),
        action: here(app, query, None),
        done,
        error,
        name_filter: query.text("name_filter").to_owned(),
        state: query.text("state").to_owned(),
        sort: query.text("sort").to_owned(),
        users: shown.iter().map(|user| line(app, person, query, user, &disabled)).collect(),
        range: range(first, after, listed.total),
        previous_url: (window.offset > 0).then(|| here(app, query, Some(window.offset.saturating_sub(window.limit)))),
        next_url: (after < listed.total).then(|| here(app, query, Some(window.offset.saturating_add(window.limit)))),
        grants_admin: identity.is_admin(),
        adds_users: identity.scopes.holds("admin:users"),
    };
    Ok(person.visitor.with_form_cookies(app, html(status, &page)))
}

fn range(first: u64, after: u64, total: u64) -> String {
    match after.saturating_sub(first) {
        0 => format!("none of {total}"),
        _ => format!("{}\u{2013}{after} of {total}", first + 1),
    }
}

/// A user as the API shows one to this person.
fn line(
    app: &App,
    person: &LoggedIn,
    query: &Fields,
    model: &Map<String, Value>,
    disabled: &BTreeSet<String>,
) -> AdminUser {
    let text = |name: &str| model.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, admin) = (text("name"), model.get("admin").and_then(Value::as_bool).unwrap_or_default());
    let groups = model.get("groups").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let identity = &person.identity;
    let own = person.user.name == name;
    let resource = Resource::user(&name);
    let delete_url = || with_query(&arguments(&app.urls.at("admin/delete"), query, None), "user", &name);
    // Only administrators rule over administrators.
    let rules = |scope| !own && identity.may(scope, resource) && (identity.is_admin() || !admin);
    AdminUser {
        admin,
        disabled: disabled.contains(&name),
        bars: rules("admin:users"),
        ends_sessions: identity.may("tokens", resource),
        last_activity: when(&text("last_activity")),
        groups: groups.collect::<Vec<_>>().join(", "),
        servers: servers_of(app, identity, &name, model.get("servers")),
        changes: !own && identity.may("admin:users", resource) && identity.is_admin(),
        delete_url: rules("delete:users").then(delete_url),
        name,
    }
}

/// The default server first, which everybody has.
fn servers_of(app: &App, identity: &Identity, user: &str, models: Option<&Value>) -> Vec<AdminServer> {
    let models = models.and_then(Value::as_object);
    let named = models.into_iter().flatten().filter(|(name, _)| !name.is_empty());
    let line = |name: &str, title: &str| {
        let full = full_server_name(user, name);
        let may = |scope| identity.may(scope, Resource::server(&full));
        AdminServer {
            full_name: full.clone(),
            title: title.to_owned(),
            state: home::state(app.servers.status(user, name)).0,
            starts: may("start:servers"),
            stops: may("delete:servers"),
            open_url: may("access:servers").then(|| app.urls.server(user, name)),
            spawn_url: (app.servers.has_profiles() && may("servers")).then(|| app.urls.spawn(user, name)),
        }
    };
    let title = |name: &str, model: &Value| {
        let display_name = model["display_name"].as_str().filter(|title| !title.is_empty());
        display_name.unwrap_or(name).to_owned()
    };
    let default = identity.may("read:servers", Resource::server(&full_server_name(user, ""))).then(|| line("", ""));
    default.into_iter().chain(named.map(|(name, model)| line(name, &title(name, model)))).collect()
}

/// A time of the API's, as people read it.
fn when(time: &str) -> String {
    let time = time.parse::<Timestamp>().ok();
    time.map_or_else(|| "never".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_the_part_of_the_list_and_nothing_else() {
        let query = Fields::parse(b"name_filter=a%26b&state=&offset=50&done=stop&user=x&sort=name");
        let url = "/hub/admin?name_filter=a%26b&sort=name&offset=50";
        assert_eq!(arguments("/hub/admin", &query, None), url);
        assert_eq!(arguments("/hub/admin", &query, Some(100)), url.replace("50", "100"));
        assert_eq!(arguments("/hub/admin", &Fields::default(), None), "/hub/admin");
    }

    #[test]
    fn names_are_separated_by_whatever_people_use() {
        let JsonBody(body) = new_users(&Fields::parse(b"names=ann%2C+bob%0D%0Acid++dan&admin=on"));
        assert_eq!(body, Some(json!({"usernames": ["ann", "bob", "cid", "dan"], "admin": true})));
    }

    #[test]
    fn a_range_counts_from_one() {
        assert_eq!(range(0, 50, 10_000), "1–50 of 10000");
        assert_eq!(range(9_950, 10_000, 10_000), "9951–10000 of 10000");
        assert_eq!(range(0, 0, 0), "none of 0");
    }
}
