//! Hashes of passwords as Jupyter Server stores them (S22): `argon2:` with a PHC string, which `jupyter server password`
//! makes, and the older `sha1:<salt>:<digest in hex>`, where the algorithm may also be one of SHA-2. Either program
//! verifies what the other made.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version, password_hash::phc};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// What Jupyter Server hashes with: KiB of memory, passes and lanes. A hash takes about a tenth of a second.
const MEMORY: u32 = 10240;
const PASSES: u32 = 10;
const LANES: u32 = 8;
/// The length of the hash in bytes, argon2-cffi's default.
const LENGTH: usize = 32;

/// A hash may ask for at most so many KiB of memory, and so many times all passes together, so that a settings file can't
/// stop the server. This is twenty times what Jupyter Server asks for.
const MAX_MEMORY: u32 = 1 << 18;
const MAX_WORK: u64 = 1 << 21;

/// Why a stored text can't be used as the hash of a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error("it is not the hash of a password; run `hub server password`, which writes one")]
    Unknown,
    #[error("it asks for more memory or time than a login may take; run `hub server password`, which writes another")]
    TooCostly,
}

/// The hash of a password, known to be of a form and at a cost that can be verified.
#[derive(Clone)]
pub struct PasswordHash(Form);

#[derive(Clone)]
enum Form {
    Argon2(Box<phc::PasswordHash>),
    Salted { digest: fn(&[&str; 2]) -> Vec<u8>, salt: String, expected: Vec<u8> },
}

impl PasswordHash {
    /// Reads a stored hash.
    ///
    /// # Errors
    /// It is empty, a password in plain text, of an algorithm that isn't known, or too costly.
    pub fn parse(stored: &str) -> Result<Self, HashError> {
        match stored.split_once(':') {
            Some(("argon2", hash)) => argon2_form(hash),
            Some((algorithm, hash)) => salted_form(algorithm, hash).ok_or(HashError::Unknown),
            None => Err(HashError::Unknown),
        }
        .map(Self)
    }

    /// Reads a hash of Argon2 alone, as PHC strings have it: `$argon2id$v=19$m=..`. The `argon2:` of Jupyter Server may stand
    /// before it.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of_phc(stored: &str) -> Result<Self, HashError> {
        argon2_form(stored.strip_prefix("argon2:").unwrap_or(stored)).map(Self)
    }

    /// Whether it was made of other costs than [`hash`] has now.
    pub fn is_outdated(&self) -> bool {
        match &self.0 {
            Form::Salted { .. } => true,
            Form::Argon2(hash) => {
                hash.algorithm.as_str() != Algorithm::Argon2id.as_ref()
                    || Params::try_from(&**hash)
                        .map_or(true, |own| (own.m_cost(), own.t_cost(), own.p_cost()) != (MEMORY, PASSES, LANES))
            }
        }
    }

    /// Whether this is the password's hash, in time that doesn't depend on where it differs. The empty password never is.
    pub fn verify(&self, password: &str) -> bool {
        if password.is_empty() {
            return false;
        }
        match &self.0 {
            Form::Argon2(hash) => Argon2::default().verify_password(password.as_bytes(), &**hash).is_ok(),
            Form::Salted { digest, salt, expected } => digest(&[password, salt]).ct_eq(expected).into(),
        }
    }
}

/// Whether `stored` is the hash of `password`. Anything that isn't a hash, the empty text included, matches nothing.
pub fn verify(stored: &str, password: &str) -> bool {
    PasswordHash::parse(stored).is_ok_and(|hash| hash.verify(password))
}

/// The text that is stored for a password by Jupyter Server.
pub fn hash(password: &str, salt: [u8; 16]) -> String {
    format!("argon2:{}", phc(password, salt))
}

/// The hash of a password as a PHC string.
pub fn phc(password: &str, salt: [u8; 16]) -> String {
    let params = Params::new(MEMORY, PASSES, LANES, Some(LENGTH)).expect("these costs are within Argon2's bounds");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(password.as_bytes(), &salt);
    hash.expect("Argon2 takes each salt of 16 bytes and each password below 4 GiB").to_string()
}

fn argon2_form(text: &str) -> Result<Form, HashError> {
    let mut hash = phc::PasswordHash::new(text).map_err(|_| HashError::Unknown)?;
    // A hash from before versions were written down.
    hash.version.get_or_insert(Version::V0x10.into());
    let is_known = Algorithm::try_from(hash.algorithm.as_str()).is_ok()
        && hash.version.is_some_and(|version| Version::try_from(version).is_ok())
        && hash.hash.is_some()
        && hash.salt.as_ref().is_some_and(|salt| salt.len() >= argon2::MIN_SALT_LEN);
    let params = Params::try_from(&hash).map_err(|_| HashError::Unknown)?;
    if !is_known {
        return Err(HashError::Unknown);
    }
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > MAX_MEMORY || work > MAX_WORK {
        Err(HashError::TooCostly)
    } else {
        Ok(Form::Argon2(Box::new(hash)))
    }
}

fn salted_form(algorithm: &str, hash: &str) -> Option<Form> {
    let digest = match algorithm.to_ascii_lowercase().as_str() {
        "sha1" => digest::<Sha1>,
        "sha224" => digest::<Sha224>,
        "sha256" => digest::<Sha256>,
        "sha384" => digest::<Sha384>,
        "sha512" => digest::<Sha512>,
        _ => return None,
    };
    let (salt, expected) = hash.split_once(':')?;
    let expected = hex::decode(expected).ok()?;
    let is_whole = expected.len() == digest(&["", ""]).len();
    is_whole.then(|| Form::Salted { digest, salt: salt.to_owned(), expected })
}

fn digest<D: Digest>(texts: &[&str; 2]) -> Vec<u8> {
    texts.iter().fold(D::new(), |digest, text| digest.chain_update(text)).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for `correct horse` by Jupyter Server 2.21's `passwd`, without and with the name of an algorithm.
    const HASHES: [&str; 6] = [
        "argon2:$argon2id$v=19$m=10240,t=10,p=8$/RajYdQK+v99rF4xDIC+vw$W/AZHvdzEyUkbTDP9/Sy5e0CYtwiixhZIBtLDpITKMI",
        "sha1:cae22ff17b3e:16d16d8c001f4e0314c27ce0b60cb1e4a8d568e3",
        "sha224:eaac01b1fa07:4dc062fbebf52d727aa7c6c91764182150e7cf4d5c5cdc634c61cf63",
        "sha256:705422bc575f:ff07ae6d4b09214e4e5a987a2e48551a56cd93fa84ed7abaf001bc2c9c0a2012",
        "sha384:01dcb7bb23fa:1fc1ec24099fe61eceb2fa0e833b800a974ab3230ae1ce0b65d387085522dbd3e1877b79a122a05b7cb4ddcf90bd7ac1",
        "sha512:b9076be41510:dcfe50cb170f82609d317e1898c1cea62713c21840526159f17d75af7240431d5801280427dfe5c692efa0fce9350d0d7ceb4b649c53bb5fd54e0a76cd03d74a",
    ];

    /// Made for `pässwörd ☃`.
    const OTHERS: [&str; 2] = [
        "argon2:$argon2id$v=19$m=10240,t=10,p=8$4Y7x52hlX0uemw00foz1Dg$ZYpgKMPmOw6KMsvRzZWoa3/vRiFOQUjM5Dhic0gK99g",
        "sha1:e6d2298a9724:1cd558a7093abb72c54aacf02b841dad16c9395f",
    ];

    /// Made for `correct horse` by argon2-cffi: its defaults, the other variants of Argon2, and lengths of all kinds,
    /// and one from before versions were written down.
    const ARGON2: [&str; 4] = [
        "argon2:$argon2id$v=19$m=65536,t=3,p=4$4yRqKH+RDDbulciYwWiZjw$/YZBGw1zJoqSmYJKdwiz1mECebe2X+7A0cMJ02f73Eo",
        "argon2:$argon2i$v=19$m=64,t=1,p=1$r0sGs29JypI$rxr9s4BKCZFUZKu/cjzufA",
        "argon2:$argon2d$v=19$m=64,t=1,p=1$6BHEc1gqJzs$jJrocqtA00xsWgumxq0dPcKmIHD3jdSqhd17vq2Vx2aij4zL7u9dGQigxHCjSiNAwJXdN7/+f0CDwuZEoSUqfw",
        "argon2:$argon2id$m=64,t=1,p=1$c2FsdHNhbHQ$cI4B626uUyh9pyANJ9aXpA",
    ];

    #[test]
    fn hashes_that_jupyter_server_made_are_verified_s22() {
        for stored in HASHES.iter().chain(&ARGON2) {
            assert!(verify(stored, "correct horse"), "{stored}");
            assert!(!verify(stored, "correct horsf") && !verify(stored, ""), "{stored}");
        }
        for stored in OTHERS {
            assert!(verify(stored, "pässwörd ☃"), "{stored}");
        }
    }

    #[test]
    fn the_hash_is_the_one_that_jupyter_server_makes_of_the_same_salt_s22() {
        let salt = hex::decode("fd16a361d40afaff7dac5e310c80bebf").unwrap();
        assert_eq!(hash("correct horse", salt.try_into().unwrap()), HASHES[0]);
    }

    #[test]
    fn a_hash_of_other_costs_is_made_anew_at_the_next_login() {
        let own = phc("correct horse", [7; 16]);
        assert!(own.starts_with("$argon2id$v=19$m=10240,t=10,p=8$"), "{own}");
        let read = PasswordHash::of_phc(&own).unwrap();
        assert!(read.verify("correct horse") && !read.verify("correct horsf") && !read.is_outdated());
        assert!(!PasswordHash::of_phc(HASHES[0]).unwrap().is_outdated(), "with Jupyter Server's prefix");
        for other in ARGON2 {
            assert!(PasswordHash::of_phc(other).unwrap().is_outdated(), "{other}");
        }
        for bad in ["hunter2", "", HASHES[1]] {
            assert!(PasswordHash::of_phc(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_differs_anywhere_does_not_match() {
        for (from, to) in [
            ("m=10240", "m=10248"),
            ("t=10", "t=9"),
            ("p=8", "p=4"),
            ("$/Raj", "$/Rak"),
            ("argon2id", "argon2i"),
            ("KMI", "KMM"),
        ] {
            let stored = HASHES[0].replace(from, to);
            assert!(stored != HASHES[0] && PasswordHash::parse(&stored).is_ok(), "{stored}");
            assert!(!verify(&stored, "correct horse"), "{stored}");
        }
        assert!(!verify(&HASHES[1].replace(":cae", ":cad"), "correct horse"));
        assert!(!verify(&HASHES[1].replace("68e3", "68e2"), "correct horse"));
    }

    #[test]
    fn a_plain_password_is_no_hash_and_the_remedy_is_said() {
        let unknown = [
            "",
            "hunter2",
            ":",
            "argon2:",
            "argon2:hunter2",
            "sha1:hunter2",
            "sha1::",
            "sha1:salt:",
            "sha1:salt:hunter2",
            "sha1:salt:00",
            "md5:34243fa0d40f:560d7d0e613a13c4b5ed5f02c7d0b2b3",
            "sha512:1:1d667cb80c70b4e3:eb41",
            "argon2:$argon2id$v=19$m=10240,t=10,p=8$/RajYdQK+v99rF4xDIC+vw",
            "argon2:$argon2id$v=19$m=10240,t=10,p=8",
            "argon2:$argon2id$v=18$m=64,t=1,p=1$r0sGs29JypI$rxr9s4BKCZFUZKu/cjzufA",
            "argon2:$argon2id$v=19$m=64,t=0,p=1$r0sGs29JypI$rxr9s4BKCZFUZKu/cjzufA",
            "argon2:$argon2id$v=19$m=7,t=1,p=1$r0sGs29JypI$rxr9s4BKCZFUZKu/cjzufA",
            "argon2:$argon2id$v=19$m=64,t=1,p=1$c2FsdA$rxr9s4BKCZFUZKu/cjzufA",
            "argon2:$scrypt$ln=16,r=8,p=1$r0sGs29JypI$rxr9s4BKCZFUZKu/cjzufA",
        ];
        for stored in unknown {
            let error = PasswordHash::parse(stored).err();
            assert_eq!(error, Some(HashError::Unknown), "{stored}");
            assert!(!verify(stored, "") && !verify(stored, "hunter2"), "{stored}");
        }
        assert!(HashError::Unknown.to_string().contains("run `hub server password`"));
    }

    #[test]
    fn a_hash_that_would_stop_the_server_is_refused() {
        for costs in
            ["m=4194304,t=1", "m=262145,t=1", "m=4294967295,t=4294967295", "m=10240,t=4294967295", "m=262144,t=9"]
        {
            let stored = format!("argon2:$argon2id$v=19${costs},p=1$r0sGs29JypI$rxr9s4BKCZFUZKu/cjzufA");
            assert_eq!(PasswordHash::parse(&stored).err(), Some(HashError::TooCostly), "{costs}");
        }
    }
}
