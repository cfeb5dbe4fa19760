//! Golden scripts: short stories about a cluster. The name of each is the sentence that it shows,
//! and its results are everything that the servers do.
//!
//! A script is a list of commands and, after `---`, the results of each.
//! `UPDATE_GOLDENFILES=1 cargo test -p raft-core --test golden` generates the results. A person
//! must then compare them with the paper: without that comparison a script shows nothing.
//!
//! In the results, a line without indentation is an input of a server. The lines below it are the
//! changes that the step made (`=`) and its effects, in order. Entries are written
//! `index:command@term`, positions `index@term`. In a log, `|` stands before the part that the
//! server does not know to be durable. The commands are explained at [`Runner::command`].

mod cluster;
mod notation;

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use goldenscript::{ArgumentConsumer, Command, Context};
use itertools::Itertools;
use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Bytes, Index, Input, InstallOutcome,
    InstallSnapshot, InstallSnapshotReply, Limits, Log, LogPosition, Mark, Message, NodeId,
    PersistentState, ReadId, ReadRound, RequestVote, RequestVoteReply, Snapshot, Term,
};

use cluster::{Cluster, Envelope};
use notation::{Entries, Number, Position, Server};

type Outcome = Result<(), Box<dyn Error>>;

/// The arguments of a command, taken one by one.
struct Args<'a>(ArgumentConsumer<'a>);

impl Args<'_> {
    /// Returns the next positional argument, if there is one.
    fn optional<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
    ) -> Result<Option<T>, Box<dyn Error>> {
        self.0.next_pos().map(parse).transpose()
    }

    /// Returns the next positional argument.
    fn next<T: FromStr<Err: std::fmt::Display>>(&mut self) -> Result<T, Box<dyn Error>> {
        Ok(self.optional()?.ok_or("an argument is missing")?)
    }

    fn server(&mut self) -> Result<NodeId, Box<dyn Error>> {
        Ok(self.next::<Server>()?.0)
    }

    /// Returns all other positional arguments.
    fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.next_pos().map(str::to_owned)).collect()
    }

    /// Returns the named servers, or all servers if none is named.
    fn servers(&mut self, cluster: &Cluster) -> Result<Vec<NodeId>, Box<dyn Error>> {
        let named: Vec<NodeId> = self
            .rest()
            .iter()
            .map(|name| parse::<Server>(name).map(|server| server.0))
            .try_collect()?;
        Ok(if named.is_empty() { cluster.ids() } else { named })
    }

    /// Returns the value of `name=value`, if given.
    fn key<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Box<dyn Error>> {
        self.0.take_key(name).map(parse).transpose()
    }

    /// Returns the number in `name=value`, 0 if not given.
    fn number(&mut self, name: &str) -> Result<u64, Box<dyn Error>> {
        Ok(self.key::<Number>(name)?.unwrap_or_default().0)
    }

    fn index(&mut self, name: &str) -> Result<Option<Index>, Box<dyn Error>> {
        Ok(self.key::<Number>(name)?.map(|number| Index(number.0)))
    }

    fn position(&mut self, name: &str) -> Result<LogPosition, Box<dyn Error>> {
        Ok(self.key::<Position>(name)?.unwrap_or_default().0)
    }

    /// Returns the snapshot from `name=INDEX@TERM` and `data="x y"`.
    fn snapshot(&mut self, name: &str) -> Result<Snapshot, Box<dyn Error>> {
        let position = self.position(name)?;
        let data: String = self.key("data")?.unwrap_or_default();
        Ok(Snapshot {
            last_included_index: position.index,
            last_included_term: position.term,
            handle: Bytes::from(data.as_str()),
        })
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Box<dyn Error>> {
    text.parse().map_err(|error| format!("{text:?}: {error}").into())
}

/// The messages that a command means: all, or those from `FROM`, or those of `FROM TO`, or those
/// `to=TO`. With `kind`, only the messages of that kind among them; with `count`, only the oldest
/// of those.
struct Selection {
    from: Option<NodeId>,
    to: Option<NodeId>,
    kind: Option<String>,
    count: usize,
}

impl Selection {
    fn parse(args: &mut Args) -> Result<Selection, Box<dyn Error>> {
        let from = args.optional::<Server>()?;
        let to = match args.optional::<Server>()? {
            Some(to) => Some(to),
            None => args.key::<Server>("to")?,
        };
        Ok(Selection {
            from: from.map(|server| server.0),
            to: to.map(|server| server.0),
            kind: args.key("kind")?,
            count: args.key("count")?.unwrap_or(usize::MAX),
        })
    }

    fn includes(&self, Envelope { from, to, message }: &Envelope) -> bool {
        let kind = |wanted: &String| notation::message(message).split(' ').next() == Some(wanted);
        self.from.is_none_or(|wanted| *from == wanted)
            && self.to.is_none_or(|wanted| *to == wanted)
            && self.kind.as_ref().is_none_or(kind)
    }

    /// Returns the selected messages.
    fn copy(&self, messages: &[Envelope]) -> Result<Vec<Envelope>, Box<dyn Error>> {
        let meant = messages.iter().filter(|message| self.includes(message));
        let meant: Vec<Envelope> = meant.take(self.count).cloned().collect();
        if meant.is_empty() {
            return Err("there is no such message".into());
        }
        Ok(meant)
    }

    /// Removes the selected messages from the others and returns them.
    fn take(&self, messages: &mut Vec<Envelope>) -> Result<Vec<Envelope>, Box<dyn Error>> {
        let taken = self.copy(messages)?;
        let mut left = self.count;
        messages.retain(|message| {
            let take = left > 0 && self.includes(message);
            left -= usize::from(take);
            !take
        });
        Ok(taken)
    }
}

/// Returns the message of a `receive` command, from its kind and fields.
fn message(kind: &str, args: &mut Args) -> Result<Message, Box<dyn Error>> {
    let term = Term(args.number("term")?);
    let read_round = ReadRound(args.number("round")?);
    Ok(match kind {
        "RequestVote" => {
            Message::RequestVote(RequestVote { term, last_log: args.position("last")? })
        }
        "RequestVoteReply" => Message::RequestVoteReply(RequestVoteReply {
            term,
            granted: args.key("granted")?.unwrap_or_default(),
        }),
        "AppendEntries" => Message::AppendEntries(AppendEntries {
            term,
            prev_log: args.position("after")?,
            entries: args.key::<Entries>("entries")?.unwrap_or_default().0,
            leader_commit: Index(args.number("commit")?),
            read_round,
        }),
        "AppendEntriesReply" => Message::AppendEntriesReply(AppendEntriesReply {
            term,
            outcome: outcome(args)?,
            read_round,
        }),
        "InstallSnapshot" => Message::InstallSnapshot(InstallSnapshot {
            term,
            snapshot: args.snapshot("snapshot")?,
            read_round,
        }),
        "InstallSnapshotReply" => Message::InstallSnapshotReply(InstallSnapshotReply {
            term,
            outcome: InstallOutcome::Covered {
                last_included_index: Index(args.number("through")?),
            },
            read_round,
        }),
        _ => return Err(format!("no message is called {kind}").into()),
    })
}

fn outcome(args: &mut Args) -> Result<AppendOutcome, Box<dyn Error>> {
    if let Some(match_index) = args.index("matched")? {
        return Ok(AppendOutcome::Matched { match_index });
    }
    let Some(prev_log_index) = args.index("conflict")? else {
        return Ok(AppendOutcome::StaleTerm);
    };
    Ok(AppendOutcome::Conflict { prev_log_index, hint: args.position("hint")? })
}

/// The runner of one script.
#[derive(Default)]
struct Runner {
    cluster: Cluster,
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let mut args = Args(command.consume_args());
        self.command(&command.name, &mut args)?;
        args.0.reject_next()?;
        Ok(self.cluster.take_output())
    }
}

impl Runner {
    /// Runs a command. The inputs of a server are `campaign`, `heartbeat`, `propose`, `read`,
    /// `receive` (any message, from any sender), `durable` and `applied`. The events around it are
    /// `sync`, `apply`, `snapshot`, `crash`, `restart` and `boot` (from a disk written out in the
    /// script).
    fn command(&mut self, name: &str, args: &mut Args) -> Outcome {
        let input = match name {
            "cluster" => return self.boot_cluster(args),
            "boot" | "crash" | "restart" | "sync" | "apply" | "snapshot" => {
                return self.world(name, args);
            }
            "campaign" => (args.server()?, Input::ElectionTimeout),
            "heartbeat" => (args.server()?, Input::Heartbeat),
            "propose" => {
                let (id, commands) = (args.server()?, args.rest());
                let commands = commands.iter().map(|text| Bytes::from(text.as_str()));
                (id, Input::Propose { commands: commands.collect() })
            }
            "read" => {
                let (id, read) = (args.server()?, ReadId(args.next()?));
                (id, Input::Read { id: read })
            }
            "receive" => {
                let (to, from) = (args.server()?, args.server()?);
                let kind: String = args.next()?;
                let message = message(&kind, args)?;
                (to, Input::Receive { from, message })
            }
            "durable" => {
                let (id, mark) = (args.server()?, Mark(args.next()?));
                (id, Input::Durable { mark })
            }
            "applied" => {
                let (id, index) = (args.server()?, Index(args.next()?));
                (id, Input::Applied { index })
            }
            "state" | "log" | "machine" => return self.look(name, args),
            "disks" | "machines" => return self.hold(name, args),
            _ => return self.network(name, args),
        };
        let (id, input) = input;
        Ok(self.cluster.feed(id, input)?)
    }

    /// Runs `cluster 3 batch=2 window=4 reads=1`, which boots this many servers.
    fn boot_cluster(&mut self, args: &mut Args) -> Outcome {
        let usual = Limits::default();
        let limits = Limits {
            batch: args.key("batch")?.unwrap_or(usual.batch),
            window: args.key("window")?.unwrap_or(usual.window),
            reads: args.key("reads")?.unwrap_or(usual.reads),
        };
        self.cluster.boot(args.next()?, limits)?;
        // The output of a boot is always the same, unless a server refuses to start.
        let output = self.cluster.take_output();
        let refused = output.lines().filter(|line| line.contains("does not start"));
        refused.for_each(|line| self.cluster.print(line));
        Ok(())
    }

    fn world(&mut self, name: &str, args: &mut Args) -> Outcome {
        let id = args.server()?;
        let cluster = &mut self.cluster;
        match name {
            // `boot 1 term=2 vote=3 log="noop@1 x@2" base=4@1 data="y" applied=4`
            "boot" => {
                let disk = PersistentState {
                    current_term: Term(args.number("term")?),
                    voted_for: args.key::<Server>("vote")?.map(|server| server.0),
                    log: Log::new(
                        args.snapshot("base")?,
                        args.key::<Entries>("log")?.unwrap_or_default().0,
                    ),
                };
                cluster.replace_disk(id, disk, args.index("applied")?)?;
            }
            // `crash 1 keep=1`: the first of the writes under way still reaches the disk.
            "crash" => cluster.crash(id, args.key("keep")?.unwrap_or(0))?,
            // `restart 1 applied=2`: the state machine has kept the entries up to that index.
            "restart" => {
                let applied = args.index("applied")?;
                cluster.restart(id, applied)?;
            }
            // `sync 1 2`: the first two of the writes under way are durable now.
            "sync" => cluster.sync(id, args.optional()?.unwrap_or(usize::MAX))?,
            "apply" => cluster.apply(id, args.optional()?.unwrap_or(usize::MAX))?,
            // `snapshot 1 index=2`: a snapshot of an earlier state is finished only now.
            _ => {
                let index = args.index("index")?;
                cluster.snapshot(id, index)?;
            }
        }
        Ok(())
    }

    /// Prints the `state` or the `log` of servers, or the commands that the state `machine` has
    /// applied.
    fn look(&mut self, name: &str, args: &mut Args) -> Outcome {
        for id in args.servers(&self.cluster)? {
            match name {
                "state" => self.cluster.print_state(id)?,
                "log" => self.cluster.print_log(id)?,
                _ => self.cluster.print_machine(id)?,
            }
        }
        Ok(())
    }

    /// Holds disks or state machines. After `disks queued 1 2`, the writes of these servers wait
    /// for `sync`. After `machines held 1 2`, their state machines wait for `apply`. In the
    /// beginning, and after `disks auto` and `machines auto`, nothing waits. Without names, the
    /// command means all servers.
    fn hold(&mut self, name: &str, args: &mut Args) -> Outcome {
        let mode: String = args.next()?;
        let servers: BTreeSet<_> = args.servers(&self.cluster)?.into_iter().collect();
        let waiting = match name {
            "disks" => &mut self.cluster.queued_disks,
            _ => &mut self.cluster.held_machines,
        };
        match mode.as_str() {
            "queued" | "held" => waiting.extend(&servers),
            "auto" => waiting.retain(|id| !servers.contains(id)),
            _ => return Err(format!("{name} cannot be {mode}").into()),
        }
        for id in servers {
            self.cluster.go_on(id)?;
        }
        Ok(())
    }

    /// Runs a command about messages. See [`Selection`] for the messages that it means.
    fn network(&mut self, name: &str, args: &mut Args) -> Outcome {
        let cluster = &mut self.cluster;
        match name {
            // Delivers everything in flight, and the answers to it, until nothing is in flight.
            "settle" => cluster.settle()?,
            "messages" => {
                for Envelope { from, to, message } in cluster.network.clone() {
                    cluster.print(format!("{from} -> {to} {}", notation::message(&message)));
                }
            }
            "deliver" => {
                let meant = Selection::parse(args)?.take(&mut cluster.network)?;
                cluster.deliver(meant)?;
            }
            "drop" => {
                Selection::parse(args)?.take(&mut cluster.network)?;
            }
            // Delays messages until `release` delivers them.
            "delay" => {
                let meant = Selection::parse(args)?.take(&mut cluster.network)?;
                cluster.delayed.extend(meant);
            }
            // Makes second copies of messages, which are delayed.
            "duplicate" => {
                let meant = Selection::parse(args)?.copy(&cluster.network)?;
                cluster.delayed.extend(meant);
            }
            "release" => {
                let meant = Selection::parse(args)?.take(&mut cluster.delayed)?;
                cluster.deliver(meant)?;
            }
            // `partition 1 2`: from now on no message passes between these servers and the others.
            "partition" => {
                let island: BTreeSet<_> = args.servers(cluster)?.into_iter().collect();
                cluster.island = island;
            }
            "heal" => cluster.island.clear(),
            _ => return Err(format!("no command is called {name}").into()),
        }
        Ok(())
    }
}

/// Returns the directory of the scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

fn run(topic: &str, sentence: &str) -> Outcome {
    let script = scripts().join(topic).join(sentence);
    Ok(goldenscript::run(&mut Runner::default(), script)?)
}

/// Defines one test per script, and the list of all scripts.
macro_rules! scripts {
    ($($topic:ident: $($sentence:ident)+;)+) => {
        $(mod $topic {
            $(#[test]
            fn $sentence() -> super::Outcome {
                super::run(stringify!($topic), stringify!($sentence))
            })+
        })+

        const SCRIPTS: &[(&str, &[&str])] =
            &[$((stringify!($topic), &[$(stringify!($sentence)),+]),)+];
    };
}

scripts! {
    election:
        a_candidate_wins_with_the_votes_of_a_majority
        a_candidate_with_a_stale_log_gets_no_vote
        a_candidate_yields_to_the_leader_of_its_term
        a_higher_term_deposes_a_leader
        a_server_alone_elects_itself_when_its_vote_is_durable
        a_server_votes_for_one_candidate_in_a_term
        a_stale_candidate_is_refused_and_learns_the_newer_term
        a_vote_for_an_earlier_candidacy_does_not_count
        a_vote_survives_a_crash
        a_vote_that_was_lost_in_a_crash_was_never_cast
        after_a_split_vote_the_next_candidate_wins
        of_two_logs_of_the_same_last_term_the_longer_is_more_up_to_date
        request_vote_leaves_only_when_its_term_and_log_are_durable
        the_election_timer_is_of_no_concern_to_a_leader
        who_votes_for_the_leader_of_figure_7;
    replication:
        a_command_is_replicated_then_committed_then_applied
        a_conflicting_suffix_is_replaced
        a_late_acknowledgement_does_not_lower_match_index
        a_late_append_entries_does_not_truncate
        a_late_refusal_is_ignored
        a_leader_probes_before_it_sends_ahead
        a_lost_batch_is_found_by_the_next_heartbeat
        a_proposal_is_refused_where_nobody_leads
        a_repeated_append_entries_changes_nothing
        a_stale_leader_is_refused_and_steps_down
        batches_that_overtake_each_other_are_sorted_out
        each_log_of_figure_7_is_repaired_after_at_most_one_refusal
        entries_travel_in_batches_within_a_window
        next_index_does_not_go_back_behind_match_index;
    commitment:
        a_committed_entry_is_applied_when_it_is_durable_here
        a_durable_write_does_not_vouch_for_an_entry_that_replaced_its_own
        a_follower_commits_no_further_than_the_last_entry_of_the_request
        a_leader_does_not_commit_an_older_terms_entry_by_counting_replicas_figure_8
        a_leader_with_a_new_term_commits_nothing_until_its_blank_entry_is_replicated
        a_leaders_own_entry_counts_when_it_is_on_its_disk
        a_refused_append_entries_commits_nothing
        an_entry_may_be_committed_before_it_is_on_the_leaders_own_disk
        an_entry_of_the_leaders_own_term_commits_all_before_it_figure_8_e
        two_of_five_servers_are_no_majority;
    persistence:
        a_crash_takes_only_what_was_not_durable
        a_repeated_append_is_answered_only_when_its_entries_are_durable
        a_repeated_request_vote_is_answered_only_when_the_vote_is_durable
        a_restarted_server_remembers_term_vote_and_log
        one_answer_of_the_disk_may_finish_several_writes
        what_a_state_machine_has_kept_is_committed;
    snapshots:
        a_snapshot_refused_for_its_old_term_is_not_taken_for_installed
        a_follower_that_lags_behind_is_sent_the_snapshot
        a_heartbeat_repeats_a_snapshot_that_was_lost
        a_leader_does_not_forget_the_term_of_its_last_included_entry
        a_log_that_has_the_last_included_entry_keeps_what_follows_it
        a_log_without_the_last_included_entry_is_discarded
        a_server_compacts_its_log_behind_a_snapshot
        a_snapshot_covers_only_what_was_applied
        a_snapshot_is_acknowledged_and_restored_when_it_is_durable
        a_snapshot_that_was_overtaken_does_not_move_the_base_back
        a_stale_snapshot_changes_nothing
        append_entries_may_reach_into_the_compacted_prefix;
    reads:
        an_answer_to_an_earlier_leadership_proves_nothing_for_a_later_one
        a_read_is_served_after_a_round_of_heartbeats
        a_read_needs_a_majority_of_all_servers
        a_read_waits_until_its_index_is_applied
        a_server_that_does_not_lead_refuses_reads
        answers_to_an_earlier_round_do_not_count
        any_answer_of_a_later_round_proves_leadership
        no_read_before_an_entry_of_the_own_term_is_committed
        waiting_reads_are_refused_when_the_leader_steps_down;
    wrong_inputs:
        a_leader_that_lacks_what_is_committed_is_rejected
        a_message_that_contradicts_itself_is_rejected
        a_second_leader_of_a_term_is_rejected
        a_server_does_not_start_from_what_contradicts_itself
        a_server_halts_rather_than_contradict_itself
        a_stranger_is_not_listened_to
        an_acknowledgement_of_what_was_never_sent_is_rejected;
}

/// Every script file is in the list above, because a script that no test runs shows nothing.
#[test]
fn every_script_is_run() -> Outcome {
    let listed = SCRIPTS.iter().flat_map(|(topic, sentences)| {
        sentences.iter().map(move |sentence| scripts().join(topic).join(sentence))
    });
    let mut present = Vec::new();
    for topic in std::fs::read_dir(scripts())? {
        for script in std::fs::read_dir(topic?.path())? {
            present.push(script?.path());
        }
    }
    assert_eq!(present.into_iter().sorted().collect_vec(), listed.sorted().collect_vec());
    Ok(())
}
