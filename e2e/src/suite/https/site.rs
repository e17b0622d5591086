//! A Hub with a name of its own under which people reach it over TLS, from this host and inside the cluster.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hub_crds::{Hub, names::child, status::CertificateStatus};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rustls::version::TLS13;
use serde_json::{Map, Value, json};

use crate::{
    cluster::Cluster,
    suite::{
        hubs::{self, Place},
        people::login_token,
        person::Person,
        tls::{Served, handshake},
    },
    tls_client::TlsClient,
};

/// Node ports that Kubernetes gives nobody who does not ask for one: the first 86. Two of them are the example Hub's.
static NODE_PORT: AtomicU16 = AtomicU16::new(30_001);
const LAST_NODE_PORT: u16 = 30_078;
/// From a Hub that is Ready until its port on the node is open.
const PORT: Duration = Duration::from_secs(15);

/// A user's server that tells which headers reached it, and says again what it hears on a WebSocket.
const SERVER: &str = "
import base64, hashlib, http.server, json
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        key = self.headers.get('Sec-WebSocket-Key')
        if key:
            return self.echo(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def echo(self, key):
        self.send_response(101)
        self.send_header('Upgrade', 'websocket')
        self.send_header('Connection', 'Upgrade')
        self.send_header('Sec-WebSocket-Accept', base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2 and head[0] & 15 != 8:
            mask = self.rfile.read(4)
            text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(head[1] & 127)))
            self.wfile.write(bytes([head[0], len(text)]) + text)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('', 8888), Answer).serve_forever()
";

/// A Hub, its name and its ports on the node.
pub(in crate::suite) struct Site<'a> {
    pub(in crate::suite) place: Place<'a>,
    /// The cluster's own DNS leads it to the proxy, where port 80 is what it is for the world.
    pub(in crate::suite) host: String,
    node: IpAddr,
    pub(in crate::suite) http_port: u16,
    pub(in crate::suite) https_port: u16,
}

impl<'a> Site<'a> {
    pub(in crate::suite) async fn new(cluster: &'a Cluster, namespace: &'a str, name: &'a str) -> Result<Self> {
        let http_port = NODE_PORT.fetch_add(2, Ordering::Relaxed);
        ensure!(http_port < LAST_NODE_PORT, "no node port is left for {name}");
        let node: SocketAddr = cluster.node_address(http_port).await?.parse()?;
        Ok(Self {
            place: Place { cluster, namespace, name },
            host: format!("{}.{namespace}.svc.cluster.local", child::proxy_public(name)),
            node: node.ip(),
            http_port,
            https_port: http_port + 1,
        })
    }

    /// Where people go, without a slash at its end.
    pub(in crate::suite) fn origin(&self) -> String {
        format!("https://{}:{}", self.host, self.https_port)
    }

    /// The spec of a small Hub with TLS, whose servers are [`SERVER`].
    pub(in crate::suite) fn spec(&self, https: &Value) -> Value {
        let mut spec = hubs::spec(self.place.cluster);
        spec["https"] = https.clone();
        spec["publicUrl"] = json!(format!("{}/", self.origin()));
        spec["proxy"]["service"]["nodePorts"] = json!({"http": self.http_port, "https": self.https_port});
        spec["singleuser"]["storage"] = json!({"type": "none"});
        spec["singleuser"]["memory"] = json!({"guarantee": "16M"});
        spec["singleuser"]["cmd"] = json!(["python3", "-c", SERVER]);
        spec
    }

    /// Waits until the Hub is Ready and answers over TLS, to who believes these authorities.
    pub(in crate::suite) async fn await_ready(&self, authorities: &str) -> Result<Hub> {
        let place = &self.place;
        let what = "the Hub to be Ready";
        let hub = place.cluster.await_condition(&place.hubs(), place.name, what, hubs::READY, hubs::is_ready()).await?;
        let anybody = self.browser("anybody", authorities)?;
        let answers = async || anybody.look("/hub/health").await?.expect(&[200]);
        place.cluster.eventually("an answer over TLS", PORT, answers).await?;
        hub.context("a Hub that is Ready is there")
    }

    /// A browser that nobody has used yet, which believes these authorities.
    pub(in crate::suite) fn browser(&self, name: &str, authorities: &str) -> Result<Person> {
        Ok(Person::new(name, &self.origin())?.over(&self.client(authorities)?))
    }

    /// A client that finds the host.
    pub(in crate::suite) fn client(&self, authorities: &str) -> Result<TlsClient> {
        TlsClient::new(self.node, authorities)
    }

    /// Ada, the administrator, logged in.
    pub(in crate::suite) async fn ada(&self, authorities: &str) -> Result<Person> {
        let ada = self.browser("ada", authorities)?;
        let Place { cluster, namespace, name } = self.place;
        ada.log_in_with_url(&login_token(cluster, namespace, name, "ada").await?).await?.expect(&[200])?;
        ensure!(ada.is_logged_in().await?, "ada is not logged in after her login");
        Ok(ada)
    }

    /// The address on the node of the port that people go to.
    pub(in crate::suite) fn https(&self) -> SocketAddr {
        SocketAddr::new(self.node, self.https_port)
    }

    /// The address on the node of the port without TLS.
    pub(in crate::suite) fn http(&self) -> SocketAddr {
        SocketAddr::new(self.node, self.http_port)
    }

    /// What the next handshake shows.
    pub(in crate::suite) async fn served(&self) -> Result<Served> {
        handshake(self.https(), &self.host, &TLS13, &[]).await
    }

    /// Makes or changes a Secret: its data is what is given, and nothing else.
    pub(in crate::suite) async fn put_secret(&self, name: &str, data: &[(&str, &str)]) -> Result<()> {
        let is_tls = ["tls.crt", "tls.key"].iter().all(|key| data.iter().any(|(name, _)| name == key));
        let data: Map<String, Value> = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(k8s_openapi::ByteString(value.as_bytes().into()))))
            .collect();
        let secrets: Api<Secret> = self.place.cluster.api(self.place.namespace);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data,
            "type": if is_tls { "kubernetes.io/tls" } else { "Opaque" },
        });
        let params = PatchParams::apply("e2e").force();
        secrets.patch(name, &params, &Patch::Apply(secret)).await.with_context(|| format!("failed to put {name}"))?;
        Ok(())
    }

    /// What the status says of the certificate.
    pub(in crate::suite) async fn certificate(&self) -> Result<CertificateStatus> {
        let status = self.place.hubs().get(self.place.name).await?.status;
        status.and_then(|status| status.certificate).context("the status says nothing of a certificate")
    }

    /// A condition of the Hub, as it is now.
    pub(in crate::suite) async fn condition(&self, kind: &str) -> Result<Condition> {
        let conditions = self.place.hubs().get(self.place.name).await?.status.unwrap_or_default().conditions;
        let condition = conditions.into_iter().find(|condition| condition.type_ == kind);
        condition.with_context(|| format!("the Hub has no condition {kind}"))
    }
}
