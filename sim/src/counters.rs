//! What happened in a run: a simulation in which nothing happened has proved nothing.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every name and number.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Adds another run's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Writes committed.
    writes,
    /// Batches written.
    batches,
    /// Batches of which an item was refused.
    batches_taken_back,
    /// Requests that came again, and were answered as the first time.
    answered_before,
    /// Items refused.
    refused_writes,
    /// Items refused since another link had the external id.
    external_ids_refused,
    /// Items refused since they would lead a link to a blocked host.
    blocked_targets_refused,
    /// Domains made or changed.
    domain_writes,
    /// Domains deleted.
    domains_deleted,
    /// Acked writes that a restore or a failover took away, named by the new history.
    lost_writes,
    /// New histories.
    forks,
    /// Histories that were replaced.
    restores,
    /// Resets carried out by edges.
    resets,
    /// Resumes within one history.
    resumes,
    /// Resumes across a fork.
    fork_resumes,
    /// Those that the edge itself found to be beyond the fork.
    beyond_fork,
    /// Hellos answered with "behind".
    behind,
    /// Times that an edge had to say hello again because of what it heard.
    gaps,
    /// Changes applied.
    changes,
    /// Changes refused by a fence.
    refused_changes,
    /// Entries of walks loaded.
    walked,
    /// Fills accepted.
    fills,
    /// Fills refused.
    refused_fills,
    /// Fills accepted that were ahead of the stream.
    fills_ahead,
    /// Values taken from Redis.
    redis_fills,
    /// Questions that Redis could not answer.
    redis_unknown,
    /// Shards started over.
    redis_starts,
    /// Scripts that found another position.
    redis_refused,
    /// Values that origin put into Redis.
    redis_offers,
    /// Values out of Redis that were ahead of what the edge can prove.
    redis_unproved,
    /// Lies without a proof.
    lies_bare,
    /// Lies with a seal that was made up.
    lies_forged,
    /// Lies beside a proof that was really given, to the liar or to somebody else.
    lies_replayed,
    /// Lies with a seal that was really given for another position.
    lies_altered,
    /// Histories that began because a liar showed a good proof of a lost one, as any edge may.
    lies_true,
    /// Liars that were let in.
    lies_let_in,
    /// Acknowledgements of a liar.
    lies_applied,
    /// Goodbyes of edges.
    goodbyes,
    /// Entries evicted.
    evictions,
    /// Records quarantined.
    quarantines,
    /// Times that a set became complete.
    completions,
    /// Restarts of edges.
    restarts,
    /// Restarts from a snapshot file.
    restored,
    /// Files written.
    snapshots,
    /// Requests.
    reads,
    /// Answers marked fresh.
    fresh_reads,
    /// Answers marked stale.
    stale_answers,
    /// Answers that origin or Redis gave.
    told_answers,
    /// 404s marked fresh.
    fresh_absences,
    /// Requests with a token.
    tokens,
    /// 503s.
    unavailable,
    /// Acks as propagated.
    propagated,
    /// Acks as partial.
    partial,
    /// Edges stopped by a change that must be understood.
    stuck,
    /// Clicks answered.
    clicks,
    /// Clicks that a ring had no room for.
    clicks_without_room,
    /// Batches of clicks counted.
    click_batches,
    /// Batches that were there already.
    click_repeats,
    /// Batches asked for again.
    click_wants,
    /// Holes that no edge could fill.
    click_holes,
    /// Clicks dropped since a spool was full: times.
    click_drops,
    /// Edges killed while they counted.
    click_kills,
    /// Edges whose machine lost power.
    click_power_cuts,
    /// Spools of processes before that owed something when others were begun.
    click_spools_owing,
    /// Stores of clicks put back.
    click_restores,
}
