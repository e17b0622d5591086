//! Hub and proxy that don't reach each other for a while: people go on as before, and afterwards just what changed is mended.

use hub_proxy::Bind;
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::database::{Configured, NewService, ServiceAddress};

/// The way to an address, which can be cut.
struct Link {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Link {
    async fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Self { address: listener.local_addr().unwrap(), is_cut: watch::channel(false).0 };
        let is_cut = link.is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_cut = is_cut.clone();
                tokio::spawn(async move {
                    let carry = async {
                        let mut far = TcpStream::connect(address).await.unwrap();
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    };
                    tokio::select! {
                        biased;
                        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                        () = carry => {}
                    }
                });
            }
        });
        link
    }
}

/// A place whose proxy counts its calls and is reached over a link.
struct Parted {
    place: Place,
    link: Link,
    table: RouteTable,
    metrics: SocketAddr,
}

impl Parted {
    async fn new() -> Self {
        let metrics = Some(Bind::Tcp("127.0.0.1".to_owned(), 0));
        let proxy = hub_proxy::bind(ProxyConfig { metrics, ..ProxyConfig::default() }).await.unwrap();
        let link = Link::to(proxy.api_addr().unwrap().socket_addr().unwrap()).await;
        let client =
            ProxyClient::new(&format!("http://{}", link.address), ProxyToken::Value("unused".to_owned().into()));
        let place = Place::new(SERVER).await;
        let servers = servers(SERVER, place.directory.path(), &place.database, &client);
        let public = proxy.public_addr().socket_addr().unwrap();
        let (table, metrics) = (proxy.routes(), proxy.metrics_addr().unwrap().socket_addr().unwrap());
        tokio::spawn(proxy.run(CancellationToken::new()));
        Self { place: Place { servers, proxy: client, public, ..place }, link, table, metrics }
    }

    /// Which services there are, each with the port that it listens on.
    async fn declare(&self, services: &[(&str, u16)]) {
        let services = services.iter().map(|(name, port)| (service(name, *port), None)).collect();
        let configured = Configured { services, ..Configured::default() };
        self.place.database.configure(&configured, Timestamp::now()).await.unwrap();
    }

    /// Targets by path, as the proxy has them.
    fn targets(&self) -> Vec<(String, String)> {
        let listed = json!(self.table.all(None));
        let target = |(path, route): (&String, &Value)| (path.clone(), route["target"].as_str().unwrap().to_owned());
        listed.as_object().unwrap().iter().map(target).collect()
    }

    /// Routes that were added and removed over the API so far.
    async fn changes(&self) -> (u32, u32) {
        let page = reqwest::get(format!("http://{}/metrics", self.metrics)).await.unwrap().text().await.unwrap();
        let count = |name: &str| page.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap();
        (count("api_route_add "), count("api_route_delete "))
    }

    async fn until(&self, what: &str, wanted: &[(String, String)]) {
        self.place.until(what, 5, async |_| self.targets() == wanted).await;
    }
}

fn service(name: &str, port: u16) -> NewService {
    NewService {
        name: name.to_owned(),
        admin: false,
        url: format!("http://127.0.0.1:{port}"),
        address: Some(ServiceAddress { scheme: "http".to_owned(), host: "127.0.0.1".to_owned(), port }),
        prefix: format!("/services/{name}/"),
        info: serde_json::Map::new(),
        display: true,
        client: None,
        allowed_scopes: Vec::new(),
        no_confirm: false,
    }
}

/// Row 30 of the faults, in seconds where the row has minutes: nothing in it counts time. The proxy goes on with the routes that
/// it has; then just the difference is mended, once, and nothing else moves.
#[tokio::test]
async fn after_a_partition_just_the_difference_is_mended_row_30() {
    let parted = Parted::new().await;
    parted.declare(&[("gone", 1), ("moved", 2), ("stays", 3)]).await;
    parted.place.start().await;
    parted.place.progress().await;
    tokio::spawn(parted.place.servers.clone().run(CancellationToken::new()));
    let ServerStatus::Ready { target, .. } = parted.place.servers.status("alice", "") else {
        panic!("it is not ready")
    };
    let wanted = |services: &[(&str, u16)]| -> Vec<(String, String)> {
        let services =
            services.iter().map(|(name, port)| (format!("/services/{name}"), format!("http://127.0.0.1:{port}")));
        let rest = [("/", "http://127.0.0.1:9"), ("/user/alice", target.as_str())]
            .map(|(path, to)| (path.to_owned(), to.to_owned()));
        let mut all: Vec<_> = services.chain(rest).collect();
        all.sort();
        all
    };
    let before = wanted(&[("gone", 1), ("moved", 2), ("stays", 3)]);
    parted.until("the first table", &before).await;
    let (added, removed) = parted.changes().await;

    parted.link.is_cut.send_replace(true);
    parted.declare(&[("moved", 22), ("new", 4), ("stays", 3)]).await;
    parted.place.servers.check_routes().await.expect_err("the proxy is out of reach");
    let end = Instant::now() + Duration::from_secs(7);
    while Instant::now() < end {
        assert_eq!(parted.targets(), before, "it lost what it had");
        assert_eq!(parted.place.get("/user/alice/").await, 404, "the server's own answer");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(parted.changes().await, (added, removed));

    parted.link.is_cut.send_replace(false);
    let after = wanted(&[("moved", 22), ("new", 4), ("stays", 3)]);
    parted.until("the mended table", &after).await;
    let end = Instant::now() + Duration::from_secs(7);
    while Instant::now() < end {
        assert_eq!(parted.targets(), after, "it flaps");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(parted.changes().await, (added + 2, removed + 1), "more than the difference, or twice");
    parted.place.servers.stop_all().await;
}
