//! The sessions of clients. They ensure that a retried request takes effect only once.
//!
//! A session stores the serial number of its last request and the answer to it. The number of
//! sessions is bounded. Only the log determines which session is removed, never a clock. A client
//! that opens too many sessions loses its own sessions.

use raft_core::{Bytes, Index};
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use super::error::damaged;
use crate::command::{Answer, ClientId, Owner, RequestId};

/// The maximum number of sessions. When one more is opened, the owner with the most sessions loses
/// its least recently used session. A retry counts as a use. If several owners have the most
/// sessions, the least recently used of all their sessions is removed.
pub const MAX_SESSIONS: u64 = 10_000;

/// The stored values of a session: the owner, the index of the last use, the last serial number (0
/// if there is none), and the answer to it (empty if there is none).
pub(super) type Remembered = (u64, u64, u64, &'static [u8]);

/// The sessions by id.
pub(super) const SESSIONS: TableDefinition<u64, Remembered> = TableDefinition::new("sessions");

/// For each session: its owner, the index of its last use, and its id.
const USES: TableDefinition<(u64, u64, u64), ()> = TableDefinition::new("uses_by_owner");

/// For each owner: the number of its sessions, and a lower bound on the index of the last use of
/// its least recently used session.
const OWNERS: TableDefinition<u64, (u64, u64)> = TableDefinition::new("owners");

/// The same, in the order in which owners lose sessions: the number of sessions, [`u64::MAX`] minus
/// the lower bound, and the owner. The last entry is the owner that loses a session next, if its
/// lower bound is exact. [`Sessions::make_room`] makes it exact, so that a request in a session
/// need not update it.
const RANKS: TableDefinition<(u64, u64, u64), ()> = TableDefinition::new("ranks");

/// The stored state of a session.
pub(super) struct Session<'a> {
    pub(super) owner: u64,
    pub(super) last_use: u64,
    /// 0 before the first request.
    pub(super) last_serial: u64,
    /// Empty before the first request.
    pub(super) last_answer: &'a [u8],
}

/// The decision about a request.
pub(super) enum Admission {
    /// The request is new: the caller must perform it and [`remember`](Sessions::remember) the
    /// answer.
    New {
        /// The owner of the session.
        owner: Owner,
    },
    /// The request must not be performed. This is the answer to it.
    Answered(Bytes),
}

/// The sessions in a write transaction.
pub(super) struct Sessions<'t> {
    by_name: Table<'t, u64, Remembered>,
    uses: Table<'t, (u64, u64, u64), ()>,
    owners: Table<'t, u64, (u64, u64)>,
    ranks: Table<'t, (u64, u64, u64), ()>,
    max: u64,
}

impl<'t> Sessions<'t> {
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        max: u64,
    ) -> Result<Sessions<'t>, redb::Error> {
        Ok(Sessions {
            by_name: transaction.open_table(SESSIONS)?,
            uses: transaction.open_table(USES)?,
            owners: transaction.open_table(OWNERS)?,
            ranks: transaction.open_table(RANKS)?,
            max,
        })
    }

    pub(super) fn create(&mut self, index: Index, owner: Owner) -> Result<ClientId, redb::Error> {
        if self.by_name.len()? >= self.max {
            self.make_room()?;
        }
        let (owner, last_use) = (owner.0, index.0);
        self.add(index.0, &Session { owner, last_use, last_serial: 0, last_answer: &[] })?;
        Ok(ClientId(index.0))
    }

    /// Adds a session that does not exist yet.
    pub(super) fn add(&mut self, client: u64, session: &Session<'_>) -> Result<(), redb::Error> {
        let Session { owner, last_use, last_serial, last_answer } = *session;
        self.by_name.insert(client, (owner, last_use, last_serial, last_answer))?;
        self.uses.insert((owner, last_use, client), ())?;
        let (count, oldest) = self.owned(owner)?.unwrap_or((0, last_use));
        self.rank(owner, count + 1, oldest.min(last_use))
    }

    /// Removes the session that [`MAX_SESSIONS`] describes.
    fn make_room(&mut self) -> Result<(), redb::Error> {
        loop {
            let last = self.ranks.last()?.map(|(rank, _)| rank.value());
            let (count, rank, owner) = last.ok_or_else(|| damaged("sessions without owners"))?;
            let oldest = self.oldest(owner)?;
            let (last_use, client) = oldest.ok_or_else(|| damaged("an owner without sessions"))?;
            if u64::MAX - rank != last_use {
                // The owner has used its oldest session since the rank was stored. Each use causes
                // at most one such correction.
                self.rank(owner, count, last_use)?;
                continue;
            }
            self.by_name.remove(client)?;
            self.uses.remove((owner, last_use, client))?;
            return match self.oldest(owner)? {
                Some((next, _)) => self.rank(owner, count - 1, next),
                None => self.rank(owner, 0, 0),
            };
        }
    }

    fn owned(&self, owner: u64) -> Result<Option<(u64, u64)>, redb::Error> {
        Ok(self.owners.get(owner)?.map(|owned| owned.value()))
    }

    /// Returns the least recently used session of an owner: the index of its last use, and its id.
    fn oldest(&self, owner: u64) -> Result<Option<(u64, u64)>, redb::Error> {
        let first = self.uses.range((owner, 0, 0)..=(owner, u64::MAX, u64::MAX))?.next();
        let Some(first) = first.transpose()? else { return Ok(None) };
        let (_, last_use, client) = first.0.value();
        Ok(Some((last_use, client)))
    }

    /// Stores the number of an owner's sessions, and the oldest index of their last uses.
    fn rank(&mut self, owner: u64, count: u64, oldest: u64) -> Result<(), redb::Error> {
        if let Some((count, oldest)) = self.owned(owner)? {
            self.ranks.remove((count, u64::MAX - oldest, owner))?;
        }
        if count == 0 {
            self.owners.remove(owner)?;
        } else {
            self.owners.insert(owner, (count, oldest))?;
            self.ranks.insert((count, u64::MAX - oldest, owner), ())?;
        }
        Ok(())
    }

    pub(super) fn admit(
        &mut self,
        index: Index,
        request: RequestId,
    ) -> Result<Admission, redb::Error> {
        let client = request.client.0;
        let Some(session) = self.by_name.get(client)? else {
            return Ok(Admission::Answered(Answer::UnknownSession.encode()));
        };
        let (owner, last_use, last_serial, last_answer) = session.value();
        let last_answer = Bytes::from(last_answer);
        drop(session);
        self.uses.remove((owner, last_use, client))?;
        self.uses.insert((owner, index.0, client), ())?;
        if request.serial > last_serial {
            return Ok(Admission::New { owner: Owner(owner) });
        }
        let remembered = (owner, index.0, last_serial, last_answer.as_slice());
        self.by_name.insert(client, remembered)?;
        let repeated = request.serial == last_serial;
        let answer = if repeated { last_answer } else { Answer::StaleSerial.encode() };
        Ok(Admission::Answered(answer))
    }

    pub(super) fn remember(
        &mut self,
        index: Index,
        owner: Owner,
        request: RequestId,
        answer: &[u8],
    ) -> Result<(), redb::Error> {
        self.by_name.insert(request.client.0, (owner.0, index.0, request.serial, answer))?;
        Ok(())
    }
}

/// Assigns the sessions of a file with layout 1, which have no owner, to [`Owner::UNKNOWN`].
pub(super) fn give_owners(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    const FORMER: TableDefinition<u64, (u64, u64, &[u8])> = TableDefinition::new("sessions");
    const FORMER_USES: TableDefinition<(u64, u64), ()> = TableDefinition::new("uses");
    let mut former = Vec::new();
    for session in transaction.open_table(FORMER)?.range::<u64>(..)? {
        let (client, remembered) = session?;
        let (last_use, last_serial, last_answer) = remembered.value();
        former.push((client.value(), last_use, last_serial, last_answer.to_owned()));
    }
    transaction.delete_table(FORMER)?;
    transaction.delete_table(FORMER_USES)?;
    let mut sessions = Sessions::open(transaction, MAX_SESSIONS)?;
    let owner = Owner::UNKNOWN.0;
    for (client, last_use, last_serial, last_answer) in &former {
        let (last_use, last_serial) = (*last_use, *last_serial);
        sessions.add(*client, &Session { owner, last_use, last_serial, last_answer })?;
    }
    Ok(())
}
