//! The data of a snapshot of the model's state machine: the applied entries in order, as readable
//! text. `1-` is a blank entry of term 1, `2+3:abc` the three-byte command `abc` of term 2.

use raft_core::{Bytes, Entry, Payload, Term};

/// Encodes a state machine as the handle of a snapshot.
pub fn encode(state_machine: &[Entry]) -> Bytes {
    let mut data = Vec::new();
    for entry in state_machine {
        match &entry.payload {
            Payload::Noop => data.extend(format!("{}-", entry.term).bytes()),
            Payload::Command(command) => {
                let command = command.as_slice();
                data.extend(format!("{}+{}:", entry.term, command.len()).bytes());
                data.extend_from_slice(command);
            }
        }
    }
    Bytes::from(data)
}

/// Decodes the state from a snapshot's handle. Data that no server of the model has written, as in
/// a trace by hand, is decoded as far as possible. The properties that compare the result detect
/// it.
pub fn decode(handle: &Bytes) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut rest = handle.as_slice();
    while let Some(entry) = decode_entry(&mut rest) {
        entries.push(entry);
    }
    entries
}

fn decode_entry(rest: &mut &[u8]) -> Option<Entry> {
    let term = Term(take_number(rest)?);
    match take_byte(rest)? {
        b'-' => Some(Entry { term, payload: Payload::Noop }),
        b'+' => {
            let len = usize::try_from(take_number(rest)?).ok()?;
            take_byte(rest).filter(|byte| *byte == b':')?;
            let (command, after) = rest.split_at_checked(len)?;
            *rest = after;
            Some(Entry { term, payload: Payload::Command(Bytes::from(command)) })
        }
        _ => None,
    }
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    quickcheck! {
        fn what_is_encoded_is_decoded(entries: Vec<(u64, Option<Vec<u8>>)>) -> bool {
            let entry = |(term, command): (u64, Option<Vec<u8>>)| Entry {
                term: Term(term),
                payload: command.map_or(Payload::Noop, |bytes| Payload::Command(bytes.into())),
            };
            let entries: Vec<Entry> = entries.into_iter().map(entry).collect();
            decode(&encode(&entries)) == entries
        }

        fn decoding_garbage_never_panics(garbage: Vec<u8>) -> bool {
            decode(&Bytes::from(garbage.clone())).len() <= garbage.len()
        }
    }
}
