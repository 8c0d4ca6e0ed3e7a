//! Tests that measure time, and so run alone. They are one list, since tests start in the order of their names: these come
//! first and one after another, and the others wait for each other once instead of once for each of them.

use crate::support::alone;

macro_rules! accurate {
    ($($module:ident::$test:ident,)+) => {
        $(
            #[test]
            fn $test() {
                let _turn = alone();
                crate::$module::$test();
            }
        )+
    };
}

accurate! {
    acknowledged::a_propagated_write_names_the_edge_that_has_it,
    acknowledged::a_stopped_edge_is_blind_and_said_to_be,
    clicks::a_count_comes_within_two_seconds,
    controls::a_rolling_restart_of_controls_fails_no_call_of_clients_that_may_try_again,
    controls::a_rolling_restart_of_controls_behind_a_balancer_fails_no_command,
    crowds::the_admin_a_visitor_and_a_probe_are_served_beside_crowds_of_strangers,
    deployed::what_deploy_has_for_haproxy_serves_beside_a_killed_edge,
    deployed::what_deploy_has_for_nginx_serves_beside_a_killed_edge,
    first::first_302_within_two_seconds,
    hostile::fifty_hostile_messages_take_bounded_memory_and_give_it_back,
    keys::certificates_stand_in_for_keys_between_edge_and_control,
    propagation::an_update_is_seen_within_20_ms,
    rolling::a_rolling_restart_behind_haproxy_loses_nothing,
    rolling::a_rolling_restart_behind_nginx_loses_nothing,
    rolling::a_rolling_restart_that_no_balancer_knows_of_is_measured,
    rolling::a_rollout_that_removes_endpoints_late_loses_nothing,
    tls::nobody_waits_for_an_acknowledgement_default_driver,
    tls::nobody_waits_for_an_acknowledgement_epoll,
    traces::a_worker_that_was_stopped_says_so,
    traces::what_a_stalled_control_makes_slow_is_kept_with_its_cause,
}
