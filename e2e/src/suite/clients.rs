//! The table of tests that run real JupyterHub clients against `hub local`. Each is an
//! `async fn(&Clients) -> anyhow::Result<()>` in a module below, and starts a hub of its own. No client is patched.

use std::time::Duration;

use super::Test;
use crate::clients::Clients;

mod api;
mod chromium;
mod database_faults;
mod drop_in;
mod existing_database;
mod idle_culler;
mod oauth;
mod oidc;
mod one_machine;
mod openapi;
mod pages;
mod services;
mod singleuser;
mod token_login;

/// Every test of the clients, in the order in which they start.
pub fn tests() -> Vec<Test<Clients>> {
    vec![
        test!(singleuser::jupyterhub_6_works_with_the_hub, 120),
        test!(singleuser::jupyterhub_5_works_with_the_hub, 120),
        test!(singleuser::hub_server_works_with_the_hub_as_jupyterhub_does, 120),
        test!(singleuser::hub_server_is_a_server_of_jupyterhub, 120),
        test!(drop_in::jupyterhub_runs_it_and_notices_nothing, 180),
        test!(drop_in::jupyterhub_runs_it_with_internal_ssl, 180),
        test!(existing_database::jupyterhubs_sqlite_is_taken_up_and_given_back, 360),
        test!(existing_database::a_database_of_jupyterhub_5_is_upgraded_and_given_to_6, 360),
        test!(existing_database::jupyterhubs_postgresql_is_taken_up_and_given_back, 360),
        test!(database_faults::a_full_disk_is_survived_row_34, 60),
        test!(database_faults::a_program_that_holds_the_database_is_waited_for_row_35, 120),
        test!(database_faults::a_second_hub_on_postgresql_waits_for_the_first_row_35, 60),
        test!(database_faults::what_was_answered_outlives_kills_on_sqlite_row_36, 120),
        test!(database_faults::what_was_answered_outlives_kills_on_postgresql_row_36, 120),
        test!(database_faults::what_was_answered_outlives_many_kills_on_sqlite_row_36, 1800, long),
        test!(database_faults::a_restart_or_stall_of_postgresql_is_survived_row_37, 120),
        test!(chromium::pages_and_cookies_satisfy_chromium, 120),
        test!(chromium::a_logout_ends_every_tab, 120),
        test!(chromium::hub_server_satisfies_chromium, 120),
        test!(pages::every_page_is_fit_to_be_seen_and_accessible, 300),
        test!(pages::the_way_to_a_server_is_walked_by_keyboard, 120),
        test!(token_login::a_token_at_a_running_server_logs_in_at_the_hub_s6, 120),
        test!(token_login::a_link_logs_in_once_s10_s11_s12_s13, 120),
        test!(services::a_hub_oauth_service_logs_people_in, 60),
        test!(services::a_hub_auth_service_takes_tokens, 60),
        test!(oauth::requests_oauthlib_gets_a_token_with_pkce, 60),
        test!(oidc::people_log_in_at_a_real_provider, 240),
        test!(openapi::every_answer_is_one_that_the_description_has, 360),
        test!(idle_culler::an_idle_server_is_culled_and_an_active_one_stays, 120),
    ]
}
