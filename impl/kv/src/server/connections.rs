//! The open connections of clients, and the choice of the connection to close when a new one needs
//! room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::command::Owner;

/// The maximum numbers of open connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    /// The limit for one client address.
    pub(super) per_address: usize,
}

/// The reason why there is no room for a connection: no other connection is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All connections of its address have a request in progress.
    Address,
    /// All connections have a request in progress.
    Server,
}

impl Full {
    /// Returns the reason as a label for metrics.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Full::Address => "address",
            Full::Server => "server",
        }
    }
}

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    limits: Limits,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Shared>>,
    per_address: HashMap<Owner, usize>,
}

/// The place of one connection in the table. The connection counts until its slot is dropped or the
/// connection is closed.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    connections: Arc<Connections>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: Owner,
    state: Mutex<State>,
    closed: Notify,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No request has been in progress since this time. A request is in progress from the end of
    /// its head until its answer is ready. The transfer of the head and of the answer counts as
    /// idle time.
    Idle(Instant),
    Busy,
    /// The connection was closed to make room for another one.
    Closed,
}

/// A request in progress. The connection becomes idle when this value is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Shared>);

impl Connections {
    pub(super) fn new(limits: Limits) -> Arc<Connections> {
        Arc::new(Connections { limits, table: Mutex::default() })
    }

    /// Admits a connection. At a limit, closes the connection that has been idle for longest: one
    /// of the same address if that address is at its limit, otherwise one of any address.
    pub(super) fn admit(self: &Arc<Connections>, address: Owner) -> Result<Slot, Full> {
        let mut table = lock(&self.table);
        let of_address = table.per_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.limits.per_address {
            table.close_idle(|other| other == address).ok_or(Full::Address)?;
        } else if table.open.len() >= self.limits.connections {
            table.close_idle(|_| true).ok_or(Full::Server)?;
        }
        let state = Mutex::new(State::Idle(Instant::now()));
        let shared = Arc::new(Shared { address, state, closed: Notify::new() });
        let id = table.next;
        table.next += 1;
        table.open.insert(id, shared.clone());
        *table.per_address.entry(address).or_insert(0) += 1;
        Ok(Slot { id, connections: self.clone(), shared })
    }
}

impl Table {
    /// Closes the connection that has been idle for longest, among the addresses that `of` accepts.
    /// Returns `None` if none of them is idle.
    fn close_idle(&mut self, of: impl Fn(Owner) -> bool) -> Option<()> {
        let idle = self.open.iter().filter(|(_, shared)| of(shared.address));
        let idle = idle.filter_map(|(id, shared)| match *lock(&shared.state) {
            State::Idle(since) => Some((since, *id)),
            State::Busy | State::Closed => None,
        });
        let mut idle: Vec<_> = idle.collect();
        idle.sort_unstable();
        // A connection may have received a request in the meantime.
        let (_, closed) = idle.into_iter().find(|(_, id)| self.open[id].close())?;
        metrics::counter!("http_closed_idle_connections_total").increment(1);
        self.remove(closed);
        Some(())
    }

    fn remove(&mut self, id: u64) {
        let Some(shared) = self.open.remove(&id) else { return };
        if let Some(count) = self.per_address.get_mut(&shared.address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&shared.address);
            }
        }
    }
}

impl Shared {
    /// Closes the connection unless a request is in progress. Returns whether it was idle.
    fn close(&self) -> bool {
        let mut state = lock(&self.state);
        let is_idle = matches!(*state, State::Idle(_));
        if is_idle {
            *state = State::Closed;
            self.closed.notify_one();
        }
        is_idle
    }
}

impl Slot {
    /// Marks a request as in progress until the returned value is dropped. Returns `None` if the
    /// connection has been closed; the request must not be executed then.
    pub(super) fn begin(&self) -> Option<Busy> {
        let mut state = lock(&self.shared.state);
        if matches!(*state, State::Closed) {
            return None;
        }
        *state = State::Busy;
        Some(Busy(self.shared.clone()))
    }

    /// Waits until the connection is closed to make room for another one.
    pub(super) async fn closed(&self) {
        self.shared.closed.notified().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *lock(&self.0.state) = State::Idle(Instant::now());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.connections.table).remove(self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_closed(slot: &Slot) -> bool {
        matches!(*lock(&slot.shared.state), State::Closed)
    }

    #[test]
    fn the_connection_that_was_idle_for_longest_makes_room() {
        let connections = Connections::new(Limits { connections: 3, per_address: 3 });
        let [a, b, c] = [1, 2, 3].map(|owner| connections.admit(Owner(owner)).expect("room"));
        // The idle time counts from the end of the last request.
        drop(a.begin().expect("open"));
        let busy = b.begin().expect("open");
        let _d = connections.admit(Owner(4)).expect("the third one is idle for longest");
        assert!(is_closed(&c) && c.begin().is_none());
        let _e = connections.admit(Owner(5)).expect("and then the first one");
        assert!(is_closed(&a) && !is_closed(&b));
        drop(busy);
        assert!(b.begin().is_some());
    }

    #[test]
    fn a_connection_with_a_request_under_way_is_not_closed() {
        let connections = Connections::new(Limits { connections: 2, per_address: 2 });
        let [a, b] = [1, 2].map(|owner| connections.admit(Owner(owner)).expect("room"));
        let busy = [a.begin().expect("open"), b.begin().expect("open")];
        assert_eq!(connections.admit(Owner(3)).err(), Some(Full::Server));
        drop(busy);
        assert!(connections.admit(Owner(3)).is_ok());
    }

    #[test]
    fn an_address_with_too_many_connections_closes_its_own() {
        let connections = Connections::new(Limits { connections: 10, per_address: 2 });
        let other = connections.admit(Owner(1)).expect("room");
        let many: Vec<Slot> =
            (0..5).map(|_| connections.admit(Owner(2)).expect("its own one makes room")).collect();
        assert!(many[..3].iter().all(is_closed) && !many[3..].iter().any(is_closed));
        assert!(!is_closed(&other));
        let _busy: Vec<Busy> = many[3..].iter().map(|slot| slot.begin().expect("open")).collect();
        assert_eq!(connections.admit(Owner(2)).err(), Some(Full::Address));
        drop(many);
        assert_eq!(lock(&connections.table).per_address, HashMap::from([(Owner(1), 1)]));
    }
}
