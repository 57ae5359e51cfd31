//! One suite for both engines: each scenario runs on SQLite as a test of its own, and on PostgreSQL
//! one after the other, so that the server is started once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod admission;
mod crash;
mod engine;
mod failing;
mod fixture;
mod register;
mod scenario;
mod sqlite_only;
mod wifi;

use engine::{Backend, Cluster};

/// Declares the scenarios: a test each on SQLite, and one test with all of them on PostgreSQL.
macro_rules! scenarios {
    ($($module:ident :: $name:ident,)+) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(&crate::Backend::sqlite()).await;
                }
            )+
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn every_scenario_on_postgresql() {
            let Some(cluster) = Cluster::find_or_start().await else { return };
            $({
                println!("{}", stringify!($name));
                $module::$name(&cluster.database().await).await;
            })+
        }
    };
}

scenarios! {
    scenario::what_is_committed_is_read_back,
    scenario::a_failed_guard_leaves_nothing_behind,
    scenario::of_two_racing_commits_exactly_one_wins,
    scenario::a_key_belongs_to_one_device,
    scenario::a_nonce_is_good_for_one_request,
    scenario::what_waits_is_answered_from_the_oldest_on,
    scenario::a_conflict_after_writing_undoes_only_its_own_commit,
    scenario::commits_of_one_batch_keep_their_order,
    scenario::entries_without_a_change_do_not_disturb_a_decision,
    scenario::chains_of_site_and_manufacturer_continue,
    scenario::an_adopted_journal_is_continued,
    scenario::an_entry_about_an_absent_device_is_refused,
    scenario::subscribers_wake_and_read_from_where_they_stand,
    scenario::devices_are_paged_by_serial_number,
    register::registers_are_read_back,
    register::claims_that_ran_out_hide_no_others,
    register::the_audit_log_is_kept_and_truncated,
    admission::what_was_seen_is_added_up_and_claimed,
    admission::revocations_of_gates_are_read_page_by_page,
    admission::a_segment_is_in_use_where_an_address_leads,
    admission::what_is_open_of_a_gate_is_ended,
    admission::a_segment_does_not_go_while_a_network_comes,
    wifi::networks_are_kept_by_version,
    wifi::a_bootstrapping_key_is_found_by_both_its_hashes,
    wifi::announcements_are_remembered_for_a_while,
    wifi::what_a_device_holds_is_its_own_and_ends_with_it,
    wifi::of_two_claims_for_one_key_exactly_one_wins,
    wifi::what_counts_is_found_behind_a_long_past,
    scenario::a_batch_of_twenty_thousand_devices,
    failing::an_altered_entry_is_found,
    failing::a_removed_entry_is_found,
    failing::damaged_devices_hide_no_others,
    failing::a_newer_schema_is_refused,
    failing::a_closed_store_refuses,
    failing::two_stores_keep_one_order,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_going_away_and_coming_back() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    failing::a_server_that_restarts(cluster).await;
}
