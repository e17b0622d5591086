//! `hub token`: what an administrator does with everybody's tokens.

use hub_crds::names::path::CONTROL_SOCKET;
use std::path::PathBuf;

use crate::{control::ask_to_revoke, database::RevokedCounts, revocation::Whose};

/// Revokes tokens of a running hub.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl exec deploy/jhub-hub -- hub token revoke --all
  hub token revoke --user alice
  hub token revoke --service grader
  hub token revoke --all --socket ~/.local/share/jupyter-hub/control/hub.sock    for `hub local`

Exit codes: 0 revoked (also if there was nothing), 1 no hub answers, or there is no such user or service, 2 wrong usage.")]
pub struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TokenCommand {
    Revoke(Revoke),
}

/// End tokens at once, and print how many
///
/// People log in again; programs need new tokens. Servers whose own token ends have to be started anew. Tokens that stand
/// in the settings come back: change them there first.
#[derive(Debug, clap::Args)]
struct Revoke {
    #[command(flatten)]
    whose: WhoseArgs,
    /// Where the hub listens for commands
    #[arg(long, env = "HUB_CONTROL_SOCKET", default_value = CONTROL_SOCKET, value_name = "PATH")]
    socket: PathBuf,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct WhoseArgs {
    /// Tokens of all users, servers and services
    #[arg(long)]
    all: bool,
    /// Tokens of one user, those of the user's servers and browser sessions among them
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Tokens of one service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

impl WhoseArgs {
    fn whose(self) -> Whose {
        match (self.user, self.service) {
            (Some(name), _) => Whose::User(name),
            (_, Some(name)) => Whose::Service(name),
            (None, None) => Whose::All,
        }
    }
}

impl Token {
    pub async fn run(self) -> anyhow::Result<()> {
        let TokenCommand::Revoke(Revoke { whose, socket }) = self.command;
        let RevokedCounts { users, services, sessions, servers, links } =
            ask_to_revoke(&socket, &whose.whose()).await?;
        println!("revoked {} tokens: {users} of users, {services} of services", users + services);
        println!("among those of users: {sessions} of browser sessions, {servers} of servers");
        if links > 0 {
            println!("login links that were not used yet: {links}");
        }
        if servers > 0 {
            println!("servers that run have to be started anew");
        }
        Ok(())
    }
}
