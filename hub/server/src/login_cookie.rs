//! The cookie of a login: signed as Tornado signs, named by host and port, on the path of the server (S18, S19).

use hmac::{Hmac, KeyInit, Mac};
use hub_auth::cookie::{self, DAY, Keys, SetCookie};
use sha2::Sha256;
use std::{
    fmt,
    sync::{OnceLock, PoisonError, RwLock},
};

/// How long a login lasts, as with `jupyter server`: the browser keeps it for a day less than the server accepts it.
const MAX_AGE: i64 = 31 * DAY;
const BROWSER_AGE: i64 = 30 * DAY;
/// Names of login cookies begin so, unless the settings choose one.
pub(crate) const NAME_PREFIX: &str = "username-";

/// Makes and checks login cookies.
pub(crate) struct LoginCookies {
    /// Made of secret, port, path and password: a new password ends all logins.
    keys: RwLock<Keys>,
    /// The cookie secret.
    secret: Vec<u8>,
    /// Where the server listens, once it does: another one of the same user has the same secret, and must not take this
    /// one's logins.
    port: OnceLock<u16>,
    /// A name that the settings chose.
    name: Option<String>,
    /// The server's base URL.
    path: String,
    /// Whether cookies go over HTTPS only; `None` if the connection tells.
    secure: Option<bool>,
}

impl LoginCookies {
    pub(crate) fn new(
        secret: Vec<u8>,
        password: Option<&str>,
        name: Option<String>,
        path: &str,
        secure: Option<bool>,
    ) -> Self {
        let keys = RwLock::new(keys(&secret, None, path, password));
        Self { keys, secret, port: OnceLock::new(), name, path: path.to_owned(), secure }
    }

    /// Ties the logins to the port that the server got.
    pub(crate) fn serve_on(&self, port: u16, password: Option<&str>) {
        self.port.get_or_init(|| port);
        self.password_changed(password);
    }

    /// Ends every login: cookies are signed for the new password from now on.
    pub(crate) fn password_changed(&self, password: Option<&str>) {
        let keys = keys(&self.secret, self.port.get().copied(), &self.path, password);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// The name for a server that is asked for as `host`, such as `username-localhost-8888`: servers on other ports of
    /// this machine get the same cookies from a browser, so each has a name of its own.
    pub(crate) fn name(&self, host: &str) -> String {
        self.name.clone().unwrap_or_else(|| {
            let host = host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
            format!("{NAME_PREFIX}{}", host.collect::<String>())
        })
    }

    /// Whether a `Cookie` header holds a login. `now` is in seconds since 1970.
    pub(crate) fn is_logged_in(&self, cookies: &str, name: &str, now: i64) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        cookie::values(cookies, name).any(|signed| cookie::verify(&keys, name, &signed, MAX_AGE, now).is_some())
    }

    /// A login for the browser that asked for `host`. `random` tells it from other logins.
    pub(crate) fn log_in(&self, host: &str, random: [u8; 16], is_secure: bool, now: i64) -> SetCookie {
        let name = self.name(host);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let value = cookie::sign(&keys, &name, hex::encode(random).as_bytes(), now);
        let cookie = SetCookie::new(name, value, &self.path).http_only().expires(now + BROWSER_AGE);
        cookie.secure(self.secure.unwrap_or(is_secure))
    }

    /// Takes the login away.
    pub(crate) fn log_out(&self, host: &str, now: i64) -> SetCookie {
        SetCookie::clear(self.name(host), &self.path, now)
    }
}

impl fmt::Debug for LoginCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginCookies").field("path", &self.path).finish_non_exhaustive()
    }
}

fn keys(secret: &[u8], port: Option<u16>, path: &str, password: Option<&str>) -> Keys {
    let place = format!("{}{path}", port.unwrap_or_default());
    Keys::new(0, &digest(&digest(secret, place.as_bytes()), password.unwrap_or_default().as_bytes()))
}

fn digest(secret: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_440_749;
    const HOST: &str = "localhost:8888";

    fn cookies(password: Option<&str>) -> LoginCookies {
        LoginCookies::new(b"secret".to_vec(), password, None, "/base/", None)
    }

    /// The `Cookie` header of a browser that got this.
    fn header(set: &SetCookie) -> String {
        set.to_string().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_is_named_by_host_and_port_and_stays_on_its_path_s18_s19() {
        let set = cookies(None).log_in(HOST, [1; 16], false, NOW);
        let text = set.to_string();
        assert!(text.starts_with("username-localhost-8888=") && text.contains("; HttpOnly"), "{text}");
        assert!(text.contains("; Path=/base/; SameSite=Lax") && !text.contains("Secure"), "{text}");
        assert!(cookies(None).log_in(HOST, [1; 16], true, NOW).to_string().ends_with("; Secure"));
        let others = header(&set);
        assert!(cookies(None).is_logged_in(&others, "username-localhost-8888", NOW));
        assert!(!cookies(None).is_logged_in(&others.replace("8888", "9999"), "username-localhost-9999", NOW));
        let named = LoginCookies::new(b"s".to_vec(), None, Some("mine".to_owned()), "/", Some(true));
        assert!(named.log_in(HOST, [1; 16], false, NOW).to_string().starts_with("mine="));
    }

    #[test]
    fn a_login_ends_with_its_secret_its_password_and_its_time() {
        let name = cookies(None).name(HOST);
        let login = header(&cookies(Some("a")).log_in(HOST, [1; 16], false, NOW));
        assert!(cookies(Some("a")).is_logged_in(&login, &name, NOW + MAX_AGE));
        assert!(!cookies(Some("a")).is_logged_in(&login, &name, NOW + MAX_AGE + 1));
        assert!(!cookies(Some("b")).is_logged_in(&login, &name, NOW));
        let other = LoginCookies::new(b"other".to_vec(), Some("a"), None, "/base/", None);
        assert!(!other.is_logged_in(&login, &name, NOW));
        for (port, path, is_same) in [(1, "/base/", true), (2, "/base/", false), (1, "/", false)] {
            let tied = cookies(Some("a"));
            tied.serve_on(1, Some("a"));
            let other = LoginCookies::new(b"secret".to_vec(), Some("a"), None, path, None);
            other.serve_on(port, Some("a"));
            let login = header(&tied.log_in(HOST, [1; 16], false, NOW));
            assert_eq!(other.is_logged_in(&login, &name, NOW), is_same, "{port} {path}");
        }
        let running = cookies(Some("a"));
        assert!(running.is_logged_in(&login, &name, NOW));
        running.password_changed(Some("b"));
        assert!(!running.is_logged_in(&login, &name, NOW));
    }
}
