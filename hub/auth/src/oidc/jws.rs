//! Signatures of a provider's tokens (RFC 7515, compact) with keys as it publishes them (RFC 7517).
//!
//! Only algorithms with a public key are known here, so that neither `none` nor a public key as the secret of an HMAC can be
//! asked for. Of the header `alg` and `kid` are read; keys that a token brings along or points to (`jwk`, `jku`, `x5c`, `x5u`)
//! are never looked at, and one with `crit` is refused.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::Value;

use super::Refusal;

/// More keys than any provider has at a time.
const MOST_KEYS: usize = 64;

/// A way of signing with a public key (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// By its name in `alg`. `None` for one that isn't accepted.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// The keys that a provider signs with.
#[derive(Debug, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The one that it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A JSON Web Key, as far as it is read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// From the document at the provider's `jwks_uri`. Keys of other kinds, and those that are not for signing, are left out.
    /// `None` if it is no set of keys.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(document).ok()?;
        let keys = document.get("keys")?.as_array()?.iter().take(MOST_KEYS);
        Some(Self(keys.filter_map(|key| Key::read(&Jwk::deserialize(key).ok()?)).collect()))
    }

    /// Whether there is a key that this token could be signed with.
    pub fn has_key_of(&self, token: &Jws<'_>) -> bool {
        self.of(token.key_id.as_deref()).next().is_some()
    }

    fn of(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| id.is_none() || key.id.as_deref() == id)
    }
}

impl Key {
    fn read(jwk: &Jwk) -> Option<Self> {
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let algorithm = match jwk.alg.as_deref() {
            None => None,
            Some(name) => Some(Algorithm::parse(name)?),
        };
        Some(Self { id: jwk.kid.clone(), algorithm, material: Material::read(jwk)? })
    }

    fn verify(&self, algorithm: Algorithm, message: &[u8], signed: &[u8]) -> bool {
        if self.algorithm.is_some_and(|own| own != algorithm) {
            return false;
        }
        let by_point = |way: &'static dyn VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(way, point).verify(message, signed).is_ok()
        };
        match (&self.material, algorithm) {
            (Material::Rsa { n, e }, _) => {
                rsa(algorithm).is_some_and(|way| RsaPublicKeyComponents { n, e }.verify(way, message, signed).is_ok())
            }
            (Material::P256(point), Algorithm::Es256) => by_point(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Material::P384(point), Algorithm::Es384) => by_point(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Material::Ed25519(point), Algorithm::EdDsa) => by_point(&signature::ED25519, point),
            _ => false,
        }
    }
}

impl Material {
    fn read(jwk: &Jwk) -> Option<Self> {
        let number = |field: &Option<String>| URL_SAFE_NO_PAD.decode(field.as_deref()?).ok();
        let point = || {
            let (x, y) = (number(&jwk.x)?, number(&jwk.y)?);
            Some([&[4], x.as_slice(), y.as_slice()].concat())
        };
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Some(Self::Rsa { n: without_zeros(number(&jwk.n)?), e: without_zeros(number(&jwk.e)?) }),
            ("EC", Some("P-256")) => Some(Self::P256(point()?)),
            ("EC", Some("P-384")) => Some(Self::P384(point()?)),
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519(number(&jwk.x)?)),
            _ => None,
        }
    }
}

/// Some providers write a number with a zero in front, which ring takes for none.
fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// Of keys of 2048 bits and more.
fn rsa(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
    })
}

/// A token that was taken apart and is not believed yet.
#[derive(Debug)]
pub struct Jws<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    message: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

impl<'a> Jws<'a> {
    /// # Errors
    /// It is no such token, or asks for what isn't known here.
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refusal::Malformed)?;
        if header.crit.is_some() {
            return Err(Refusal::Malformed);
        }
        Ok(Self {
            algorithm: Algorithm::parse(&header.alg).ok_or(Refusal::Algorithm)?,
            key_id: header.kid,
            message,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// What it says, if one of the keys has signed it in one of the ways that the provider names.
    ///
    /// # Errors
    /// The signature isn't one of these keys', or what it is of is no object.
    pub fn claims(&self, keys: &KeySet, accepted: &[Algorithm]) -> Result<Value, Refusal> {
        if !accepted.contains(&self.algorithm) {
            return Err(Refusal::Algorithm);
        }
        if !keys.has_key_of(self) {
            return Err(Refusal::UnknownKey);
        }
        let mut of_token = keys.of(self.key_id.as_deref());
        if !of_token.any(|key| key.verify(self.algorithm, self.message.as_bytes(), &self.signature)) {
            return Err(Refusal::Signature);
        }
        let claims: Value = serde_json::from_slice(&self.payload).map_err(|_| Refusal::Malformed)?;
        if claims.is_object() { Ok(claims) } else { Err(Refusal::Malformed) }
    }
}

#[cfg(test)]
mod tests;
