//! The running servers of this hub, as Jupyter Server lists servers (S14 to S17): the hub itself, with the tokens that log
//! in, and every user's server, without one. Theirs are hashed.

use hub_auth::names::full_server_name;
use hub_server::ServerInfo;
use std::process;
use url::Url;

use crate::{
    app::App,
    authenticator::{Authenticator, TokenUser},
    servers::ServerStatus,
    spawner::ServerName,
};

/// What is known of a server by its address.
fn at(url: &Url) -> ServerInfo {
    ServerInfo {
        base_url: url.path().to_owned(),
        hostname: url.host_str().unwrap_or_default().to_owned(),
        port: url.port_or_known_default().unwrap_or_default(),
        secure: url.scheme() == "https",
        url: url.to_string(),
        ..ServerInfo::default()
    }
}

/// What runs now: the hub first, once for each user with a token.
///
/// # Errors
/// The hub's own address is none.
pub fn running(app: &App) -> Result<Vec<ServerInfo>, url::ParseError> {
    let address = Url::parse(&app.address.url)?;
    let mut servers = app.servers.active();
    servers.retain(|(_, status)| matches!(status, ServerStatus::Ready { .. }));
    servers.sort_by(|(a, _), (b, _)| (&a.user, &a.server).cmp(&(&b.user, &b.server)));
    let servers = servers.iter().map(|(name, _)| of_user(app, &address, name));
    of_hub(app, &address).into_iter().map(Ok).chain(servers).collect()
}

fn of_hub(app: &App, address: &Url) -> Vec<ServerInfo> {
    let hub = ServerInfo {
        password: !app.authenticator.is_token(),
        pid: i32::try_from(process::id()).ok(),
        root_dir: app.directory.display().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..at(address)
    };
    let Authenticator::Token(tokens) = &app.authenticator else { return vec![hub] };
    let admitted = tokens.users().filter(|user| app.allow.admits(&user.name)).filter_map(TokenUser::read_token);
    let with_token: Vec<_> = admitted.map(|token| ServerInfo { token, ..hub.clone() }).collect();
    if with_token.is_empty() { vec![hub] } else { with_token }
}

fn of_user(app: &App, address: &Url, name: &ServerName) -> Result<ServerInfo, url::ParseError> {
    let url = match app.urls.whole_server(&name.user, &name.server) {
        Some(url) => Url::parse(&url)?,
        None => address.join(&app.urls.server_path(&name.user, &name.server))?,
    };
    let whose = || full_server_name(&name.user, &name.server);
    let root_dir = app.servers.home().map_or_else(whose, |home| home.display().to_string());
    Ok(ServerInfo { root_dir, ..at(&url) })
}
