//! `hub rotate` and `hub reset`: new secrets, without or with everybody's logout.

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use hub_crds::{
    names::{
        path::CONTROL_SOCKET,
        secret_key::{COOKIE_SECRET, CRYPT_KEYS, PROXY_TOKEN},
    },
    report::{ALL, SESSIONS, Wish},
    versions::Versions,
};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    control::{ask_for_standing, ask_to_change_secrets},
    rotation::{Outcome, SECRETS, Standing},
};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Mounted Secrets may lag by two minutes, and the operator waits for each pod.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Puts a new secret in the place of an old one, without logging anybody out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl exec deploy/jhub-hub -- hub rotate cookie-secret
  kubectl exec deploy/jhub-hub -- hub rotate proxy-token --no-wait
  hub rotate cookie-secret --socket ~/.local/share/jupyter-hub/control/hub.sock    for `hub local`

The new value is published first, then used, and the old one is accepted until its time is over: as long as a login,
five minutes for the proxy's token. No pod restarts. To make the old value void at once, use `hub reset`.
Exit codes: 0 in use (with --no-wait: asked for), 1 refused, or not in use after a quarter of an hour, 2 wrong usage.")]
pub struct Rotate {
    /// Which secret
    #[arg(value_parser = PossibleValuesParser::new(SECRETS))]
    secret: String,
    #[command(flatten)]
    progress: Progress,
}

/// Makes old secrets void at once, and ends what was made with them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl exec -it deploy/jhub-hub -- hub reset sessions
  kubectl exec deploy/jhub-hub -- hub reset all --yes

  sessions       everybody has to log in again; the secrets stay
  cookie-secret  the same, with a new secret: if the old one may be known to somebody
  proxy-token    a new token of the proxy; nobody is logged out
  crypt-keys     new keys; what is encrypted with the old ones can be read no more
  all            new secrets; every session and every API token ends, and servers that run have to be started anew

Exit codes: 0 done (with --no-wait: asked for), 1 refused, or not done after a quarter of an hour, 2 wrong usage.")]
pub struct Reset {
    /// What to reset
    #[arg(value_parser = PossibleValuesParser::new([COOKIE_SECRET, PROXY_TOKEN, CRYPT_KEYS, SESSIONS, ALL]))]
    what: String,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    progress: Progress,
}

#[derive(Debug, clap::Args)]
struct Progress {
    /// Don't wait until it is done
    #[arg(long)]
    no_wait: bool,
    /// Where the hub listens for commands
    #[arg(long, env = "HUB_CONTROL_SOCKET", default_value = CONTROL_SOCKET, value_name = "PATH")]
    socket: PathBuf,
}

impl Rotate {
    pub async fn run(self) -> anyhow::Result<()> {
        self.progress.carry_out(&Wish::Rotate(self.secret)).await
    }
}

impl Reset {
    pub async fn run(self) -> anyhow::Result<()> {
        if !self.yes {
            confirm(&self.what)?;
        }
        self.progress.carry_out(&Wish::Reset(self.what)).await
    }
}

fn confirm(what: &str) -> anyhow::Result<()> {
    let stdin = io::stdin();
    anyhow::ensure!(stdin.is_terminal(), "`hub reset {what}` can't be taken back; give --yes if you mean it");
    eprint!("This can't be taken back: {}. Write `yes` to go on: ", effect(what));
    io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    anyhow::ensure!(answer.trim() == "yes", "nothing was reset");
    Ok(())
}

fn effect(what: &str) -> &'static str {
    match what {
        PROXY_TOKEN => "the old token of the proxy is void at once",
        CRYPT_KEYS => "what is encrypted with the old keys can be read no more",
        ALL => "everybody is logged out, every API token ends, and servers that run have to be started anew",
        _ => "everybody is logged out",
    }
}

impl Progress {
    async fn carry_out(&self, wish: &Wish) -> anyhow::Result<()> {
        let before = ask_for_standing(&self.socket).await?;
        match ask_to_change_secrets(&self.socket, wish).await? {
            Outcome::Done => {
                println!("{}", done(wish));
                Ok(())
            }
            Outcome::Asked { watch } if self.no_wait => {
                println!("the operator was asked to; see how it stands with\n    {watch}");
                Ok(())
            }
            Outcome::Asked { watch } => follow(&self.socket, wish, &before)
                .await
                .with_context(|| format!("see how it stands with\n    {watch}")),
        }
    }
}

fn done(wish: &Wish) -> String {
    match wish {
        Wish::Rotate(secret) => {
            format!("{secret}: a new version is in use; the one before is accepted until its time is over")
        }
        Wish::Reset(what) => format!("{what}: reset"),
    }
}

/// Shows how it goes until the hub has the new state.
async fn follow(socket: &Path, wish: &Wish, before: &Standing) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut shown = String::new();
    eprintln!("the operator was asked to");
    while Instant::now() < deadline {
        tokio::time::sleep(LOOK_INTERVAL).await;
        // A pod that rolls for another reason is back soon.
        let Ok(now) = ask_for_standing(socket).await else { continue };
        match progress(wish, before, &now) {
            Step::Done => {
                println!("{}", done(wish));
                return Ok(());
            }
            Step::Published(version) => {
                let line = format!("version {version} is published, and used once every pod has it");
                if line != shown {
                    eprintln!("{line}");
                    shown = line;
                }
            }
            Step::Waiting => {}
        }
    }
    anyhow::bail!("it is not done after {} minutes", PATIENCE.as_secs() / 60)
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Waiting,
    Published(u32),
    Done,
}

/// How far the hub's secrets are on the way from one standing to what was wished for.
fn progress(wish: &Wish, before: &Standing, now: &Standing) -> Step {
    let versions = |standing: &Standing, secret: &str| standing.get(secret).cloned().unwrap_or_else(Versions::first);
    let (Wish::Rotate(secret) | Wish::Reset(secret)) = wish;
    let secret = if matches!(secret.as_str(), SESSIONS | ALL) { COOKIE_SECRET } else { secret };
    let (before, now) = (versions(before, secret), versions(now, secret));
    let is_done = match wish {
        Wish::Reset(what) if what == ALL => now.resets.tokens > before.resets.tokens,
        Wish::Reset(_) if secret == COOKIE_SECRET => now.resets.sessions > before.resets.sessions,
        _ => now.current != before.current,
    };
    let published = now.accepted.last().filter(|last| before.accepted.last() < Some(last));
    match published {
        _ if is_done => Step::Done,
        Some(version) => Step::Published(*version),
        None => Step::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_crds::versions::Resets;

    fn standing(current: u32, accepted: &[u32], sessions: u32, tokens: u32) -> Standing {
        let (accepted, resets) = (accepted.iter().copied().collect(), Resets { sessions, tokens });
        Standing::from([(COOKIE_SECRET.to_owned(), Versions { current, accepted, resets, ..Versions::default() })])
    }

    #[test]
    fn a_rotation_is_done_when_another_version_is_in_use_and_a_reset_when_its_count_grew() {
        let (rotate, reset) = (Wish::Rotate(COOKIE_SECRET.into()), |what: &str| Wish::Reset(what.into()));
        let before = standing(0, &[0], 0, 0);
        for (wish, now, step) in [
            (&rotate, standing(0, &[0], 0, 0), Step::Waiting),
            (&rotate, standing(0, &[0, 1], 0, 0), Step::Published(1)),
            (&rotate, standing(1, &[0, 1], 0, 0), Step::Done),
            (&reset(SESSIONS), standing(0, &[0], 1, 0), Step::Done),
            (&reset(SESSIONS), standing(0, &[0], 0, 0), Step::Waiting),
            (&reset(COOKIE_SECRET), standing(1, &[1], 1, 0), Step::Done),
            (&reset(ALL), standing(1, &[1], 1, 0), Step::Published(1)),
            (&reset(ALL), standing(1, &[1], 1, 1), Step::Done),
        ] {
            assert_eq!(progress(wish, &before, &now), step, "{wish:?} {now:?}");
        }
    }

    #[test]
    fn without_a_terminal_a_reset_must_be_meant() {
        if !io::stdin().is_terminal() {
            assert!(confirm(ALL).unwrap_err().to_string().contains("--yes"));
        }
    }
}
