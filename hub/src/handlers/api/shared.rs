//! `/hub/api/users/{name}/shared` and `/hub/api/groups/{group}/shared`: what others share with a user or a group, seen and
//! given up from that side.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use hub_auth::scopes::Resource;
use serde_json::Value;

use super::{
    Pagination, groups, no_content,
    shares::{SharedServer, model},
};
use crate::{
    app::App,
    audit::Act,
    database::{Share, ShareWith},
    error::{Failure, Result},
    form::Query,
    session::{Caller, Identity},
};

/// What is shared with a user, or with a group of the user.
pub async fn list_with_user(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>> {
    caller.require(&["read:users:shares"], Some(Resource::user(&name)))?;
    let not_found = || Failure::new(StatusCode::NOT_FOUND, format!("No such user: {name}"));
    let user = app.database.user_by_name(&name).await?.ok_or_else(not_found)?;
    let pagination = Pagination::read(&app, &caller.visitor, &query)?;
    page(&app, &caller, pagination, ShareWith::User(user.id)).await
}

pub async fn list_with_group(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>> {
    caller.require(&["read:groups:shares"], Some(Resource::group(&name)))?;
    let group = groups::find(&app, &name).await?;
    let pagination = Pagination::read(&app, &caller.visitor, &query)?;
    page(&app, &caller, pagination, ShareWith::Group(group.id)).await
}

async fn page(app: &App, caller: &Caller, pagination: Pagination, with: ShareWith) -> Result<Json<Value>> {
    let page = app.database.list_shared_with(with, pagination.window, app.now()).await?;
    let items: Vec<_> = page.items.iter().map(|share| model(app, share)).collect();
    Ok(Json(pagination.page(app, &caller.visitor, items.into(), page.total)))
}

/// `alice/shared/bob/` or `alice/shared/bob/second`: with whom, and which server.
struct Held {
    with: String,
    server: SharedServer,
}

impl From<Path<Vec<String>>> for Held {
    fn from(Path(segments): Path<Vec<String>>) -> Self {
        let mut segments = segments.into_iter();
        Self { with: segments.next().unwrap_or_default(), server: SharedServer::from_path(segments) }
    }
}

impl Held {
    /// That it ends, for the audit log.
    fn act(&self, by: &Identity, kind: &str) -> Act<'_> {
        let object = format!("{} with {kind}: {}", self.server.full_name(), self.with);
        self.server.act(by, "share revoked").object(object)
    }

    fn missing(&self, kind: &str) -> Failure {
        let message = format!("No such share for {kind} {} on {}", self.with, self.server.full_name());
        Failure::new(StatusCode::NOT_FOUND, message)
    }

    async fn with_user(&self, app: &App) -> Result<(ShareWith, Share)> {
        let user = app.database.user_by_name(&self.with).await?.ok_or_else(|| self.missing("user"))?;
        let with = ShareWith::User(user.id);
        Ok((with, self.share(app, with).await?.ok_or_else(|| self.missing("user"))?))
    }

    async fn with_group(&self, app: &App) -> Result<(ShareWith, Share)> {
        let with = ShareWith::Group(groups::find(app, &self.with).await?.id);
        Ok((with, self.share(app, with).await?.ok_or_else(|| self.missing("group"))?))
    }

    async fn share(&self, app: &App, with: ShareWith) -> Result<Option<Share>> {
        let Some(server) = self.server.find(app).await? else { return Ok(None) };
        Ok(app.database.share(server.id, with, app.now()).await?)
    }
}

pub async fn get_with_user(State(app): State<App>, caller: Caller, path: Path<Vec<String>>) -> Result<Json<Value>> {
    let held = Held::from(path);
    caller.require(&["read:users:shares"], Some(Resource::user(&held.with)))?;
    let (_, share) = held.with_user(&app).await?;
    Ok(Json(model(&app, &share)))
}

pub async fn get_with_group(State(app): State<App>, caller: Caller, path: Path<Vec<String>>) -> Result<Json<Value>> {
    let held = Held::from(path);
    caller.require(&["read:groups:shares"], Some(Resource::group(&held.with)))?;
    let (_, share) = held.with_group(&app).await?;
    Ok(Json(model(&app, &share)))
}

/// Gives a share up. If another does it for the user, it is revoked.
pub async fn end_with_user(State(app): State<App>, caller: Caller, path: Path<Vec<String>>) -> Result<Response> {
    let held = Held::from(path);
    let identity = caller.require(&["users:shares"], Some(Resource::user(&held.with)))?;
    let (with, share) = held.with_user(&app).await?;
    if identity.user().is_some_and(|user| with == ShareWith::User(user.id)) {
        app.database.delete_share(share.id).await?;
    } else {
        end(&app, &held, with).await?;
    }
    held.act(identity, "user").done("given up");
    Ok(no_content())
}

pub async fn end_with_group(State(app): State<App>, caller: Caller, path: Path<Vec<String>>) -> Result<Response> {
    let held = Held::from(path);
    let identity = caller.require(&["groups:shares"], Some(Resource::group(&held.with)))?;
    let (with, _) = held.with_group(&app).await?;
    end(&app, &held, with).await?;
    held.act(identity, "group").done("given up");
    Ok(no_content())
}

async fn end(app: &App, held: &Held, with: ShareWith) -> Result<()> {
    if let Some(server) = held.server.find(app).await? {
        app.database.revoke_share(server.id, with, None, app.now()).await?;
    }
    Ok(())
}
