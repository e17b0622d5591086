//! The login cookie: what it is called, where it goes, and what ends it (S18, S19), on both sides.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::{
    jupyter_server::{Home, JupyterServer, Side},
    servers::Servers,
    suite::person::Person,
};

const TOKEN: &str = "--IdentityProvider.token=the-token-that-was-given";
const SECRET: &str = "jupyter_cookie_secret";

/// Somebody who logs in through the form.
async fn logged_in(server: &JupyterServer, typed: &str) -> Result<Person> {
    let ada = Person::new("ada", &server.origin)?;
    let base = base(server);
    let form = ada.visit(&format!("{base}login")).await?.expect(&[200])?;
    ada.submit(&form, &BTreeMap::from([("password", typed)])).await?;
    ensure!(is_open(server, &ada).await?, "the login does not open the server");
    Ok(ada)
}

/// Whether a browser gets what is guarded.
async fn is_open(server: &JupyterServer, person: &Person) -> Result<bool> {
    Ok(!person.visit(base(server)).await?.path().ends_with("/login"))
}

fn base(server: &JupyterServer) -> &str {
    server.info["base_url"].as_str().unwrap_or("/")
}

fn name(server: &JupyterServer) -> String {
    format!("username-127-0-0-1-{}", server.port())
}

/// S18, S19: a server on another port has a cookie of its own, and one below a path gets nothing of its neighbours'.
pub(super) async fn the_cookie_is_named_by_host_and_port_and_stays_below_the_base_url_s18_s19(
    servers: &Servers,
) -> Result<()> {
    for side in Side::BOTH {
        let home = Home::new()?;
        let server = servers.start_small(side, &home, &[TOKEN, "--ServerApp.base_url=/below/"], &[]).await?;
        let ada = logged_in(&server, server.token()).await?;
        {
            let jar = ada.jar();
            let received = jar.received(&name(&server));
            let cookie =
                received.last().with_context(|| format!("{side:?} sets no {}: {:?}", name(&server), jar.names()))?;
            ensure!(cookie.path() == Some("/below/"), "{side:?}: the path is {:?}", cookie.path());
            ensure!(cookie.http_only() == Some(true), "{side:?}: scripts can read it");
            ensure!(cookie.secure() != Some(true) && cookie.domain().is_none(), "{side:?}: {cookie}");
            // The real one leaves this to the browser, which takes the same for it.
            let same_site = cookie.same_site().map(|same_site| same_site.to_string());
            ensure!(
                same_site.as_deref() == (side == Side::Ours).then_some("Lax"),
                "{side:?}: SameSite is {same_site:?}"
            );
        }
        // The same secret, since the home is the same.
        let other = servers.start_small(side, &home, &[TOKEN], &[]).await?;
        let moved = ada.moved_to(&other.origin)?;
        let stolen = moved.jar().value(&name(&server), "/below/").map(str::to_owned).context("the cookie is kept")?;
        ensure!(moved.visit("/").await?.path() == "/login", "{side:?}: the cookie opens another port, too");
        moved.plant(&format!("{}={stolen}; Path=/", name(&other)));
        ensure!(moved.visit("/").await?.path() == "/login", "{side:?}: the cookie opens another port by its name");
        server.stop().await?;
        other.stop().await?;
    }
    Ok(())
}

/// S19: what ends a login is the end of its secret, not that of the server.
pub(super) async fn a_login_outlives_a_restart_but_not_its_secret_s19(servers: &Servers) -> Result<()> {
    for side in Side::BOTH {
        let home = Home::new()?;
        let server = servers.start_small(side, &home, &[TOKEN], &[]).await?;
        let ada = logged_in(&server, server.token()).await?;
        let secret = home.runtime().join(SECRET);
        let mode = fs::metadata(&secret)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{side:?}: others can read the secret: {mode:o}");
        let server = again(servers, side, &home, server, &[TOKEN]).await?;
        ensure!(is_open(&server, &ada).await?, "{side:?}: a restart ends the login");
        fs::remove_file(&secret)?;
        let server = again(servers, side, &home, server, &[TOKEN]).await?;
        ensure!(!is_open(&server, &ada).await?, "{side:?}: the login outlives its secret");
        server.stop().await?;
    }
    Ok(())
}

/// Whoever set a password in front of the others' logins means them, too.
pub(super) async fn a_new_password_ends_every_login_s20(servers: &Servers) -> Result<()> {
    for side in Side::BOTH {
        let home = Home::new()?;
        let setting = async |password: &str| {
            let terminal = servers.on_terminal(side, &home, "password")?.input(json!([password, password]).to_string());
            terminal.output().await.map(drop)
        };
        setting("old").await?;
        let server = servers.start_small(side, &home, &[], &[]).await?;
        let ada = logged_in(&server, "old").await?;
        setting("new").await?;
        let server = again(servers, side, &home, server, &[]).await?;
        ensure!(!is_open(&server, &ada).await?, "{side:?}: the login outlives its password");
        logged_in(&server, "new").await.with_context(|| format!("{side:?} with the new password"))?;
        server.stop().await?;
    }
    Ok(())
}

/// The form's way to do so, as the real server takes it; ours ends the other logins at once, the real one at its restart.
pub(super) async fn a_password_set_in_the_form_ends_every_other_login_s20_s22(servers: &Servers) -> Result<()> {
    for side in Side::BOTH {
        let home = Home::new()?;
        let server = servers.start_small(side, &home, &[TOKEN], &[]).await?;
        let ada = logged_in(&server, server.token()).await?;
        let grace = Person::new("grace", &server.origin)?;
        let form = grace.visit("/login").await?.expect(&[200])?;
        grace.submit(&form, &BTreeMap::from([("password", server.token()), ("new_password", "new")])).await?;
        ensure!(is_open(&server, &grace).await?, "{side:?}: whoever sets a password is not logged in");
        let ended = !is_open(&server, &ada).await?;
        ensure!(ended == (side == Side::Ours), "{side:?}: the other login has ended: {ended}");
        logged_in(&server, "new").await.with_context(|| format!("{side:?} with the new password"))?;
        let server = again(servers, side, &home, server, &[]).await?;
        ensure!(!is_open(&server, &ada).await?, "{side:?}: the other login outlives a restart");
        logged_in(&server, "new").await.with_context(|| format!("{side:?} with the new password after a restart"))?;
        server.stop().await?;
    }
    Ok(())
}

/// The program behind knows a person again by the cookie, too: whoever works with others keeps a name.
pub(super) async fn whoever_is_logged_in_stays_the_same_person_s18(servers: &Servers) -> Result<()> {
    for side in Side::BOTH {
        let home = Home::new()?;
        let server = servers.start(side, &home, &[TOKEN], &[]).await?;
        let ada = logged_in(&server, server.token()).await?;
        let who = async |person: &Person| {
            let me = person.fetch(reqwest::Method::GET, "/api/me", None).await?.expect(&[200])?.json()?;
            Ok::<_, anyhow::Error>(me["identity"]["username"].to_string())
        };
        let (first, second) = (who(&ada).await?, who(&ada).await?);
        ensure!(first == second, "{side:?} takes ada for {first} and {second}");
        let grace = logged_in(&server, server.token()).await?;
        ensure!(who(&grace).await? != first, "{side:?} takes grace for ada");
        server.stop().await?;
    }
    Ok(())
}

/// Ends a server and starts it at its port.
async fn again(
    servers: &Servers,
    side: Side,
    home: &Home,
    server: JupyterServer,
    args: &[&str],
) -> Result<JupyterServer> {
    let port = format!("--port={}", server.port());
    server.stop().await?;
    servers.start_small(side, home, &[&[&*port], args].concat(), &[]).await
}
