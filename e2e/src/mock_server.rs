//! A server that a benchmark has a thousand of: it listens a second after its start, and answers everything with 200.

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread::{sleep, spawn},
    time::Duration,
};

use anyhow::{Context, Result};
use reqwest::Url;

/// What [`command`] gives this program to tell it that it is one.
const WORD: &str = "mock-server";
const READY_AFTER: Duration = Duration::from_secs(1);
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";

/// The command that runs one.
pub(crate) fn command() -> Result<[String; 2]> {
    let program = env::current_exe().context("failed to find this program")?;
    Ok([program.display().to_string(), WORD.to_owned()])
}

/// Runs as one, if that is what this process was started for, until it is killed.
pub fn run_if_asked() {
    if env::args().nth(1).as_deref() == Some(WORD) {
        sleep(READY_AFTER);
        if let Err(error) = serve() {
            eprintln!("error: {error:#}");
        }
        std::process::exit(1);
    }
}

fn serve() -> Result<()> {
    let url: Url = env::var("JUPYTERHUB_SERVICE_URL").context("no JUPYTERHUB_SERVICE_URL")?.parse()?;
    let port = url.port().context("no port in JUPYTERHUB_SERVICE_URL")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    for stream in listener.incoming().flatten() {
        spawn(move || answer(stream));
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    // Requests of a hub that looks for a server have no body, and come in one piece.
    let _ = stream.read(&mut [0; 4096])?;
    stream.write_all(ANSWER)
}
