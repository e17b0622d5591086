//! A gate before the targets: what passes, what is kept, and what a target sees of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hub_proxy::{AnswerChanges, Arrival, Gate, GateConfig, Passage, ProxyConfig, Verdict};
use serde_json::json;

use crate::backend::Backend;
use crate::harness::TestProxy;

/// Lets those pass who say the word; waits before it judges those who ask it to.
#[derive(Debug, Default)]
struct Porter(AtomicUsize);

impl Gate for Porter {
    fn judge(&self, request: &Arrival<'_>) -> Verdict {
        self.0.fetch_add(1, Ordering::Relaxed);
        let verdict = match request.value("Authorization") {
            Some("word") => Verdict::Pass(Passage {
                query: Some(request.query.replace("token=x&", "")),
                fields: vec![("authorization", None), ("cookie", Some("kept=1".to_owned()))],
                answer: AnswerChanges {
                    guarded_cookie: Some("login".to_owned()),
                    fields: vec![("x-allowed", "a".to_owned())],
                    ..AnswerChanges::default()
                },
            }),
            _ => Verdict::Keep,
        };
        if request.cookies().contains("slow=1") {
            return Verdict::Wait(Box::pin(async {
                tokio::task::yield_now().await;
                Verdict::Wait(Box::pin(async { verdict }))
            }));
        }
        verdict
    }
}

async fn gated() -> (TestProxy, Backend, Backend, Arc<Porter>) {
    let (program, pages) = (Backend::echo().await, Backend::echo().await);
    let gate = Arc::new(Porter::default());
    let config = GateConfig { gate: gate.clone(), pages: format!("http://{}", pages.address) };
    let proxy = TestProxy::start(ProxyConfig { gate: Some(config), ..ProxyConfig::default() }).await;
    proxy.route("/", program.address, json!({}));
    (proxy, program, pages, gate)
}

fn post(fields: &str) -> String {
    format!("POST /a/../b?token=x&y=1 HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 4\r\n\r\nbody")
}

#[tokio::test]
async fn a_target_gets_what_passes_without_what_the_gate_takes_away() {
    let (proxy, program, pages, gate) = gated().await;
    for cookies in ["Cookie: a=1\r\nCOOKIE: secret=2\r\n", "cookie: slow=1\r\n"] {
        let mut client = proxy.client().await;
        client.send(post(&format!("Authorization: word\r\nX-Other: kept\r\n{cookies}"))).await;
        let seen = client.answer(false).await.unwrap().text();
        assert!(seen.starts_with("POST /b?y=1 HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nbody"), "{seen}");
        assert!(seen.contains("\r\ncookie: kept=1\r\n") && seen.contains("X-Other: kept\r\n"), "{seen}");
        assert!(!seen.contains("word") && !seen.contains("secret") && !seen.contains("slow"), "{seen}");
    }
    assert_eq!((program.requests().len(), pages.requests().len()), (2, 0));
    assert_eq!(gate.0.load(Ordering::Relaxed), 2, "a verdict that was waited for is not asked for again");
}

#[tokio::test]
async fn the_pages_get_what_is_kept_as_it_came() {
    let (proxy, program, pages, _) = gated().await;
    let mut client = proxy.client().await;
    // Both on one connection, and the paths that a proxy of a hub answers itself.
    for cookies in ["Cookie: a=1\r\n", "Cookie: slow=1\r\n"] {
        client.send(post(&format!("Authorization: no word\r\n{cookies}"))).await;
        let seen = client.answer(false).await.unwrap().text();
        assert!(seen.starts_with("POST /b?token=x&y=1 HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nbody"), "{seen}");
        assert!(seen.contains("Authorization: no word\r\n") && seen.contains(cookies), "{seen}");
        assert!(seen.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
    }
    for path in ["/_chp_healthz", "/_hub_proxy_readyz"] {
        assert!(proxy.get(path).await.text().starts_with(&format!("GET {path} ")), "{path}");
    }
    assert_eq!((program.requests().len(), pages.requests().len()), (0, 4));
}

/// A target can't take a login away or plant one.
#[tokio::test]
async fn a_target_sets_no_cookie_that_the_gate_guards() {
    let cookies = "Set-Cookie: login=x; Path=/\r\nset-cookie:  login = y\r\nSet-Cookie: =login=z\r\nSet-Cookie: = login=z\r\nSet-Cookie: loginx=1\r\nSet-Cookie: a=login\r\n";
    let answer = format!("HTTP/1.1 200 OK\r\nX-Allowed: b\r\n{cookies}Content-Length: 0\r\n\r\n");
    let (program, pages) = (Backend::fixed(answer).await, Backend::echo().await);
    let gate = GateConfig { gate: Arc::new(Porter::default()), pages: format!("http://{}", pages.address) };
    let proxy = TestProxy::start(ProxyConfig { gate: Some(gate), ..ProxyConfig::default() }).await;
    proxy.route("/", program.address, json!({}));
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: word\r\n\r\n").await;
    let head = client.answer(false).await.unwrap().head;
    let set: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).collect();
    assert_eq!(set, ["loginx=1", "a=login"], "{head}");
    assert!(head.contains("x-allowed: a\r\n") && !head.contains("X-Allowed: b"), "{head}");
}
