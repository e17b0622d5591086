//! The first label of a host of one's own: each user and each service has one below the hub's domain, so that the pages
//! of one can't read those of another.
//!
//! The labels are those of JupyterHub's default hook, so that addresses stay what they were when one moves in. The one
//! exception are names that are in lower case only as browsers see them (`Alice`): JupyterHub leaves them as they are,
//! where no browser reaches them, and `alice` would share the origin.

use icu_properties::{
    CodePointMapData,
    props::{GeneralCategory, GeneralCategoryGroup, Script},
};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use sha2::{Digest, Sha256};

/// The longest label of a host name, in bytes.
const LONGEST: usize = 63;

/// What tells a service's host from a user's.
const SERVICE: &str = "--service";

/// The label of a user's host: the name itself where that can be one (`alice`), its form for host names if it is in
/// letters of another script (`xn--zo-ija` for `zoë`), and else a few of its letters with a hash.
pub fn user_label(name: &str) -> String {
    label(name, LONGEST)
}

/// The label of a service's host. No user has it.
pub fn service_label(name: &str) -> String {
    label(name, LONGEST - SERVICE.len()) + SERVICE
}

fn label(name: &str, longest: usize) -> String {
    let label = if is_label(name) { Some(name.to_owned()) } else { international(name) };
    label.filter(|label| label.len() <= longest).unwrap_or_else(|| stub_and_hash(name))
}

/// Whether a name can be a label as it is. `--` is left to the forms below, so that no name is another's form.
fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.bytes().all(plain)
        && name.bytes().any(|byte| !byte.is_ascii_digit())
        && !(name.starts_with('-') || name.ends_with('-') || name.contains("--"))
}

/// The label of a name in letters of any script (RFC 5891), if the name is allowed as it is: what would be mapped to
/// something else, as capitals are, could be mapped to another user's name.
fn international(name: &str) -> Option<String> {
    let characters: Vec<char> = name.chars().collect();
    let permitted = (0..characters.len()).all(|index| is_permitted(&characters, index));
    if name.is_ascii() || name.contains("--") || !permitted {
        return None;
    }
    let processor = Uts46::new();
    let label = processor.to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify).ok()?;
    let (back, valid) = processor.to_unicode(label.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    (valid.is_ok() && back == name).then(|| label.into_owned())
}

/// Whether a label may hold a character where it is (RFC 5892). [`Uts46`] sees to capitals and to joiners, but lets
/// symbols and old letters pass.
fn is_permitted(label: &[char], index: usize) -> bool {
    let before = index.checked_sub(1).and_then(|index| label.get(index)).copied();
    let after = label.get(index + 1).copied();
    let is_of = |script| move |character: char| CodePointMapData::<Script>::new().get(character) == script;
    let is_japanese = |character: &char| {
        [Script::Hiragana, Script::Katakana, Script::Han].into_iter().any(|script| is_of(script)(*character))
    };
    match label[index] {
        // Signs within the words of some languages have to be among their letters (appendix A).
        '\u{b7}' => before == Some('l') && after == Some('l'),
        '\u{375}' => after.is_some_and(is_of(Script::Greek)),
        '\u{5f3}' | '\u{5f4}' => before.is_some_and(is_of(Script::Hebrew)),
        '\u{30fb}' => label.iter().any(is_japanese),
        // Exceptions (section 2.6), and joiners, whose rules are the processor's.
        '-' | '\u{6fd}' | '\u{6fe}' | '\u{f0b}' | '\u{3007}' | '\u{200c}' | '\u{200d}' => true,
        '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}' => false,
        // Marks of symbols and of music (section 2.8), and parts of Hangul syllables (section 2.9).
        '\u{20d0}'..='\u{20ff}' | '\u{1d100}'..='\u{1d24f}' => false,
        '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{d7b0}'..='\u{d7ff}' => false,
        other => LETTERS_AND_DIGITS.contains(CodePointMapData::<GeneralCategory>::new().get(other)),
    }
}

/// Section 2.1.
const LETTERS_AND_DIGITS: GeneralCategoryGroup = GeneralCategoryGroup::CasedLetter
    .union(GeneralCategoryGroup::OtherLetter)
    .union(GeneralCategoryGroup::ModifierLetter)
    .union(GeneralCategoryGroup::NonspacingMark)
    .union(GeneralCategoryGroup::SpacingMark)
    .union(GeneralCategoryGroup::DecimalNumber);

/// A label for any name: its first eight letters and digits of ASCII, and 28 bits of its hash.
fn stub_and_hash(name: &str) -> String {
    let plain = |character: &char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let stub: String = name.to_lowercase().chars().filter(plain).take(8).collect();
    let stub = if stub.is_empty() { "x" } else { &stub };
    format!("u-{stub}--{}", &hex::encode(Sha256::digest(name))[..7])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `subdomain_hook_idna` of JupyterHub 6.1.1.
    #[test]
    fn labels_are_those_of_jupyterhub() {
        let cases = [
            ("alice", "alice"),
            ("a-b", "a-b"),
            ("a1", "a1"),
            ("1a", "1a"),
            ("123", "u-123--a665a45"),
            ("alice@example.com", "u-aliceexa--ff8d981"),
            ("a_b", "u-ab--648fa9b"),
            ("a.b", "u-ab--2e7336d"),
            ("a--b", "u-ab--90827a2"),
            ("-a", "u-a--c274891"),
            ("a-", "u-a--9baf440"),
            ("zoë", "xn--zo-ija"),
            ("ü", "xn--tda"),
            ("müller", "xn--mller-kva"),
            ("straße", "xn--strae-oqa"),
            ("日本語", "xn--wgv71a119e"),
            ("ジョン・スミス", "xn--yckca5mnb7duc"),
            ("col·lega", "xn--collega-xma"),
            ("a·b", "u-ab--afebecf"),
            ("α͵α", "xn--wva3jb"),
            ("א״ב", "xn--4dbc8h"),
            ("ב", "xn--5db"),
            ("☃", "u-x--5164336"),
            ("i❤jupyter", "u-ijupyter--3cf2287"),
            ("Ünïcode", "u-ncode--00b24be"),
            ("e\u{301}", "u-e--bf12767"),
            ("é.b", "u-b--921ebe7"),
            ("ﬁlice", "u-lice--09812b1"),
            ("۽۾", "xn--qmbc"),
            ("xn--zo-ija", "u-xnzoija--46fe228"),
            ("a b", "u-ab--c8687a0"),
            ("_", "u-x--d2e2adf"),
            ("..", "u-x--5ec1f7e"),
            ("ع٠۰", "u-x--bd3ac66"),
            ("क\u{94d}\u{200d}ष", "xn--11b2ezcw70k"),
            ("\u{1100}\u{1161}", "u-x--a0d2271"),
        ];
        for (name, expected) in cases {
            assert_eq!(user_label(name), expected, "{name}");
        }
        assert_eq!(user_label(&"a".repeat(63)), "a".repeat(63));
        assert_eq!(user_label(&"a".repeat(64)), "u-aaaaaaaa--ffe054f");
        assert_eq!(service_label("announcement"), "announcement--service");
        assert_eq!(service_label("x_y"), "u-xy--f9068e8--service");
    }

    /// Attack row 25: browsers see these as `alice`, `sam` and `kim`.
    #[test]
    fn names_that_only_look_alike_in_a_browser_have_labels_of_their_own() {
        for (name, seen) in [("Alice", "alice"), ("\u{17f}am", "sam"), ("\u{212a}im", "kim"), ("ａlice", "alice")] {
            let host = url::Host::parse(&user_label(name)).unwrap().to_string();
            assert_eq!(host, user_label(name));
            assert_ne!(host, user_label(seen));
        }
    }

    /// What is a form of another name's is no name's own label.
    #[test]
    fn no_name_takes_the_label_of_another() {
        let names = ["zoë", "a_b", "x--service", "1", "", "Ü", "é", "e\u{301}"];
        let mut labels: Vec<_> = names.iter().flat_map(|name| [user_label(name), service_label(name)]).collect();
        let of_labels: Vec<_> = labels.iter().map(|label| user_label(label)).collect();
        labels.extend(of_labels);
        let count = labels.len();
        labels.sort();
        labels.dedup();
        assert_eq!(labels.len(), count);
    }

    #[test]
    fn every_label_is_one_that_dns_takes() {
        let long = ["é".repeat(60), "a".repeat(60), "-".repeat(80)];
        let odd = ["", "-", "a-", "a b", "a/b", "a.b", "a\n", "..", "%41", "\u{202e}x", "☃", "𝒜", "xn--zo-ija"];
        for name in odd.into_iter().chain(long.iter().map(String::as_str)) {
            for label in [user_label(name), service_label(name)] {
                assert!((1..=LONGEST).contains(&label.len()), "{name}: {label}");
                assert!(label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name}: {label}");
                assert!(!label.starts_with('-') && !label.ends_with('-'), "{name}: {label}");
            }
        }
    }
}
