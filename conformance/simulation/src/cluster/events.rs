//! Handles the events of a simulated cluster when their time has come.

use std::sync::PoisonError;
use std::time::Duration;

use raft_core::{Message, NodeId};
use raft_node::peer_message::PeerMessage;
use raft_node::shell::Task;
use raft_node::wire::Frame;
use raft_trace::Action;
use rand::RngExt;

use super::event_queue::Event;
use super::host::Survives;
use super::http::ExchangeId;
use super::network::place;
use super::{Answered, Cluster};
use crate::failure::Failure;
use crate::server::{Applied, ClientAnswer, Sent, frames};

impl Cluster {
    pub(super) fn happen(&mut self, event: Event) -> Result<(), Failure> {
        let (server, incarnation) = match &event {
            Event::Transfer(number) => return self.go_on_with_transfer(*number),
            Event::Wake(server) | Event::Arrive { to: server, .. } => (*server, None),
            Event::Commit { server, incarnation }
            | Event::Apply { server, incarnation }
            | Event::Store { server, incarnation }
            | Event::Deadline { server, incarnation, .. } => (*server, Some(*incarnation)),
        };
        let now = self.now;
        let host = &mut self.hosts[place(server)];
        if host.running.is_none() || incarnation.is_some_and(|number| number != host.incarnation) {
            return Ok(());
        }
        if host.paused {
            host.held.push(event);
            return Ok(());
        }
        let done = match event {
            Event::Wake(_) => {
                if host.wakes_at <= now {
                    host.wakes_at = Duration::MAX;
                }
                Ok(())
            }
            Event::Arrive { from, bytes, .. } => self.arrive(from, server, &bytes),
            Event::Commit { .. } => self.commit(server),
            Event::Apply { .. } => self.apply(server),
            Event::Store { .. } => self.store(server),
            Event::Deadline { exchange, .. } => {
                self.check_deadline(server, exchange);
                return Ok(());
            }
            Event::Transfer(_) => Ok(()),
        };
        match done {
            Ok(()) => self.touch(server),
            Err(failure) => self.stop(server, &failure),
        }
        Ok(())
    }

    /// Ends a process that stops by itself.
    pub(super) fn stop(&mut self, id: NodeId, failure: &Failure) {
        let failed = self.hosts[place(id)].disk.failed() > 0;
        if !failed {
            let what = format!("{id} stops though its disk is sound: {failure}");
            self.checks().complain("nobody-halts", what);
        }
        if let Err(error) = self.crash(id, Survives::All) {
            self.checks().complain("nobody-halts", format!("{id}: {error}"));
        }
        self.hosts[place(id)].stopped = Some(failure.to_string());
    }

    fn arrive(&mut self, from: NodeId, to: NodeId, bytes: &[u8]) -> Result<(), Failure> {
        self.counters.delivered += 1;
        let host = &mut self.hosts[place(to)];
        let clock = host.clock(self.now);
        match &mut host.running {
            Some(running) => running.hear(clock, from, bytes),
            None => Ok(()),
        }
    }

    /// Passes the message of a snapshot that has arrived completely to the receiver.
    pub(super) fn arrive_snapshot(&mut self, from: NodeId, to: NodeId, message: Message) {
        self.counters.snapshots += 1;
        let host = &mut self.hosts[place(to)];
        let clock = host.clock(self.now);
        if let Some(running) = &mut host.running {
            running.replica.hear(clock, from, PeerMessage::Message(message));
        }
        self.touch(to);
    }

    fn commit(&mut self, id: NodeId) -> Result<(), Failure> {
        let host = &mut self.hosts[place(id)];
        let (clock, count) = (host.clock(self.now), std::mem::take(&mut host.committing));
        host.commit(clock, count)
    }

    fn apply(&mut self, id: NodeId) -> Result<(), Failure> {
        let host = &mut self.hosts[place(id)];
        let clock = host.clock(self.now);
        let Some(running) = &mut host.running else { return Ok(()) };
        running.free.machine = true;
        let steps = match running.tasks.front() {
            Some(Task::Apply { entries, .. }) => entries.len(),
            Some(Task::Restore(_)) => 1,
            None => 0,
        };
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recorded) = &mut checks.recorded {
            recorded.extend((0..steps).map(|_| Action::Apply { server: id }));
        }
        drop(checks);
        match running.apply(clock, usize::MAX)? {
            None => {}
            Some(Applied::Entries { first, entries, answers }) => {
                let mut wrong = host.reference.applied.next() != first;
                for (entry, answer) in entries.iter().zip(&answers) {
                    wrong |= host.reference.apply(entry) != *answer;
                }
                host.last_applied = entries.iter().cloned().zip(answers).collect();
                if wrong {
                    let what = format!("{id} answers entries from {first} on wrongly");
                    self.checks().complain("state-machine-safety", what);
                }
            }
            Some(Applied::Restored(snapshot)) => {
                let last = usize::try_from(snapshot.last_included_index.0).unwrap_or(usize::MAX);
                let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
                let outcome = match checks.decided.get(..last) {
                    Some(entries) => self.hosts[place(id)].check_state(entries),
                    None => Err(format!("{id} restores what nobody has decided")),
                };
                if let Err(what) = outcome {
                    checks.complain("snapshot-is-prefix", what);
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, id: NodeId) -> Result<(), Failure> {
        let host = &mut self.hosts[place(id)];
        match &mut host.running {
            Some(running) => {
                host.storing = false;
                running.store_snapshot()
            }
            None => Ok(()),
        }
    }

    /// Lets a server do everything that is due, and handles its orders.
    pub(super) fn touch(&mut self, id: NodeId) {
        let sending = self.transfers.sending(id, self.now);
        let host = &mut self.hosts[place(id)];
        let clock = host.clock(self.now);
        let Some(running) = host.running.as_mut().filter(|_| !host.paused) else { return };
        if let Some(http) = &mut host.http {
            while let Some(request) = http.next_request() {
                http.ask(&mut running.replica, clock, request, &mut host.proposed);
            }
            http.waiting.forget_abandoned_reads(&mut running.replica);
        }
        running.replica.advance(clock, sending);
        if let Err(failure) = running.take_orders(clock) {
            return self.stop(id, &failure);
        }
        self.see_to_orders(id);
        self.send_all(id);
        self.tell_all(id);
        self.let_routes_go_on(id);
        self.check_cluster();
        let host = &mut self.hosts[place(id)];
        host.look_at_timer(clock);
        let Some(running) = &host.running else { return };
        let wake = host.when(running.replica.deadline(running.free)).max(self.now);
        if wake < host.wakes_at {
            host.wakes_at = wake;
            self.events.push(wake, Event::Wake(id));
        }
    }

    fn see_to_orders(&mut self, id: NodeId) {
        let host = &mut self.hosts[place(id)];
        let incarnation = host.incarnation;
        let Some(running) = &mut host.running else { return };
        if running.free.disk && !running.writes.is_empty() {
            running.free.disk = false;
            host.committing = running.writes.len();
            let time = self.now + self.options.disk.pick(&mut self.random);
            self.events.push(time, Event::Commit { server: id, incarnation });
        }
        if running.free.machine && !running.tasks.is_empty() {
            running.free.machine = false;
            let restores = matches!(running.tasks.front(), Some(Task::Restore(_)));
            let time = self.options.apply.pick(&mut self.random);
            let time = self.now + if restores { time * 10 } else { time };
            self.events.push(time, Event::Apply { server: id, incarnation });
        }
        if running.storing.is_some() && !host.storing {
            host.storing = true;
            let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(recorded) = &mut checks.recorded {
                recorded.push(Action::StartSnapshot { server: id });
            }
            drop(checks);
            let time = self.now + self.options.disk.pick(&mut self.random) * 5;
            self.events.push(time, Event::Store { server: id, incarnation });
        }
    }

    fn send_all(&mut self, id: NodeId) {
        let Some(running) = &mut self.hosts[place(id)].running else { return };
        for sent in std::mem::take(&mut running.sent) {
            match sent {
                Sent::Snapshot(to, offer) => self.begin_transfer(id, to, offer),
                Sent::Frames(to, bytes) => {
                    self.counters.messages += 1;
                    self.counters.bytes += bytes.len() as u64;
                    let late = self.reply_holdup(&bytes);
                    for time in self.network.arrivals(id, to, &mut self.random) {
                        let time = time + late;
                        let bytes = bytes.clone();
                        self.events.push(self.now + time, Event::Arrive { from: id, to, bytes });
                    }
                }
            }
        }
    }

    /// Picks the additional delay of these frames if they are a reply.
    fn reply_holdup(&mut self, bytes: &[u8]) -> Duration {
        let (often, span) = self.network.reply_holdup;
        let is_reply = |bytes| {
            let frames = frames(bytes).unwrap_or_default();
            matches!(
                frames.first(),
                Some(Frame::Raft(
                    Message::RequestVoteReply(_)
                        | Message::AppendEntriesReply(_)
                        | Message::InstallSnapshotReply(_)
                ))
            )
        };
        if often > 0 && is_reply(bytes) && self.random.random_range(0..1000) < often {
            span.pick(&mut self.random)
        } else {
            Duration::ZERO
        }
    }

    fn tell_all(&mut self, id: NodeId) {
        let host = &mut self.hosts[place(id)];
        let clock = host.clock(self.now);
        let Some(running) = &mut host.running else { return };
        for told in std::mem::take(&mut running.told) {
            match told {
                ClientAnswer::Proposal(proposal, answer) => {
                    let command = host.proposed.remove(&proposal);
                    if let Ok(answer) = &answer {
                        host.done.insert(proposal);
                        let right = host.last_applied.iter().any(|(entry, given)| {
                            given == answer
                                && matches!(&entry.payload, raft_core::Payload::Command(applied)
                                    if command.as_ref().is_some_and(|(_, command)| command == applied))
                        });
                        if !right {
                            let what =
                                format!("{id} answers a command that it has not just applied");
                            let mut checks =
                                self.checks.lock().unwrap_or_else(PoisonError::into_inner);
                            checks.complain("answers", what);
                        }
                    }
                    if let Some(http) = &mut host.http {
                        http.waiting.answer_proposal(proposal, answer);
                    }
                }
                ClientAnswer::Read(reader, answer) => {
                    if let Some(http) = &mut host.http {
                        http.waiting.answer_read(reader, answer);
                    }
                }
            }
        }
        if let Some(what) = host.forgotten_requests(clock) {
            self.checks().complain("requests-answered", what);
        }
    }

    /// Polls the futures of requests that were woken, and takes the answers that are ready.
    pub(super) fn let_routes_go_on(&mut self, id: NodeId) {
        let Some(http) = &mut self.hosts[place(id)].http else { return };
        for (exchange, response) in http.poll(&self.http_clock) {
            let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
            checks.note_response(id, &response);
            drop(checks);
            self.answered.push(Answered { server: id, exchange, response });
        }
    }

    /// Checks that a server that is up has answered a request within its time.
    fn check_deadline(&mut self, id: NodeId, exchange: ExchangeId) {
        self.http_clock.advance_to(self.now);
        self.let_routes_go_on(id);
        let host = &self.hosts[place(id)];
        if host.http.as_ref().is_some_and(|http| http.has(exchange)) {
            let timeout = self.options.request_timeout.as_millis();
            let what = format!("{id} has not answered a request within {timeout} ms");
            self.checks().complain("requests-answered", what);
        }
    }

    /// Checks the properties of several servers at one moment.
    fn check_cluster(&mut self) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        for id in std::mem::take(&mut checks.elected) {
            if let Some(running) = &self.hosts[place(id)].running {
                checks.check_leader(running.replica.shell().node());
            }
        }
        let decided = checks.decided.len() as u64;
        for index in (checks.durable_checked.0 + 1..=decided).map(raft_core::Index) {
            let entry = &checks.decided[usize::try_from(index.0 - 1).unwrap_or(0)];
            let has = |host: &&super::Host| host.has_durably(index, entry.term);
            let count = self.hosts.iter().filter(has).count();
            if count * 2 <= self.hosts.len() {
                let what = format!("entry {index} is committed, and durable on {count} servers");
                checks.complain("committed-on-majority", what);
            }
            checks.durable_checked = index;
        }
    }
}
