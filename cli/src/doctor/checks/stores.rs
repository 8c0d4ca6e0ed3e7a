//! What PostgreSQL and Redis are like for linkr.

use super::{Check, Finding};
use crate::doctor::facts::Facts;
use control::RedisSurvey;
use store::postgres::Survey;
use store::{OlderTables, TableSurvey};

pub const CHECKS: &[Check] = &[
    unreachable,
    refused_tables,
    older_tables,
    commits,
    unsafe_settings,
    standbys,
    role,
    connections,
    rights,
    policy,
];

/// Links that all steps of the tables together get through in a second: 79,000 were measured on the slower of both stores
/// (docs/upgrading.md), and disks are slower elsewhere.
const LINKS_A_SECOND: u64 = 50_000;
/// How long a hand-over of both halves waits for a store.
const HANDOVER_WAITS_S: u64 = 10;

fn postgres(facts: &Facts) -> Option<&Survey> {
    facts.postgres.as_ref()?.as_ref().ok()
}

fn redis(facts: &Facts) -> Option<&RedisSurvey> {
    facts.redis.as_ref()?.as_ref().ok()
}

fn unreachable(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(Err(why)) = &facts.sqlite {
        found.push(Finding::new(
            "store_unreadable",
            format!("the file of the links cannot be read: {why}"),
            "give the user of linkr the right to read it; if it is damaged, put the last backup in its place (docs/backup.md)",
        ));
    }
    if let Some(why) = &facts.clicks_unusable {
        found.push(Finding::new(
            "clicks_unusable",
            format!("the file of the clicks cannot be read and written, and linkr does not start: {why}"),
            "look as the user of linkr, and give him the file (chown), as he has that of the links",
        ));
    }
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

/// The tables of each store that there is.
fn tables(facts: &Facts) -> impl Iterator<Item = &TableSurvey> {
    let sqlite = facts.sqlite.as_ref().and_then(|survey| survey.as_ref().ok());
    sqlite.into_iter().chain(postgres(facts).map(|survey| &survey.tables))
}

fn refused_tables(facts: &Facts) -> Vec<Finding> {
    let refused = tables(facts).filter_map(|tables| tables.refused.as_ref());
    let way_out = "start that version; back to this one goes only the backup made before the upgrade (docs/upgrading.md)";
    refused
        .map(|why| Finding::new("tables_newer", format!("control refuses this database: {why}"), way_out))
        .collect()
}

/// The time is that of every step that there ever was: the steps that wait are some of them.
fn older_tables(facts: &Facts) -> Vec<Finding> {
    let older = tables(facts).filter_map(|tables| tables.older.as_ref());
    let finding = |OlderTables { there, known, links }: &OlderTables| {
        let seconds = links.div_ceil(LINKS_A_SECOND);
        let way_out = if seconds > HANDOVER_WAITS_S {
            "make a backup, then stop every old process and start this one: a hand-over waits 10 s at most. A start on a \
             copy says how long it takes here (docs/upgrading.md)"
        } else {
            "make a backup, then start this version (docs/upgrading.md)"
        };
        Finding::new(
            "tables_older",
            format!(
                "the tables are of an earlier linkr (step {there}, and this one goes to {known}) and hold {links} links: the \
                 next start changes them, which takes {seconds} s or so at most, and nothing is read or written meanwhile"
            ),
            way_out,
        )
    };
    older.map(finding).collect()
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
            format!(
                "maxmemory-policy of Redis is {policy}: when it is full it {}",
                match policy.as_str() {
                    "noeviction" => "refuses writes, and the copy stands still",
                    _ => "drops what says how far the copy is, and that is begun anew, again and again",
                }
            ),
            "set maxmemory-policy volatile-lru: links have a lifetime there, and are all that it drops then",
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
    fn tables_that_a_start_changes_first() {
        let older = |links| Some(OlderTables { there: 12, known: 16, links });
        let few = finds("tables_older", |facts| plant(facts, |survey| survey.tables.older = older(499_999)));
        assert!(few.cause.contains("499999 links") && few.cause.contains("10 s"), "{few:?}");
        assert!(!few.way_out.contains("stop every old process"), "{few:?}");
        let many = finds("tables_older", |facts| {
            facts.sqlite = Some(Ok(TableSurvey { refused: None, older: older(500_001) }));
        });
        assert!(many.way_out.contains("stop every old process"), "{many:?}");
    }

    #[test]
    fn servers_that_cannot_be_asked() {
        finds("store_unreadable", |facts| facts.sqlite = Some(Err("not a database".into())));
        finds("clicks_unusable", |facts| facts.clicks_unusable = Some("permission denied".into()));
        finds("store_unreachable", |facts| facts.postgres = Some(Err("connection refused".into())));
        finds("redis_unreachable", |facts| facts.redis = Some(Err("connection refused".into())));
    }

    #[test]
    fn a_database_that_is_not_safe() {
        finds("tables_newer", |facts| {
            plant(facts, |survey| survey.tables.refused = Some("schema 99".into()));
        });
        finds("tables_newer", |facts| {
            let refused = Some("schema 99".into());
            facts.sqlite = Some(Ok(TableSurvey { refused, older: None }));
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
        let refuses = finds("redis_policy", |facts| {
            plant_redis(facts, |survey| survey.policy = Some("noeviction".into()));
        });
        assert!(refuses.cause.contains("refuses writes"), "{refuses:?}");
    }
}
