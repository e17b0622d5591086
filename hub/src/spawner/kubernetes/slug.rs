//! Names of pods and claims and values of labels, as kubespawner 7 makes them (its `safe` scheme), so that a volume
//! claim made by kubespawner is found again. Two different servers never get one name: what is not a valid name as it
//! is carries a hash, and `--` and `---` occur nowhere but where this room puts them.

use sha2::{Digest, Sha256};

/// What a `{user_server}` may have at most: with the prefix of a pod or a claim it stays a DNS label.
const NAME_MAX: usize = 48;
/// What a label's value may have at most, and what one with a hash gets.
const LABEL_MAX: usize = 63;
const HASHED_LABEL_MAX: usize = 32;
const HASH_LENGTH: usize = 8;

/// `{user_server}`: the part of a name that says whose server it is. `server` is `""` for the default one.
pub fn user_server(user: &str, server: &str) -> String {
    let user_slug = object_slug(user);
    let server_slug = if server.is_empty() { String::new() } else { object_slug(server) };
    if user_slug.len() + server_slug.len() + 2 > NAME_MAX {
        return joined_and_hashed(user, server);
    }
    if server.is_empty() { user_slug } else { format!("{user_slug}--{server_slug}") }
}

/// Name of the pod.
pub fn pod_name(user: &str, server: &str) -> String {
    format!("jupyter-{}", user_server(user, server))
}

/// Name of the volume claim.
pub fn claim_name(user: &str, server: &str) -> String {
    format!("claim-{}", user_server(user, server))
}

/// Names of the volume claim by the templates of kubespawner before 7 and of zero-to-jupyterhub before 4, whose names could
/// meet: a claim of such a name is a server's only if its annotations say so.
pub fn old_claim_names(user: &str, server: &str) -> [String; 2] {
    let (user, server) = (escaped(user), escaped(server));
    [format!("claim-{user}--{server}"), format!("claim-{user}{server}")]
        .map(|name| name.trim_end_matches('-').to_owned())
}

/// kubespawner's older scheme: letters in lower case and digits as they are, each byte of anything else in hexadecimal.
fn escaped(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("-{byte:02x}"),
    };
    name.bytes().map(byte).collect()
}

/// Value of a label: more is allowed than in a name. `""` stays.
pub fn label_value(text: &str) -> String {
    let valid = text.len() <= LABEL_MAX
        && !text.contains("--")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if text.is_empty() || valid { text.to_owned() } else { stripped_and_hashed(text, HASHED_LABEL_MAX) }
}

fn object_slug(name: &str) -> String {
    let valid = name.len() <= NAME_MAX
        && !name.contains("--")
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if valid { name.to_owned() } else { stripped_and_hashed(name, NAME_MAX) }
}

/// `{safe part}---{hash}` in `max` characters.
fn stripped_and_hashed(name: &str, max: usize) -> String {
    let digest = hex::encode(Sha256::digest(name));
    format!("{}---{}", safe_part(name, max - HASH_LENGTH - 3), &digest[..HASH_LENGTH])
}

/// `{user}--{server}---{hash}`: both parts cut, one hash over both. No UTF-8 text has the byte 0xFF, so that no two
/// pairs are hashed as the same bytes.
fn joined_and_hashed(user: &str, server: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(user);
    hasher.update([0xff]);
    hasher.update(server);
    let digest = hex::encode(hasher.finalize());
    let each = (NAME_MAX - HASH_LENGTH - 1) / 2 - 2;
    format!("{}--{}---{}", safe_part(user, each), safe_part(server, each), &digest[..HASH_LENGTH])
}

/// What of a name can stand in a DNS label: lower-case letters and digits, each run of anything else as one hyphen.
/// Never empty, and it starts with a letter.
fn safe_part(name: &str, max: usize) -> String {
    let mut safe = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            safe.push(c);
        } else if !safe.is_empty() && !safe.ends_with('-') {
            safe.push('-');
        }
    }
    safe.truncate(max);
    let safe = safe.trim_end_matches('-');
    match safe.chars().next() {
        None => "x".to_owned(),
        Some(first) if first.is_ascii_lowercase() => safe.to_owned(),
        Some(_) => format!("x-{}", &safe[..safe.len().min(max - 2)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    use std::collections::{HashMap, HashSet};

    /// What kubespawner 7.1.0 itself answers to these pairs of user and server.
    #[test]
    fn names_are_those_of_kubespawner() {
        let vectors = [
            ("alice", "", "alice"),
            ("alice", "s1", "alice--s1"),
            ("user@example.com", "", "user-example-com---b4c9a289"),
            ("user@example.com", "s1", "user-example-com---b4c9a289--s1"),
            ("User", "", "user---b512d97e"),
            ("1abc", "", "x-1abc---57cb980e"),
            ("a", "", "a"),
            ("a-", "", "a---9baf4407"),
            ("-x", "", "x---a4209624"),
            (".hidden", "", "hidden---16924190"),
            ("a--b", "", "a-b---90827a2e"),
            ("alice---b", "", "alice-b---ff45348a"),
            ("a-b", "c", "a-b--c"),
            ("a", "b-c", "a--b-c"),
            ("A", "", "a---559aead0"),
            ("ünïcode", "", "n-code---b8be8967"),
            ("İstanbul", "", "i-stanbul---24ec8f72"),
            ("K", "", "k---86be9a55"),
            // The Kelvin sign, a capital of `k` that is not ASCII.
            ("\u{212a}", "", "k---2bc4fb87"),
            ("😀", "", "x---f0443a34"),
            ("a%2fb", "", "a-2fb---126463b0"),
            ("a b", "", "a-b---c8687a08"),
            ("..", "", "x---5ec1f7e7"),
            (&"a".repeat(46), "", &"a".repeat(46)),
            (&"a".repeat(47), "", "aaaaaaaaaaaaaaaaa--x---b191b19d"),
            (&"a".repeat(300), "", "aaaaaaaaaaaaaaaaa--x---394d7cdd"),
            (&"1".repeat(60), "", "x-111111111111111--x---dc5154ba"),
            (&format!("1{}", "-b".repeat(30)), "", "x-1-b-b-b-b-b-b-b--x---72a5d730"),
            ("alice", &"s".repeat(30), &format!("alice--{}", "s".repeat(30))),
            (&format!("{}-y", "x".repeat(18)), &"z".repeat(30), "xxxxxxxxxxxxxxxxx--zzzzzzzzzzzzzzzzz---0ef3a2b9"),
        ];
        for (user, server, expected) in vectors {
            assert_eq!(user_server(user, server), expected, "{user:?} {server:?}");
        }
        assert_eq!(pod_name("alice", "s1"), "jupyter-alice--s1");
        assert_eq!(claim_name("alice", ""), "claim-alice");
    }

    /// What kubespawner 6.2 and the charts with it make of these.
    #[test]
    fn old_claims_are_found_by_kubespawners_older_names() {
        for (user, server, default, chart) in [
            ("alice", "", "claim-alice", "claim-alice"),
            ("alice", "s1", "claim-alice--s1", "claim-alices1"),
            ("user@example.com", "", "claim-user-40example-2ecom", "claim-user-40example-2ecom"),
            ("A-b", "c.d", "claim--41-2db--c-2ed", "claim--41-2dbc-2ed"),
            ("\u{e9}", "", "claim--c3-a9", "claim--c3-a9"),
        ] {
            assert_eq!(old_claim_names(user, server), [default, chart], "{user:?} {server:?}");
        }
    }

    #[test]
    fn label_values_are_those_of_kubespawner() {
        let vectors = [
            ("", ""),
            ("User", "User"),
            ("1abc", "1abc"),
            ("a_b.c", "a_b.c"),
            ("user@example.com", "user-example-com---b4c9a289"),
            ("-x", "x---a4209624"),
            ("a--b", "a-b---90827a2e"),
            (&"x".repeat(63), &"x".repeat(63)),
            (&"x".repeat(64), "xxxxxxxxxxxxxxxxxxxxx---7ce10097"),
            ("ünï", "n---e975a529"),
        ];
        for (text, expected) in vectors {
            assert_eq!(label_value(text), expected, "{text:?}");
        }
    }

    /// Names that look alike are where kubespawner once gave one user another's volume (CVE-2020-15110): all short texts
    /// over the characters that matter, as users and as servers.
    #[test]
    fn no_two_servers_share_a_name() {
        let letters = ["a", "b", "A", "-", "1", ".", "@"];
        let mut users: Vec<String> = vec![String::new()];
        let mut from = 0;
        for _ in 0..4 {
            let to = users.len();
            for index in from..to {
                for letter in letters {
                    users.push(format!("{}{letter}", users[index]));
                }
            }
            from = to;
        }
        let servers = ["", "a", "b", "a-b", "b-a", "a1", &"a".repeat(30)];
        let long = format!("{}-", "a".repeat(45));
        let mut seen: HashMap<String, (String, &str)> = HashMap::new();
        for user in users.iter().skip(1).flat_map(|user| [user.clone(), format!("{long}{user}")]) {
            for server in servers {
                let name = user_server(&user, server);
                assert!(name.len() <= NAME_MAX && name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
                assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
                if let Some(other) = seen.insert(name.clone(), (user.clone(), server)) {
                    panic!("{other:?} and {:?} are both {name}", (user, server));
                }
            }
        }
    }

    /// Names as an attacker makes them up: short ones that look alike, and long ones with one beginning.
    fn tricky_name(random: &mut StdRng) -> String {
        const PIECES: [&str; 22] = [
            "a",
            "A",
            "b",
            "1",
            "0",
            "-",
            "--",
            "---",
            ".",
            "..",
            "_",
            "@",
            " ",
            "%2f",
            "\u{e9}",
            "e\u{301}",
            "\u{1f600}",
            "\u{212a}",
            "k",
            "\u{202e}",
            "x",
            "x-",
        ];
        let start =
            ["", "", ".hidden", "-x", "a-b", &"a".repeat(46), &"a".repeat(280)][random.random_range(0..7)].to_owned();
        let pieces = random.random_range(1..8);
        (0..pieces).fold(start, |name, _| name + PIECES[random.random_range(0..PIECES.len())])
    }

    /// Attack row 49: no two of 30,000 servers, which are 450 million pairs, share a name. A hash of 32 bits can be
    /// equalled by whoever tries for it; such a server is refused, as its objects' annotations are another's.
    #[test]
    fn random_tricky_names_never_meet() {
        let mut random = StdRng::seed_from_u64(0x5eed);
        let mut servers = HashSet::new();
        while servers.len() < 30_000 {
            let server = if random.random_ratio(1, 2) { String::new() } else { tricky_name(&mut random) };
            servers.insert((tricky_name(&mut random), server));
        }
        let mut names = HashMap::new();
        for (user, server) in &servers {
            let name = user_server(user, server);
            assert!(name.len() <= NAME_MAX && name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
            assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{name}"
            );
            assert!(label_value(user).len() <= LABEL_MAX);
            if let Some(other) = names.insert(name, (user, server)) {
                panic!("{other:?} and {:?} are both {}", (user, server), user_server(user, server));
            }
        }
    }
}
