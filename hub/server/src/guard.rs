//! The hub's guard: what `jupyterhub-singleuser` does for its own server, in front of any program (S62 to S77).
//!
//! ```text
//! request -> head -> origin, credentials -> answers --------> the program
//!                                             |  `-> pages -> the hub's login, a refusal
//!                                            hub
//! back from the login -> pages -> oauth -> hub -> cookie
//! ```
//!
//! Who the hub does not let in, whose cookie another site's page uses, and whom the hub says nothing about, does not
//! come in. `environment`, `origin`, `credentials`, `access`, `answers` and `oauth` are pure.

use axum::Router;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use hub_auth::cookie::Keys;
use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use answers::{Answer, Answers};
use credentials::{Credential, Credentials, Key};
use hub::HubClient;
use hub_proxy::{Arrival, Gate, Verdict};
use origin::Distrust;

use crate::{
    head::{Head, without_token},
    passage::Source,
};

mod access;
mod activity;
mod answers;
mod credentials;
mod environment;
mod hub;
mod oauth;
mod origin;
mod pages;

pub use environment::{Environment, EnvironmentError};

/// Guards the server of one environment. Clones are the same guard.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    environment: Environment,
    /// Signs the cookies. Made at each start: a server that starts anew has lost its tokens, too.
    keys: Keys,
    answers: Answers,
    hub: HubClient,
    asking: Mutex<HashMap<Key, Asking>>,
}

/// A question to the hub that is under way.
type Asking = Shared<BoxFuture<'static, Answer>>;

/// How a request stands.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Allowed(Source),
    Forbidden(Arc<str>),
    Unreachable,
    Distrusted(Distrust),
    /// Nothing speaks for it that the hub knows.
    Anonymous,
}

impl Gate for Guard {
    fn judge(&self, request: &Arrival<'_>) -> Verdict {
        let head = Head::of_arrival(request);
        if self.is_own_page(&head) {
            return Verdict::Keep;
        }
        let credentials = self.credentials(&head);
        if let Some(standing) = self.standing_now(&credentials) {
            let mut verdict = self.verdict(&head, &standing);
            self.hide_refused(&mut verdict, &credentials, || without_token(head.query));
            return verdict;
        }
        // The request can't be kept while others are asked; what it becomes if it may pass, is made now.
        let passages = credentials.list.iter().map(|credential| credential.source);
        let passages: Vec<_> =
            passages.map(|source| (source, self.verdict(&head, &Standing::Allowed(source)))).collect();
        let (guard, query) = (self.clone(), without_token(head.query));
        Verdict::Wait(Box::pin(async move {
            let Standing::Allowed(source) = guard.standing(&credentials).await else { return Verdict::Keep };
            let made = passages.into_iter().find_map(|(of, verdict)| (of == source).then_some(verdict));
            let mut verdict = made.unwrap_or(Verdict::Keep);
            guard.hide_refused(&mut verdict, &credentials, || query);
            verdict
        }))
    }
}

impl Guard {
    /// `secret` signs the cookies.
    ///
    /// # Errors
    /// The hub is spoken to by TLS, and no authority is installed.
    pub fn new(environment: Environment, secret: [u8; 32]) -> reqwest::Result<Self> {
        let hub = HubClient::new(&environment)?;
        let (keys, answers, asking) = (Keys::new(0, &secret), Answers::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { environment, keys, answers, hub, asking })))
    }

    /// The pages for the requests that the guard keeps.
    pub fn pages(&self) -> Router {
        pages::router(self.clone())
    }

    /// Whether the guard answers a request itself, whoever sends it.
    fn is_own_page(&self, head: &Head<'_>) -> bool {
        let environment = &self.0.environment;
        head.path == environment.callback_path() || pages::is_logout(environment, head)
    }

    fn verdict(&self, head: &Head<'_>, standing: &Standing) -> Verdict {
        match standing {
            Standing::Allowed(source) if !pages::is_kept(&self.0.environment, head, *source) => {
                Verdict::Pass(credentials::passage(head, &self.0.environment, *source))
            }
            _ => Verdict::Keep,
        }
    }

    /// A token of somebody whom the hub knows, and who may not enter, is none of the program's business, though a cookie
    /// lets the request in. One that the hub does not know may be the program's own.
    fn hide_refused(&self, verdict: &mut Verdict, credentials: &Credentials, query: impl FnOnce() -> String) {
        let Verdict::Pass(passage) = verdict else { return };
        let now = Instant::now();
        let is_refused =
            |credential: &&Credential| matches!(self.0.answers.get(credential.key, now), Some(Answer::Forbidden(_)));
        let mut refused = credentials.list.iter().filter(is_refused).map(|credential| credential.source);
        if refused.clone().any(|source| source == Source::Header) {
            passage.fields.push(("authorization", None));
        }
        if refused.any(|source| source == Source::Query) {
            passage.query = Some(query());
        }
    }

    fn credentials(&self, head: &Head<'_>) -> Credentials {
        let environment = &self.0.environment;
        let origin = environment.public_origin.as_deref();
        let cookies_count = origin::check(head, origin, environment.allow_websocket_cookie);
        credentials::find(head, environment, &self.0.keys, cookies_count, Timestamp::now().as_second())
    }

    /// What is known already; `None`: the hub must be asked.
    fn standing_now(&self, credentials: &Credentials) -> Option<Standing> {
        let now = Instant::now();
        let mut standing = Standing::of(credentials);
        for credential in &credentials.list {
            let answer = self.0.answers.get(credential.key, now)?;
            if standing.hears(answer, credential.source) {
                break;
            }
        }
        Some(standing)
    }

    async fn standing(&self, credentials: &Credentials) -> Standing {
        let mut standing = Standing::of(credentials);
        for credential in &credentials.list {
            if standing.hears(self.answer(credential).await, credential.source) {
                break;
            }
        }
        standing
    }

    /// What is known of a token, or else what the hub says.
    async fn answer(&self, credential: &Credential) -> Answer {
        match self.0.answers.get(credential.key, Instant::now()) {
            Some(answer) => answer,
            None => self.ask(credential).await,
        }
    }

    /// Requests of one page come all at once: they ask once. A task of its own asks, so that whoever waits may leave.
    fn ask(&self, credential: &Credential) -> Asking {
        let (guard, key, token) = (self.clone(), credential.key, credential.token.clone());
        let mut under_way = self.asking();
        if let Some(asking) = under_way.get(&key) {
            return asking.clone();
        }
        let asking = async move {
            let patiently = !guard.0.answers.survives_outage(key, Instant::now());
            let answer = guard.judge_token(&token, patiently).await;
            let believed = guard.0.answers.put(key, answer, Instant::now());
            guard.asking().remove(&key);
            believed
        };
        let asking = asking.boxed().shared();
        under_way.insert(key, asking.clone());
        tokio::spawn(asking.clone());
        asking
    }

    async fn judge_token(&self, token: &str, patiently: bool) -> Answer {
        match self.0.hub.holder(token, patiently).await {
            Ok(Some(holder)) if access::may_enter(&self.0.environment.access_scopes, &holder) => Answer::Allowed,
            Ok(Some(holder)) => {
                let who = format!("{} {}", holder.kind, holder.name);
                tracing::warn!(who, "refused: the hub knows them, and they may not access this server");
                Answer::Forbidden(who.into())
            }
            Ok(None) => Answer::Unknown,
            Err(error) => {
                tracing::error!(%error, "failed to ask the hub about a token");
                Answer::Unreachable
            }
        }
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<Key, Asking>> {
        self.0.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// Before anybody was asked.
    fn of(credentials: &Credentials) -> Self {
        credentials.distrust.map_or(Self::Anonymous, Self::Distrusted)
    }

    /// Takes an answer into account. True if it decides.
    fn hears(&mut self, answer: Answer, source: Source) -> bool {
        *self = match answer {
            Answer::Allowed => Self::Allowed(source),
            Answer::Unreachable => Self::Unreachable,
            Answer::Forbidden(who) if *self != Self::Unreachable => Self::Forbidden(who),
            Answer::Forbidden(_) | Answer::Unknown => return false,
        };
        matches!(self, Self::Allowed(_))
    }
}
