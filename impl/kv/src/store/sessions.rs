//! Sessions: what makes a retried request take effect once.
//!
//! A session remembers its last request and the answer to it. How many sessions there are is
//! bounded, by the log alone: nobody's clock decides which one is forgotten.

use raft_core::{Bytes, Index};
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use super::state::damaged;
use crate::command::{Answer, ClientId, RequestId};

/// How many sessions there can be. Opening one more removes the one whose last request, a retry
/// included, lies furthest back in the log.
pub const MAX_SESSIONS: u64 = 10_000;

/// The index of the last use, the last serial, or 0, and the answer to that, or nothing.
pub(super) type Remembered = (u64, u64, &'static [u8]);

/// Sessions by name.
pub(super) const SESSIONS: TableDefinition<u64, Remembered> = TableDefinition::new("sessions");

/// The last use of each session, and the session.
pub(super) const USES: TableDefinition<(u64, u64), ()> = TableDefinition::new("uses");

/// What is to be done with a request.
pub(super) enum Admission {
    /// Perform it, and [`remember`](Sessions::remember) the answer.
    New,
    /// Nothing but to give this answer.
    Answered(Bytes),
}

/// The sessions in a write transaction.
pub(super) struct Sessions<'t> {
    by_name: Table<'t, u64, Remembered>,
    uses: Table<'t, (u64, u64), ()>,
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
            max,
        })
    }

    pub(super) fn create(&mut self, index: Index) -> Result<ClientId, redb::Error> {
        if self.by_name.len()? >= self.max {
            let oldest = self.uses.pop_first()?.map(|(used, _)| used.value());
            let (_, client) = oldest.ok_or_else(|| damaged("sessions without uses"))?;
            self.by_name.remove(client)?;
        }
        self.by_name.insert(index.0, (index.0, 0, [].as_slice()))?;
        self.uses.insert((index.0, index.0), ())?;
        Ok(ClientId(index.0))
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
        let (last_use, last_serial, last_answer) = session.value();
        let last_answer = Bytes::from(last_answer);
        drop(session);
        self.uses.remove((last_use, client))?;
        self.uses.insert((index.0, client), ())?;
        if request.serial > last_serial {
            return Ok(Admission::New);
        }
        let remembered = (index.0, last_serial, last_answer.as_slice());
        self.by_name.insert(client, remembered)?;
        let repeated = request.serial == last_serial;
        let answer = if repeated { last_answer } else { Answer::StaleSerial.encode() };
        Ok(Admission::Answered(answer))
    }

    pub(super) fn remember(
        &mut self,
        index: Index,
        request: RequestId,
        answer: &[u8],
    ) -> Result<(), redb::Error> {
        self.by_name.insert(request.client.0, (index.0, request.serial, answer))?;
        Ok(())
    }
}
