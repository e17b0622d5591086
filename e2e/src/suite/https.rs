//! TLS in every form. [`conforms`] is the one suite of checks; each kind of `https.type` is put through it, with the real
//! peers: cert-manager, an ACME server with a DNS server of its own, nginx in front.

pub(super) mod acme;
pub(super) mod cert_manager;
pub(super) mod external;
pub(super) mod given;
pub(super) mod judged;
pub(super) mod pods;
pub(super) mod renewal;
mod site;

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::{SinkExt, StreamExt};
use hub_crds::status::{condition, reason};
use k8s_openapi::api::core::v1::Event;
use kube::{Api, api::ListParams};
use reqwest::Method;
use rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

pub(in crate::suite) use site::Site;

use super::{person::Person, tls::handshake};
use crate::{
    cluster::{Cluster, HUB, NAMESPACE},
    http::client,
    program::Program,
};

/// A renewed certificate reaches the pod a while after the status tells of it.
const TOLD: Duration = Duration::from_secs(45);
/// What every Hub here asks browsers to remember.
const HSTS: &str = "max-age=3600; includeSubDomains";

/// `https.hsts` that gives [`HSTS`].
fn hsts() -> Value {
    json!({"maxAge": 3600, "includeSubdomains": true})
}

/// What holds of a Hub whose proxy ends TLS, whatever its certificate comes from: a name of who issued it, and how many
/// certificates are served.
struct Expected {
    source: String,
    issuer: String,
    chain: usize,
}

/// The suite: who knows the authorities logs in over TLS and works, port 80 serves nothing, and the status tells the truth.
async fn conforms(site: &Site<'_>, authorities: &str, expected: &Expected) -> Result<Person> {
    let ada = people_work(site, authorities).await?;
    port_80_leads_to_tls_and_serves_nothing(site).await.context("port 80")?;
    protocols_are_todays(site).await.context("the handshake")?;
    curl_speaks_http_2(site, authorities).await.context("HTTP/2")?;
    let told = async || the_status_tells_what_is_served(site, expected).await;
    site.place.cluster.eventually("the status to tell what is served", TOLD, told).await?;
    let hsts = ada.look("/hub/login").await?;
    let hsts = hsts.headers.get("strict-transport-security").context("no answer asks to be asked over TLS only")?;
    ensure!(hsts == HSTS, "browsers are told {hsts:?}");
    Ok(ada)
}

/// Wherever TLS ends: a person logs in, her cookies are Secure, links are https, and her server gets pages and WebSockets.
async fn people_work(site: &Site<'_>, authorities: &str) -> Result<Person> {
    let stranger = site.browser("stranger", authorities)?;
    let first = stranger.look("/").await?;
    let location = first.headers.get("location").context("a stranger is sent nowhere")?.to_str()?;
    ensure!(!location.starts_with("http:"), "a stranger is sent to {location}");
    let login = stranger.visit("/").await?.expect(&[200])?;
    ensure!(login.path() == "/hub/login", "a stranger ends at {}", login.url);
    ensure!(!login.body.contains("http://"), "the login page has links without TLS");

    let ada = site.ada(authorities).await?;
    ada.start_server().await?;
    let seen = ada.visit("/user/ada/").await?.expect(&[200])?.json()?;
    ensure!(header(&seen, "x-forwarded-proto") == Some("https"), "ada's server believes that it is asked so: {seen}");
    {
        let jar = ada.jar();
        ensure!(!jar.all_received().is_empty(), "ada got no cookies");
        let open: Vec<_> =
            jar.all_received().iter().filter(|it| it.secure() != Some(true)).map(|it| it.name()).collect();
        ensure!(open.is_empty(), "cookies that would be sent without TLS: {open:?}");
    }
    says_again(&ada, "a WebSocket over TLS").await?;
    Ok(ada)
}

/// What ada's server, which tells the headers that reached it, says of one.
fn header<'a>(seen: &'a Value, name: &str) -> Option<&'a str> {
    let (_, value) = seen.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    value.as_str()
}

/// Her server says on a WebSocket what she says.
async fn says_again(ada: &Person, words: &str) -> Result<()> {
    let mut socket = ada.open_socket("/user/ada/echo").await?;
    socket.send(Message::text(words)).await?;
    let answer = socket.next().await.context("the WebSocket ended")??;
    ensure!(answer == Message::text(words), "the WebSocket says {answer:?}");
    Ok(())
}

/// Row 67: 301 for what reads and 308 for what writes, to https; no page, no cookie, and no answer without a host.
async fn port_80_leads_to_tls_and_serves_nothing(site: &Site<'_>) -> Result<()> {
    let http = client(None)?;
    for (method, status) in [(Method::GET, 301), (Method::HEAD, 301), (Method::POST, 308), (Method::PUT, 308)] {
        for path in ["/", "/hub/login?next=%2Fhub%2Fhome", "/hub/api/users", "/user/ada/", "/.well-known/other"] {
            let request = http.request(method.clone(), format!("http://{}{path}", site.http()));
            let answer = request.header("Host", &site.host).header("Cookie", "jupyterhub-session-id=x").send().await?;
            let what = format!("{method} {path}");
            ensure!(answer.status() == status, "{what} is answered {}", answer.status());
            let location =
                answer.headers().get("location").with_context(|| format!("{what} leads nowhere"))?.to_str()?;
            ensure!(location == format!("{}{path}", site.origin()), "{what} leads to {location}");
            ensure!(!answer.headers().contains_key("set-cookie"), "{what} sets a cookie without TLS");
            ensure!(!answer.text().await?.contains("<form"), "{what} shows a form without TLS");
        }
    }
    let token = format!("http://{}/.well-known/acme-challenge/guessed", site.http());
    let answer = http.get(token).header("Host", &site.host).send().await?;
    ensure!([301, 404].contains(&answer.status().as_u16()), "a guessed challenge is answered {}", answer.status());
    Ok(())
}

/// Row 64: TLS 1.2 and 1.3, HTTP/2 for who offers it and HTTP/1.1 for who does not.
async fn protocols_are_todays(site: &Site<'_>) -> Result<()> {
    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for (offer, agreed) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
            let served = handshake(site.https(), &site.host, version, offer).await?;
            ensure!(served.version == Some(spoken), "{spoken:?} was offered, {:?} is spoken", served.version);
            ensure!(served.alpn.as_deref() == agreed, "to {offer:?} the proxy says {:?}", served.alpn);
        }
    }
    let unknown = handshake(site.https(), &site.host, &TLS13, &["spdy/3"]).await;
    ensure!(unknown.is_err(), "a protocol that nobody speaks is agreed on");
    Ok(())
}

/// A client that others wrote gets the login page in HTTP/2, and believes the certificate.
async fn curl_speaks_http_2(site: &Site<'_>, authorities: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), authorities)?;
    let resolve = format!("{}:{}:{}", site.host, site.https_port, site.https().ip());
    let curl = Program::new("curl").args(["--silent", "--show-error", "--fail", "--http2", "--resolve", &resolve]);
    let curl = curl.args(["--output", "/dev/null", "--write-out", "%{http_version}", "--cacert"]).arg(file.path());
    let version = curl.arg(format!("{}/hub/login", site.origin())).output().await?;
    ensure!(version == "2", "curl speaks HTTP/{version}");
    Ok(())
}

async fn the_status_tells_what_is_served(site: &Site<'_>, expected: &Expected) -> Result<()> {
    let (served, status) = (site.served().await?, site.certificate().await?);
    ensure!(served.chain == expected.chain, "{} certificates are served, not {}", served.chain, expected.chain);
    ensure!(served.names.contains(&site.host), "the certificate is for {:?}", served.names);
    let serial = status.serial.to_ascii_lowercase().replace(':', "");
    ensure!(serial.trim_start_matches('0') == served.serial, "served is {}, the status has {serial}", served.serial);
    ensure!(status.names.contains(&site.host), "the status has the names {:?}", status.names);
    ensure!(status.issuer.contains(&expected.issuer), "the status has the issuer {}", status.issuer);
    ensure!(status.source.contains(&expected.source), "the status has the source {}", status.source);
    let not_after: jiff::Timestamp = status.not_after.parse().context("notAfter is a time")?;
    ensure!(not_after.as_second() == served.not_after, "the status has the end {not_after}");
    let condition = site.condition(condition::CERTIFICATE_READY).await?;
    ensure!(condition.status == "True", "CertificateReady is {}: {}", condition.status, condition.message);

    let place = &site.place;
    let table = ["--namespace", place.namespace, "get", "hub", place.name, "--output", "wide"];
    let table = place.cluster.kubectl(&table).await?;
    ensure!(table.contains("CERTEXPIRY"), "kubectl get hub shows no end:\n{table}");
    Ok(())
}

/// S35: who runs without TLS is told so, in a condition and by an event, and on what else depends on it.
pub(super) async fn without_tls_the_status_says_what_is_at_risk_s35(cluster: &Cluster) -> Result<()> {
    let hubs: Api<hub_crds::Hub> = cluster.api(NAMESPACE);
    let conditions = hubs.get(HUB).await?.status.context("the Hub has a status")?.conditions;
    let told =
        conditions.iter().find(|it| it.type_ == condition::TLS_CONFIGURED).context("no condition tells of TLS")?;
    ensure!(told.status == "False" && told.reason == reason::INSECURE_ALLOWED, "the condition is {told:?}");
    for word in ["password", "token"] {
        ensure!(told.message.contains(word), "the condition does not say what is at risk: {}", told.message);
    }
    let events: Api<Event> = cluster.api(NAMESPACE);
    let of_hub = ListParams::default().fields(&format!("involvedObject.kind=Hub,involvedObject.name={HUB}"));
    let events = events.list(&of_hub).await?.items;
    let is_warning = |event: &Event| {
        event.reason.as_deref() == Some(reason::INSECURE_ALLOWED) && event.type_.as_deref() == Some("Warning")
    };
    let seen: Vec<_> = events.iter().filter_map(|event| event.reason.as_deref()).collect();
    ensure!(events.iter().any(is_warning), "no event warns: {seen:?}");
    Ok(())
}
