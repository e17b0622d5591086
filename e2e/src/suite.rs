//! The table of cluster tests. Each is an `async fn(&Cluster) -> anyhow::Result<()>` in a module below; an error or a panic
//! fails it, [`skip`] skips it. Tests that need no cluster have tables of their own: [`clients`] and [`server`].

use std::{fmt, time::Duration};

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::cluster::Cluster;

/// `test!(module::function, SECONDS)`, with `alone` or `long` behind it.
macro_rules! test {
    ($path:path, $seconds:literal $(, $flag:ident)*) => {
        Test {
            $($flag: true,)*
            ..Test {
                name: stringify!($path),
                limit: Duration::from_secs($seconds),
                long: false,
                alone: false,
                run: |given| Box::pin($path(given)),
            }
        }
    };
}

mod access;
mod browser;
pub mod clients;
mod databases;
mod deletion;
mod faults;
mod fronts;
mod https;
mod hubs;
mod installed;
mod internal_tls;
mod kills;
mod load;
mod metrics;
mod moving_in;
mod node;
mod notebook;
mod people;
mod person;
mod profiles;
mod proxies;
mod refused;
mod report;
mod rotation;
mod secrets;
pub mod server;
mod smoke;
mod steady;
mod tls;
mod token_login;
mod upgrade;
mod webdriver;

/// One test of a table. `G` is what it is given.
pub struct Test<G> {
    /// `module::function`, as `--only` sees it.
    pub name: &'static str,
    pub limit: Duration,
    /// Only with `--long`.
    pub long: bool,
    /// It disturbs others (kills the operator, say): it runs when no other does.
    pub alone: bool,
    pub run: fn(&G) -> LocalBoxFuture<'_, Result<()>>,
}

/// Every cluster test, in the order in which they run.
pub fn tests() -> Vec<Test<Cluster>> {
    vec![
        test!(smoke::every_pod_is_ready_and_was_never_restarted, 30),
        test!(smoke::the_login_page_comes_through_the_proxy, 30),
        test!(installed::every_pod_passes_restricted, 30),
        test!(installed::charts_pass_helm_lint, 30),
        test!(installed::helm_test_passes, 90),
        test!(refused::wrong_hubs_are_refused_with_a_remedy, 60),
        test!(refused::a_token_without_a_user_is_refused, 30),
        test!(refused::wrong_changes_are_refused_with_a_remedy, 60),
        test!(refused::good_hubs_are_accepted_and_their_gaps_filled, 30),
        test!(notebook::a_cell_runs_after_login_by_url, 240),
        test!(browser::a_person_works_in_chromium, 300),
        test!(deletion::a_deleted_hub_leaves_what_its_policy_says, 300),
        test!(steady::hubs_of_a_namespace_do_not_touch_each_other, 240),
        test!(notebook::the_forms_password_field_takes_the_token, 300),
        test!(token_login::the_login_url_is_logged_and_in_a_secret_that_the_status_names_s9, 60),
        test!(token_login::a_token_in_any_address_logs_in_and_leaves_it_s6_s16_s18, 300),
        test!(token_login::a_link_from_the_pod_works_once_s10_s11_s12_s13, 300),
        test!(token_login::the_pod_lists_what_runs_s14_s15_s17, 300),
        test!(access::without_a_cookie_every_page_leads_to_login, 300),
        test!(access::a_second_user_cannot_open_the_first_ones_server, 300),
        test!(access::logout_ends_the_access_to_hub_and_server, 300),
        test!(access::an_administrator_revokes_tokens_in_the_hubs_pod_s34, 60),
        test!(profiles::a_chosen_profile_is_what_runs_and_nothing_else_can_be_asked_for_row_52, 420),
        test!(fronts::jupyter_without_jupyterhub_is_safe_behind_the_front, 240),
        test!(fronts::a_program_without_a_c_library_is_safe_behind_the_front, 180),
        test!(https::without_tls_the_status_says_what_is_at_risk_s35, 30),
        test!(https::given::a_tls_secret_with_any_order_of_chain_s37_s38_s41, 180),
        test!(https::given::a_certificates_file_that_holds_the_key_s39, 180),
        test!(https::given::key_and_certificate_given_separately_s37_s38, 180),
        test!(https::given::a_self_signed_certificate_that_people_can_trust_s36, 180),
        test!(https::given::a_wrong_certificate_leaves_the_one_before_s40_s41, 300),
        test!(https::given::a_secret_that_comes_later_is_waited_for, 150),
        test!(https::acme::a_certificate_is_ordered_after_a_probe_and_renewed_s42, 420),
        test!(https::acme::configurable_http_proxy_serves_a_certificate_by_acme, 300),
        test!(https::acme::failed_validations_back_off_row_26, 240),
        test!(https::external::tls_that_ends_in_nginx_s46, 180),
        test!(https::judged::sslyze_passes_the_proxy_by_both_profiles_row_64, 300),
        test!(https::judged::a_real_server_works_over_tls_with_host_prefixed_cookies, 240),
        test!(https::renewal::a_renewed_certificate_is_served_under_load_and_nothing_fails, 240),
        test!(https::cert_manager::cert_manager_is_missed_noticed_and_used, 420),
        test!(internal_tls::an_address_that_is_anothers_now_gets_nothing_row_33, 420),
        test!(proxies::no_request_fails_while_pods_of_the_proxy_come_and_go, 300),
        test!(proxies::no_request_fails_while_the_hub_restarts, 180),
        test!(databases::a_new_hub_on_postgresql_takes_over_without_a_failed_request, 300),
        test!(moving_in::zero_to_jupyterhubs_secret_database_and_claims_are_taken_up, 300),
        test!(databases::a_copy_is_taken_and_comes_back_in_the_hubs_pod, 240),
        test!(rotation::nobody_is_logged_out_when_the_cookie_secret_rotates, 300),
        test!(rotation::no_call_fails_when_the_proxy_token_rotates_s49, 240),
        test!(rotation::an_emptied_secret_ends_nothing_and_a_reset_everything_s34_s60_s68, 300),
        test!(report::the_report_is_written, 120, alone),
        test!(steady::a_deleted_or_edited_child_is_back_within_two_seconds, 120, alone),
        test!(steady::at_rest_the_operator_writes_and_lists_nothing, 90, alone),
        test!(kills::a_notebook_lives_through_the_death_of_each_component, 240, alone),
        test!(faults::a_pod_that_is_taken_away_loses_its_route_at_once, 120, alone),
        test!(faults::a_hub_killed_in_a_storm_of_starts_leaves_nothing_pending, 240, alone),
        test!(faults::a_hub_that_hangs_is_running_again_within_40_seconds, 180, alone),
        test!(upgrade::an_upgrade_restarts_only_what_it_changes, 300, alone),
        test!(steady::leadership_is_handed_over_on_sigterm, 150, alone),
        test!(secrets::secrets_survive_everything, 180, alone),
        // Last: by then there is something in the logs.
        test!(secrets::secret_values_are_seen_nowhere_else, 60, alone),
    ]
}

/// Why a test did not run.
#[derive(Debug)]
pub struct Skipped(pub String);

impl fmt::Display for Skipped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// Ends a test without a verdict: `return skip("chromium is not installed")`.
pub fn skip(why: impl Into<String>) -> Result<()> {
    Err(Skipped(why.into()).into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let cluster: Vec<_> = super::tests().iter().map(|test| test.name).collect();
        let clients: Vec<_> = super::clients::tests().iter().map(|test| test.name).collect();
        let server: Vec<_> = super::server::tests().iter().map(|test| test.name).collect();
        for names in [cluster, clients, server] {
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        }
    }
}
