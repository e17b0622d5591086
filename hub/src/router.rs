//! The route table, and the layers around it.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    middleware::{from_fn, from_fn_with_state},
    response::Response,
    routing::{MethodRouter, delete, get, post, put},
};

use crate::{
    app::App,
    error::{Failure, Result, shape_failures},
    handlers::{self, api},
    middleware::{headers, methods, own_host, paths, request_log, url_token},
};

/// No form or model comes near this many bytes.
const LARGEST_BODY: usize = 1 << 20;

/// Everything that the hub answers.
pub fn router(app: &App) -> Router {
    table(app.urls.hub())
        .router
        .route(app.urls.hub().trim_end_matches('/'), get(handlers::root::slash))
        .method_not_allowed_fallback(not_allowed)
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(app.clone(), url_token::log_in))
        .layer(from_fn_with_state(app.clone(), own_host::lead_to))
        .layer(from_fn_with_state(app.clone(), methods::refuse_head))
        .layer(from_fn(paths::refuse_undecodable))
        .layer(from_fn_with_state(app.clone(), shape_failures))
        .layer(from_fn_with_state(app.clone(), headers::add))
        .layer(from_fn_with_state(app.clone(), request_log::log))
        .with_state(app.clone())
}

/// The paths of all routes below the hub's own, with their parameters: `api/users/{name}`.
pub fn paths() -> Vec<String> {
    table("/").paths
}

/// Routes below the hub's own path.
struct Table<'a> {
    prefix: &'a str,
    paths: Vec<String>,
    router: Router<App>,
}

fn table(prefix: &str) -> Table<'_> {
    let table = Table { prefix, paths: Vec::new(), router: Router::new() };
    assets(api_of_shares(api_of_groups(api_of_users(api(servers(pages(table)))))))
}

impl Table<'_> {
    fn at(mut self, path: &str, methods: MethodRouter<App>) -> Self {
        self.paths.push(path.to_owned());
        Self { router: self.router.route(&format!("{}{path}", self.prefix), methods), ..self }
    }
}

/// What people see.
fn pages(table: Table<'_>) -> Table<'_> {
    use handlers::{
        accept_share, admin, change_password, home, login, logout, oidc, proxy_error, root, sessions, spawn,
        spawn_pending, token,
    };
    table
        .at("", get(root::get))
        .at("login", get(login::get).post(login::post))
        .at("logout", get(logout::get))
        .at("oauth_login", get(oidc::start))
        .at("oauth_callback", get(oidc::callback))
        .at("oidc/backchannel-logout", post(oidc::backchannel_logout))
        .at("home", get(home::get).post(home::post))
        .at("token", get(token::get).post(token::post))
        .at("sessions", post(sessions::post))
        .at("change-password", get(change_password::get).post(change_password::post))
        .at("accept-share", get(accept_share::get).post(accept_share::post))
        .at("spawn", get(spawn::get).post(spawn::post))
        .at("spawn/{*path}", get(spawn::get).post(spawn::post))
        .at("spawn-pending/{*path}", get(spawn_pending::get).post(spawn_pending::post))
        .at("admin", get(admin::get).post(admin::post))
        .at("admin/delete", get(admin::confirm_delete))
        .at("user-redirect/{*path}", get(root::user_redirect))
        .at("user-redirect/", get(root::user_redirect))
        .at("error/{code}", get(proxy_error::get))
        .at("security/csp-report", post(handlers::csp_report::post))
}

/// What servers and browsers use on the way to a server.
fn servers(table: Table<'_>) -> Table<'_> {
    use handlers::{authorize, not_running};
    table
        .at("user/{*path}", get(not_running::get).fallback(not_running::other))
        .at("api/oauth2/authorize", get(authorize::get).post(authorize::post))
        .at("api/oauth2/token", post(api::oauth_token::post))
}

/// The REST API but for users.
fn api(table: Table<'_>) -> Table<'_> {
    table
        .at("api", get(api::info::version))
        .at("api/", get(api::info::version))
        .at("api/openapi.json", get(api::openapi::get))
        .at("api/info", get(api::info::get))
        .at("api/user", get(api::user::get))
        .at("api/proxy", get(api::proxy::get).post(api::proxy::post).patch(api::proxy::relocate))
        .at("api/shutdown", post(api::shutdown::post))
        .at("api/authorizations/token", get(api::authorizations::gone).post(api::authorizations::gone))
        .at("api/authorizations/token/{token}", get(api::authorizations::token))
        .at("api/authorizations/cookie/{name}/{value}", get(api::authorizations::cookie))
        .at("api/services", get(api::services::list))
        .at("api/services/{name}", get(api::services::get).post(api::services::create).delete(api::services::delete))
        .at("api/health", get(handlers::health::get))
}

fn api_of_users(table: Table<'_>) -> Table<'_> {
    use api::{activity, disabled, passwords, progress, servers, sessions, tokens, users};
    let server =
        || get(servers::get).post(servers::start).put(servers::create).patch(servers::change).delete(servers::stop);
    table
        .at("api/users", get(users::list).post(users::create_many))
        .at("api/users/{name}", get(users::get).post(users::create).patch(users::change).delete(users::delete))
        .at("api/users/{name}/activity", post(activity::post))
        .at("api/users/{name}/admin-access", post(users::admin_access))
        .at("api/users/{name}/server", server())
        .at("api/users/{name}/servers/", server())
        .at("api/users/{name}/servers/{server}", server())
        .at("api/users/{name}/server/progress", get(progress::get))
        .at("api/users/{name}/servers/{server}/progress", get(progress::get))
        .at("api/users/{name}/tokens", get(tokens::list).post(tokens::create).delete(tokens::revoke_of_user))
        .at("api/users/{name}/sessions", get(sessions::list).merge(delete(sessions::end_all)))
        .at("api/users/{name}/sessions/{id}", delete(sessions::end))
        .at("api/users/{name}/password", put(passwords::set).delete(passwords::remove))
        .at("api/users/{name}/disabled", get(disabled::get).put(disabled::disable).delete(disabled::enable))
        .at("api/tokens", delete(api::tokens::revoke_all))
        .at("api/services/{name}/tokens", delete(api::tokens::revoke_of_service))
        .at("api/users/{name}/tokens/{id}", get(tokens::get).merge(delete(tokens::delete)))
}

fn api_of_groups(table: Table<'_>) -> Table<'_> {
    use api::groups;
    table
        .at("api/groups", get(groups::list).post(groups::create_many))
        .at("api/groups/{group}", get(groups::get).post(groups::create).delete(groups::delete))
        .at("api/groups/{group}/users", post(groups::add_members).delete(groups::remove_members))
        .at("api/groups/{group}/properties", put(groups::set_properties))
}

/// The name of a default server is empty, so the paths of its shares end with a slash.
fn api_of_shares(mut table: Table<'_>) -> Table<'_> {
    use api::{share_codes, shared, shares};
    let of_server = || get(shares::get).post(shares::grant).patch(shares::revoke).delete(shares::revoke_all);
    let codes = || get(share_codes::get).post(share_codes::create).delete(share_codes::delete);
    let with_user = || get(shared::get_with_user).merge(delete(shared::end_with_user));
    let with_group = || get(shared::get_with_group).merge(delete(shared::end_with_group));
    for server in ["", "{server}"] {
        table = table
            .at(&format!("api/shares/{{user}}/{server}"), of_server())
            .at(&format!("api/share-codes/{{user}}/{server}"), codes())
            .at(&format!("api/users/{{name}}/shared/{{owner}}/{server}"), with_user())
            .at(&format!("api/groups/{{group}}/shared/{{owner}}/{server}"), with_group());
    }
    table
        .at("api/shares/{user}", get(shares::list))
        .at("api/share-codes/{user}", get(share_codes::list))
        .at("api/users/{name}/shared", get(shared::list_with_user))
        .at("api/groups/{group}/shared", get(shared::list_with_group))
}

fn assets(table: Table<'_>) -> Table<'_> {
    table
        .at("health", get(handlers::health::get))
        .at("metrics", get(handlers::metrics::get))
        .at("api/metrics", get(handlers::metrics::get))
        .at("logo", get(handlers::assets::logo))
        .at("static/{*name}", get(handlers::assets::get))
}

async fn not_allowed() -> Failure {
    Failure::bare(StatusCode::METHOD_NOT_ALLOWED)
}

async fn elsewhere(State(app): State<App>, request: Request) -> Result<Response> {
    handlers::root::outside(&app, request.method(), request.uri())
}
