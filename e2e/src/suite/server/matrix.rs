//! The same requests to the real Jupyter Server and to `hub server`: what answers differ must stand in a table of
//! differences that the requirements want.
//!
//! A cell is one request of one visitor: what the server was told to ask for ([`Mode`]), what the visitor has
//! ([`Proof`]), and what is asked ([`requests::Request`]). Every visitor has an address of its own, so that a limit on
//! failures disturbs no other cell.

mod differences;
mod outcome;
mod requests;
mod visitor;

use anyhow::{Context, Result, bail, ensure};

use self::{
    differences::{WANTED, Wanted},
    outcome::Outcome,
    requests::{LOGINS, Login, REQUESTS, Request},
    visitor::{Proof, Visitor},
};
use crate::{
    jupyter_server::{Home, JupyterServer, Side, is_generated},
    servers::Servers,
};

const TOKEN: &str = "the-token-that-was-given";
const PASSWORD: &str = "correct horse";
/// Of [`PASSWORD`], made by `jupyter_server.auth.passwd` with less memory, so that the tests are not about argon2.
const HASH: &str =
    "argon2:$argon2id$v=19$m=64,t=1,p=1$8/0qZhvKV/zRxe+jV/AmBQ$KxPnTvhcltLUE89InNq3nbMrGjGdu67UG+5hKmCD95Y";

/// What a server asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Generated,
    Given,
    Password,
    Both,
    Nothing,
    /// The token, of anyone who comes by any name, and from another site.
    Wide,
}

impl Mode {
    fn args(self) -> Vec<String> {
        let token = |token: &str| format!("--IdentityProvider.token={token}");
        let password = |hash: &str| format!("--PasswordIdentityProvider.hashed_password={hash}");
        match self {
            Self::Generated => vec![],
            Self::Given => vec![token(TOKEN)],
            Self::Password => vec![password(HASH)],
            Self::Both => vec![token(TOKEN), password(HASH)],
            Self::Nothing => vec![token(""), password("")],
            Self::Wide => vec![
                token(TOKEN),
                format!("--ServerApp.allow_origin={}", requests::FOREIGN),
                "--ServerApp.allow_remote_access=True".to_owned(),
            ],
        }
    }
}

/// One request of one visitor.
#[derive(Clone, Copy, Debug)]
struct Cell {
    mode: Mode,
    proof: Proof,
    ask: Ask,
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Request(&'static Request),
    Login(&'static Login),
}

impl std::fmt::Display for Cell {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ask {
            Ask::Request(request) => write!(out, "{} {}", request.name, self.proof),
            Ask::Login(login) => write!(out, "login {} {}", login.name, self.proof),
        }
    }
}

pub(super) async fn a_generated_token_guards_everything_s2_s4_s8(servers: &Servers) -> Result<()> {
    compare(servers, Mode::Generated).await
}

pub(super) async fn a_given_token_guards_everything_s1_s4(servers: &Servers) -> Result<()> {
    compare(servers, Mode::Given).await
}

pub(super) async fn a_password_guards_everything_and_no_token_does_s3_s20(servers: &Servers) -> Result<()> {
    compare(servers, Mode::Password).await
}

pub(super) async fn a_password_and_a_token_each_open_everything_s20(servers: &Servers) -> Result<()> {
    compare(servers, Mode::Both).await
}

pub(super) async fn an_empty_token_and_an_empty_password_open_everything_s24(servers: &Servers) -> Result<()> {
    compare(servers, Mode::Nothing).await
}

/// `allow_origin` and `allow_remote_access` open what they name.
pub(super) async fn other_sites_and_names_may_be_allowed_s4(servers: &Servers) -> Result<()> {
    compare(servers, Mode::Wide).await
}

/// Asks both sides for every cell of a mode, and judges the answers.
async fn compare(servers: &Servers, mode: Mode) -> Result<()> {
    let (real, ours) = tokio::try_join!(ask(servers, Side::Real, mode), ask(servers, Side::Ours, mode))?;
    let mut judged = Judged::default();
    for ((cell, real), (_, ours)) in real.iter().zip(&ours) {
        judged.cell(cell, real, ours);
    }
    judged.verdict(real.len())
}

/// Every cell's outcome on one side, always in the same order.
async fn ask(servers: &Servers, side: Side, mode: Mode) -> Result<Vec<(Cell, Outcome)>> {
    let home = Home::new()?;
    std::fs::write(home.notebooks().join("notes.txt"), "kept")?;
    let args = mode.args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let server = servers.start(side, &home, &args, &[]).await?;
    let outcomes = ask_all(&server, mode).await;
    match outcomes {
        Ok(outcomes) => server.stop().await.map(|()| outcomes),
        Err(error) => Err(error.context(format!("{side:?}, whose last words are\n{}", server.last_words()))),
    }
}

async fn ask_all(server: &JupyterServer, mode: Mode) -> Result<Vec<(Cell, Outcome)>> {
    let token = if mode == Mode::Generated { server.token().to_owned() } else { TOKEN.to_owned() };
    ensure!(mode != Mode::Generated || is_generated(&token), "the generated token is `{token}`");
    let mut outcomes = Vec::new();
    for proof in Proof::all(mode) {
        let visitor = Visitor::arrives(server, mode, &token, proof).await.with_context(|| proof.to_string())?;
        for request in REQUESTS {
            let cell = Cell { mode, proof, ask: Ask::Request(request) };
            outcomes.push((cell, visitor.asks(request).await.with_context(|| cell.to_string())?));
        }
    }
    if mode == Mode::Nothing {
        return Ok(outcomes); // there is no form
    }
    for proof in Proof::typed() {
        let visitor = Visitor::arrives(server, mode, &token, proof).await.with_context(|| proof.to_string())?;
        for login in LOGINS {
            let cell = Cell { mode, proof, ask: Ask::Login(login) };
            outcomes.push((cell, visitor.logs_in(login).await.with_context(|| cell.to_string())?));
        }
    }
    Ok(outcomes)
}

/// What the comparison came to.
#[derive(Default)]
struct Judged {
    unwanted: Vec<String>,
    outdated: Vec<String>,
}

impl Judged {
    fn cell(&mut self, cell: &Cell, real: &Outcome, ours: &Outcome) {
        let mut expected = real.clone();
        for Wanted { reason, change, .. } in WANTED.iter().filter(|wanted| (wanted.holds)(cell, real)) {
            let before = expected.clone();
            change(cell, &mut expected);
            if before == expected {
                self.outdated.push(format!("{cell}: `{reason}` makes no difference to {before}"));
            }
        }
        if *ours != expected {
            self.unwanted.push(format!("{cell}\n    real     {real}\n    expected {expected}\n    ours     {ours}"));
        }
    }

    fn verdict(self, cells: usize) -> Result<()> {
        if self.unwanted.is_empty() && self.outdated.is_empty() {
            return Ok(());
        }
        bail!(
            "of {cells} answers {} differ, and {} entries of the table of differences are none any more\n{}\n{}",
            self.unwanted.len(),
            self.outdated.len(),
            self.unwanted.join("\n"),
            self.outdated.join("\n")
        )
    }
}
