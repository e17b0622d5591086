//! What lets people in: a token, a password, or a launch token; and how often they may guess.

use hub_auth::{
    failure_limit::{FailureLimit, network},
    password,
    token::{equal, is_guessable},
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    net::IpAddr,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use crate::launch::LaunchToken;

/// Guesses from one address within a window; further ones are not even looked at.
const GUESSES: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// What the settings say about logging in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    /// The server's token, if token authentication is on (S2).
    pub(crate) token: Option<SecretString>,
    /// Whether the server made the token itself (S8).
    pub(crate) is_generated: bool,
    /// The hash of the password, if there is one (S20).
    pub(crate) password: Option<String>,
    /// Whether who logs in with a token may set a password.
    pub(crate) allow_password_change: bool,
}

/// The credentials of a running server.
#[derive(Debug)]
pub(crate) struct Credentials {
    token: Option<SecretString>,
    password: RwLock<Option<String>>,
    launch: Option<LaunchToken>,
    failures: FailureLimit<IpAddr>,
}

impl Credentials {
    pub(crate) fn new(login: &Login, launch: Option<LaunchToken>) -> Self {
        let password = RwLock::new(login.password.clone());
        Self { token: login.token.clone(), password, launch, failures: FailureLimit::new(GUESSES, WINDOW) }
    }

    /// Whether everybody may enter (S24).
    pub(crate) fn is_open(&self) -> bool {
        self.token.is_none() && self.password().is_none()
    }

    pub(crate) fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }

    /// The password's hash.
    pub(crate) fn password(&self) -> Option<String> {
        self.password.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_password(&self, hash: String) {
        *self.password.write().unwrap_or_else(PoisonError::into_inner) = Some(hash);
    }

    /// Whether this is the server's token (S4).
    pub(crate) fn is_token(&self, given: &str) -> bool {
        self.token.as_ref().is_some_and(|token| equal(token.expose_secret(), given))
    }

    /// Whether this is the server's token, and counts: what can be guessed doesn't from who has guessed too often.
    pub(crate) fn takes_token(&self, given: &str, peer: Option<IpAddr>) -> bool {
        let counts = !self.is_token_guessable() || self.wait(peer).is_none();
        counts && self.is_token(given)
    }

    /// The token for the browser that the server opens, if it opens one.
    pub(crate) fn launch_token(&self) -> Option<&SecretString> {
        self.launch.as_ref().map(LaunchToken::token)
    }

    /// Whether this is the launch token, spent or not.
    pub(crate) fn is_launch_token(&self, given: &str) -> bool {
        self.launch.as_ref().is_some_and(|launch| launch.is(given))
    }

    pub(crate) fn spend_launch_token(&self, given: &str) -> bool {
        self.launch.as_ref().is_some_and(|launch| launch.spend(given, Instant::now()))
    }

    /// Whether this is the password. Takes a while, on purpose: not for the threads that serve.
    pub(crate) fn is_password(&self, given: &str) -> bool {
        self.password().is_some_and(|hash| password::verify(&hash, given))
    }

    /// How long guesses from this address are not looked at; `None` if they are.
    pub(crate) fn wait(&self, peer: Option<IpAddr>) -> Option<Duration> {
        self.failures.wait(&network(peer), Instant::now())
    }

    /// Notes a wrong token. If the server's can't be guessed, anybody may try: nobody is kept out for it.
    pub(crate) fn wrong_token(&self, peer: Option<IpAddr>) {
        if self.is_token_guessable() {
            self.failures.record(network(peer), Instant::now());
        }
    }

    fn is_token_guessable(&self) -> bool {
        self.token.as_ref().is_some_and(|token| is_guessable(token.expose_secret().len()))
    }

    /// Notes what was neither the password nor the token.
    pub(crate) fn wrong_password(&self, peer: Option<IpAddr>) {
        match self.password() {
            Some(_) => self.failures.record(network(peer), Instant::now()),
            None => self.wrong_token(peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(token: Option<&str>, password: Option<&str>) -> Credentials {
        let login = Login { token: token.map(Into::into), password: password.map(str::to_owned), ..Login::default() };
        Credentials::new(&login, None)
    }

    #[test]
    fn guesses_are_limited_by_network_if_they_could_succeed() {
        let peer = |text: &str| Some(text.parse().unwrap());
        let weak = credentials(Some("short"), None);
        for _ in 0..GUESSES {
            assert_eq!(weak.wait(peer("2001:db8::1")), None);
            weak.wrong_token(peer("2001:db8::1"));
        }
        assert!(weak.wait(peer("2001:db8::ffff")).is_some());
        assert_eq!(weak.wait(peer("2001:db8:0:1::1")), None);
        assert_eq!(weak.wait(None), None);
        for _ in 0..GUESSES {
            weak.wrong_token(None);
        }
        assert!(weak.wait(None).is_some(), "who hides their address is limited, too");
        // Another site's page could otherwise lock out whom it likes.
        let strong = "0".repeat(48);
        for unguessable in [credentials(Some(&strong), None), credentials(None, Some("sha1:a:b"))] {
            for _ in 0..GUESSES * 2 {
                unguessable.wrong_token(peer("10.0.0.1"));
            }
            assert_eq!(unguessable.wait(peer("10.0.0.1")), None);
        }
        let password = credentials(Some(&strong), Some("sha1:a:b"));
        for _ in 0..GUESSES {
            password.wrong_password(peer("10.0.0.1"));
        }
        assert!(password.wait(peer("10.0.0.1")).is_some());
        assert!(password.takes_token(&strong, peer("10.0.0.1")), "what can't be guessed goes on");
        assert!(!weak.takes_token("short", None) && weak.takes_token("short", peer("10.0.0.1")));
    }

    #[test]
    fn everybody_may_enter_only_if_there_is_neither_token_nor_password_s24() {
        assert!(credentials(None, None).is_open());
        assert!(!credentials(Some("t"), None).is_open() && !credentials(None, Some("sha1:a:b")).is_open());
        assert!(!credentials(None, Some("sha1:a:b")).is_token(""));
    }
}
