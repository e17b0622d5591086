//! What to do next for a Hub's certificate: pure. A state and the facts give a step, the step's outcome gives the next state.
//!
//! ```text
//! Idle --(due)--> account -> Probing --(probe is back)--> Ordering: place -> look -> tell -> look -> finalize -> download
//!   ^                                                        |                                                      |
//!   `------ withdraw route and challenges <---- failed <-----'------------------------ issued <---------------------'
//! ```

use hub_crds::SelfCheck;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::{
    history::Pace,
    state::{Account, Challenge, Issued, Order, Phase, Probing, State},
};

/// What the Hub wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// In lower case, sorted, each once.
    pub hosts: Vec<String>,
    pub email: String,
    pub directory: String,
    pub eab_key_id: Option<String>,
    /// Digest of what Secrets give for it: one that is put right is tried at once.
    pub given: String,
    pub self_check: SelfCheck,
}

/// The certificate that there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub names: Vec<String>,
}

/// What an order looks like at the authority.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub status: Status,
    pub authorizations: Vec<Authorization>,
    pub problem: Option<String>,
    pub retry_after: Option<SignedDuration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// How the authority stands with one host.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorization {
    pub host: String,
    pub is_pending: bool,
    pub is_failed: bool,
    /// Token and answer of its HTTP-01 challenge.
    pub challenge: Option<(String, String)>,
    pub problem: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing until then.
    Wait(SignedDuration),
    CreateAccount,
    UpdateEmail,
    /// Make a probe for each host.
    MakeProbes,
    Probe,
    /// Make the certificate's key.
    StartOrder,
    PlaceOrder,
    Look,
    /// Tell the authority that it may validate these hosts.
    Tell(Vec<String>),
    Finalize,
    Download,
    /// Take the challenges and their route away.
    Withdraw,
}

/// What came of a step.
#[derive(Debug)]
pub enum Outcome {
    AccountCreated(Account),
    EmailUpdated,
    /// A random token and answer for each host.
    ProbesMade(Vec<(String, String)>),
    /// The first host whose probe did not come back, and why.
    Probed(Option<String>),
    OrderStarted {
        key_pem: String,
    },
    OrderPlaced(String),
    Seen(Seen),
    Told(Vec<String>),
    Finalized,
    Downloaded {
        chain_pem: String,
    },
    Withdrawn,
    NotWithdrawn,
    Failed(Failure),
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The authority was not there, or in trouble itself.
    Transient,
    /// It wants another nonce. The library has tried some already.
    BadNonce,
    /// Too many requests, and when to come back.
    RateLimited(Option<SignedDuration>),
    /// It doesn't know the account, or not any more.
    AccountGone,
    /// It doesn't know the order, or not any more.
    OrderGone,
    /// It refuses.
    Refused,
}

/// What to do after an outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Nothing for so long; none means the next step at once.
    pub pause: Option<SignedDuration>,
    pub news: Option<News>,
}

/// What people should hear of, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Issued,
    Failed(String),
}

/// `selfCheck: preferred` waits this long for its probe.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// A probe is good for so long; then another is made.
const PROBE_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// A challenge is answered for so long.
const CHALLENGE_LIFE: SignedDuration = SignedDuration::from_hours(2);
/// An order that is not decided by then is given up.
const ORDER_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// Replicas of the operator have heard of new challenges by then.
const SETTLE: SignedDuration = SignedDuration::from_secs(1);
/// Between two looks at an order, if the authority doesn't say.
const POLL: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_POLL: SignedDuration = SignedDuration::from_mins(1);
/// Between two attempts to take the route away.
const WITHDRAW_AGAIN: SignedDuration = SignedDuration::from_secs(30);
const ONE_SECOND: SignedDuration = SignedDuration::from_secs(1);

impl Wish {
    /// Tells wishes apart.
    fn fingerprint(&self) -> String {
        let Self { hosts, email, directory, eab_key_id, given, .. } = self;
        let text = serde_json::json!([directory, email, eab_key_id, given, hosts]).to_string();
        hex::encode(&Sha256::digest(text)[..8])
    }

    fn is_of(&self, account: &Account) -> bool {
        account.directory == self.directory && account.eab_key_id == self.eab_key_id
    }
}

impl State {
    /// Takes a wish in: what is under way for another one is dropped, and nothing that the other one met holds this one up,
    /// except the count of failed validations.
    pub fn adopt(&mut self, wish: &Wish) {
        let fingerprint = wish.fingerprint();
        if self.history.wish != fingerprint {
            self.history.succeed();
            self.history.wish = fingerprint;
            self.phase = Phase::Idle;
        }
    }

    /// The next step. `seen` is the order as the last look in this run has shown it; `jitter` (0 to 1) is this Hub's own.
    pub fn next(
        &self,
        wish: &Wish,
        current: Option<&Current>,
        seen: Option<&Seen>,
        now: Timestamp,
        jitter: f64,
    ) -> Step {
        if self.phase == Phase::Idle && !(self.routed.is_empty() && self.challenges.is_empty()) {
            return Step::Withdraw;
        }
        if let Some(at) = self
            .history
            .retry_at(now)
            .filter(|_| self.phase != Phase::Idle || self.is_wanted(wish, current, now, jitter))
        {
            return Step::Wait(at.duration_since(now));
        }
        match &self.phase {
            Phase::Idle => self.next_when_idle(wish, current, now, jitter),
            Phase::Probing(probing) if probing.is_passed || wish.self_check == SelfCheck::Skip => Step::StartOrder,
            Phase::Probing(_) if !self.are_challenges_live(now) => Step::MakeProbes,
            Phase::Probing(_) => Step::Probe,
            Phase::Ordering(order) => self.next_of_order(order, seen, now),
        }
    }

    fn is_wanted(&self, wish: &Wish, current: Option<&Current>, now: Timestamp, jitter: f64) -> bool {
        !matches!(self.next_when_idle(wish, current, now, jitter), Step::Wait(_))
    }

    fn next_when_idle(&self, wish: &Wish, current: Option<&Current>, now: Timestamp, jitter: f64) -> Step {
        let until_due = self.due(wish, current, jitter).map_or(SignedDuration::ZERO, |at| at.duration_since(now));
        let is_due = until_due <= SignedDuration::ZERO;
        match &self.account {
            Some(account) if wish.is_of(account) && account.email != wish.email => Step::UpdateEmail,
            account if is_due && !account.as_ref().is_some_and(|account| wish.is_of(account)) => Step::CreateAccount,
            _ if !is_due => Step::Wait(until_due),
            _ if wish.self_check == SelfCheck::Skip => Step::StartOrder,
            _ => Step::MakeProbes,
        }
    }

    /// When the next certificate is due; none means now.
    fn due(&self, wish: &Wish, current: Option<&Current>, jitter: f64) -> Option<Timestamp> {
        let current = current?;
        let mut names = current.names.clone();
        names.sort();
        if names != wish.hosts || self.issued_by.as_deref() != Some(&wish.directory) {
            return None;
        }
        // At two thirds of its life; Hubs that were made at the same time don't all come at the same time.
        let life = current.not_after.duration_since(current.not_before).as_secs_f64();
        let share = 2.0 / 3.0 - 0.05 * jitter.clamp(0.0, 1.0);
        Some(current.not_before + SignedDuration::from_secs_f64(life * share))
    }

    fn are_challenges_live(&self, now: Timestamp) -> bool {
        !self.challenges.is_empty() && self.challenges.values().all(|challenge| challenge.expires > now)
    }

    fn next_of_order(&self, order: &Order, seen: Option<&Seen>, now: Timestamp) -> Step {
        if order.url.is_none() {
            return Step::PlaceOrder;
        }
        let Some(seen) = seen else { return Step::Look };
        match seen.status {
            Status::Ready => Step::Finalize,
            Status::Valid => Step::Download,
            Status::Pending => self.tell(order, seen, now),
            Status::Processing | Status::Invalid => Step::Wait(poll(seen)),
        }
    }

    /// No more validations run at the same time than may fail.
    fn tell(&self, order: &Order, seen: &Seen, now: Timestamp) -> Step {
        let (told, untold): (Vec<_>, Vec<_>) = seen
            .authorizations
            .iter()
            .filter(|authorization| authorization.is_pending)
            .map(|authorization| authorization.host.clone())
            .partition(|host| order.told.contains(host));
        let free = self.history.allowance(now).saturating_sub(told.len());
        let next: Vec<_> = untold.into_iter().take(free).collect();
        if next.is_empty() { Step::Wait(poll(seen)) } else { Step::Tell(next) }
    }

    /// Takes a step's outcome in.
    pub fn take(&mut self, wish: &Wish, outcome: Outcome, now: Timestamp, jitter: f64) -> Verdict {
        match outcome {
            Outcome::AccountCreated(account) => self.account = Some(account),
            Outcome::EmailUpdated => self.account.iter_mut().for_each(|account| account.email.clone_from(&wish.email)),
            Outcome::ProbesMade(probes) => return self.take_probes(wish, probes, now),
            Outcome::Probed(failed) => return self.take_probed(wish, failed, now),
            Outcome::OrderStarted { key_pem } => self.start_order(wish, key_pem, now),
            Outcome::OrderPlaced(url) => self.change_order(|order| order.url = Some(url)),
            Outcome::Seen(seen) => return self.take_seen(wish, &seen, now, jitter),
            Outcome::Told(hosts) => {
                self.change_order(|order| order.told.extend(hosts));
                return pause(SETTLE);
            }
            Outcome::Finalized => return pause(ONE_SECOND),
            Outcome::Downloaded { chain_pem } => return self.take_certificate(wish, chain_pem),
            Outcome::Withdrawn => {
                self.routed.clear();
                self.challenges.clear();
            }
            Outcome::NotWithdrawn => return pause(WITHDRAW_AGAIN),
            Outcome::Failed(failure) => return self.take_failure(failure, now, jitter),
        }
        Verdict::default()
    }

    fn take_probes(&mut self, wish: &Wish, probes: Vec<(String, String)>, now: Timestamp) -> Verdict {
        let expires = now + PROBE_LIFE;
        let challenge =
            |(host, (token, answer)): (&String, _)| (token, Challenge { host: host.clone(), answer, expires });
        self.challenges = wish.hosts.iter().zip(probes).map(challenge).collect();
        self.routed.clone_from(&wish.hosts);
        if self.phase == Phase::Idle {
            self.phase = Phase::Probing(Probing { since: now, is_passed: false });
        }
        pause(SETTLE)
    }

    fn take_probed(&mut self, wish: &Wish, failed: Option<String>, now: Timestamp) -> Verdict {
        let Phase::Probing(probing) = &mut self.phase else { return Verdict::default() };
        let waited = now.duration_since(probing.since);
        probing.is_passed = failed.is_none() || (wish.self_check == SelfCheck::Preferred && waited >= PATIENCE);
        let is_passed = probing.is_passed;
        self.history.problem = failed;
        if is_passed {
            Verdict::default()
        } else {
            pause((waited / 10).clamp(SignedDuration::from_secs(3), SignedDuration::from_secs(30)))
        }
    }

    fn start_order(&mut self, wish: &Wish, key_pem: String, now: Timestamp) {
        let order = Order { since: now, hosts: wish.hosts.clone(), key_pem, url: None, told: Default::default() };
        self.phase = Phase::Ordering(order);
        self.challenges.clear();
        self.routed.clone_from(&wish.hosts);
    }

    fn change_order(&mut self, change: impl FnOnce(&mut Order)) {
        if let Phase::Ordering(order) = &mut self.phase {
            change(order);
        }
    }

    fn take_seen(&mut self, wish: &Wish, seen: &Seen, now: Timestamp, jitter: f64) -> Verdict {
        let Phase::Ordering(order) = &self.phase else { return Verdict::default() };
        let failed: Vec<_> = seen.authorizations.iter().filter(|authorization| authorization.is_failed).collect();
        if seen.status == Status::Invalid || !failed.is_empty() {
            self.history.count_failures(failed.len(), now);
            let problem = describe_failure(wish, seen, &failed);
            return self.fail(problem, Pace::Slow, None, now, jitter);
        }
        if now.duration_since(order.since) > ORDER_LIFE {
            let problem = format!("{} has not decided on the order within an hour", wish.directory);
            return self.fail(problem, Pace::Slow, None, now, jitter);
        }
        if let Some(host) = unprovable(seen) {
            let problem =
                format!("{} offers no HTTP-01 challenge for {host}: take it out of spec.https.hosts", wish.directory);
            return self.fail(problem, Pace::Slow, None, now, jitter);
        }
        let expires = now + CHALLENGE_LIFE;
        let mut is_new = false;
        for authorization in seen.authorizations.iter().filter(|authorization| authorization.is_pending) {
            let Some((token, answer)) = &authorization.challenge else { continue };
            let challenge = Challenge { host: authorization.host.clone(), answer: answer.clone(), expires };
            is_new |= self.challenges.insert(token.clone(), challenge).is_none();
        }
        if is_new { pause(SETTLE) } else { Verdict::default() }
    }

    fn take_certificate(&mut self, wish: &Wish, chain_pem: String) -> Verdict {
        if let Phase::Ordering(order) = std::mem::take(&mut self.phase) {
            self.issued = Some(Issued { chain_pem, key_pem: order.key_pem });
            self.issued_by = Some(wish.directory.clone());
            self.history.succeed();
        }
        Verdict { pause: None, news: Some(News::Issued) }
    }

    fn take_failure(&mut self, failure: Failure, now: Timestamp, jitter: f64) -> Verdict {
        let Failure { kind, message } = failure;
        let is_placed = matches!(&self.phase, Phase::Ordering(order) if order.url.is_some());
        match kind {
            FailureKind::BadNonce => pause(ONE_SECOND),
            // What runs at the authority goes on there.
            FailureKind::Transient => self.fail_in_phase(message, Pace::Quick, None, now, jitter),
            FailureKind::RateLimited(after) if is_placed => self.fail_in_phase(message, Pace::Slow, after, now, jitter),
            FailureKind::RateLimited(after) => self.fail(message, Pace::Slow, after, now, jitter),
            FailureKind::AccountGone => {
                self.account = None;
                self.fail(message, Pace::Quick, None, now, jitter)
            }
            FailureKind::OrderGone => self.fail(message, Pace::Quick, None, now, jitter),
            FailureKind::Refused => self.fail(message, Pace::Slow, None, now, jitter),
        }
    }

    /// Gives up what runs, and begins anew later.
    fn fail(
        &mut self,
        problem: String,
        pace: Pace,
        after: Option<SignedDuration>,
        now: Timestamp,
        jitter: f64,
    ) -> Verdict {
        self.phase = Phase::Idle;
        self.fail_in_phase(problem, pace, after, now, jitter)
    }

    fn fail_in_phase(
        &mut self,
        problem: String,
        pace: Pace,
        after: Option<SignedDuration>,
        now: Timestamp,
        jitter: f64,
    ) -> Verdict {
        let news = (self.history.problem.as_ref() != Some(&problem)).then(|| News::Failed(problem.clone()));
        self.history.fail(problem, pace, after, now, jitter);
        Verdict { pause: None, news }
    }

    /// How things stand, in words for a condition; `None` if all is well.
    pub fn trouble(&self, wish: &Wish, now: Timestamp) -> Option<String> {
        let (hosts, directory) = (wish.hosts.join(", "), &wish.directory);
        let problem = self.history.problem.as_deref();
        let said = |text: String| Some(problem.map_or_else(|| text.clone(), |problem| format!("{text}: {problem}")));
        if let Some(at) = self.history.retry_at(now).filter(|_| problem.is_some()) {
            return problem.map(|problem| format!("{problem}; the next attempt is at {at}"));
        }
        match &self.phase {
            Phase::Idle if self.issued.is_none() => {
                said(format!("a certificate for {hosts} is about to be ordered of {directory}"))
            }
            Phase::Idle => problem.map(str::to_owned),
            Phase::Probing(_) => said(probing_message(wish, &hosts)),
            Phase::Ordering(order) if order.told.is_empty() => {
                Some(format!("a certificate for {hosts} is ordered of {directory}"))
            }
            Phase::Ordering(_) => Some(format!("{directory} validates {hosts}")),
        }
    }
}

fn probing_message(wish: &Wish, hosts: &str) -> String {
    let then = match wish.self_check {
        SelfCheck::Required => "nothing is ordered before (selfCheck: required)",
        _ => "after 10 minutes it is ordered all the same (selfCheck: preferred)",
    };
    format!("the operator waits until port 80 of {hosts} leads to this Hub, and {then}")
}

fn pause(duration: SignedDuration) -> Verdict {
    Verdict { pause: Some(duration), news: None }
}

fn poll(seen: &Seen) -> SignedDuration {
    seen.retry_after.unwrap_or(POLL).clamp(ONE_SECOND, LONGEST_POLL)
}

fn unprovable(seen: &Seen) -> Option<&str> {
    let mut pending = seen.authorizations.iter().filter(|authorization| authorization.is_pending);
    pending.find(|authorization| authorization.challenge.is_none()).map(|authorization| authorization.host.as_str())
}

fn describe_failure(wish: &Wish, seen: &Seen, failed: &[&Authorization]) -> String {
    let Some(first) = failed.first() else {
        let problem = seen.problem.as_deref().unwrap_or("it doesn't say why");
        return format!("{} has refused the order: {problem}", wish.directory);
    };
    let (host, problem) = (&first.host, first.problem.as_deref().unwrap_or("it doesn't say why"));
    format!(
        "{} could not validate {host}: {problem}. See that its DNS record and port 80, as the internet has them, lead to this Hub",
        wish.directory
    )
}

#[cfg(test)]
mod tests;
