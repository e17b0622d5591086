//! Waiting until a server answers over HTTP.

use reqwest::{Client, ClientBuilder, redirect::Policy};
use std::{net::SocketAddr, time::Duration};
use tokio::time::Instant;
use url::Url;

use super::{Entry, Inner, launch::target, status::LaunchError};
use crate::spawner::{Health, ServerName};

/// One try.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The client that asks where no TLS is spoken.
pub(super) fn client() -> Client {
    asking(hub_server::http_client()).expect("a client without TLS and files has nothing that could be missing")
}

/// It follows no redirects, since a login page is an answer too.
fn asking(client: ClientBuilder) -> reqwest::Result<Client> {
    client.no_proxy().timeout(REQUEST_TIMEOUT).redirect(Policy::none()).build()
}

/// Who asks, and for which scheme, host and port: a server that speaks TLS must show its name, whoever has the address.
fn way(inner: &Inner, name: &ServerName, address: &Url) -> reqwest::Result<(Client, String)> {
    match by_name(inner, name, address) {
        Some((client, origin)) => Ok((asking(client)?, origin)),
        // If that speaks TLS after all, this client trusts nobody.
        None => Ok((inner.http.clone(), target(address))),
    }
}

fn by_name(inner: &Inner, name: &ServerName, address: &Url) -> Option<(ClientBuilder, String)> {
    let (host, port) = (address.host_str()?, address.port().filter(|_| address.scheme() == "https")?);
    let place = SocketAddr::new(host.trim_matches(['[', ']']).parse().ok()?, port);
    let client = inner.spawner.tls_client(name, place)?;
    Some((client, format!("https://{}:{port}", inner.spawner.tls_name(name)?)))
}

/// Waits until `GET {address}{prefix}api` has a status below 500, the server ends, or the spawner's `http_timeout` is over.
pub(super) async fn wait(inner: &Inner, name: &ServerName, entry: &Entry, address: &Url) -> Result<(), LaunchError> {
    let (client, origin) = way(inner, name, address)?;
    let url = format!("{origin}{}api", inner.settings.urls.server_path(&name.user, &name.server));
    let limit = inner.spawner.http_timeout();
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_WAIT;
    loop {
        let last = match client.get(&url).send().await {
            Ok(response) if response.status().as_u16() < 500 => return Ok(()),
            Ok(response) => format!(" (it answered {})", response.status().as_u16()),
            Err(_) => String::new(),
        };
        if let Ok(Health::Stopped { reason }) = inner.spawner.poll(name, &entry.state()).await {
            return Err(LaunchError::Ended(reason));
        }
        if Instant::now() + pause > deadline {
            return Err(LaunchError::Unanswered { url, seconds: limit.as_secs(), last });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_WAIT);
    }
}
