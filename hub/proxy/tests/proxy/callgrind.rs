//! What a request costs in instructions, which is the same on a busy machine: `VALGRIND` names the program that counts them.

use std::path::Path;
use std::process::Command;

use crate::backend::{Backend, ok};
use crate::harness::{Client, get};
use crate::process::{Process, set_up};

/// 40,130 were measured in the profile of the tests, of which runs differ by 0.1 %; and 4 % more. Who makes requests cheaper lowers it.
const MOST: u64 = 41_700;
const FEW: u64 = 500;
const MANY: u64 = 2_500;

/// A request of a browser's size and its answer, both connections kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_request_takes_few_instructions() {
    let Some(valgrind) = std::env::var_os("VALGRIND") else {
        return println!("skipped: VALGRIND does not name valgrind");
    };
    // What starting and stopping takes is in both.
    let (few, many) = tokio::join!(instructions(valgrind.as_ref(), FEW), instructions(valgrind.as_ref(), MANY));
    let each = (many - few) / (MANY - FEW);
    println!("{each} instructions for each request");
    assert!(each <= MOST, "{each} instructions for each request, more than {MOST}");
}

/// The instructions of a proxy from its start to its end, with so many requests in between.
async fn instructions(valgrind: &Path, requests: u64) -> u64 {
    let backend = Backend::fixed(ok("hello")).await;
    let directory = tempfile::tempdir().unwrap();
    let counts = directory.path().join("counts");
    let mut command = Command::new("taskset");
    // One worker, whatever the machine has: how often workers wake each other is no matter of the code.
    command.args(["-c", "0"]).arg(valgrind).args(["--tool=callgrind", "--vgdb=no"]);
    command.arg(format!("--callgrind-out-file={}", counts.display())).arg(env!("CARGO_BIN_EXE_hub-proxy"));
    let mut process = Process::run(set_up(command, &["--grace-period", "1"]));
    assert_eq!(process.post("/user/a", backend.address, "").await, 201);
    let mut client = Client::connect(process.public).await;
    for _ in 0..requests {
        client.send(get("/user/a/api/status")).await;
        assert_eq!(client.answer(false).await.unwrap().status, 200);
    }
    drop(client);
    process.signal("TERM");
    tokio::task::block_in_place(|| process.child.wait()).unwrap();
    let text = std::fs::read_to_string(&counts).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap_or_else(|| panic!("no totals"));
    total.trim().parse().unwrap()
}
