//! A port for a program that is to be told one before it listens.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
};

/// Where the kernel begins to take ports for connections and for who asks for any, unless it says otherwise.
const EPHEMERAL: u16 = 32768;
/// How many ports below that are ours to choose from, and how often we choose.
const CHOICE: u16 = 16000;
const TRIES: usize = 100;

/// A port of the loopback interface that is free now, chosen where the kernel gives none to others: between this and the
/// program's own bind, a connection of anybody would otherwise take it now and then. Another program still could.
///
/// # Errors
/// No port is free.
pub fn free_port() -> io::Result<u16> {
    let end = first_ephemeral().unwrap_or(EPHEMERAL).max(CHOICE + 1024);
    let chosen = (0..TRIES).map(|_| end - 1 - rand::random_range(0..CHOICE));
    let mut free = chosen.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    match free.next() {
        Some(port) => Ok(port),
        None => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port()),
    }
}

/// The lower end of what the kernel takes from, where it tells.
fn first_ephemeral() -> Option<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_none_that_the_kernel_would_give_away() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port().unwrap())).unwrap();
        for _ in 0..50 {
            let port = free_port().unwrap();
            assert!(port < first_ephemeral().unwrap_or(EPHEMERAL), "{port}");
            assert_ne!(port, taken.local_addr().unwrap().port());
        }
    }
}
