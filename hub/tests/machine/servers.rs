//! Servers as processes, which outlive a hub that is killed.

use reqwest::{Method, StatusCode};
use rustix::process::Pid;
use serde_json::Value;

use crate::machine::{Machine, PATIENCE, eventually, is_alive, server, wait_until};

/// Starts alice's server, and gives what it tells of itself.
async fn start_server(machine: &Machine) -> Value {
    machine.api(Method::POST, "users/alice").send().await.unwrap();
    let started = machine.api(Method::POST, "users/alice/server").send().await.unwrap();
    assert!(started.status().is_success(), "{}", started.status());
    eventually("the server is ready", async || server(machine, "alice").await["ready"] == Value::Bool(true)).await;
    told(machine).await
}

/// What alice's server tells of itself, over the proxy.
async fn told(machine: &Machine) -> Value {
    let answer = machine.browser().get("/user/alice/").await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

fn pid(told: &Value) -> Pid {
    Pid::from_raw(told["PID"].as_str().unwrap().parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_server_is_told_what_the_settings_say_and_no_secret_of_the_hub() {
    let mut machine = Machine::new();
    machine.variables.push(("CONFIGPROXY_AUTH_TOKEN", "the-token-of-the-proxy".to_owned()));
    machine.variables.push(("JPY_COOKIE_SECRET", "6c".repeat(32)));
    machine.variables.push(("WITH_IT", "kept".to_owned()));
    let _hub = machine.start(
        "c.Spawner.environment = {'GREETING': 'hello'}
c.Spawner.default_url = '/lab/tree/{username}'
c.Spawner.notebook_dir = '~/{username}'
c.Spawner.env_keep = ['WITH_IT']
c.Spawner.mem_limit = '2G'
c.Spawner.args = ['--an-argument']",
    );
    let told = start_server(&machine).await;
    let home = machine.path("home/alice").display().to_string();
    for (name, value) in [
        ("GREETING", "hello"),
        ("JUPYTERHUB_DEFAULT_URL", "/lab/tree/alice"),
        ("JUPYTERHUB_ROOT_DIR", "~/alice"),
        ("WITH_IT", "kept"),
        ("MEM_LIMIT", "2147483648"),
        ("USER", "alice"),
        ("HOME", &home),
        ("PWD", &home),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
    assert!(told["CONFIGPROXY_AUTH_TOKEN"].is_null() && told["JPY_COOKIE_SECRET"].is_null());
}

#[tokio::test]
async fn a_server_outlives_a_hub_that_is_killed_and_ends_with_one_that_ends() {
    let machine = Machine::new();
    let hub = machine.start("");
    let before = start_server(&machine).await;
    hub.kill();
    assert!(is_alive(pid(&before)));
    let hub = machine.start("");
    eventually("the server is taken up", async || server(&machine, "alice").await["ready"] == Value::Bool(true)).await;
    assert_eq!(told(&machine).await["PID"], before["PID"]);
    assert!(hub.stop().success());
    wait_until("the server ends with the hub", || !is_alive(pid(&before)));
}

#[tokio::test]
async fn cleanup_servers_false_leaves_servers_to_the_next_hub_which_can_stop_them() {
    let machine = Machine::new();
    let settings = "c.JupyterHub.cleanup_servers = False";
    let hub = machine.start(settings);
    let before = start_server(&machine).await;
    assert!(hub.stop().success());
    assert!(is_alive(pid(&before)));
    let _hub = machine.start(settings);
    eventually("the server is taken up", async || server(&machine, "alice").await["ready"] == Value::Bool(true)).await;
    assert_eq!(told(&machine).await["PID"], before["PID"]);
    let stopped = tokio::time::timeout(PATIENCE, machine.api(Method::DELETE, "users/alice/server").send()).await;
    assert!(stopped.unwrap().unwrap().status().is_success());
    wait_until("the server ends", || !is_alive(pid(&before)));
    eventually("the hub knows", async || server(&machine, "alice").await.is_null()).await;
}

#[tokio::test]
async fn a_server_that_ends_under_a_hub_that_did_not_start_it_is_noticed() {
    let machine = Machine::new();
    let hub = machine.start("");
    let before = start_server(&machine).await;
    hub.kill();
    let _hub = machine.start("");
    eventually("the server is taken up", async || server(&machine, "alice").await["ready"] == Value::Bool(true)).await;
    crate::machine::kill(pid(&before));
    eventually("its end is noticed", async || server(&machine, "alice").await.is_null()).await;
}

#[tokio::test]
async fn who_is_no_user_of_this_machine_gets_no_server_and_hears_why() {
    let machine = Machine::new();
    let _hub = machine.start("c.JupyterHub.spawner_class = 'localprocess'");
    machine.api(Method::POST, "users/nobody-has-this-name").send().await.unwrap();
    machine.api(Method::POST, "users/nobody-has-this-name/server").send().await.unwrap();
    eventually("it is said", async || machine.log().contains("this machine has no user nobody-has-this-name")).await;
}
