//! The proxy as the hub's child (S31, S53 to S57).

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    fs,
    process::{Command, Stdio},
};

use crate::machine::{Machine, PASSWORD, Running, eventually, is_alive, kill, wait_until};

const TOKEN: &str = "a-token-of-the-environment";

async fn add_foreign_route(machine: &Machine) {
    let body = json!({"target": "http://127.0.0.1:9"});
    let added = machine.routes(Method::POST, "/other", TOKEN).json(&body).send().await.unwrap();
    assert_eq!(added.status(), StatusCode::CREATED);
}

/// The table's paths, while there is a proxy.
async fn paths(machine: &Machine) -> Vec<String> {
    let Ok(answer) = machine.routes(Method::GET, "", TOKEN).send().await else { return Vec::new() };
    let table: Value = answer.json().await.unwrap();
    table.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn a_killed_hub_leaves_its_logins_and_the_next_has_a_proxy_of_its_own_s56_s57() {
    let machine = Machine::new();
    let hub = machine.start("");
    let browser = machine.browser();
    assert_eq!(browser.log_in("alice", "another").await, StatusCode::FORBIDDEN);
    assert!(!browser.is_logged_in().await);
    assert_eq!(browser.log_in("alice", PASSWORD).await, StatusCode::FOUND);
    assert!(browser.is_logged_in().await);
    let before = machine.proxy_pid().unwrap();
    hub.kill();
    assert!(is_alive(before), "the proxy outlives a hub that is killed");
    let hub = machine.start("");
    let after = machine.proxy_pid().unwrap();
    assert!(before != after && !is_alive(before) && is_alive(after));
    assert!(browser.is_logged_in().await, "the login is as good as before");
    assert!(hub.stop().success());
    assert!(!is_alive(after) && machine.proxy_pid().is_none(), "the proxy ends with the hub");
}

#[tokio::test]
async fn a_proxy_that_dies_is_started_anew_with_all_routes_those_of_others_among_them_s31() {
    let mut machine = Machine::new();
    machine.variables.push(("CONFIGPROXY_AUTH_TOKEN", TOKEN.to_owned()));
    let hub = machine.start("");
    add_foreign_route(&machine).await;
    // The hub's checks come and go; its own routes are mended, this one is left alone.
    machine.routes(Method::DELETE, "/", TOKEN).send().await.unwrap();
    eventually("the hub's route is mended", async || paths(&machine).await == ["/", "/other"]).await;
    let before = machine.proxy_pid().unwrap();
    kill(before);
    eventually("another proxy has all routes", async || {
        machine.proxy_pid().is_some_and(|now| now != before) && paths(&machine).await == ["/", "/other"]
    })
    .await;
    assert_eq!(machine.browser().get("/hub/login").await.status(), StatusCode::OK);
    assert_eq!(machine.browser().get("/other/x").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    // So it is when the hub dies, and its proxy is replaced with it.
    hub.kill();
    let _hub = machine.start("");
    eventually("the route outlives the hub", async || paths(&machine).await == ["/", "/other"]).await;
}

#[tokio::test]
async fn without_a_token_one_is_made_that_stands_nowhere_s55() {
    let machine = Machine::new();
    let _hub = machine.start("");
    for token in ["", "undefined", TOKEN] {
        let answer = machine.routes(Method::GET, "", token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{token}");
    }
}

#[tokio::test]
async fn the_token_is_in_the_proxys_environment_and_in_no_argument_s54() {
    let machine = Machine::new();
    let _hub = machine.start(&format!("c.ConfigurableHTTPProxy.api_token = '{TOKEN}'"));
    assert_eq!(paths(&machine).await, ["/"]);
    let process = format!("/proc/{}", machine.proxy_pid().unwrap().as_raw_nonzero());
    let read = |name: &str| String::from_utf8_lossy(&fs::read(format!("{process}/{name}")).unwrap()).into_owned();
    assert!(!read("cmdline").contains(TOKEN), "{}", read("cmdline"));
    assert!(!machine.log().contains(TOKEN));
}

#[test]
fn should_start_false_without_a_token_is_fatal_s55() {
    let said = Machine::new().refused("c.ConfigurableHTTPProxy.should_start = False");
    assert!(said.contains("ConfigurableHTTPProxy.should_start from"), "{said}");
    assert!(said.contains("ConfigurableHTTPProxy.auth_token") && said.contains("CONFIGPROXY_AUTH_TOKEN"), "{said}");
}

#[tokio::test]
async fn a_proxy_of_others_is_used_and_left_alone() {
    let mut machine = Machine::new();
    machine.variables.push(("CONFIGPROXY_AUTH_TOKEN", TOKEN.to_owned()));
    let mut proxy = Command::new(std::path::Path::new(env!("CARGO_BIN_EXE_hub")).with_file_name("hub-proxy"))
        .args(["--ip", "127.0.0.1", "--port", &machine.port.to_string(), "--api-ip", "127.0.0.1"])
        .args(["--api-port", &machine.api_port.to_string()])
        .env("CONFIGPROXY_AUTH_TOKEN", TOKEN)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let hub = machine.start("c.ConfigurableHTTPProxy.should_start = False");
    eventually("the hub has its route", async || paths(&machine).await == ["/"]).await;
    assert_eq!(machine.browser().log_in("alice", PASSWORD).await, StatusCode::FOUND);
    assert!(hub.stop().success());
    assert!(proxy.try_wait().unwrap().is_none(), "the proxy goes on");
    assert!(machine.proxy_pid().is_none());
    proxy.kill().unwrap();
    proxy.wait().unwrap();
}

#[test]
fn a_port_that_is_taken_is_said_with_the_setting_to_change() {
    let machine = Machine::new();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", machine.port)).unwrap();
    let said = machine.refused("");
    assert!(said.contains("JupyterHub.bind_url"), "{said}");
    wait_until("the pid file is gone", || machine.proxy_pid().is_none());
}

#[tokio::test]
async fn a_certificate_is_served_by_the_proxy_s37_s38() {
    let machine = Machine::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(machine.path("my.cert"), made.cert.pem()).unwrap();
    fs::write(machine.path("my.key"), made.signing_key.serialize_pem()).unwrap();
    let settings = "c.JupyterHub.ssl_key = 'my.key'\nc.JupyterHub.ssl_cert = 'my.cert'";
    let readable = machine.refused(settings);
    assert!(readable.contains("Refusing to run JupyterHub with invalid ssl_key"), "{readable}");
    fs::set_permissions(machine.path("my.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let _hub = machine.start(settings);
    let certificate = reqwest::Certificate::from_der(made.cert.der()).unwrap();
    let client = hub_server::http_client().no_proxy().tls_certs_only([certificate]).build().unwrap();
    let answer = client.get(format!("https://localhost:{}/hub/login", machine.port)).send().await.unwrap();
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().map(|it| it.to_str().unwrap()).collect();
    assert!(!cookies.is_empty() && cookies.iter().all(|cookie| cookie.contains("; Secure")), "{cookies:?}");
}

/// What lies in a directory is found by its name: a second hub there would end the proxy of the first.
#[test]
fn a_directory_is_one_hubs() {
    let machine = Machine::new();
    let _hub = machine.start("");
    let proxy = machine.proxy_pid().unwrap();
    let second = machine.command(&["--JupyterHub.db_url=sqlite:///other.sqlite"]).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && said.contains("another hub runs in this directory"), "{said}");
    assert!(is_alive(proxy) && machine.proxy_pid() == Some(proxy));
}

#[test]
fn a_proxy_that_could_not_be_found_again_is_ended() {
    let machine = Machine::new();
    let said = machine.refused("c.ConfigurableHTTPProxy.pid_file = '/nonexistent/proxy.pid'");
    assert!(said.contains("/nonexistent/proxy.pid"), "{said}");
    wait_until("the port to be free", || std::net::TcpStream::connect(("127.0.0.1", machine.port)).is_err());
}

#[test]
fn a_closed_terminal_ends_hub_and_proxy_unless_nohup_says_otherwise() {
    let machine = Machine::new();
    let hub = machine.start("");
    let proxy = machine.proxy_pid().unwrap();
    assert!(hub.hang_up().success());
    assert!(!is_alive(proxy));

    machine.write_settings("");
    let mut nohup = Command::new("nohup");
    nohup.arg(env!("CARGO_BIN_EXE_hub")).args(["serve", "--config", "jupyterhub_config.py"]);
    nohup.current_dir(machine.path("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let hub = Running { child: nohup.spawn().unwrap() };
    wait_until("the hub to have a proxy", || machine.proxy_pid().is_some_and(is_alive));
    let proxy = machine.proxy_pid().unwrap();
    hub.signal(rustix::process::Signal::HUP);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(is_alive(proxy), "nohup is passed over");
    assert!(hub.stop().success());
}
