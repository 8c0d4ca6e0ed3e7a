//! What PostgreSQL and Redis are like for linkr.

use super::{Check, Finding};
use crate::doctor::facts::Facts;
use control::RedisSurvey;
use store::postgres::Survey;

pub const CHECKS: &[Check] =
    &[unreachable, refused_tables, commits, unsafe_settings, standbys, role, connections, rights, policy];

fn postgres(facts: &Facts) -> Option<&Survey> {
    facts.postgres.as_ref()?.as_ref().ok()
}

fn redis(facts: &Facts) -> Option<&RedisSurvey> {
    facts.redis.as_ref()?.as_ref().ok()
}

fn unreachable(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(Err(why)) = &facts.postgres {
        found.push(Finding::new(
            "store_unreachable",
            format!("PostgreSQL cannot be asked: {why}"),
            "put that right: until then control does not start, and one that runs takes no writes",
        ));
    }
    if let Some(Err(why)) = &facts.redis {
        found.push(Finding::new(
            "redis_unreachable",
            format!("Redis cannot be asked: {why}"),
            "put that right: until then every link that an edge does not hold is asked of control",
        ));
    }
    found
}

fn refused_tables(facts: &Facts) -> Vec<Finding> {
    let why = postgres(facts).and_then(|survey| survey.refused_tables.as_ref());
    let way_out = "start that version; back to this one goes only the backup made before the upgrade (docs/upgrading.md)";
    why.map(|why| Finding::new("tables_newer", format!("control refuses this database: {why}"), way_out))
        .into_iter()
        .collect()
}

fn commits(facts: &Facts) -> Vec<Finding> {
    let survey =
        postgres(facts).filter(|survey| !["on", "remote_apply"].contains(&&*survey.synchronous_commit));
    let found = survey.map(|survey| {
        Finding::new(
            "commits_unsynced",
            format!(
                "synchronous_commit is {}: a write that was acknowledged could be lost, and control does not start",
                survey.synchronous_commit
            ),
            "as the role of --store: ALTER ROLE CURRENT_USER SET synchronous_commit = on",
        )
    });
    found.into_iter().collect()
}

fn unsafe_settings(facts: &Facts) -> Vec<Finding> {
    let survey = postgres(facts).filter(|survey| !survey.unsafe_settings.is_empty());
    let found = survey.map(|survey| {
        let names = survey.unsafe_settings.join(" and ");
        Finding::new(
            "database_unsafe",
            format!(
                "{names} of PostgreSQL is off: a power cut loses acknowledged writes or the whole database"
            ),
            format!("set {names} = on in postgresql.conf, and restart the server"),
        )
    });
    found.into_iter().collect()
}

fn standbys(facts: &Facts) -> Vec<Finding> {
    let Some(survey) = postgres(facts) else { return Vec::new() };
    let waits = !survey.standby_names.is_empty();
    if waits && (survey.standbys == 0 || survey.synchronous_standbys == Some(0)) {
        return vec![Finding::new(
            "commits_wait",
            format!(
                "commits wait for a standby (synchronous_standby_names = '{}'), and none of them follows: every write hangs",
                survey.standby_names
            ),
            "start the standby; or, until it is back: ALTER SYSTEM RESET synchronous_standby_names, SELECT pg_reload_conf()",
        )];
    }
    if !waits && !facts.settings.fenced && (survey.standbys > 0 || facts.settings.store_hosts > 1) {
        return vec![Finding::new(
            "failover_loses",
            "there is a standby, and commits do not wait for it: a failover loses the last acknowledged writes, and edges may have \
             answered with them",
            "set synchronous_standby_names (docs/switchover.md); or give --fenced if the old primary is always stopped first",
        )];
    }
    Vec::new()
}

fn role(facts: &Facts) -> Vec<Finding> {
    let superuser = postgres(facts).is_some_and(|survey| survey.superuser);
    let found = superuser.then(|| {
        Finding::new(
            "role_superuser",
            "control lives on PostgreSQL as a superuser: whoever takes control over has the whole server",
            "make the two roles of deploy/postgres-roles.sql, and name them in --store and --store-direct",
        )
    });
    found.into_iter().collect()
}

fn connections(facts: &Facts) -> Vec<Finding> {
    // One that runs has its own already.
    let survey = postgres(facts)
        .filter(|survey| facts.running.is_none() && survey.connections_free < survey.connections_wanted);
    let found = survey.map(|survey| {
        Finding::new(
            "connections_few",
            format!(
                "PostgreSQL has {} connections left, and a control opens up to {}: calls will fail",
                survey.connections_free.max(0),
                survey.connections_wanted
            ),
            "raise max_connections, or put a PgBouncer in front",
        )
    });
    found.into_iter().collect()
}

fn rights(facts: &Facts) -> Vec<Finding> {
    let survey = redis(facts).filter(|survey| !survey.forbidden.is_empty());
    let found = survey.map(|survey| {
        Finding::new(
            "redis_rights",
            format!("the user of --redis may not use {} on the keys linkr:*", survey.forbidden.join(", ")),
            "give it the rights of deploy/redis-acl.conf: control and edges have one line each",
        )
    });
    found.into_iter().collect()
}

fn policy(facts: &Facts) -> Vec<Finding> {
    let Some(survey) = redis(facts) else { return Vec::new() };
    if survey.max_memory == Some(0) {
        return vec![Finding::new(
            "redis_unbounded",
            "Redis has no maxmemory: it grows until the machine ends it, with everything else that is on it",
            "set maxmemory to what it may have, and maxmemory-policy volatile-lru",
        )];
    }
    let other = survey.policy.as_ref().filter(|policy| !policy.starts_with("volatile-"));
    let found = other.map(|policy| {
        Finding::new(
            "redis_policy",
            format!("maxmemory-policy of Redis is {policy}: when it is full it drops positions of the copy, or refuses writes"),
            "set maxmemory-policy volatile-lru: links have a lifetime there and go first",
        )
    });
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::finds;
    use super::*;

    fn plant(facts: &mut Facts, change: impl FnOnce(&mut Survey)) {
        change(facts.postgres.as_mut().unwrap().as_mut().unwrap());
    }

    fn plant_redis(facts: &mut Facts, change: impl FnOnce(&mut RedisSurvey)) {
        change(facts.redis.as_mut().unwrap().as_mut().unwrap());
    }

    #[test]
    fn servers_that_cannot_be_asked() {
        finds("store_unreachable", |facts| facts.postgres = Some(Err("connection refused".into())));
        finds("redis_unreachable", |facts| facts.redis = Some(Err("connection refused".into())));
    }

    #[test]
    fn a_database_that_is_not_safe() {
        finds("tables_newer", |facts| {
            plant(facts, |survey| survey.refused_tables = Some("schema 99".into()));
        });
        finds("commits_unsynced", |facts| plant(facts, |survey| survey.synchronous_commit = "local".into()));
        finds("database_unsafe", |facts| plant(facts, |survey| survey.unsafe_settings.push("fsync".into())));
    }

    #[test]
    fn standbys_that_are_not_waited_for_and_such_that_are_not_there() {
        finds("failover_loses", |facts| plant(facts, |survey| survey.standby_names.clear()));
        finds("commits_wait", |facts| plant(facts, |survey| survey.standbys = 0));
        finds("commits_wait", |facts| plant(facts, |survey| survey.synchronous_standbys = Some(0)));
        // Nothing is lost where the old one is stopped first, or where there is no other.
        let mut facts = super::super::tests::sound();
        plant(&mut facts, |survey| survey.standby_names.clear());
        facts.settings.fenced = true;
        assert_eq!(super::super::all(&facts), []);
        plant(&mut facts, |survey| survey.standbys = 0);
        (facts.settings.fenced, facts.settings.store_hosts) = (false, 1);
        assert_eq!(super::super::all(&facts), []);
    }

    #[test]
    fn roles_and_connections() {
        finds("role_superuser", |facts| plant(facts, |survey| survey.superuser = true));
        finds("connections_few", |facts| {
            facts.running = None;
            plant(facts, |survey| survey.connections_free = 3);
        });
    }

    #[test]
    fn a_redis_that_cannot_hold_the_copy() {
        finds("redis_rights", |facts| plant_redis(facts, |survey| survey.forbidden.push("SET".into())));
        finds("redis_unbounded", |facts| plant_redis(facts, |survey| survey.max_memory = Some(0)));
        finds("redis_policy", |facts| {
            plant_redis(facts, |survey| survey.policy = Some("allkeys-lru".into()));
        });
    }
}
