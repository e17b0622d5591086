//! Names of users and servers: which are valid, and how they stand in addresses and client ids.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData,
    props::{GeneralCategory, GeneralCategoryGroup, Script},
};
use percent_encoding::percent_decode_str;

/// The longest name of a user or a group, in characters: what columns of names hold.
pub const MAX_LENGTH: usize = 255;

/// A user name as logins use it: lower case (JupyterHub's default normalisation).
pub fn normalize_user(name: &str) -> String {
    name.to_lowercase()
}

/// Whether a user may have this name: no `/`, not empty, not only dots (a browser would remove those from a path), no
/// blanks at the edges, no control characters, at most 255 characters.
pub fn valid_user(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= MAX_LENGTH
        && name.trim() == name
        && !name.contains('/')
        && !name.chars().all(|character| character == '.')
        && !name.chars().any(char::is_control)
}

/// Whether people could take the name for another one: it holds what isn't seen or what Unicode has a plainer form of (NFKC),
/// letters of several scripts, or of a script whose letters pass for Latin ones. For names that others choose and
/// administrators read.
pub fn is_mistakable(name: &str) -> bool {
    let (categories, scripts) = (CodePointMapData::<GeneralCategory>::new(), CodePointMapData::<Script>::new());
    let is_shown = |character| character == ' ' || PRINTABLE.contains(categories.get(character));
    let mut found: Vec<_> = name.chars().map(|character| scripts.get(character)).collect();
    found.retain(|script| !matches!(*script, Script::Common | Script::Inherited));
    found.dedup();
    let passes_for_latin = |script: &Script| {
        matches!(
            *script,
            Script::Cyrillic | Script::Greek | Script::Armenian | Script::Cherokee | Script::Coptic | Script::Lisu
        )
    };
    !name.chars().all(is_shown)
        || ComposingNormalizerBorrowed::new_nfkc().normalize(name) != name
        || found.len() > 1 && !found.iter().all(is_japanese)
        || found.iter().any(passes_for_latin)
}

/// Written with three scripts side by side.
fn is_japanese(script: &Script) -> bool {
    matches!(*script, Script::Han | Script::Hiragana | Script::Katakana)
}

/// Whether a group may have this name: not empty, no control characters, at most 255 characters.
pub fn valid_group(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= MAX_LENGTH && !name.chars().any(char::is_control)
}

/// Whether a named server may have this name: lower-case letters and digits in words joined by single `-`, starting
/// with a letter, 1 to 30 characters. The default server's name is empty and isn't valid here.
pub fn valid_server(name: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.len() <= 30 && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('-').all(word)
}

/// What pages call a server, in Unicode's composed form (NFC) as it is stored; `None` if it isn't 1 to 255 printable
/// characters, with single blanks between them only.
pub fn display_name(text: &str) -> Option<String> {
    let name = ComposingNormalizerBorrowed::new_nfc().normalize(text);
    let categories = CodePointMapData::<GeneralCategory>::new();
    let blanks_are_single = name.split(' ').all(|word| !word.is_empty());
    let printable = |character| PRINTABLE.contains(categories.get(character));
    let valid = blanks_are_single
        && name.chars().count() <= MAX_LENGTH
        && name.chars().filter(|character| *character != ' ').all(printable);
    valid.then(|| name.into_owned())
}

/// Letters, marks, numbers, punctuation and symbols.
const PRINTABLE: GeneralCategoryGroup = GeneralCategoryGroup::Letter
    .union(GeneralCategoryGroup::Mark)
    .union(GeneralCategoryGroup::Number)
    .union(GeneralCategoryGroup::Punctuation)
    .union(GeneralCategoryGroup::Symbol);

/// Whether a service may have this name: as users', and none that an address would spell differently (`a%20b`).
pub fn valid_service(name: &str) -> bool {
    valid_user(name) && percent_decode_str(name).decode_utf8_lossy() == name
}

/// Percent-encodes as Python's `urllib.parse.quote` does: letters, digits, `_.-~` and `safe` stay.
pub fn quote(text: &str, safe: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || safe.as_bytes().contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            quoted.push_str(&format!("%{byte:02X}"));
        }
    }
    quoted
}

/// A name as a segment of a path: `@` and `~` stay.
pub fn escape(name: &str) -> String {
    quote(name, "@~")
}

/// The name behind a segment of a path; `None` if it isn't UTF-8.
pub fn unescape(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(Into::into)
}

/// The path of a server, `{base_url}user/{name}/[{server}/]`. `base_url` ends with `/`.
pub fn server_path(base_url: &str, user: &str, server: &str) -> String {
    let user = escape(user);
    match server {
        "" => format!("{base_url}user/{user}/"),
        server => format!("{base_url}user/{user}/{}/", escape(server)),
    }
}

/// The id of a server's OAuth client, also the name of its cookie (S62): `@` is no character of a cookie's name.
///
/// A named server's is set apart by `+`, which no quoted name holds. With `-`, as JupyterHub has it, the server `b` of
/// `a` would take over the client of the user `a-b`; servers are told their id and don't make it themselves.
pub fn server_client_id(user: &str, server: &str) -> String {
    let user = quote(user, "");
    match server {
        "" => format!("jupyterhub-user-{user}"),
        server => format!("jupyterhub-user-{user}+{}", quote(server, "")),
    }
}

/// The path of a service, `{base_url}services/{name}/`: its prefix, and its route in the proxy. `base_url` ends with `/`.
pub fn service_path(base_url: &str, name: &str) -> String {
    format!("{base_url}services/{name}/")
}

/// The id of a service's OAuth client, unless it says another.
pub fn service_client_id(name: &str) -> String {
    format!("{SERVICE_CLIENT}{name}")
}

/// What the id of every service's OAuth client starts with, so that none is a server's.
pub const SERVICE_CLIENT: &str = "service-";

/// A server in filters and models: `alice/`, `alice/s1`.
pub fn full_server_name(user: &str, server: &str) -> String {
    format!("{user}/{server}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_user_names_are_valid() {
        let long = "a".repeat(255);
        for good in ["a", "alice", "user@example.com", "a.b", "..a", "Ünïcode", "with space", "a\\b", &long] {
            assert!(valid_user(good), "{good}");
        }
        let too_long = "a".repeat(256);
        for bad in ["", ".", "..", "...", "a/b", "/", " a", "a ", "\u{a0}a", "a\nb", "a\0", &too_long] {
            assert!(!valid_user(bad), "{bad:?}");
        }
        assert_eq!(normalize_user("AliCE"), "alice");
    }

    #[test]
    fn which_names_can_be_taken_for_others_row_31() {
        for good in ["alice", "ada.lovelace_2@example.org", "zo\u{eb}", "\u{65e5}\u{672c}\u{306e}", "with space"] {
            assert!(!is_mistakable(good), "{good}");
        }
        let (mixed, whole) = ("\u{430}lice", "\u{430}\u{440}\u{435}");
        for bad in
            [mixed, whole, "\u{ff41}lice", "ali\u{200b}ce", "\u{202e}alice", "e\u{301}", "alice\u{3bf}", "\u{fb01}"]
        {
            assert!(is_mistakable(bad), "{bad:?}");
        }
    }

    #[test]
    fn which_group_names_are_valid() {
        let long = "a".repeat(255);
        for good in ["a", "Class of 2026", "a/b", "groupe \u{e9}", &long] {
            assert!(valid_group(good), "{good}");
        }
        for bad in ["", "a\nb", "a\0", &"a".repeat(256)] {
            assert!(!valid_group(bad), "{bad:?}");
        }
    }

    #[test]
    fn which_server_names_are_valid() {
        for good in ["a", "a1", "my-server", "a-1-b", "a23456789012345678901234567890"] {
            assert!(valid_server(good), "{good}");
        }
        for bad in ["", "1a", "-a", "a-", "a--b", "A", "a_b", "a.b", "a/b", "ä", "a234567890123456789012345678901"] {
            assert!(!valid_server(bad), "{bad}");
        }
    }

    #[test]
    fn which_display_names_are_valid_and_how_they_are_stored() {
        let long = "é".repeat(255);
        for good in ["a", "My server", "Ünï (2)", "日本語 ☀", &long] {
            assert_eq!(display_name(good).as_deref(), Some(good));
        }
        assert_eq!(display_name("e\u{301}").as_deref(), Some("é"));
        let too_long = "a".repeat(256);
        for bad in ["", " ", " a", "a ", "a  b", "a\nb", "a\tb", "a\u{a0}b", "a\u{200b}b", "\u{202e}a", &too_long] {
            assert_eq!(display_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn which_service_names_are_valid() {
        for good in ["grades", "my-dash.board", "with space", "50%", "ä"] {
            assert!(valid_service(good), "{good}");
        }
        for bad in ["", "..", "a/b", " a", "a ", "a%20b", "a%2fb", "%ff"] {
            assert!(!valid_service(bad), "{bad}");
        }
    }

    /// Checked against `urllib.parse.quote` of Python 3.11.
    #[test]
    fn names_are_quoted_as_python_quotes_them() {
        let cases = [
            ("alice", "alice", "jupyterhub-user-alice"),
            ("user@example.com", "user@example.com", "jupyterhub-user-user%40example.com"),
            ("a b~c", "a%20b~c", "jupyterhub-user-a%20b~c"),
            ("é+%", "%C3%A9%2B%25", "jupyterhub-user-%C3%A9%2B%25"),
        ];
        for (name, escaped, client_id) in cases {
            assert_eq!(escape(name), escaped);
            assert_eq!(unescape(escaped).as_deref(), Some(name));
            assert_eq!(server_client_id(name, ""), client_id);
        }
        assert_eq!(unescape("%ff"), None);
    }

    #[test]
    fn paths_and_client_ids_of_servers() {
        assert_eq!(server_path("/", "a b", ""), "/user/a%20b/");
        assert_eq!(server_path("/base/", "u@x", "s1"), "/base/user/u@x/s1/");
        assert_eq!(server_client_id("u@x", "s1"), "jupyterhub-user-u%40x+s1");
        // CVE-2020-15110's kind of mistake (attack row 49).
        assert_ne!(server_client_id("a", "b"), server_client_id("a-b", ""));
        assert_eq!(full_server_name("u", ""), "u/");
        assert_eq!(service_path("/base/", "grades"), "/base/services/grades/");
        assert_eq!(service_client_id("grades"), "service-grades");
    }
}
