//! Others' judgement of HTTP/2: h2spec, which `H2SPEC` names. It is skipped without it.

use std::process::Stdio;

use hub_proxy::ProxyConfig;
use tokio::process::Command;

use super::Secured;
use crate::backend::Backend;

/// Row 18 of the attacks. The target reads each request to its end, so that what is wrong with a body is seen before it answers.
#[tokio::test]
async fn h2spec_passes_whole_row_18() {
    let Some(program) = std::env::var_os("H2SPEC") else { return println!("skipped: H2SPEC does not name h2spec") };
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    let port = secured.proxy.public.port().to_string();
    let judged = Command::new(program)
        .args(["--host", "localhost", "--port", &port, "--tls", "--insecure", "--timeout", "5"])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    let verdict = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    println!("{verdict}");
    assert!(judged.status.success() && verdict.ends_with(" 0 skipped, 0 failed"), "{said}");
}
