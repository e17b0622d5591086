//! The operator's count of what it asks of the API server.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, OPERATOR_NAMESPACE};

const COUNTER: &str = "hub_operator_api_requests_total";
const WRITES: [&str; 6] = ["create", "update", "patch", "apply", "delete", "deletecollection"];

/// Requests by verb and resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Requests(BTreeMap<(String, String), u64>);

impl Requests {
    /// As they are now. The API server carries the question to the operator.
    pub(super) async fn of(cluster: &Cluster) -> Result<Self> {
        let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/services/hub-operator:http/proxy/metrics");
        let requests = Self::parse(&cluster.kubectl(&["get", "--raw", &path]).await?)?;
        ensure!(!requests.0.is_empty(), "the operator counts no {COUNTER}");
        Ok(requests)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut requests = BTreeMap::new();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix(COUNTER).and_then(|rest| rest.strip_prefix('{')) else { continue };
            let (labels, value) = rest.split_once("} ").with_context(|| format!("a malformed metric: {line}"))?;
            let label = |name: &str| {
                let value = labels.split(',').find_map(|label| label.trim().strip_prefix(name)?.strip_prefix("=\""));
                value.map(|value| value.trim_end_matches('"').to_owned()).unwrap_or_default()
            };
            let value: f64 = value.split_whitespace().next().unwrap_or_default().parse()?;
            *requests.entry((label("verb"), label("resource"))).or_default() += value as u64;
        }
        Ok(Self(requests))
    }

    /// What came on top of an earlier count. The Lease is renewed all the time and left out.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let more = |key: &(String, String), count: &u64| count - earlier.0.get(key).copied().unwrap_or(0).min(*count);
        let counts = self.0.iter().map(|(key, count)| (key.clone(), more(key, count)));
        Self(counts.filter(|((_, resource), count)| *count > 0 && resource != "leases").collect())
    }

    pub(super) fn writes(&self) -> Self {
        self.with_verbs(&WRITES)
    }

    pub(super) fn lists(&self) -> Self {
        self.with_verbs(&["list"])
    }

    fn with_verbs(&self, verbs: &[&str]) -> Self {
        let counts = self.0.iter().filter(|((verb, _), _)| verbs.contains(&verb.as_str()));
        Self(counts.map(|(key, count)| (key.clone(), *count)).collect())
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// `patch deployments: 2, ...`
    pub(super) fn words(&self) -> String {
        let words: Vec<_> =
            self.0.iter().map(|((verb, resource), count)| format!("{verb} {resource}: {count}")).collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_verb_and_resource_without_the_lease() {
        let parse = |text: &str| Requests::parse(text).unwrap();
        let early = parse("# TYPE hub_operator_api_requests_total counter\nother{a=\"b\"} 3\n");
        let late = parse(
            "hub_operator_api_requests_total{resource=\"secrets\",verb=\"create\"} 2\n\
             hub_operator_api_requests_total{verb=\"patch\",resource=\"leases\"} 9\n\
             hub_operator_api_requests_total{verb=\"list\",resource=\"pods\"} 1\n",
        );
        assert_eq!(late.since(&early).writes().words(), "create secrets: 2");
        assert_eq!(late.since(&early).lists().total(), 1);
        assert_eq!(late.since(&late).total(), 0);
    }
}
