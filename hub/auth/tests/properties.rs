//! What must hold for scopes whatever they are (attack row 45): nobody gets more than there is. Random cases from fixed
//! seeds, over a small world in which everything has something to do with everything.

use hub_auth::{
    names::full_server_name,
    scopes::{
        self, Definitions, Groups, Owner, Resource, Scopes, Target, share,
        tree::{self, CustomScope},
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::LazyLock;

const CASES: u32 = 100_000;
/// `a` and `a-b`, `s` and `a/s`: names that could be taken for each other.
const USERS: [&str; 3] = ["a", "a-b", "b"];
const SERVERS: [&str; 3] = ["", "s", "a"];
const GROUPS: [&str; 2] = ["g", "a"];
const SERVICES: [&str; 2] = ["a", "x"];

/// The scopes that every hub has, and one of an administrator's own that includes others.
static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(|| {
    let declared = [("custom:a:all", vec!["custom:a:read".to_owned()]), ("custom:a:read", Vec::new())];
    let declared =
        declared.map(|(name, includes)| (name.to_owned(), CustomScope { description: String::new(), includes }));
    Definitions::with_custom(declared).expect("they are declared rightly")
});

struct World(StdRng);

impl World {
    fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())]
    }

    fn full_name(&mut self) -> String {
        full_server_name(self.one(&USERS), self.one(&SERVERS))
    }

    fn scope_name(&mut self) -> &'static str {
        match self.0.random_range(0..12) {
            0 => self.one(&["custom:a:read", "custom:a:all", "custom:not-declared"]),
            1 => tree::SELF,
            _ => self.one(tree::ALL).name,
        }
    }

    /// A raw scope, as roles, tokens and clients hold it; some say nothing.
    fn raw(&mut self) -> String {
        let filter = match self.0.random_range(0..10) {
            0..=2 => String::new(),
            3 => "!user".to_owned(),
            4 => "!server".to_owned(),
            5 => format!("!group={}", self.one(&GROUPS)),
            6 => format!("!service={}", self.one(&SERVICES)),
            7 => format!("!user={}", self.one(&USERS)),
            8 => format!("!server={}", self.full_name()),
            _ => self.one(&["!", "!user=", "!server=a", "!group", "!service", "!user=a!user=b"]).to_owned(),
        };
        self.scope_name().to_owned() + &filter
    }

    fn raws(&mut self) -> Vec<String> {
        (0..self.0.random_range(0..6)).map(|_| self.raw()).collect()
    }

    fn groups(&mut self) -> Groups {
        let pairs = USERS.iter().flat_map(|user| GROUPS.map(|group| ((*user).to_owned(), group.to_owned())));
        Groups::new(pairs.filter(|_| self.0.random_ratio(1, 3)).collect::<Vec<_>>())
    }

    fn owner(&mut self) -> Owner<'static> {
        match self.0.random_ratio(3, 4) {
            true => Owner::User(self.one(&USERS)),
            false => Owner::Service(self.one(&SERVICES)),
        }
    }

    fn target(&mut self) -> Option<Target<'static>> {
        match self.0.random_range(0..3) {
            0 => None,
            1 => Some(Target::Server { user: self.one(&USERS), server: self.one(&SERVERS) }),
            _ => Some(Target::Service(self.one(&SERVICES))),
        }
    }

    /// What somebody holds: by roles, and by what is shared with them.
    fn held(&mut self, owner: Owner<'_>) -> Scopes {
        let shared = share::rebind(&self.raws(), self.one(&USERS), self.one(&SERVERS));
        DEFINITIONS.expand(&self.raws(), Some(owner), None).union(&DEFINITIONS.expand(&shared, Some(owner), None))
    }
}

/// Everything that there is in this world, and nothing at all.
static RESOURCES: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
    let servers = USERS.iter().flat_map(|user| SERVERS.map(|server| ("server", full_server_name(user, server))));
    let named =
        |kind: &'static str, names: &[&str]| names.iter().map(|name| (kind, (*name).to_owned())).collect::<Vec<_>>();
    let others =
        [named("user", &USERS), named("group", &GROUPS), named("service", &SERVICES), named("", &[""])].concat();
    servers.chain(others).collect()
});

fn resource<'a>((kind, name): &'a (&'static str, String)) -> Option<Resource<'a>> {
    match *kind {
        "user" => Some(Resource::user(name)),
        "group" => Some(Resource::group(name)),
        "service" => Some(Resource::service(name)),
        "server" => Some(Resource::server(name)),
        _ => None,
    }
}

/// Names of scopes that are held for something.
fn names(scopes: &Scopes) -> Vec<String> {
    let mut names: Vec<_> = scopes.list().iter().map(|scope| share::name(scope).to_owned()).collect();
    names.dedup();
    names
}

/// Says what `some` allows and `all` doesn't.
fn more_than(some: &Scopes, all: &Scopes, groups: &Groups) -> Option<String> {
    let excess = |name: &String| {
        let more = |at: &&(&'static str, String)| {
            some.allow(name, resource(at), groups) && !all.allow(name, resource(at), groups)
        };
        // Whoever holds it for everything has nothing to fear.
        let unlimited = all.allow(name, None, groups);
        RESOURCES.iter().filter(|_| !unlimited).find(more).map(|at| format!("{name} for {at:?}"))
    };
    names(some).iter().find_map(excess)
}

#[test]
fn a_token_never_does_more_than_its_owner_does_at_that_moment() {
    let mut world = World::new(1);
    let mut useful = 0;
    for _ in 0..CASES {
        let (owner, groups, target) = (world.owner(), world.groups(), world.target());
        let mut raw = world.raws();
        if world.0.random_ratio(1, 10) {
            raw.push(tree::INHERIT.to_owned());
        }
        let held = world.held(owner);
        let token = DEFINITIONS.of_token(&raw, owner, &held, target, &groups);
        assert_eq!(more_than(&token, &held, &groups), None, "{raw:?} of {owner:?} with {held:?}");
        useful += u32::from(!token.is_empty());
    }
    assert!(useful > CASES / 5, "most cases said nothing: {useful}");
}

#[test]
fn an_oauth_grant_never_does_more_than_the_person_or_the_client_may() {
    let mut world = World::new(2);
    let mut useful = 0;
    for _ in 0..CASES {
        let owner = Owner::User(world.one(&USERS));
        let (groups, target, held) = (world.groups(), world.target(), world.held(owner));
        let wanted = world.raws();
        let client = [world.raws(), wanted.iter().take(2).cloned().collect()].concat();
        // What of the wish the client may ask for, and of that what the person has, as the consent page does it.
        let asked = DEFINITIONS.resolve(&wanted, &client, Some(owner), target, &groups).granted;
        let granted = DEFINITIONS.resolve(&asked, &held.list(), Some(owner), target, &groups).granted;
        let of_client = DEFINITIONS.expand(&client, Some(owner), target);
        let expanded = DEFINITIONS.expand(&granted, Some(owner), target);
        assert_eq!(more_than(&expanded, &held, &groups), None, "{granted:?} of {held:?}");
        assert_eq!(more_than(&expanded, &of_client, &groups), None, "{granted:?} of {client:?}");
        useful += u32::from(!expanded.is_empty());

        // Rights change between the grant and the use of its token.
        let later = world.held(owner);
        let token = DEFINITIONS.of_token(&granted, owner, &later, target, &groups);
        assert_eq!(more_than(&token, &later, &groups), None, "{granted:?} of {later:?}");
    }
    assert!(useful > CASES / 20, "most cases said nothing: {useful}");
}

/// Who shares a server gives with each scope what it includes. All of that must be the giver's, too.
#[test]
fn a_share_never_gives_more_than_the_giver_holds_for_that_server() {
    let mut world = World::new(3);
    let mut useful = 0;
    for _ in 0..CASES {
        let (giver, groups, target) = (world.owner(), world.groups(), world.target());
        let owner_scopes = world.held(giver);
        let held = DEFINITIONS.of_token(&world.raws(), giver, &owner_scopes, target, &groups).union(&owner_scopes);
        let (user, server) = (world.one(&USERS), world.one(&SERVERS));
        let full_name = full_server_name(user, server);
        let names: Vec<_> = (0..4).map(|_| world.scope_name()).collect();
        let may = |name: &&str| held.allow(name, Some(Resource::server(&full_name)), &groups);
        let given: Vec<_> = names.into_iter().filter(may).collect();
        let shared = share::bind(&given, user, server).expect("names have no filter");
        let shared = DEFINITIONS.expand(&shared, Some(Owner::User("holder")), None);
        assert_eq!(more_than(&shared, &held, &groups), None, "{given:?} of {held:?}");
        for scope in shared.list() {
            assert!(scope.ends_with(&format!("!server={full_name}")), "{scope}");
        }
        useful += u32::from(!shared.is_empty());
    }
    assert!(useful > CASES / 20, "most cases said nothing: {useful}");
}

#[test]
fn more_raw_scopes_never_do_less_and_expanding_twice_does_no_more() {
    let mut world = World::new(4);
    for _ in 0..CASES {
        let (owner, target, groups) = (world.owner(), world.target(), world.groups());
        let fewer = world.raws();
        let more = [fewer.clone(), world.raws()].concat();
        let expanded = DEFINITIONS.expand(&fewer, Some(owner), target);
        let of_more = DEFINITIONS.expand(&more, Some(owner), target);
        assert_eq!(more_than(&expanded, &of_more, &groups), None, "{fewer:?} in {more:?}");
        assert_eq!(DEFINITIONS.expand(&expanded.list(), Some(owner), target), expanded, "{fewer:?}");
        assert_eq!(Scopes::parse(expanded.list()), expanded);
        assert_eq!(expanded.clone().union(&of_more), of_more, "{fewer:?} in {more:?}");
    }
}

#[test]
fn what_two_have_in_common_is_the_same_from_both_sides_and_never_more_than_either_has() {
    let mut world = World::new(5);
    let mut useful = 0;
    for _ in 0..CASES {
        let (groups, owner) = (world.groups(), world.owner());
        let (a, b) = (world.held(owner), world.held(owner));
        let common = a.intersect(&b, &groups);
        assert_eq!(common, b.intersect(&a, &groups), "{a:?} and {b:?}");
        for all in [&a, &b] {
            assert_eq!(more_than(&common, all, &groups), None, "{a:?} and {b:?}");
            assert!(scopes::excess(&common, all, &groups).is_empty(), "{common:?} and {all:?}");
        }
        assert_eq!(a.intersect(&a, &groups), a);
        assert!(a.intersect(&Scopes::default(), &groups).is_empty());
        useful += u32::from(!common.is_empty());
    }
    assert!(useful > CASES / 20, "most cases said nothing: {useful}");
}
