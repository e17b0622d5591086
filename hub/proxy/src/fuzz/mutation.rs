//! What fuzz targets are fed: the kept corpus as it is, and changes of it that random bytes say. Bytes that are random alone
//! would hardly ever be a request.

use std::panic::RefUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// The longest random input, in bytes.
const MAX_SCRIPT: usize = 48;
/// How many changes one input gets at most.
const MAX_EDITS: usize = 5;
/// How many bytes a change takes away or repeats at most.
const MAX_RANGE: usize = 24;

/// What is worth being put anywhere.
const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
    b"/",
    b"//",
    b"/./",
    b"/../",
    b"/%2e%2E/",
    b"/.%2e",
    b"%2f",
    b"%00",
    b"%c0%ae",
    b"%",
    b"\\",
    b"#",
    b"?",
    b"@",
    b":",
    b";",
    b"=",
    b",",
    b"\"",
    b"{",
    b"}",
    b"0",
    b"5",
    b"ffffffffffffffff",
    b"0\r\n\r\n",
    b"1;a=b\r\nx\r\n",
    b"GET ",
    b"POST ",
    b"DELETE ",
    b"HEAD ",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"http://a",
    b"https://[::1]:1",
    b"http+unix://%2Fa",
    b"169.254.169.254",
    b"Host: b\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: +5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close, X\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"X: a\r\n b\r\n",
    b"X: y\r\n",
    &[b'a'; 1100],
];

/// Runs a target for its time: `property` must hold for every input. The corpus is `__fuzz__/<target>/corpus` in `directory`.
pub(crate) fn fuzz(directory: &str, target: &'static str, property: impl Fn(&[u8]) + RefUnwindSafe) {
    let corpus = Corpus::read(directory, target);
    let both = |input: &[u8]| {
        property(input);
        property(&corpus.mutate(input));
    };
    corpus.0.iter().for_each(|input| both(input));
    match seed() {
        Some(seed) => replay(seed, both),
        None => bolero::check!(name = target).with_test_time(duration()).with_max_len(MAX_SCRIPT).for_each(both),
    }
}

/// Random inputs in the order of a seed, for the target's time.
fn replay(seed: u64, check: impl Fn(&[u8])) {
    let end = Instant::now() + duration();
    let mut random = StdRng::seed_from_u64(seed);
    let mut input = [0; MAX_SCRIPT];
    while Instant::now() < end {
        random.fill_bytes(&mut input);
        check(&input);
    }
}

/// How long one target runs: `FUZZ_SECONDS`, or a second, so that a plain run of the tests stays short.
fn duration() -> Duration {
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(|text| text.parse().expect("FUZZ_SECONDS is no number"));
    Duration::from_secs(seconds.unwrap_or(1))
}

/// `FUZZ_SEED`: inputs come in the order that it gives, the same each time, so that what passed fails only by a change.
fn seed() -> Option<u64> {
    std::env::var("FUZZ_SEED").ok().map(|text| text.parse().expect("FUZZ_SEED is no number"))
}

/// The inputs of one target that are kept.
struct Corpus(Vec<Vec<u8>>);

impl Corpus {
    /// Reads the corpus of a target.
    fn read(directory: &str, target: &str) -> Self {
        let directory = Path::new(directory).join("__fuzz__").join(target).join("corpus");
        let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        // The same script means the same input everywhere.
        files.sort();
        assert!(!files.is_empty(), "{} is empty", directory.display());
        Self(files.iter().map(|file| std::fs::read(file).unwrap()).collect())
    }

    /// An input of the corpus, changed as `script` says.
    fn mutate(&self, script: &[u8]) -> Vec<u8> {
        let mut script = Script(script.iter());
        let mut input = script.choose(&self.0).clone();
        for _ in 0..=script.below(MAX_EDITS) {
            self.edit(&mut input, &mut script);
        }
        input
    }

    fn edit(&self, input: &mut Vec<u8>, script: &mut Script<'_>) {
        let start = script.below(input.len() + 1);
        let end = (start + script.below(MAX_RANGE)).min(input.len());
        match script.below(6) {
            0 => drop(input.splice(start..start, script.choose(TOKENS).iter().copied())),
            1 => drop(input.splice(start..end, script.choose(TOKENS).iter().copied())),
            2 => drop(input.drain(start..end)),
            3 => input.extend_from_within(start..end),
            4 => drop(input.splice(end..end, input[start..end].to_vec())),
            _ => {
                let other = script.choose(&self.0);
                input.truncate(start);
                input.extend_from_slice(&other[script.below(other.len() + 1)..]);
            }
        }
    }
}

/// Random bytes as decisions; zeros once there are none left.
struct Script<'a>(std::slice::Iter<'a, u8>);

impl Script<'_> {
    fn below(&mut self, limit: usize) -> usize {
        let mut byte = || usize::from(self.0.next().copied().unwrap_or_default());
        let number = if limit > 256 { byte() << 8 | byte() } else { byte() };
        number % limit
    }

    fn choose<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}
