//! Every order of things: requests, looks that crash before a request is taken off, pods that load late and not in order,
//! reports that come late or again. What must hold is checked in each state that can be reached.

use std::collections::{BTreeMap, HashSet};

use super::*;

/// A tick is less than this, so that a pod that lags by up to two of them is within it.
const GRACE: SignedDuration = SignedDuration::from_mins(3);
const MOST_TICKS: i64 = 5;
const MOST_REQUESTS: u32 = 2;

/// What a pod has loaded: a state of the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Loaded {
    current: u32,
    values: BTreeMap<u32, Vec<u8>>,
}

#[derive(Clone, Debug)]
struct World {
    now: i64,
    secret: Kept,
    /// Each state of the Secret, and how many there were at the last tick: by the next one pods have those.
    history: Vec<Loaded>,
    at_last_tick: usize,
    /// What hub and proxy have loaded: positions in the history.
    hub: usize,
    proxy: usize,
    /// Versions that the report confirms, and an older report that may come again.
    report: BTreeSet<u32>,
    older_report: BTreeSet<u32>,
    asked: u32,
    /// The request that is not taken off yet.
    pending: Option<u32>,
    made: u32,
    was_reset: bool,
}

impl World {
    fn new() -> Self {
        let secret = Kept::first(ByteString(vec![0]));
        let mut world = Self {
            now: 0,
            history: Vec::new(),
            secret,
            at_last_tick: 1,
            hub: 0,
            proxy: 0,
            report: BTreeSet::new(),
            older_report: BTreeSet::new(),
            asked: 0,
            pending: None,
            made: 0,
            was_reset: false,
        };
        world.history.push(world.loaded());
        world
    }

    fn loaded(&self) -> Loaded {
        let values = self.secret.values.iter().map(|(version, value)| (*version, value.0.clone()));
        Loaded { current: self.secret.current, values: values.collect() }
    }

    fn last(&self) -> usize {
        self.history.len() - 1
    }

    /// Everything that can happen next.
    fn successors(&self, what: What) -> Vec<Self> {
        let mut next = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            next.push(world);
        };
        add(&|world| world.look(what));
        if self.pending.is_some() {
            add(&|world| {
                world.look(what);
                world.pending = None;
            });
        }
        if self.pending.is_none() && self.asked < MOST_REQUESTS {
            add(&|world| {
                world.asked += 1;
                world.pending = Some(world.asked);
            });
        }
        for position in
            [self.hub + 1, self.last()].into_iter().filter(|position| (self.hub + 1..=self.last()).contains(position))
        {
            add(&|world| world.hub = position);
        }
        for position in [self.proxy + 1, self.last()]
            .into_iter()
            .filter(|position| (self.proxy + 1..=self.last()).contains(position))
        {
            add(&|world| world.proxy = position);
        }
        add(&Self::report);
        add(&|world| std::mem::swap(&mut world.report, &mut world.older_report));
        if self.now < MOST_TICKS {
            add(&Self::tick);
        }
        next
    }

    /// The hub tells what it has and what the proxy takes.
    fn report(&mut self) {
        let [hub, proxy] = [self.hub, self.proxy].map(|position| &self.history[position].values);
        let confirmed = hub.iter().filter(|(version, value)| proxy.get(version) == Some(value));
        let report = confirmed.map(|(version, _)| *version).collect();
        self.older_report = std::mem::replace(&mut self.report, report);
    }

    fn tick(&mut self) {
        self.now += 1;
        self.hub = self.hub.max(self.at_last_tick - 1);
        self.proxy = self.proxy.max(self.at_last_tick - 1);
        self.at_last_tick = self.history.len();
    }

    /// The operator looks, and writes if there is anything to write.
    fn look(&mut self, what: What) {
        let now = Timestamp::from_second(self.now * 60).unwrap();
        let unheard = self.pending.filter(|id| self.secret.notes.heard.get("rotate") != Some(&id.to_string()));
        let asked = unheard.map(|id| Asked {
            what,
            heard: ("rotate".to_owned(), id.to_string()),
            answered: Answered { request: String::new(), at: now, refused: None },
        });
        let look = Look {
            now,
            grace: GRACE,
            confirmed: self.report.clone(),
            reported: self.report.clone(),
            in_use: BTreeSet::new(),
            given: None,
            is_read_once: false,
            is_due: false,
            asked: asked.into_iter().collect(),
        };
        let made = self.made + 1;
        let (after, steps) = advance(&self.secret, &look, || ByteString(vec![u8::try_from(made).unwrap()]));
        self.check_steps(&after, &steps, now);
        if after != self.secret {
            self.made += u32::from(after.newest() != self.secret.newest());
            self.secret = after;
            self.history.push(self.loaded());
        }
    }

    fn check_steps(&mut self, after: &Kept, steps: &[Step], now: Timestamp) {
        self.was_reset |= steps.iter().any(|step| matches!(step, Step::Reset(_)));
        for step in steps {
            if let Step::Promoted(version) = step {
                for pod in [self.hub, self.proxy] {
                    let has = self.history[pod].values.get(version);
                    assert_eq!(has, Some(&after.values[version].0), "promoted before a pod had it: {self:?}");
                }
            }
        }
        let is_reset = steps.iter().any(|step| matches!(step, Step::Reset(_)));
        for version in self.secret.values.keys().filter(|version| !is_reset && !after.values.contains_key(version)) {
            let time = self.secret.notes.retires_at[version];
            assert!(time <= now && *version != self.secret.current, "version {version} is lost too early: {self:?}");
        }
        let kept = self.secret.notes.rotated_at.filter(|_| after.notes.rotated_at != self.secret.notes.rotated_at);
        assert!(kept.is_none_or(|before| before <= now));
    }

    fn check(&self) {
        assert!(self.secret.values.contains_key(&self.secret.current));
        assert!(self.secret.values.range(self.secret.current + 1..).count() <= 1, "two wait: {self:?}");
        assert!(self.made <= self.asked, "a request was acted on twice: {self:?}");
        // A number means one value for ever.
        let mut values = BTreeMap::new();
        for (version, value) in self.history.iter().flat_map(|loaded| &loaded.values) {
            assert_eq!(values.entry(version).or_insert(value), &value, "a number was used again: {self:?}");
        }
        if !self.was_reset {
            // What the hub uses, the proxy takes; what was signed before either loaded anything, both still verify.
            let [hub, proxy] = [&self.history[self.hub], &self.history[self.proxy]];
            assert!(proxy.values.contains_key(&hub.current), "the proxy refuses what the hub uses: {self:?}");
        }
    }

    /// When nothing hinders it, everything comes to an end: one value, and no request left.
    fn check_end(&self, what: What) {
        let mut world = self.clone();
        for _ in 0..12 {
            world.look(what);
            world.pending = None;
            (world.hub, world.proxy) = (world.last(), world.last());
            world.report();
            world.tick();
        }
        assert_eq!(world.secret.values.len(), 1, "from {self:?} to {world:?}");
    }

    /// What tells two states apart.
    fn key(&self) -> String {
        let notes = serde_json::to_string(&self.secret.notes).unwrap();
        let pods = (self.hub, self.proxy, self.at_last_tick, &self.history);
        let told = (&self.report, &self.older_report, self.asked, self.pending, self.was_reset);
        format!("{} {notes} {pods:?} {told:?}", self.now)
    }
}

fn explore(what: What) -> usize {
    let mut seen = HashSet::new();
    let mut open = vec![World::new()];
    while let Some(world) = open.pop() {
        if !seen.insert(world.key()) {
            continue;
        }
        world.check();
        if seen.len() % 16 == 0 {
            world.check_end(what);
        }
        open.extend(world.successors(what));
    }
    seen.len()
}

#[test]
fn whatever_happens_in_whatever_order_a_rotation_locks_nobody_out() {
    let states = explore(What::Rotate);
    assert!(states > 1000, "{states}");
}

#[test]
fn whatever_happens_in_whatever_order_a_reset_leaves_one_value() {
    let states = explore(What::Reset { renew: true, ends: Ends::Sessions });
    assert!(states > 1000, "{states}");
}
