//! What became of each key of a values file, in words for its owner. No value that could be a secret is in them.

use std::{collections::BTreeMap, fmt};

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is this field of the Hub.
    Kept { field: String },
    /// It is this field of the Hub, written otherwise.
    Changed { field: String, how: String },
    /// A Hub does without; says why.
    NotNeeded { reason: String },
    /// Somebody has to do something; says what.
    ByHand { remedy: String },
    /// The chart has no such key.
    Unknown { nearest: Option<String> },
}

impl Verdict {
    /// Whether a person must look at it.
    pub fn needs_attention(&self) -> bool {
        matches!(self, Self::ByHand { .. } | Self::Unknown { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept { field } => f.write_str(field),
            Self::Changed { field, how } => write!(f, "{field}, changed: {how}"),
            Self::NotNeeded { reason } => write!(f, "not needed: {reason}"),
            Self::ByHand { remedy } => write!(f, "BY HAND: {remedy}"),
            Self::Unknown { nearest: Some(nearest) } => {
                write!(f, "UNKNOWN: not a key of zero-to-jupyterhub; nearest: {nearest}")
            }
            Self::Unknown { nearest: None } => f.write_str("UNKNOWN: not a key of zero-to-jupyterhub"),
        }
    }
}

/// A verdict for every key, by its path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report(pub BTreeMap<String, Verdict>);

impl Report {
    /// Whether a person must look at any of it.
    pub fn needs_attention(&self) -> bool {
        self.0.values().any(Verdict::needs_attention)
    }

    pub(super) fn covers(&self, key: &str) -> bool {
        prefixes(key).any(|prefix| self.0.contains_key(prefix))
    }
}

/// `a.b.c`, `a.b` and `a`.
fn prefixes(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rsplit_once('.').map(|(prefix, _)| prefix))
}

/// A line for each key, and how many there are of each kind.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, verdict) in &self.0 {
            writeln!(f, "{key} -> {verdict}")?;
        }
        let count = |wanted: fn(&Verdict) -> bool| self.0.values().filter(|verdict| wanted(verdict)).count();
        let attention = count(Verdict::needs_attention);
        let idle = count(|verdict| matches!(verdict, Verdict::NotNeeded { .. }));
        writeln!(
            f,
            "{} keys: {} carried over, {idle} not needed, {attention} for you to look at",
            self.0.len(),
            self.0.len() - idle - attention
        )
    }
}
