//! The encodings of commands and answers.

use proptest::prelude::*;
use raft_core::Bytes;
use raft_kv::command::{
    Answer, ClientId, Command, CommandError, MAX_KEY, MAX_VALUE, Operation, Owner, RequestId,
};

fn any_bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), length).prop_map(Bytes::from)
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let key = || any_bytes(1..40);
    let value = || any_bytes(0..300);
    prop_oneof![
        (key(), value()).prop_map(|(key, value)| Operation::Put { key, value }),
        key().prop_map(|key| Operation::Delete { key }),
        (key(), value()).prop_map(|(key, suffix)| Operation::Append { key, suffix }),
        (key(), any::<Option<u64>>(), value())
            .prop_map(|(key, expected, value)| Operation::CompareAndSet { key, expected, value }),
        Just(Operation::OpenSession),
        any::<u64>().prop_map(|owner| Operation::OpenSessionFor { owner: Owner(owner) }),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    let request = (any::<u64>(), 1..=u64::MAX)
        .prop_map(|(client, serial)| RequestId { client: ClientId(client), serial });
    (prop::option::of(request), any_operation())
        .prop_map(|(request, operation)| Command { request, operation })
}

proptest! {
    #[test]
    fn a_command_survives_its_encoding(command in any_command()) {
        let encoded = command.encode().expect("within the limits");
        prop_assert_eq!(Command::decode(&encoded), Ok(command));
    }

    #[test]
    fn a_command_with_more_or_less_behind_it_is_none(
        command in any_command(), more in prop::collection::vec(any::<u8>(), 1..4)
    ) {
        let mut encoded = command.encode().expect("within the limits");
        for length in 0..encoded.len() {
            prop_assert!(Command::decode(&encoded[..length]).is_err());
        }
        encoded.extend(&more);
        prop_assert_eq!(
            Command::decode(&encoded),
            Err(CommandError::Trailing { count: more.len() })
        );
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut versioned = vec![1];
        versioned.extend(&bytes);
        for bytes in [&bytes, &versioned] {
            let _ = Answer::decode(bytes);
            if let Ok(command) = Command::decode(bytes) {
                prop_assert!(command.encode().is_ok());
            }
        }
    }
}

fn put(key: usize, value: usize) -> Command {
    let (key, value) = (Bytes::from(vec![b'k'; key]), Bytes::from(vec![b'v'; value]));
    Command { request: None, operation: Operation::Put { key, value } }
}

#[test]
fn every_answer_survives_its_encoding() {
    let most = u64::MAX;
    let answers = [
        Answer::Written { version: most, length: most },
        Answer::Deleted { existed: true },
        Answer::Deleted { existed: false },
        Answer::Conflict { present: Some(most) },
        Answer::Conflict { present: None },
        Answer::SessionOpened { client: ClientId(most) },
        Answer::UnknownSession,
        Answer::StaleSerial,
        Answer::TooLarge,
        Answer::BadCommand,
    ];
    for answer in answers {
        assert_eq!(Answer::decode(answer.encode().as_slice()), Ok(answer));
    }
}

#[test]
fn a_key_has_at_least_one_byte_and_at_most_4_kib() {
    for length in [0, MAX_KEY + 1] {
        assert_eq!(put(length, 0).encode(), Err(CommandError::KeyLength { length }));
    }
    for length in [1, MAX_KEY] {
        assert!(put(length, 0).encode().is_ok());
    }
}

#[test]
fn a_value_has_at_most_1_mib() {
    assert!(put(1, MAX_VALUE).encode().is_ok());
    let length = MAX_VALUE + 1;
    assert_eq!(put(1, length).encode(), Err(CommandError::ValueLength { length }));
}

#[test]
fn what_is_beyond_the_limits_is_not_decoded_either() {
    let beyond = [1, 0, 0, 0, 0];
    assert_eq!(Command::decode(&beyond), Err(CommandError::KeyLength { length: 0 }));
}

#[test]
fn serials_start_at_1() {
    let request = Some(RequestId { client: ClientId(1), serial: 0 });
    let command = Command { request, operation: Operation::OpenSession };
    assert_eq!(command.encode(), Err(CommandError::SerialZero));
}

#[test]
fn other_formats_are_refused_by_name() {
    assert_eq!(Command::decode(&[]), Err(CommandError::Empty));
    assert_eq!(Command::decode(&[2, 0, 4]), Err(CommandError::OtherFormat { found: 2 }));
}

#[test]
fn logs_that_were_written_stay_readable() {
    let request = Some(RequestId { client: ClientId(7), serial: 300 });
    let (key, value) = (Bytes::from("k"), Bytes::from("v"));
    let expected = Some(9);
    let command = Command { request, operation: Operation::CompareAndSet { key, expected, value } };
    let written = [1, 1, 7, 0xac, 2, 3, 1, b'k', 1, 9, 1, b'v'];
    assert_eq!(command.encode().as_deref(), Ok(written.as_slice()));
    let opening = |operation| Command { request: None, operation };
    assert_eq!(Command::decode(&[1, 0, 4]), Ok(opening(Operation::OpenSession)));
    let owned = opening(Operation::OpenSessionFor { owner: Owner(300) });
    assert_eq!(owned.encode().as_deref(), Ok([1, 0, 5, 0xac, 2].as_slice()));
    let answer = Answer::Written { version: 9, length: 1 };
    assert_eq!(answer.encode().as_slice(), [1, 0, 9, 1]);
}

#[test]
fn an_owner_is_an_ipv4_address_or_a_network_of_ipv6() {
    let owner = |address: &str| Owner::from(address.parse::<std::net::IpAddr>().unwrap());
    assert_eq!(owner("10.0.0.1"), Owner(0x0a00_0001));
    assert_eq!(owner("::ffff:10.0.0.1"), owner("10.0.0.1"));
    assert_ne!(owner("10.0.0.1"), owner("10.0.0.2"));
    assert_eq!(owner("2001:db8:1:2:3:4:5:6"), Owner(0x2001_0db8_0001_0002));
    assert_eq!(owner("2001:db8:1:2::1"), owner("2001:db8:1:2:ffff::"));
    assert_ne!(owner("2001:db8:1:2::1"), owner("2001:db8:1:3::1"));
}
