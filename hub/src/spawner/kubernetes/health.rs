//! What a pod's status says about the server in it. Pure.

use hub_crds::names::port;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use url::Url;

use super::{pod::CONTAINER, server_tls};
use crate::spawner::Health;

/// A server that ended as often as this while it started is not tried again.
const MOST_RESTARTS: i32 = 3;
/// Reasons for waiting that no waiting cures.
const HOPELESS: [&str; 2] = ["InvalidImageName", "ErrImageNeverPull"];

/// How the server in a pod is doing.
pub(super) fn health(pod: &Pod) -> Health {
    if pod.metadata.deletion_timestamp.is_some() {
        return Health::Stopped { reason: "its pod is being deleted".to_owned() };
    }
    let status = pod.status.clone().unwrap_or_default();
    match status.phase.as_deref() {
        Some("Failed" | "Succeeded") => return Health::Stopped { reason: ending(pod) },
        Some("Running") => {}
        _ => return Health::Starting,
    }
    let ready = notebook(pod).is_some_and(|container| container.ready);
    let scheme = if server_tls::name_in(pod).is_some() { "https" } else { "http" };
    match status.pod_ip.as_deref().and_then(|ip| address(scheme, ip)) {
        Some(address) if ready => Health::Running { address },
        _ => Health::Starting,
    }
}

/// What keeps a pod from running, in words for a person.
pub(super) fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.status == "False" && condition.message.is_some()
    });
    if let Some(condition) = unscheduled {
        return Some(format!("no node can take it: {}", condition.message.as_deref().unwrap_or_default()));
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.filter_map(container_trouble).next()
}

/// Why there is no use in waiting any longer.
pub(super) fn hopeless(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?;
    let mut containers = statuses.init_container_statuses.iter().chain(&statuses.container_statuses).flatten();
    let stuck = containers.any(|container| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref()?.reason.clone());
        waiting.is_some_and(|reason| HOPELESS.contains(&reason.as_str())) || container.restart_count >= MOST_RESTARTS
    });
    if stuck { trouble(pod).or_else(|| Some("its container does not start".to_owned())) } else { None }
}

fn container_trouble(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let message = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            Some(format!("image {} cannot be pulled: {reason}: {message}", container.image))
        }
        "" | "ContainerCreating" | "PodInitializing" | "CrashLoopBackOff" => {
            let states = [container.state.as_ref(), container.last_state.as_ref()];
            states.into_iter().flatten().find_map(|state| terminated(&container.name, state))
        }
        _ => Some(format!("container {} waits: {reason}: {message}", container.name)),
    }
}

/// How the server ended.
fn ending(pod: &Pod) -> String {
    let state = notebook(pod).and_then(|container| container.state.as_ref());
    state.and_then(|state| terminated(CONTAINER, state)).unwrap_or_else(|| {
        let status = pod.status.clone().unwrap_or_default();
        let message = status.message.or(status.reason).unwrap_or_else(|| "no reason was given".to_owned());
        format!("its pod ended: {message}")
    })
}

fn terminated(name: &str, state: &ContainerState) -> Option<String> {
    let ended = state.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let message = ended.message.as_deref().map(|message| format!(": {}", message.trim())).unwrap_or_default();
    Some(format!("container {name} ended with exit code {} ({reason}){message}", ended.exit_code))
}

fn notebook(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.iter().flatten().find(|container| container.name == CONTAINER)
}

fn address(scheme: &str, ip: &str) -> Option<Url> {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    format!("{scheme}://{host}:{}", port::NOTEBOOK).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: Value) -> Pod {
        let mut pod = json!({"metadata": {"name": "jupyter-alice"}});
        pod["status"] = status;
        serde_json::from_value(pod).unwrap()
    }

    fn container(state: Value) -> Value {
        let mut status =
            json!({"name": "notebook", "image": "lab:1", "imageID": "", "ready": false, "restartCount": 0});
        status["state"] = state;
        Value::Array(vec![status])
    }

    #[test]
    fn a_server_runs_when_its_container_is_ready_and_has_an_address() {
        let running = |ip: Value, ready: bool| {
            pod(json!({"phase": "Running", "podIP": ip, "containerStatuses": [
                {"name": "notebook", "image": "", "imageID": "", "ready": ready, "restartCount": 0},
                {"name": "side", "image": "", "imageID": "", "ready": false, "restartCount": 0},
            ]}))
        };
        let at = |url: &str| Health::Running { address: url.parse().unwrap() };
        assert_eq!(health(&running(json!("10.244.0.7"), true)), at("http://10.244.0.7:8888"));
        assert_eq!(health(&running(json!("fd00::7"), true)), at("http://[fd00::7]:8888"));
        assert_eq!(health(&running(json!("10.244.0.7"), false)), Health::Starting);
        assert_eq!(health(&running(Value::Null, true)), Health::Starting);
        assert_eq!(health(&pod(json!({"phase": "Pending"}))), Health::Starting);
        let mut encrypted = running(json!("10.244.0.7"), true);
        encrypted.metadata.annotations = Some([("jupyter.rs/tls-name".to_owned(), "x".to_owned())].into());
        assert_eq!(health(&encrypted), at("https://10.244.0.7:8888"));
        let mut going = running(json!("10.244.0.7"), true);
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-23T00:00:00Z")).unwrap();
        assert!(matches!(health(&going), Health::Stopped { .. }));
    }

    #[test]
    fn an_end_has_a_cause() {
        let ended = pod(json!({"phase": "Failed", "containerStatuses": container(
            json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))}));
        let reason = "container notebook ended with exit code 137 (OOMKilled)".to_owned();
        assert_eq!(health(&ended), Health::Stopped { reason });
        let evicted = pod(json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}));
        assert_eq!(
            health(&evicted),
            Health::Stopped { reason: "its pod ended: The node was low on memory.".to_owned() }
        );
    }

    #[test]
    fn trouble_names_its_cause() {
        let waiting = |reason: &str| {
            pod(json!({"phase": "Pending", "containerStatuses": container(
                json!({"waiting": {"reason": reason, "message": "not found"}}))}))
        };
        assert_eq!(trouble(&waiting("ContainerCreating")), None);
        assert_eq!(
            trouble(&waiting("ImagePullBackOff")).unwrap(),
            "image lab:1 cannot be pulled: ImagePullBackOff: not found"
        );
        assert_eq!(hopeless(&waiting("ImagePullBackOff")), None);
        assert!(hopeless(&waiting("InvalidImageName")).is_some());
        assert_eq!(
            trouble(&waiting("CreateContainerConfigError")).unwrap(),
            "container notebook waits: CreateContainerConfigError: not found"
        );
        let unscheduled = pod(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu."}]}));
        assert_eq!(trouble(&unscheduled).unwrap(), "no node can take it: 0/1 nodes: Insufficient cpu.");
        let looping = pod(json!({"phase": "Running", "containerStatuses": [
            {"name": "notebook", "image": "", "imageID": "", "ready": false, "restartCount": 3,
             "state": {"waiting": {"reason": "CrashLoopBackOff"}},
             "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}));
        assert_eq!(hopeless(&looping).unwrap(), "container notebook ended with exit code 1 (Error)");
    }
}
