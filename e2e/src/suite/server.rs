//! The table of tests that put `hub server` beside the real Jupyter Server, on this machine. Each is an
//! `async fn(&Servers) -> anyhow::Result<()>` in a module below, with directories of its own. No program is patched.

use std::time::Duration;

use super::Test;
use crate::servers::Servers;

mod matrix;

/// Every test of the server, in the order in which they start.
pub fn tests() -> Vec<Test<Servers>> {
    vec![
        test!(matrix::a_generated_token_guards_everything_s2_s4_s8, 120),
        test!(matrix::a_given_token_guards_everything_s1_s4, 120),
        test!(matrix::a_password_guards_everything_and_no_token_does_s3_s20, 120),
        test!(matrix::a_password_and_a_token_each_open_everything_s20, 120),
        test!(matrix::an_empty_token_and_an_empty_password_open_everything_s24, 120),
    ]
}
