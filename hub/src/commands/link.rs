//! `hub link`: lets somebody in without a password or token of their own.

use hub_crds::names::path::CONTROL_SOCKET;
use jiff::SignedDuration;
use std::path::PathBuf;

use crate::{
    control::ask_for_link,
    login_links::{LONGEST, Link, Wish},
};

/// Makes a login link that works once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl exec deploy/jhub-hub -- hub link
  hub link --user alice --expires 1h
  hub link --socket ~/.local/share/jupyter-hub/control/hub.sock    for `hub local`

The link is printed, and nothing else on the standard output. Whoever opens it first is logged in; it must stay with whom it
is for. `hub token revoke --user alice` ends links of alice that were not used yet.
Exit codes: 0 made, 1 no hub answers, or the user may not log in, 2 wrong usage.")]
pub struct MakeLink {
    /// Whom it logs in [default: the only one, or the only administrator, whom the settings name]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// How long it can be used, such as 90s, 10m or 2h: a week at most
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_expiry)]
    expires: SignedDuration,
    /// Where the hub listens for commands
    #[arg(long, env = "HUB_CONTROL_SOCKET", default_value = CONTROL_SOCKET, value_name = "PATH")]
    socket: PathBuf,
}

impl MakeLink {
    pub async fn run(self) -> anyhow::Result<()> {
        let wish = Wish { user: self.user, seconds: self.expires.as_secs() };
        let Link { url, forward, user, expires_at } = ask_for_link(&self.socket, &wish).await?;
        println!("{url}");
        eprintln!("It logs {user} in, once, until {expires_at:.0}.");
        if let Some(command) = forward {
            eprintln!("It leads to the hub as long as this runs:\n    {command}");
        }
        Ok(())
    }
}

fn parse_expiry(text: &str) -> Result<SignedDuration, String> {
    let wanted = "write 90s, 10m or 2h for example, and at most a week";
    let time: SignedDuration = text.parse().map_err(|error| format!("{error}; {wanted}"))?;
    if time.as_secs() < 1 || time > LONGEST { Err(wanted.to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("2h", 7200), ("1h 30m", 5400), ("168h", 604_800)] {
            assert_eq!(parse_expiry(text).unwrap().as_secs(), seconds, "{text}");
        }
        for bad in ["", "10", "0s", "500ms", "-10m", "169h", "soon", "9999999999999999h"] {
            assert!(parse_expiry(bad).unwrap_err().contains("10m"), "{bad}");
        }
    }
}
