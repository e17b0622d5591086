//! Looks at all servers now and then and stops those that the rules say. What was used meanwhile stays: how a server is used is
//! asked for anew right before it is stopped, and only the run that was judged is.

use futures::{StreamExt, stream};
use hub_auth::names::full_server_name;
use hub_crds::Cull;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{Limits, Reason};
use crate::{
    app::App,
    audit::Act,
    database::{ServerRow, Subject, User, UserQuery},
    handlers::api::{servers::remove_stopped, users::remove},
    servers::{LastUses, ServerStatus},
};

/// Who does it, in the audit log.
const ACTOR: &str = "culling";
/// How long one stop holds up the next ones.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs until the hub stops; at once ends where nothing is culled.
pub async fn run(app: App) {
    let Some(cull) = app.cull.clone().filter(|cull| cull.enabled) else { return };
    let every = Duration::from_secs(cull.every.into());
    // A hub that has just started does not know yet who is there.
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rounds = async {
        let mut failing = false;
        loop {
            ticks.tick().await;
            let result = round(&app, &cull).await;
            if let (Err(error), false) = (&result, failing) {
                tracing::warn!(
                    error.message = format!("{error:#}"),
                    "idle servers are not looked for until it works again"
                );
            }
            failing = result.is_err();
        }
    };
    app.stopping.run_until_cancelled(rounds).await;
}

/// One look at everything.
///
/// # Errors
/// The database or the proxy can't be read: who is there is not known then, and nothing is stopped.
pub async fn round(app: &App, cull: &Cull) -> anyhow::Result<()> {
    let uses = app.servers.last_uses().await?;
    let rows = app.database.active_servers().await?;
    let due: Vec<_> = rows.into_iter().filter_map(|row| Due::of(app, cull, &uses, row)).collect();
    stream::iter(due).for_each_concurrent(usize::from(cull.concurrency), |due| due.stop(app, cull)).await;
    if cull.users {
        remove_users(app, cull).await?;
    }
    Ok(())
}

/// A run of a server that has to end.
struct Due {
    row: ServerRow,
    /// When this run began.
    started: Timestamp,
    limits: Limits,
}

impl Due {
    fn of(app: &App, cull: &Cull, uses: &LastUses, row: ServerRow) -> Option<Self> {
        let ServerStatus::Ready { started, .. } = app.servers.status(&row.user, &row.name) else { return None };
        let limits = Limits::of(cull, &row.user_options);
        let due = Self { row, started, limits };
        due.judge(app, uses.at(&due.row.user, &due.row.name), due.row.last_activity).map(|_| due)
    }

    /// `seen` by the proxy, `noted` in the database.
    fn judge(&self, app: &App, seen: Option<Timestamp>, noted: Option<Timestamp>) -> Option<Reason> {
        let used = seen.max(app.activity.latest(Subject::Server(self.row.id), noted));
        self.limits.judge(self.started, used, app.now())
    }

    async fn stop(self, app: &App, cull: &Cull) {
        let (user, server) = (self.row.user.as_str(), self.row.name.as_str());
        match self.still_due(app).await {
            Ok(Some(reason)) if app.servers.stop_run(user, server, self.started) => {
                Act::of(ACTOR, "server stopped").on(user).object(full_server_name(user, server)).done(reason.as_str());
                app.metrics().culled.count(&["server", reason.as_str()]);
                let _ = timeout(PATIENCE, app.servers.stopped(user, server)).await;
                if cull.remove_named_servers && !server.is_empty() {
                    self.remove(app).await;
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(user.name = user, server.name = server, %error, "a server that may be idle stays for now");
            }
        }
    }

    /// People may have come back since all were looked at: others were stopped before this one.
    async fn still_due(&self, app: &App) -> anyhow::Result<Option<Reason>> {
        let seen = app.servers.last_use(&self.row.user, &self.row.name).await?;
        let row = app.database.server(self.row.user_id, &self.row.name).await?;
        Ok(row.and_then(|row| self.judge(app, seen, row.last_activity)))
    }

    /// It tells of its failures itself.
    async fn remove(&self, app: &App) {
        if let Ok(Some(user)) = app.database.user(self.row.user_id).await {
            let _ = remove_stopped(app.clone(), user, self.row.name.clone()).await;
        }
    }
}

/// Whoever has a server, or was seen lately, stays.
async fn remove_users(app: &App, cull: &Cull) -> anyhow::Result<()> {
    let idle = UserQuery { active: Some(false), ..UserQuery::default() };
    for user in app.database.list_users(&idle).await?.users {
        if judge_user(app, cull, &user).is_none() {
            continue;
        }
        // Others were removed before: this one may have come back meanwhile.
        let Some(user) = app.database.user(user.id).await? else { continue };
        if let Some(reason) = judge_user(app, cull, &user) {
            remove_user(app, &user, reason).await;
        }
    }
    Ok(())
}

/// One whose beginning nobody knows is as old as its last use; without either nothing is known.
fn judge_user(app: &App, cull: &Cull, user: &User) -> Option<Reason> {
    let has_server = app.servers.active().iter().any(|(name, _)| name.user == user.name);
    if has_server || (user.admin && !cull.admin_users) {
        return None;
    }
    let used = app.activity.latest(Subject::User(user.id), user.last_activity);
    Limits::of(cull, &Value::Null).judge(user.created.or(used)?, used, app.now())
}

async fn remove_user(app: &App, user: &User, reason: Reason) {
    match remove(app, user).await {
        Ok(()) => {
            Act::of(ACTOR, "user deleted").on(&user.name).done(reason.as_str());
            app.metrics().culled.count(&["user", reason.as_str()]);
        }
        Err(failure) => tracing::warn!(user.name = user.name, ?failure, "an idle user stays for now"),
    }
}
