//! The table of tests that put `hub server` beside the real Jupyter Server, on this machine. Each is an
//! `async fn(&Servers) -> anyhow::Result<()>` in a module below, with directories of its own. No program is patched.

use std::time::Duration;

use super::Test;
use crate::servers::Servers;

mod listing;
mod matrix;
mod password;
mod settings;

/// Every test of the server, in the order in which they start.
pub fn tests() -> Vec<Test<Servers>> {
    vec![
        test!(matrix::a_generated_token_guards_everything_s2_s4_s8, 120),
        test!(matrix::a_given_token_guards_everything_s1_s4, 120),
        test!(matrix::a_password_guards_everything_and_no_token_does_s3_s20, 120),
        test!(matrix::a_password_and_a_token_each_open_everything_s20, 120),
        test!(matrix::an_empty_token_and_an_empty_password_open_everything_s24, 120),
        test!(matrix::other_sites_and_names_may_be_allowed_s4, 120),
        test!(listing::each_side_lists_the_servers_of_both_s14_s15_s17, 120),
        test!(listing::a_listed_address_logs_in_s16_s18, 120),
        test!(listing::each_side_stops_the_servers_of_the_other, 120),
        test!(password::each_side_takes_the_password_that_the_other_set_s20_s21_s22_s23, 120),
        test!(password::old_hashes_are_taken_s22, 120),
        test!(password::the_question_is_asked_three_times_s21, 60),
        test!(password::what_else_the_file_holds_is_kept_s22, 60),
        test!(settings::the_same_source_counts_as_in_the_real_one_s8, 120),
    ]
}
