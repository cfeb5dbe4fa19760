//! The table of keys agrees with the code.

use std::collections::BTreeSet;

use raft_kv::config::{
    Config, IfAbsent, KEYS, Key, Member, SnapshotConfig, TABLES, TimingConfig, TlsConfig, help,
};
use serde_aux::serde_introspection::serde_introspect;
use toml::Value;

use crate::{SMALLEST, read};

/// Returns the names that serde accepts in a table.
fn fields(table: &str) -> &'static [&'static str] {
    match table {
        "" => serde_introspect::<Config>(),
        "members" => serde_introspect::<Member>(),
        "timing" => serde_introspect::<TimingConfig>(),
        "snapshots" => serde_introspect::<SnapshotConfig>(),
        "tls" => serde_introspect::<TlsConfig>(),
        other => panic!("which type is [{other}]?"),
    }
}

/// Returns the smallest file with an additional `[tls]` table that has only its required keys.
fn with_tls() -> String {
    format!("{SMALLEST}[tls]\nauthority = \"a\"\ncertificate = \"b\"\nkey = \"c\"\n")
}

/// Returns the value of a key in a configuration, including default values.
fn value(config: &Config, key: &Key) -> Option<Value> {
    let all = Value::try_from(config).unwrap();
    let table = match key.table {
        "" => &all,
        "members" => &all["members"][0],
        table => all.get(table)?,
    };
    table.get(key.name).cloned()
}

/// Returns a file without the line of a key.
fn without(text: &str, key: &Key) -> String {
    let header = match key.table {
        "" => "",
        table => TABLES.iter().find(|found| found.name == table).unwrap().header,
    };
    let table = text.find(header).unwrap();
    let start = table + text[table..].find(&format!("{} = ", key.name)).unwrap();
    let end = start + text[start..].find('\n').unwrap();
    format!("{}{}", &text[..start], &text[end..])
}

#[test]
fn every_key_that_serde_knows_is_described_and_no_other() {
    let tables: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
    for table in TABLES {
        let known: BTreeSet<&str> =
            fields(table.name).iter().copied().filter(|name| !tables.contains(name)).collect();
        let keys = KEYS.iter().filter(|key| key.table == table.name);
        let described: Vec<&str> = keys.map(|key| key.name).collect();
        let distinct: BTreeSet<&str> = described.iter().copied().collect();
        assert_eq!(distinct, known, "{}", table.header);
        assert_eq!(distinct.len(), described.len(), "{} has a key twice", table.header);
    }
    let inner: BTreeSet<&str> =
        fields("").iter().copied().filter(|name| tables.contains(name)).collect();
    assert_eq!(inner.len() + 1, tables.len(), "every table is a field, and the top is none");
    assert!(KEYS.iter().all(|key| tables.contains(key.table)));
}

#[test]
fn every_default_is_the_true_one() {
    let config = read(&with_tls()).unwrap();
    for key in KEYS {
        let path = key.path();
        match key.if_absent {
            IfAbsent::Value(default) => {
                let described: toml::Table = toml::from_str(&format!("it = {default}")).unwrap();
                assert_eq!(value(&config, key).as_ref(), Some(&described["it"]), "{path}");
            }
            IfAbsent::Means(_) => assert_eq!(value(&config, key), None, "{path}"),
            IfAbsent::Refused => {
                let without = without(&with_tls(), key);
                let refusal = read(&without).unwrap_err().to_string();
                assert_eq!(refusal, format!("missing field `{}`", key.name), "{path}");
            }
        }
    }
}

#[test]
fn the_help_has_every_key_within_100_columns() {
    let help = help();
    for Key { name, unit, .. } in KEYS {
        let described =
            help.lines().any(|line| line.trim_start().starts_with(name) && line.contains(unit));
        assert!(described, "{name}");
    }
    for line in help.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}
