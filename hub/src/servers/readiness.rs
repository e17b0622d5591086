//! Waiting until a server answers over HTTP.

use std::time::Duration;
use tokio::time::Instant;
use url::Url;

use super::{Entry, Inner, launch::target, status::LaunchError};
use crate::spawner::{Health, ServerName};

/// One try.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The client that asks: it follows no redirects, since a login page is an answer too.
pub(super) fn client() -> reqwest::Client {
    hub_server::http_client()
        .no_proxy()
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client without TLS and files has nothing that could be missing")
}

/// Waits until `GET {address}{prefix}api` has a status below 500, the server ends, or the spawner's `http_timeout` is over.
pub(super) async fn wait(inner: &Inner, name: &ServerName, entry: &Entry, address: &Url) -> Result<(), LaunchError> {
    let url = format!("{}{}api", target(address), inner.settings.urls.server_path(&name.user, &name.server));
    let limit = inner.spawner.http_timeout();
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_WAIT;
    loop {
        let last = match inner.http.get(&url).send().await {
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
