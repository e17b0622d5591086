//! `hub server list`: which servers run (S14).

use clap::Args;
use hub_traitlets::jupyter::Environment;

use crate::running::{self, ServerInfo};

/// List the running servers of this user, with address, token and directory
///
/// An address with a token logs in whoever pastes it. Where a hub runs, it is listed with its users' servers: theirs are
/// without a token, since people log in at the hub.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hub server list
  hub server list --jsonlist
  kubectl exec deploy/jhub-hub -- hub server list     the hub and its users' servers
  hub server list --socket ~/.local/share/jupyter-hub/control/hub.sock     of `hub local`

Exit codes: 0 listed (also if nothing runs), 1 a hub did not answer as it should, 2 wrong usage.")]
pub struct List {
    /// Print one JSON object for each server
    #[arg(long, conflicts_with = "jsonlist")]
    json: bool,
    /// Print a JSON list
    #[arg(long)]
    jsonlist: bool,
}

impl List {
    /// Prints those of a hub, and then those that noted themselves in Jupyter's runtime directory.
    ///
    /// # Errors
    /// The runtime directory can't be read.
    pub fn run(&self, of_hub: Vec<ServerInfo>) -> anyhow::Result<()> {
        let noted = running::list(&Environment::current().runtime_dir())?;
        print!("{}", self.text(&[of_hub, noted].concat())?);
        Ok(())
    }

    fn text(&self, servers: &[ServerInfo]) -> serde_json::Result<String> {
        if self.jsonlist {
            return Ok(serde_json::to_string_pretty(servers)? + "\n");
        }
        let lines: Result<Vec<_>, _> = match self.json {
            true => servers.iter().map(serde_json::to_string).collect(),
            false => Ok(servers.iter().map(ServerInfo::line).collect()),
        };
        let heading = if self.json { "" } else { "Currently running servers:\n" };
        Ok(lines?.iter().fold(heading.to_owned(), |text, line| text + line + "\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, token: &str, root_dir: &str) -> ServerInfo {
        let (url, token, root_dir) = (url.to_owned(), token.to_owned(), root_dir.to_owned());
        ServerInfo { url, token, root_dir, ..ServerInfo::default() }
    }

    /// The three lines of the page.
    #[test]
    fn the_list_is_written_as_on_the_page_s14_s15_s17() {
        let servers = [
            server("http://localhost:8888/", "abc", "/home/you/notebooks"),
            server("https://0.0.0.0:9999/", "123", "/tmp/public"),
            server("http://localhost:8889/", "", "/tmp/has-password"),
        ];
        let list = |json, jsonlist, servers: &[ServerInfo]| List { json, jsonlist }.text(servers).unwrap();
        assert_eq!(
            list(false, false, &servers),
            "Currently running servers:\n\
             http://localhost:8888/?token=abc :: /home/you/notebooks\n\
             https://0.0.0.0:9999/?token=123 :: /tmp/public\n\
             http://localhost:8889/ :: /tmp/has-password\n"
        );
        assert_eq!(
            (list(false, false, &[]).as_str(), list(true, false, &[]).as_str()),
            ("Currently running servers:\n", "")
        );
        let lines: Vec<ServerInfo> =
            list(true, false, &servers).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let whole: Vec<ServerInfo> = serde_json::from_str(&list(false, true, &servers)).unwrap();
        assert_eq!((lines.as_slice(), whole.as_slice()), (servers.as_slice(), servers.as_slice()));
    }
}
