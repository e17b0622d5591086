//! `/hub/spawn[/user[/server]]`: starts a server and sends the person to its progress. Where there are profiles they are asked
//! for; else a visit starts it, unless another site's page made that visit.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hub_auth::{names::full_server_name, next_url::with_query, scopes::Resource};
use hub_crds::{Profile, ProfileChoice, ProfileOption};
use serde_json::Value;

use super::{
    api::servers::{act_on_others, ensure_named},
    root,
};
use crate::{
    app::App,
    database::User,
    error::{Failure, Result, found},
    form::{Fields, Form, Query},
    pages::{ChoiceLine, OptionField, ProfileCard, SpawnPage, UnlistedField, html},
    profiles::{self, UNLISTED},
    servers::{Pending, ServerStatus, StartError, limits::NamedServerError},
    session::LoggedIn,
};

/// The user and the server in a path; without them one's own default server.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub user: Option<String>,
    pub server: String,
}

impl Wanted {
    /// Reads `alice`, `alice/` or `alice/second`.
    pub fn parse(path: Option<Path<String>>) -> Self {
        let path = path.map(|Path(path)| path).unwrap_or_default();
        let (user, server) = path.split_once('/').unwrap_or((&path, ""));
        let user = Some(user.to_owned()).filter(|user| !user.is_empty());
        Self { user, server: server.trim_end_matches('/').to_owned() }
    }

    /// The user, if this person may start that user's servers.
    pub async fn owner(&self, app: &App, person: &LoggedIn) -> Result<User> {
        let name = self.user.as_deref().unwrap_or(&person.user.name);
        let server = full_server_name(name, &self.server);
        if !person.identity.may("servers", Resource::server(&server)) {
            return Err(Failure::no_access());
        }
        let no_such = || Failure::new(StatusCode::NOT_FOUND, format!("No such user: {name}"));
        let owner = app.database.user_by_name(name).await?.ok_or_else(no_such)?;
        if !self.server.is_empty() && !app.servers.limits().allow_named_servers {
            return Err(Failure::bad_request(NamedServerError::Disabled.to_string()));
        }
        Ok(owner)
    }
}

pub async fn get(
    State(app): State<App>,
    person: LoggedIn,
    path: Option<Path<String>>,
    Query(query): Query,
) -> Result<Response> {
    let wanted = Wanted::parse(path);
    let owner = wanted.owner(&app, &person).await?;
    match app.servers.status(&owner.name, &wanted.server) {
        ServerStatus::Ready { .. } => {
            let next = root::wanted(&app, &person.visitor, &query, &owner.name);
            Ok(found(&next.unwrap_or_else(|| app.urls.server(&owner.name, &wanted.server))))
        }
        ServerStatus::Pending(_) => Ok(found(&pending_url(&app, &owner, &wanted, &query))),
        ServerStatus::Stopped { .. } => {
            let options = options(&query);
            let is_asked = app.servers.has_profiles() && options.is_none();
            if is_asked || !person.visitor.is_deliberate() {
                return ask(&app, &person, &owner, &wanted, &query, options, None).await;
            }
            start(&app, &person, &owner, &wanted, &query, options).await
        }
    }
}

pub async fn post(
    State(app): State<App>,
    person: LoggedIn,
    path: Option<Path<String>>,
    Query(query): Query,
    Form(fields): Form,
) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    let wanted = Wanted::parse(path);
    let owner = wanted.owner(&app, &person).await?;
    let name = full_server_name(&owner.name, &wanted.server);
    match app.servers.status(&owner.name, &wanted.server) {
        ServerStatus::Ready { .. } => Err(Failure::bad_request(format!("{name} is already running"))),
        ServerStatus::Pending(pending) => Err(Failure::bad_request(format!("{name} is pending {}", pending.as_str()))),
        ServerStatus::Stopped { .. } => start(&app, &person, &owner, &wanted, &query, options(&fields)).await,
    }
}

async fn start(
    app: &App,
    person: &LoggedIn,
    owner: &User,
    wanted: &Wanted,
    query: &Fields,
    options: Option<Value>,
) -> Result<Response> {
    if !wanted.server.is_empty() {
        ensure_named(app, owner, &wanted.server, None).await?;
    }
    match app.servers.start(owner, &wanted.server, options.clone()).await {
        started @ (Ok(_) | Err(StartError::Running | StartError::Pending(Pending::Spawn))) => {
            if started.is_ok() {
                act_on_others(&person.identity, "server started", owner, &wanted.server);
            }
            Ok(found(&pending_url(app, owner, wanted, query)))
        }
        Err(StartError::Database(error)) => Err(error.into()),
        Err(error) => {
            let mut response = ask(app, person, owner, wanted, query, options, Some(&error)).await?;
            if let Some(seconds) = error.retry_after() {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            Ok(response)
        }
    }
}

/// The page with the button and what there is to choose: what was asked for, or else what the last start was made with, is
/// chosen already.
async fn ask(
    app: &App,
    person: &LoggedIn,
    owner: &User,
    wanted: &Wanted,
    query: &Fields,
    options: Option<Value>,
    error: Option<&StartError>,
) -> Result<Response> {
    let offered = app.servers.profiles_for(owner).await?;
    let options = match options {
        Some(options) => options,
        None => app.database.server(owner.id, &wanted.server).await?.map(|row| row.user_options).unwrap_or_default(),
    };
    let nothing_offered = app.servers.has_profiles() && offered.is_empty();
    let status = match error {
        None if nothing_offered => StatusCode::FORBIDDEN,
        None | Some(StartError::Cancelled) => StatusCode::OK,
        Some(StartError::Throttled { .. } | StartError::Full) => StatusCode::TOO_MANY_REQUESTS,
        Some(StartError::Refused(_)) => StatusCode::BAD_REQUEST,
        Some(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let page = SpawnPage {
        frame: person.visitor.frame(app),
        action: with_next(&app.urls.spawn(&owner.name, &wanted.server), query),
        own: owner.id == person.user.id,
        owner: owner.name.clone(),
        server: wanted.server.clone(),
        error: error.map(ToString::to_string),
        nothing_offered,
        profiles: cards(&offered, &options),
    };
    Ok(person.visitor.with_form_cookies(app, html(status, &page)))
}

/// What there is to choose, with what is chosen already.
fn cards(offered: &[&Profile], options: &Value) -> Vec<ProfileCard> {
    let named = |profile: &&&Profile| options["profile"] == profile.slug.as_str();
    let Some(chosen) = offered.iter().find(named).copied().or_else(|| profiles::default_of(offered)) else {
        return Vec::new();
    };
    let card = |profile: &&Profile| ProfileCard {
        slug: profile.slug.clone(),
        title: profile.display_name.clone(),
        description: profile.description.clone(),
        checked: profile.slug == chosen.slug,
        options: profile.options.iter().map(|option| field(profile, option, options)).collect(),
    };
    offered.iter().map(card).collect()
}

fn field(profile: &Profile, option: &ProfileOption, options: &Value) -> OptionField {
    let unlisted_value = options[format!("{}--{UNLISTED}", option.slug)].as_str().unwrap_or_default();
    let is_unlisted = option.unlisted_image.is_some() && !unlisted_value.is_empty();
    let named = |choice: &&ProfileChoice| options[&option.slug] == choice.slug.as_str();
    let chosen = option.choices.iter().find(named).or_else(|| profiles::default_choice(option));
    let line = |choice: &ProfileChoice| ChoiceLine {
        value: choice.slug.clone(),
        title: choice.display_name.clone(),
        selected: !is_unlisted && chosen.is_some_and(|chosen| chosen.slug == choice.slug),
    };
    let unlisted_line = option.unlisted_image.as_ref().map(|unlisted| ChoiceLine {
        value: UNLISTED.to_owned(),
        title: unlisted.display_name.clone(),
        selected: is_unlisted,
    });
    OptionField {
        name: profiles::field(&profile.slug, &option.slug),
        title: option.display_name.clone(),
        choices: option.choices.iter().map(line).chain(unlisted_line).collect(),
        unlisted: option.unlisted_image.as_ref().map(|unlisted| UnlistedField {
            name: profiles::unlisted_field(&profile.slug, &option.slug),
            title: unlisted.display_name.clone(),
            prefixes: unlisted.prefixes.join(" or "),
            value: unlisted_value.to_owned(),
        }),
    }
}

fn pending_url(app: &App, owner: &User, wanted: &Wanted, query: &Fields) -> String {
    with_next(&app.urls.spawn_pending(&owner.name, &wanted.server), query)
}

fn with_next(url: &str, query: &Fields) -> String {
    match query.get("next").filter(|next| !next.is_empty()) {
        Some(next) => with_query(url, "next", next),
        None => url.to_owned(),
    }
}

/// The options of a start: the profile and what belongs to it, and each `opt-<name>`, as a list.
fn options(fields: &Fields) -> Option<Value> {
    let mut options = profiles::read_form(fields).unwrap_or_default();
    for (name, value) in fields.iter() {
        if let Some(name) = name.strip_prefix("opt-").filter(|name| !name.is_empty()) {
            let values = options.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(values) = values {
                values.push(value.into());
            }
        }
    }
    (!options.is_empty()).then_some(Value::Object(options))
}
