//! Servers that JupyterHub started and left running. Its notes hold a process number alone, which may be another program's by
//! now; whether it is the server, the process's own environment says.

use hub_server::Group;
use serde_json::Value;
use std::{collections::HashMap, fs};
use url::Url;

use crate::spawner::ServerName;

/// The process, and the port that it listens on; `None` if there is no such server.
pub(super) fn find(name: &ServerName, state: &Value) -> Option<(Group, u16)> {
    let pid = i32::try_from(state.get("pid")?.as_i64()?).ok()?;
    let port = port_of(name, &fs::read(format!("/proc/{pid}/environ")).ok()?)?;
    Some((Group::of_leader(pid)?, port))
}

fn port_of(name: &ServerName, environment: &[u8]) -> Option<u16> {
    let variables: HashMap<_, _> = environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| std::str::from_utf8(variable).ok()?.split_once('='))
        .collect();
    let is = |variable: &str, value: &str| variables.get(variable).is_some_and(|found| *found == value);
    let is_the_server = is("JUPYTERHUB_USER", &name.user) && is("JUPYTERHUB_SERVER_NAME", &name.server);
    let url = variables.get("JUPYTERHUB_SERVICE_URL").filter(|_| is_the_server)?;
    Url::parse(url).ok()?.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_the_server_if_it_was_told_so() {
        let ada = ServerName { user: "ada".to_owned(), server: String::new() };
        let port = |environment: &str| port_of(&ada, environment.replace(' ', "\0").as_bytes());
        let url = "JUPYTERHUB_SERVICE_URL=http://127.0.0.1:4711/user/ada/";
        assert_eq!(port(&format!("PATH=/bin JUPYTERHUB_USER=ada JUPYTERHUB_SERVER_NAME= {url}")), Some(4711));
        for other in [
            "PATH=/bin".to_owned(),
            format!("JUPYTERHUB_USER=eve JUPYTERHUB_SERVER_NAME= {url}"),
            format!("JUPYTERHUB_USER=ada JUPYTERHUB_SERVER_NAME=lab {url}"),
            format!("JUPYTERHUB_USER=ada {url}"),
            "JUPYTERHUB_USER=ada JUPYTERHUB_SERVER_NAME= JUPYTERHUB_SERVICE_URL=x".to_owned(),
        ] {
            assert_eq!(port(&other), None, "{other}");
        }
    }
}
