//! Signatures: the examples of RFC 7515, tokens signed here, and what attackers make of them.

use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::json;

use super::*;

/// RFC 7515 appendix A.2 and A.3: the payload, signatures and keys.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RS256: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const ES256: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

const ALL: &[Algorithm] = &[
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
];

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn rsa_key() -> Value {
    json!({"kty": "RSA", "kid": "r", "n": N, "e": "AQAB"})
}

fn ec_key() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "e", "use": "sig", "x": X, "y": Y})
}

fn keys(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn claims(token: &str, keys: &KeySet, accepted: &[Algorithm]) -> Result<Value, Refusal> {
    Jws::parse(token)?.claims(keys, accepted)
}

#[test]
fn the_examples_of_the_rfc_pass_with_their_own_keys_only() {
    let of_rsa = format!("{}.{PAYLOAD}.{RS256}", encode(&json!({"alg": "RS256"})));
    let of_ec = format!("{}.{PAYLOAD}.{ES256}", encode(&json!({"alg": "ES256"})));
    let both = keys(&[rsa_key(), ec_key()]);
    for token in [&of_rsa, &of_ec] {
        assert_eq!(claims(token, &both, ALL).unwrap()["iss"], "joe");
    }
    assert_eq!(claims(&of_rsa, &keys(&[ec_key()]), ALL), Err(Refusal::Signature));
    assert_eq!(claims(&of_rsa, &both, &[Algorithm::Es256]), Err(Refusal::Algorithm));
    assert_eq!(claims(&of_rsa, &keys(&[]), ALL), Err(Refusal::UnknownKey));
    let changed = of_rsa.replace("eyJpc3Mi", "eyJpc3Mj");
    assert_eq!(claims(&changed, &both, ALL), Err(Refusal::Signature));
    // A number with a zero in front, as some providers write it.
    let n = URL_SAFE_NO_PAD.encode([&[0], URL_SAFE_NO_PAD.decode(N).unwrap().as_slice()].concat());
    assert!(claims(&of_rsa, &keys(&[json!({"kty": "RSA", "n": n, "e": "AQAB"})]), ALL).is_ok());
    // A key that is for another way of signing, or for none.
    for other in [json!({"alg": "RS512"}), json!({"alg": "HS256"}), json!({"use": "enc"})] {
        let mut key = rsa_key();
        key.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        assert!(claims(&of_rsa, &keys(&[key]), ALL).is_err(), "{other}");
    }
}

#[test]
fn ed25519_passes_and_a_key_is_found_by_its_id() {
    let pair =
        Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref()).unwrap();
    let message = format!("{}.{}", encode(&json!({"alg": "EdDSA", "kid": "d"})), encode(&json!({"sub": "a"})));
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())));
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let key = |id: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x});
    assert_eq!(claims(&token, &keys(&[rsa_key(), key("d")]), ALL).unwrap()["sub"], "a");
    assert_eq!(claims(&token, &keys(&[rsa_key(), key("x")]), ALL), Err(Refusal::UnknownKey));
}

/// The table of what has passed elsewhere.
#[test]
fn no_token_chooses_how_it_is_verified_row_31() {
    let payload = encode(&json!({"sub": "admin"}));
    let signed = |header: &Value, signature: &[u8]| {
        format!("{}.{payload}.{}", encode(header), URL_SAFE_NO_PAD.encode(signature))
    };
    let hmac = |header: &Value, secret: &[u8]| {
        let message = format!("{}.{payload}", encode(header));
        signed(header, hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes()).as_ref())
    };
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let attacker = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let by_attacker = |header: &Value| {
        let message = format!("{}.{payload}", encode(header));
        signed(header, attacker.sign(&random, message.as_bytes()).unwrap().as_ref())
    };
    let point = attacker.public_key().as_ref();
    let own = json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..])});
    let all = keys(&[rsa_key(), ec_key()]);
    for (token, refusal) in [
        (signed(&json!({"alg": "none"}), b""), Refusal::Algorithm),
        (signed(&json!({"alg": "None"}), b""), Refusal::Algorithm),
        (signed(&json!({"alg": "RS256"}), b""), Refusal::Signature),
        (signed(&json!({"alg": "ES256"}), &[0; 64]), Refusal::Signature),
        (hmac(&json!({"alg": "HS256"}), N.as_bytes()), Refusal::Algorithm),
        (hmac(&json!({"alg": "HS256", "kid": "r"}), rsa_key().to_string().as_bytes()), Refusal::Algorithm),
        (hmac(&json!({"alg": "RS256", "kid": "r"}), N.as_bytes()), Refusal::Signature),
        (by_attacker(&json!({"alg": "ES256", "jwk": own})), Refusal::Signature),
        (by_attacker(&json!({"alg": "ES256", "jku": "https://evil.example/keys"})), Refusal::Signature),
        (by_attacker(&json!({"alg": "ES256", "x5u": "https://evil.example/c", "x5c": ["MII"]})), Refusal::Signature),
        (by_attacker(&json!({"alg": "ES256", "kid": "e"})), Refusal::Signature),
        (by_attacker(&json!({"alg": "ES256", "kid": "../../dev/null"})), Refusal::UnknownKey),
        (by_attacker(&json!({"alg": "ES256", "kid": "e' OR 1=1 --"})), Refusal::UnknownKey),
        (by_attacker(&json!({"alg": "ES256", "crit": ["b64"], "b64": false})), Refusal::Malformed),
        (by_attacker(&json!({"alg": ["ES256"]})), Refusal::Malformed),
        (by_attacker(&json!({"alg": "ES256", "kid": {}})), Refusal::Malformed),
        ("a.b".to_owned(), Refusal::Malformed),
        ("a.b.c.d.e".to_owned(), Refusal::Malformed),
        (String::new(), Refusal::Malformed),
    ] {
        assert_eq!(claims(&token, &all, ALL), Err(refusal), "{token}");
    }
    // The attacker's signature is a good one where the provider has that key.
    assert!(claims(&by_attacker(&json!({"alg": "ES256"})), &keys(&[own]), ALL).is_ok());
}

#[test]
fn keys_that_are_none_are_left_out() {
    assert!(
        KeySet::parse(b"{}").is_none()
            && KeySet::parse(b"<html>").is_none()
            && KeySet::parse(br#"{"keys": 7}"#).is_none()
    );
    let none = [
        json!(7),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": X, "y": Y}),
    ];
    assert_eq!(keys(&none).0.len(), 0);
    assert_eq!(keys(&vec![ec_key(); 100]).0.len(), MOST_KEYS);
}
