//! Services that the hub runs.

use reqwest::{Method, StatusCode};
use rustix::process::Pid;
use serde_json::Value;
use std::fs;

use crate::machine::{Machine, eventually, is_alive, kill, wait_until};

/// Writes its environment down, and waits.
const SERVICE: &str = "import json, os, time
with open('service.new', 'w') as out: json.dump({**os.environ, 'PID': str(os.getpid())}, out)
os.rename('service.new', 'service.json')
time.sleep(600)";

fn settings() -> String {
    let code = SERVICE.replace('\n', "\\n").replace('\'', "\\'");
    format!(
        "c.JupyterHub.services = [{{'name': 'watcher', 'command': ['python3', '-c', '{code}'], 'environment': {{'A': 'b'}}}}]
c.JupyterHub.load_roles = [{{'name': 'watch', 'scopes': ['list:users'], 'services': ['watcher']}}]"
    )
}

fn told(machine: &Machine) -> Option<Value> {
    serde_json::from_slice(&fs::read(machine.path("service.json")).ok()?).ok()
}

fn pid(machine: &Machine) -> Option<Pid> {
    Pid::from_raw(told(machine)?["PID"].as_str()?.parse().ok()?)
}

#[tokio::test]
async fn a_service_runs_with_a_token_that_its_role_makes_good() {
    let machine = Machine::new();
    let hub = machine.start(&settings());
    wait_until("the service runs", || told(&machine).is_some());
    let told = told(&machine).unwrap();
    assert_eq!((&told["JUPYTERHUB_SERVICE_NAME"], &told["A"]), (&"watcher".into(), &"b".into()));
    let url = format!("{}/users", told["JUPYTERHUB_API_URL"].as_str().unwrap());
    let client = hub_server::http_client().no_proxy().build().unwrap();
    let ask = |method| client.request(method, &url).bearer_auth(told["JUPYTERHUB_API_TOKEN"].as_str().unwrap()).send();
    assert_eq!(ask(Method::GET).await.unwrap().status(), StatusCode::OK);
    assert_eq!(ask(Method::POST).await.unwrap().status(), StatusCode::FORBIDDEN);
    let pid = pid(&machine).unwrap();
    assert!(hub.stop().success());
    assert!(!is_alive(pid), "it ends with the hub");
}

#[tokio::test]
async fn a_service_that_ends_is_started_again_and_one_of_a_killed_hub_is_replaced() {
    let machine = Machine::new();
    let hub = machine.start(&settings());
    wait_until("the service runs", || pid(&machine).is_some());
    let first = pid(&machine).unwrap();
    kill(first);
    wait_until("it is started again", || pid(&machine).is_some_and(|now| now != first));
    let second = pid(&machine).unwrap();
    hub.kill();
    assert!(is_alive(second));
    let _hub = machine.start(&settings());
    wait_until("the one of the last run is ended", || !is_alive(second));
    eventually("another runs", async || pid(&machine).is_some_and(|now| now != second && is_alive(now))).await;
}
