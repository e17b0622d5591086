//! Signed values against Tornado's own, and everything that must not pass.

use super::*;

const NOW: i64 = 1_795_440_749;
const GOLDEN: &str = "2|1:0|10:1795440749|20:jupyterhub-hub-login|4:YWJj|2415ea389053baf7edfa27056181a09b3d6ba4df848c0198e5d16f7312ebbd50";

fn keys() -> Keys {
    Keys::new(0, &[b'k'; 32])
}

#[test]
fn a_value_is_signed_byte_for_byte_as_tornado_signs_it() {
    assert_eq!(sign(&keys(), LOGIN, b"abc", NOW), GOLDEN);
    assert_eq!(verify(&keys(), LOGIN, GOLDEN, 14 * DAY, NOW).unwrap(), b"abc");
}

#[test]
fn a_change_of_any_byte_is_noticed() {
    for at in 0..GOLDEN.len() {
        let mut bytes = GOLDEN.as_bytes().to_vec();
        bytes[at] ^= 1;
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(verify(&keys(), LOGIN, &text, 14 * DAY, NOW), None, "{text}");
    }
    for end in 0..GOLDEN.len() {
        assert_eq!(verify(&keys(), LOGIN, &GOLDEN[..end], 14 * DAY, NOW), None);
    }
}

#[test]
fn a_value_holds_for_its_name_and_its_time_only() {
    assert_eq!(verify(&keys(), "_xsrf", GOLDEN, 14 * DAY, NOW), None);
    assert!(verify(&keys(), LOGIN, GOLDEN, 14 * DAY, NOW + 14 * DAY).is_some());
    assert_eq!(verify(&keys(), LOGIN, GOLDEN, 14 * DAY, NOW + 14 * DAY + 1), None);
}

#[test]
fn a_digest_is_of_one_signed_value_however_it_is_written() {
    let (at, signature) = GOLDEN.rsplit_once('|').unwrap();
    let shouted = format!("{at}|{}", signature.to_ascii_uppercase());
    assert!(verify(&keys(), LOGIN, &shouted, DAY, NOW).is_some(), "it is the same value");
    assert_eq!(digest(&shouted), digest(GOLDEN));
    assert_ne!(digest(&sign(&keys(), LOGIN, b"abc", NOW + 1)), digest(GOLDEN));
    assert!(!digest(GOLDEN).contains(signature));
}

#[test]
fn a_seal_is_of_one_secret_and_one_key_and_survives_a_rotation() {
    let seal = keys().seal(b"open sesame");
    assert!(keys().is_seal_of(&seal, b"open sesame") && !keys().is_seal_of(&seal, b"open sesamE"));
    assert!(!Keys::new(0, b"another").is_seal_of(&seal, b"open sesame"));
    let rotated = Keys::new(3, b"new").accept(0, &[b'k'; 32]);
    assert!(rotated.is_seal_of(&seal, b"open sesame") && rotated.seal(b"open sesame") != seal);
}

#[test]
fn a_secret_rotates_without_a_logout() {
    let rotated = Keys::new(3, b"new").accept(0, &[b'k'; 32]);
    assert!(verify(&rotated, LOGIN, GOLDEN, DAY, NOW).is_some());
    let signed = sign(&rotated, LOGIN, b"abc", NOW);
    assert!(signed.starts_with("2|1:3|"));
    assert_eq!(verify(&keys(), LOGIN, &signed, DAY, NOW), None);
    assert_eq!(verify(&Keys::new(3, b"new"), LOGIN, GOLDEN, DAY, NOW), None);
}

#[test]
fn lengths_that_lie_are_no_panic() {
    for text in
        ["2|999999999999999999999:0|", "2|3:é|", "2|-1:0|", "2|1:0|10:x", "2|", "", "2|1:é|1:1|", "2|0:|0:|0:|0:|"]
    {
        assert_eq!(verify(&keys(), LOGIN, text, DAY, NOW), None, "{text}");
    }
}

#[test]
fn keys_are_not_printed() {
    let text = format!("{:?}", Keys::new(0, b"hunter22"));
    assert!(!text.contains("104") && !text.contains("hunter"), "{text}");
}

#[test]
fn set_cookie_is_written_as_tornado_writes_it() {
    let login = SetCookie::new(LOGIN, GOLDEN, "/hub/").expires(NOW + 30 * DAY).http_only().secure(true);
    assert_eq!(
        login.to_string(),
        format!("{LOGIN}={GOLDEN}; expires=Wed, 23 Dec 2026 13:32:29 GMT; HttpOnly; Path=/hub/; SameSite=Lax; Secure")
    );
    assert_eq!(
        SetCookie::new(LOGIN, "2|4:YQ==|x", "/hub/").to_string(),
        "jupyterhub-hub-login=\"2|4:YQ==|x\"; Path=/hub/; SameSite=Lax"
    );
    assert_eq!(
        SetCookie::new("_xsrf", "abc", "/hub/").max_age(3600).to_string(),
        "_xsrf=abc; Max-Age=3600; Path=/hub/; SameSite=Lax"
    );
    assert_eq!(
        SetCookie::clear("x", "/", NOW).to_string(),
        "x=\"\"; expires=Sun, 23 Nov 2025 13:32:29 GMT; Path=/; SameSite=Lax"
    );
    assert_eq!(
        SetCookie::new(SESSION_ID, "abc", "/").domain(Some("hub.example.org")).http_only().to_string(),
        "jupyterhub-session-id=abc; Domain=hub.example.org; HttpOnly; Path=/; SameSite=Lax"
    );
}

/// Browsers drop any other, also when it is to be cleared.
#[test]
fn a_cookie_of_the_host_alone_is_secure_and_on_the_root() {
    let cookie = SetCookie::new("__Host-x", "abc", "/hub/").secure(false);
    assert_eq!(cookie.to_string(), "__Host-x=abc; Path=/; SameSite=Lax; Secure");
    let cleared = SetCookie::clear("__Host-x", "/hub/", NOW).to_string();
    assert_eq!(cleared, "__Host-x=\"\"; expires=Sun, 23 Nov 2025 13:32:29 GMT; Path=/; SameSite=Lax; Secure");
}

#[test]
fn a_value_cannot_add_attributes_or_lines() {
    let text = SetCookie::new("x", "a; Path=/\r\nSet-Cookie: y=\"1\"\\", "/").to_string();
    assert_eq!(text, "x=\"a\\073 Path=/\\015\\012Set-Cookie: y=\\\"1\\\"\\\\\"; Path=/; SameSite=Lax");
    assert_eq!(values(text.split("; Path=/").next().unwrap(), "x").count(), 1);
}

#[test]
fn a_cookie_header_gives_all_values_of_a_name_unquoted() {
    let header = "_xsrf=one; a=b;_xsrf=\"two\\073 \\\"x\\\" \\303\\251\" ; _xsrf=; broken; _xsrfy=no";
    assert_eq!(values(header, "_xsrf").collect::<Vec<_>>(), ["one", "two; \"x\" é", ""]);
    assert_eq!(value(header, "a").as_deref(), Some("b"));
    assert_eq!(value(header, "none"), None);
}

#[test]
fn a_fingerprint_tells_a_rotation_from_a_reset() {
    let (old, new) = ([1; 32], [2; 32]);
    let before = Keys::new(0, &old).fingerprint();
    assert_ne!(before, Keys::new(0, &new).fingerprint());
    assert!(Keys::new(1, &new).accept(0, &old).has_fingerprint(&before));
    assert!(!Keys::new(1, &new).has_fingerprint(&before));
    assert!(!before.contains(&hex::encode(old)[..16]));
}
