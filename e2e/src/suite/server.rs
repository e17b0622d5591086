//! The table of tests that put `hub server` beside the real Jupyter Server, on this machine. Each is an
//! `async fn(&Servers) -> anyhow::Result<()>` in a module below, with directories of its own. No program is patched.

use std::time::Duration;

use super::Test;
use crate::servers::Servers;

mod cookie;
mod disabled;
mod launch;
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
        test!(launch::jupyterlab_opens_by_the_launch_token_and_then_by_cookie_s10_s12_s13_s18, 180),
        test!(launch::the_launch_token_is_an_additional_one_that_nobody_else_sees_s10, 60),
        test!(launch::of_twenty_simultaneous_first_uses_one_gets_a_cookie_s11_s13, 60),
        test!(launch::looking_ahead_does_not_spend_the_launch_token_s11, 60),
        test!(launch::an_unused_launch_token_expires_s11, 360, long),
        test!(cookie::the_cookie_is_named_by_host_and_port_and_stays_below_the_base_url_s18_s19, 120),
        test!(cookie::a_login_outlives_a_restart_but_not_its_secret_s19, 120),
        test!(cookie::a_new_password_ends_every_login_s20, 120),
        test!(cookie::a_password_set_in_the_form_ends_every_other_login_s20_s22, 120),
        test!(cookie::whoever_is_logged_in_stays_the_same_person_s18, 120),
        test!(disabled::both_empty_is_warned_of_loudly_s24_s25, 120),
        test!(disabled::one_empty_setting_alone_disables_nothing_s24, 60),
        test!(disabled::the_program_without_authentication_is_reached_through_the_front_only_s26, 60),
        test!(listing::each_side_lists_the_servers_of_both_s14_s15_s17, 180),
        test!(listing::the_log_shows_a_generated_token_as_an_address_and_no_given_one_s9, 120),
        test!(listing::a_listed_address_logs_in_s16_s18, 120),
        test!(listing::each_side_stops_the_servers_of_the_other, 120),
        test!(password::each_side_takes_the_password_that_the_other_set_s20_s21_s22_s23, 120),
        test!(password::old_hashes_are_taken_s22, 120),
        test!(password::the_question_is_asked_three_times_s21, 60),
        test!(password::what_else_the_file_holds_is_kept_s22, 60),
        test!(settings::the_same_source_counts_as_in_the_real_one_s8, 120),
    ]
}
