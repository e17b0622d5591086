//! Certificates by ACME (RFC 8555) with the HTTP-01 challenge (S42): the operator is the client, a Hub's proxy leads the
//! authority to the operator's solver, and a Secret of record keeps everything.
//!
//! ```text
//! advance: state of the Secret -> machine (pure) -> step -> authority | probe | route -> outcome -> machine -> state, written
//! solver:  authority -> proxy -> /{namespace}/{hub}/.well-known/acme-challenge/{token} -> the Secret's live challenges
//! ```
//!
//! `history`, `machine` and `state` are pure; `authority`, `client`, `probe`, `route` and `keeper` move bytes, `solver` serves.

pub mod authority;
pub mod client;
pub mod history;
pub mod keeper;
pub mod machine;
pub mod probe;
pub mod route;
pub mod solver;
pub mod state;

use std::time::Duration;

use hub_crds::SelfCheck;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use authority::{Authority, certificate_key};
use client::AuthorityClient;
use keeper::Keeper;
pub use machine::News;
use machine::{Current, Failure, FailureKind, Outcome, Seen, Step, Wish};
use probe::Prober;
use route::{Proxy, Router};
use state::{Data, Issued, Phase, State};

/// Where authorities ask (RFC 8555, 8.3).
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// Let's Encrypt's directory.
pub const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Let's Encrypt's directory for trials.
pub const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// No step is begun after so long in one run.
const BUDGET: Duration = Duration::from_secs(8);
/// A step that takes longer is given up: nothing is lost, since what it needed is written.
const STEP_LIMIT: Duration = Duration::from_secs(12);
/// After a run that ended for its time.
const AT_ONCE: SignedDuration = SignedDuration::from_millis(100);
/// After somebody else has written the Secret.
const AFTER_CONFLICT: SignedDuration = SignedDuration::from_secs(1);

/// What the room needs for all Hubs.
#[derive(Clone, Debug)]
pub struct Acme {
    /// Where proxies find the solver, such as `http://hub-operator-acme.namespace:8089`.
    pub solver_url: String,
    pub prober: Prober,
    pub router: Router,
}

/// What a Hub wants, and what it takes.
#[derive(Clone)]
pub struct Wanted {
    pub name: String,
    pub namespace: String,
    /// DNS names, and addresses.
    pub hosts: Vec<String>,
    pub email: String,
    /// As in the spec: a preset or an address.
    pub server: String,
    /// Certificates to trust for the directory, in PEM.
    pub server_ca: Option<Vec<u8>>,
    pub eab: Option<ExternalAccount>,
    pub self_check: SelfCheck,
    pub proxy: Proxy,
}

/// External account binding.
#[derive(Clone)]
pub struct ExternalAccount {
    pub key_id: String,
    /// In base64url, as the Secret has it.
    pub mac_key: SecretString,
}

/// How things stand after a run.
#[derive(Debug)]
pub struct Progress {
    /// The newest certificate, whether or not another is under way.
    pub issued: Option<Issued>,
    /// What the condition says, unless all is well.
    pub trouble: Option<String>,
    pub news: Vec<News>,
    /// When to look again.
    pub next: Duration,
}

/// The address that a preset stands for.
pub fn directory(server: &str) -> &str {
    match server {
        "production" => PRODUCTION,
        "staging" => STAGING,
        url => url,
    }
}

impl Acme {
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(solver_url: String) -> Result<Self, reqwest::Error> {
        Ok(Self { solver_url, prober: Prober::new()?, router: Router::new()? })
    }

    /// The target of a Hub's route.
    fn target(&self, wanted: &Wanted) -> String {
        format!("{}/{}/{}", self.solver_url.trim_end_matches('/'), wanted.namespace, wanted.name)
    }
}

impl Wanted {
    fn wish(&self) -> Wish {
        let mut hosts: Vec<_> = self.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        hosts.sort();
        hosts.dedup();
        Wish {
            hosts,
            email: self.email.clone(),
            directory: directory(&self.server).to_owned(),
            eab_key_id: self.eab.as_ref().map(|eab| eab.key_id.clone()),
            given: self.given(),
            self_check: self.self_check,
        }
    }

    fn given(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.eab.as_ref().map(|eab| eab.mac_key.expose_secret()).unwrap_or_default());
        digest.update([0]);
        digest.update(self.server_ca.as_deref().unwrap_or_default());
        hex::encode(digest.finalize())
    }

    /// A share of the time by which this Hub renews earlier than others: always the same, so that it is not drawn anew at each look.
    fn renewal_jitter(&self, current: Option<&Current>) -> f64 {
        let text = format!("{}/{}/{:?}", self.namespace, self.name, current.map(|current| current.not_after));
        let digest = Sha256::digest(text);
        f64::from(u16::from_be_bytes([digest[0], digest[1]])) / f64::from(u16::MAX)
    }
}

/// Does what can be done now for a Hub's certificate. `known` is the Secret of record as the watch has shown it last: if that
/// asks for nothing, nothing is sent to anybody.
///
/// # Errors
/// The Secret of record cannot be read or written.
pub async fn advance<K: Keeper>(
    acme: &Acme,
    wanted: &Wanted,
    known: &Data,
    keeper: &mut K,
) -> Result<Progress, K::Error> {
    let mut run = Run::new(acme, wanted);
    if let Some(progress) = run.rest(&read(known)) {
        return Ok(progress);
    }
    let Some(data) = keeper.read().await? else { return Ok(run.progress(&read(known), AFTER_CONFLICT)) };
    let mut state = read(&data);
    let mut written = state.clone();
    state.adopt(&run.wish);
    loop {
        if let Some(progress) = run.rest(&state) {
            if state != written && !keeper.write(state.write()).await? {
                return Ok(run.progress(&written, AFTER_CONFLICT));
            }
            return Ok(progress);
        }
        let now = Timestamp::now();
        let step = run.next(&state, now);
        let outcome = run.carry_out_in_time(&state, step).await;
        let pause = run.take(&mut state, outcome, Timestamp::now());
        if state != written {
            if !keeper.write(state.write()).await? {
                return Ok(run.progress(&written, AFTER_CONFLICT));
            }
            written = state.clone();
        }
        if let Some(pause) = pause.or_else(|| run.is_late().then_some(AT_ONCE)) {
            return Ok(run.progress(&state, pause));
        }
    }
}

/// Drops what runs for a Hub that wants no certificate by ACME any more: its route and its challenges go.
///
/// # Errors
/// The Secret of record cannot be read or written.
pub async fn abandon<K: Keeper>(acme: &Acme, proxy: &Proxy, known: &Data, keeper: &mut K) -> Result<(), K::Error> {
    let is_clean = |state: &State| state.routed.is_empty() && state.challenges.is_empty();
    if is_clean(&read(known)) {
        return Ok(());
    }
    let Some(data) = keeper.read().await? else { return Ok(()) };
    let state = read(&data);
    // A proxy that is not there has no route, or loses it when it ends.
    if let Err(error) = acme.router.remove(proxy, &state.routed).await {
        tracing::debug!(%error, "the challenges' route is left at the proxy");
    }
    let state = State { phase: Phase::Idle, routed: Vec::new(), challenges: Default::default(), ..state };
    keeper.write(state.write()).await.map(|_| ())
}

/// A state that somebody has broken by hand is begun anew: what is lost is an account, and another is made.
fn read(data: &Data) -> State {
    State::read(data).unwrap_or_else(|error| {
        tracing::warn!(%error, "the state of ACME in a Secret is broken and begun anew");
        State::default()
    })
}

/// One run of steps for one Hub.
struct Run<'a> {
    acme: &'a Acme,
    wanted: &'a Wanted,
    wish: Wish,
    started: Instant,
    /// The order, as it was seen since the last step that changed it.
    seen: Option<Seen>,
    client: Option<AuthorityClient>,
    news: Vec<News>,
}

impl<'a> Run<'a> {
    fn new(acme: &'a Acme, wanted: &'a Wanted) -> Self {
        let started = Instant::now();
        Self { acme, wanted, wish: wanted.wish(), started, seen: None, client: None, news: Vec::new() }
    }

    fn is_late(&self) -> bool {
        self.started.elapsed() > BUDGET
    }

    fn next(&self, state: &State, now: Timestamp) -> Step {
        let current = state.issued.as_ref().and_then(facts);
        let jitter = self.wanted.renewal_jitter(current.as_ref());
        state.next(&self.wish, current.as_ref(), self.seen.as_ref(), now, jitter)
    }

    /// How things stand if there is nothing to do now.
    fn rest(&mut self, state: &State) -> Option<Progress> {
        let mut state = state.clone();
        state.adopt(&self.wish);
        match self.next(&state, Timestamp::now()) {
            Step::Wait(wait) => Some(self.progress(&state, wait)),
            _ => None,
        }
    }

    fn progress(&mut self, state: &State, next: SignedDuration) -> Progress {
        Progress {
            issued: state.issued.clone(),
            trouble: state.trouble(&self.wish, Timestamp::now()),
            news: std::mem::take(&mut self.news),
            next: next.max(AT_ONCE).unsigned_abs(),
        }
    }

    fn take(&mut self, state: &mut State, outcome: Result<Outcome, Failure>, now: Timestamp) -> Option<SignedDuration> {
        let outcome = outcome.unwrap_or_else(Outcome::Failed);
        self.seen = match &outcome {
            Outcome::Seen(seen) => Some(seen.clone()),
            _ => None,
        };
        let verdict = state.take(&self.wish, outcome, now, rand::random());
        self.news.extend(verdict.news);
        verdict.pause
    }

    async fn carry_out_in_time(&mut self, state: &State, step: Step) -> Result<Outcome, Failure> {
        tracing::debug!(hub.name = self.wanted.name, hub.namespace = self.wanted.namespace, ?step, "ACME");
        let message = format!("{} took longer than {} s", self.wish.directory, STEP_LIMIT.as_secs());
        let late = Err(Failure { kind: FailureKind::Transient, message });
        tokio::time::timeout(STEP_LIMIT, self.carry_out(state, step)).await.unwrap_or(late)
    }

    async fn carry_out(&mut self, state: &State, step: Step) -> Result<Outcome, Failure> {
        match step {
            Step::MakeProbes => return Ok(Outcome::ProbesMade(self.wish.hosts.iter().map(|_| probe()).collect())),
            Step::Probe => return self.probe(state).await,
            Step::Withdraw => return Ok(self.withdraw(&state.routed).await),
            Step::StartOrder => {
                let key_pem = certificate_key().map_err(|error| refused(format!("failed to make a key: {error}")))?;
                return Ok(Outcome::OrderStarted { key_pem });
            }
            // The machine's own; nothing to carry out.
            Step::Wait(_) => return Err(refused("there is nothing to do".to_owned())),
            _ => {}
        }
        let authority = Authority { client: self.client()?, wanted: self.wanted, wish: &self.wish };
        if step == Step::CreateAccount {
            return authority.create_account().await;
        }
        let account = authority.account(state.account.as_ref()).await?;
        let Phase::Ordering(order) = &state.phase else { return authority.update_email(&account).await };
        let Some(url) = &order.url else { return authority.place_order(&account).await };
        match step {
            Step::Finalize => authority.finalize(&account, order, url).await,
            Step::Download => authority.download(&account, order, url).await,
            Step::Tell(hosts) => {
                self.put_route().await?;
                authority.tell(&account, url, hosts).await
            }
            _ => {
                self.put_route().await?;
                authority.look(&account, url).await
            }
        }
    }

    /// The same for all steps of a run: it keeps its connection.
    fn client(&mut self) -> Result<AuthorityClient, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client =
            AuthorityClient::new(self.wanted.server_ca.as_deref()).map_err(|error| refused(error.to_string()))?;
        Ok(self.client.insert(client).clone())
    }

    /// The proxy may have lost the route, if it was started anew.
    async fn put_route(&self) -> Result<(), Failure> {
        let put = self.acme.router.put(&self.wanted.proxy, &self.wish.hosts, &self.acme.target(self.wanted)).await;
        put.map_err(|error| Failure { kind: FailureKind::Transient, message: error.to_string() })
    }

    async fn probe(&self, state: &State) -> Result<Outcome, Failure> {
        if let Err(failure) = self.put_route().await {
            return Ok(Outcome::Probed(Some(failure.message)));
        }
        let probes = state
            .challenges
            .iter()
            .map(|(token, challenge)| (challenge.host.clone(), token.clone(), challenge.answer.clone()));
        Ok(Outcome::Probed(self.acme.prober.look(probes.collect()).await))
    }

    async fn withdraw(&self, hosts: &[String]) -> Outcome {
        match self.acme.router.remove(&self.wanted.proxy, hosts).await {
            Ok(()) => Outcome::Withdrawn,
            Err(error) => {
                tracing::warn!(hub.name = self.wanted.name, hub.namespace = self.wanted.namespace, %error, "the challenges' route is left at the proxy for now");
                Outcome::NotWithdrawn
            }
        }
    }
}

fn refused(message: String) -> Failure {
    Failure { kind: FailureKind::Refused, message }
}

/// A random token and answer.
fn probe() -> (String, String) {
    let random = || hex::encode(rand::random::<[u8; 16]>());
    (random(), random())
}

fn facts(issued: &Issued) -> Option<Current> {
    let certificate = hub_tls::read(issued.chain_pem.as_bytes(), Some(issued.key_pem.as_bytes())).ok()?;
    let hub_tls::Certificate { not_before, not_after, names, .. } = certificate;
    Some(Current { not_before, not_after, names })
}

#[cfg(test)]
mod tests;
