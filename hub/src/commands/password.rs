//! `hub password`: what an administrator does with passwords of users.

use anyhow::Context;
use hub_auth::password;
use hub_crds::names::path::CONTROL_SOCKET;
use std::{
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use crate::{control::ask_to_set_password, passwords::PasswordWish};

/// Hashes a password, or sets a user's.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The password comes from the standard input, so that it is in no list of processes and no shell's history; its newline at the
end does not count.

Examples:
  hub password hash < password.txt
  kubectl exec -it deploy/jhub-hub -- hub password set alice
  kubectl create secret generic jhub-passwords --from-literal alice=\"$(hub password hash < alice.txt)\"

Exit codes: 0 done, 1 no hub answers, it refuses, or there is no password, 2 wrong usage.")]
pub struct Password {
    #[command(subcommand)]
    command: PasswordCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PasswordCommand {
    /// Print the hash of a password, as the Secret of spec.auth.password.usersSecretRef has it
    Hash,
    /// Set a user's password; the user is logged out everywhere
    Set(Set),
}

#[derive(Debug, clap::Args)]
struct Set {
    /// The user
    #[arg(value_name = "NAME")]
    user: String,
    /// Where the hub listens for commands
    #[arg(long, env = "HUB_CONTROL_SOCKET", default_value = CONTROL_SOCKET, value_name = "PATH")]
    socket: PathBuf,
}

impl Password {
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            PasswordCommand::Hash => println!("{}", password::phc(&read()?, rand::random())),
            PasswordCommand::Set(Set { user, socket }) => {
                let wish = PasswordWish { user, password: read()? };
                ask_to_set_password(&socket, &wish).await?;
                println!("set the password of {}", wish.user);
            }
        }
        Ok(())
    }
}

/// The password, asked for if somebody types.
fn read() -> anyhow::Result<String> {
    let password = if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ").context("failed to ask for a password")?;
        let again = rpassword::prompt_password("The same again: ").context("failed to ask for a password")?;
        anyhow::ensure!(password == again, "the two passwords differ");
        password
    } else {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("failed to read the password from the standard input")?;
        text.strip_suffix('\n').map_or(text.clone(), |line| line.strip_suffix('\r').unwrap_or(line).to_owned())
    };
    anyhow::ensure!(!password.is_empty(), "the password is empty");
    Ok(password)
}
