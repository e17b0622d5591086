//! The hub against its own description: schemathesis makes requests of it, right ones and wrong ones.

use std::fs;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use super::api::Api;
use crate::{
    clients::Clients,
    environments::Version,
    local_hub::{LocalHub, USER},
    program::last_lines,
};

/// Lines of a report without objections that go into an error.
const LAST_WORDS: usize = 20;

/// No answer is a 5xx, and none has a status that the description does not have: for resources of any name, most of which
/// do not exist, and for some that do.
pub(super) async fn every_answer_is_one_that_the_description_has(clients: &Clients) -> Result<()> {
    clients
        .with_hub("schemathesis", Version::V6, async |hub| {
            let any = fs::read_to_string(clients.file("schemathesis.toml"))?;
            let existing = fs::read_to_string(clients.file("schemathesis-existing.toml"))?;
            try_out(clients, hub, "any", &any).await?;
            let api = Api::admin(hub);
            // The requests before may have been for these names.
            api.expect(Method::POST, "/users/grace", None, &[201, 409]).await?;
            api.expect(Method::POST, "/groups/team", None, &[201, 409]).await?;
            api.expect(Method::POST, "/groups/team/users", Some(&json!({"users": [USER, "grace"]})), &[200]).await?;
            try_out(clients, hub, "existing", &format!("{any}\n{existing}")).await
        })
        .await
}

/// One run, whose report is left in the output as `schemathesis-NAME.txt`.
async fn try_out(clients: &Clients, hub: &LocalHub, name: &str, config: &str) -> Result<()> {
    let work = tempfile::tempdir()?;
    let file = work.path().join("schemathesis.toml");
    fs::write(&file, config)?;
    let run = Command::new(clients.environment(Version::V6).bin().join("schemathesis"))
        .arg("--config-file")
        .arg(&file)
        .args(["run", "--no-color", "--checks", "not_a_server_error,status_code_conformance"])
        .args(["--phases", "examples,coverage,fuzzing", "--warnings", "off"])
        .arg(format!("{}/hub/api/openapi.json", hub.base_url))
        .env("HUB_TOKEN", &hub.token)
        .current_dir(work.path())
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to start schemathesis")?;
    let report = String::from_utf8_lossy(&run.stdout);
    fs::write(clients.output()?.join(format!("schemathesis-{name}.txt")), report.as_bytes())?;
    ensure!(run.status.success(), "schemathesis objects to answers for {name} resources:\n{}", objections(&report));
    Ok(())
}

/// The part of a report that says what was wrong.
fn objections(report: &str) -> String {
    let is_title = |line: &str| line.starts_with("====");
    let lines = report.lines().skip_while(|line| !is_title(line) || line.contains("SUMMARY"));
    let lines: Vec<_> = lines.take_while(|line| !(is_title(line) && line.contains("SUMMARY"))).collect();
    if lines.is_empty() { last_lines(report, LAST_WORDS) } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wrong_is_found_in_a_report() {
        let report = "Loaded\n==== FAILURES ====\n1. Undocumented status code\n==== SUMMARY ====\nTested: 1\n";
        assert_eq!(objections(report), "==== FAILURES ====\n1. Undocumented status code");
        assert_eq!(objections("it did not start\n"), "it did not start");
    }
}
