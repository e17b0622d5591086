//! `hub backup` and `hub restore`: copies of the database, without stopping the hub.

use anyhow::Context;
use hub_crds::names::path::CONTROL_SOCKET;
use std::{
    fs::OpenOptions,
    io::{self, IsTerminal},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::{
    control::{ask_for_backup, ask_to_restore},
    database::{Database, Incoming},
};

/// Copies the database of a running hub.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl exec deploy/jhub-hub -- hub backup - > jupyterhub.sqlite
  hub backup today.sqlite --socket ~/.local/share/jupyter-hub/control/hub.sock    for `hub local`
  hub backup today.sqlite --database jupyterhub.sqlite                            while no hub runs

The copy is of one moment, and JupyterHub can use it, too. It holds hashes of tokens and no secret of the hub's: keep the
Secrets as well (`kubectl get secret -o yaml`), without which everybody has to log in again. PostgreSQL has pg_dump.
Exit codes: 0 copied, 1 no hub answers, or the database can't be copied, 2 wrong usage.")]
pub struct Backup {
    /// Where the copy goes; `-` is the standard output. A file that is there is not replaced
    file: PathBuf,
    #[command(flatten)]
    source: Source,
}

/// Puts a copy in the place of the database.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl exec -i deploy/jhub-hub -- hub restore - < jupyterhub.sqlite
  hub restore today.sqlite --database jupyterhub.sqlite    while no hub runs

The copy is checked first; one that is not whole, or of another version, changes nothing. A hub that runs then ends and, in a
cluster, starts again at once with the copy; servers that run go on as far as the copy knows them. What was there before stays
beside it as jupyterhub.sqlite.before-restore.
Exit codes: 0 restored, 1 refused, or no hub answers, 2 wrong usage.")]
pub struct Restore {
    /// The copy; `-` is the standard input
    file: PathBuf,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Args)]
struct Source {
    /// Where the hub listens for commands
    #[arg(long, env = "HUB_CONTROL_SOCKET", default_value = CONTROL_SOCKET, value_name = "PATH")]
    socket: PathBuf,
    /// The database's file, if no hub uses it
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    database: Option<PathBuf>,
}

impl Backup {
    pub async fn run(self) -> anyhow::Result<()> {
        let mut to = self.output()?;
        let copied = match &self.source.database {
            Some(database) => copy_closed(database, &mut to).await,
            None => ask_for_backup(&self.source.socket, &mut to).await,
        };
        if copied.is_err() && !is_standard(&self.file) {
            tokio::fs::remove_file(&self.file).await.ok();
        }
        let bytes = copied?;
        eprintln!("{bytes} bytes were copied.");
        Ok(())
    }

    fn output(&self) -> anyhow::Result<Box<dyn AsyncWrite + Send + Unpin>> {
        if is_standard(&self.file) {
            anyhow::ensure!(!io::stdout().is_terminal(), "a database on a terminal is of no use; name a file");
            return Ok(Box::new(tokio::io::stdout()));
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file);
        let file = file.with_context(|| format!("failed to make {}", self.file.display()))?;
        Ok(Box::new(tokio::fs::File::from_std(file)))
    }
}

async fn copy_closed(database: &Path, to: &mut (impl AsyncWrite + Unpin)) -> anyhow::Result<u64> {
    anyhow::ensure!(database.is_file(), "there is no database {}", database.display());
    let copy = Database::back_up_closed(database).await?;
    let bytes = tokio::io::copy(&mut tokio::fs::File::from_std(copy), to).await?;
    to.flush().await?;
    Ok(bytes)
}

impl Restore {
    pub async fn run(self) -> anyhow::Result<()> {
        let from = self.input().await?;
        match &self.source.database {
            Some(database) => {
                restore_closed(database, from).await?;
                eprintln!("The next hub starts with it.");
            }
            None => {
                ask_to_restore(&self.source.socket, from).await?;
                eprintln!("The hub ends, and starts again with it; where nothing starts it again, start it yourself.");
            }
        }
        Ok(())
    }

    async fn input(&self) -> anyhow::Result<Box<dyn AsyncRead + Send + Sync + Unpin>> {
        if is_standard(&self.file) {
            return Ok(Box::new(tokio::io::stdin()));
        }
        let file = tokio::fs::File::open(&self.file).await;
        Ok(Box::new(file.with_context(|| format!("failed to read {}", self.file.display()))?))
    }
}

async fn restore_closed(database: &Path, mut from: impl AsyncRead + Unpin) -> anyhow::Result<()> {
    let incoming = Incoming::beside(database);
    tokio::io::copy(&mut from, &mut tokio::fs::File::from_std(incoming.create()?)).await?;
    incoming.accept().await?;
    Ok(incoming.take_up_now()?)
}

fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}
