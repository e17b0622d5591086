//! What is said at the start: where the server runs, with the token, in the page's words (S9), and what is at risk.

use hub_auth::next_url::with_query;
use jiff::Zoned;
use secrecy::ExposeSecret;

use crate::{credentials::Login, settings::Settings};

/// The addresses by which the server is reached.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// For people on this machine or another, such as `http://localhost:8888/`.
    pub(crate) display: String,
    /// For this machine only, such as `http://127.0.0.1:8888/`.
    pub(crate) local: String,
    /// For the browser that is opened here: a host that the display address has, too, so that one cookie does for both.
    pub(crate) browser: String,
    /// For programs: where the server listens on all interfaces, by this machine's name.
    pub(crate) connection: String,
}

impl Addresses {
    /// `port` is the one that it listens on, `hostname` this machine's name.
    pub(crate) fn new(settings: &Settings, port: u16, hostname: &str) -> Self {
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let at = |host: &str| {
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            format!("{scheme}://{host}:{port}{}", settings.base_url)
        };
        let ip = settings.ip.as_str();
        let is_everywhere = matches!(ip, "" | "0.0.0.0" | "::");
        let display = settings.display_url.clone().unwrap_or_else(|| at(if ip.is_empty() { "localhost" } else { ip }));
        Self {
            display,
            browser: at(if is_everywhere { "localhost" } else { ip }),
            local: at(if ip.contains(':') { "::1" } else { "127.0.0.1" }),
            connection: at(if is_everywhere { hostname } else { ip }),
        }
    }
}

/// An address to paste: with the token that was made, which nobody knows yet. Who chose one knows it, and the log need
/// not.
fn to_paste(url: &str, login: &Login) -> String {
    match &login.token {
        Some(token) if login.is_generated => with_query(url, "token", token.expose_secret()),
        Some(_) => format!("{url}?token=..."),
        None => url.to_owned(),
    }
}

/// The line of the log that says where the server runs, and the addresses below it.
pub(crate) fn running_at(addresses: &Addresses, login: &Login, now: &Zoned) -> String {
    let time = now.strftime("%H:%M:%S%.3f");
    let display = to_paste(&addresses.display, login);
    let mut text = format!("[I {time} ServerApp] The Jupyter Server is running at:\n{display}");
    if addresses.local != addresses.display {
        text.push_str(&format!("\n{}", to_paste(&addresses.local, login)));
    }
    text
}

/// What is at risk (S25, S30).
pub(crate) fn warnings(settings: &Settings) -> Vec<&'static str> {
    let is_open = settings.login.token.is_none() && settings.login.password.is_none();
    let is_everywhere = settings.ip.is_empty();
    let mut warnings = Vec::new();
    if is_open {
        warnings
            .push("All authentication is disabled.  Anyone who can connect to this server will be able to run code.");
    }
    if is_everywhere && settings.tls.is_none() {
        warnings.push(
            "The Jupyter server is listening on all IP addresses and not using encryption. This is not recommended.",
        );
    }
    if is_everywhere && is_open {
        warnings.push("The Jupyter server is listening on all IP addresses and not using authentication. This is highly insecure and not recommended.");
    }
    warnings
}
