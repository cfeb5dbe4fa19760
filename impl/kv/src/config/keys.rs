//! The only list of the keys of the configuration file. `raftd run --help`, `CONFIGURATION.md` and
//! the messages about misplaced keys are generated from it.

use std::fmt::Write as _;

use IfAbsent::{Means, Refused, Value};

/// The effect of a key that is not in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    /// The configuration is refused.
    Refused,
    /// The key has this value, written as in the file.
    Value(&'static str),
    /// A description of the effect, which is not one fixed value.
    Means(&'static str),
}

impl IfAbsent {
    fn text(self) -> &'static str {
        match self {
            IfAbsent::Refused => "required",
            IfAbsent::Value(text) | IfAbsent::Means(text) => text,
        }
    }
}

/// A key of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The table that the key belongs to; empty for the top of the file.
    pub table: &'static str,
    /// Its name in that table.
    pub name: &'static str,
    /// The type of its value, or the unit if the value is a number with a unit.
    pub unit: &'static str,
    /// The effect if the key is absent.
    pub if_absent: IfAbsent,
    /// A description for people.
    pub sentence: &'static str,
}

impl Key {
    /// Returns the key with its table, such as `timing.heartbeat`.
    pub fn path(&self) -> String {
        match self.table {
            "" => self.name.to_owned(),
            table => format!("{table}.{}", self.name),
        }
    }
}

/// A table of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name; empty for the top of the file.
    pub name: &'static str,
    /// The line that begins the table.
    pub header: &'static str,
    /// A description for people.
    pub sentence: &'static str,
}

/// All tables, in the order in which they are explained.
pub const TABLES: &[Table] = &[
    Table {
        name: "",
        header: "top of the file",
        sentence: "Before the first line with a [table].",
    },
    Table {
        name: "members",
        header: "[[members]]",
        sentence: "One for each server, this one included; the same on every server. Ids never change, addresses may.",
    },
    Table {
        name: "timing",
        header: "[timing]",
        sentence: "Elections and heartbeats; the same on every server.",
    },
    Table {
        name: "snapshots",
        header: "[snapshots]",
        sentence: "When the log is replaced by a snapshot of the state.",
    },
    Table {
        name: "tls",
        header: "[tls]",
        sentence: "Certificates, as PEM files; paths are relative to the configuration. Without this \
                   table nothing is encrypted, and anybody who reaches the port for servers can speak \
                   as one of them.",
    },
];

/// Creates a line of [`KEYS`].
const fn key(
    table: &'static str,
    name: &'static str,
    unit: &'static str,
    if_absent: IfAbsent,
    sentence: &'static str,
) -> Key {
    Key { table, name, unit, if_absent, sentence }
}

/// All keys, in the order in which they are explained.
#[rustfmt::skip] // One line for each key.
pub const KEYS: &[Key] = &[
    key("", "cluster", "text", Refused, "The name of the cluster; servers of others are refused. 1 to 64 bytes."),
    key("", "id", "number", Refused, "Which of the members this server is."),
    key("", "data", "path", Refused, "The directory of its data, relative to the file; made if it is not there."),
    key("", "listen_peers", "host:port", Means("own peer"), "Where it listens for other servers."),
    key("", "listen_clients", "host:port", Means("own client"), "Where it listens for clients."),
    key("", "listen_health", "host:port", Means("none"), "Where it serves /livez, /readyz and /metrics besides, in the clear; the address for clients may have no room left."),
    key("", "names", "list of text", Value("[]"), "Further names or IP addresses, without ports, under which clients reach it; requests with another Host are refused."),
    key("", "allowed_origins", "list of text", Value("[]"), "From which origins, such as https://app.example, pages in browsers may send requests."),
    key("", "threads", "number", Value("2"), "How many threads serve clients; at least 1."),
    key("", "max_connections", "number", Value("2000"), "How many connections of clients are open at once; for one more, the one that is idle for longest is closed."),
    key("", "max_connections_per_address", "number", Means("half of max_connections"), "How many of them one IPv4 address, or one IPv6 network of 64 bits, may have."),
    key("", "cache_mib", "MiB", Value("128"), "Memory that the key-value store may use as a cache."),
    key("", "request_timeout", "duration", Value("\"5s\""), "After this time a request is answered with outcome unknown."),
    key("members", "id", "number", Refused, "Its number, at least 1, different from the others'."),
    key("members", "peer", "host:port", Refused, "Where the other servers reach it."),
    key("members", "client", "host:port", Refused, "Where clients reach it; they are sent there when it leads."),
    key("timing", "election_min", "duration", Value("\"150ms\""), "The shortest election timeout; at least twice the heartbeat."),
    key("timing", "election_max", "duration", Value("\"300ms\""), "The longest election timeout; above the shortest."),
    key("timing", "heartbeat", "duration", Value("\"50ms\""), "How often a leader shows that it is alive."),
    key("snapshots", "log_mib", "MiB", Value("32"), "A snapshot is taken when the log is this long, or a quarter of the last snapshot if that is more; 1 to 256."),
    key("snapshots", "mib_per_second", "MiB/s", Value("16"), "How fast snapshots are written, but for their first 128 MiB, at 4 times that; at least 1."),
    key("tls", "authority", "path", Refused, "The certificate of the authority that signs those of servers and clients."),
    key("tls", "certificate", "path", Refused, "This server's certificate; it names node-ID, with this server's id, and the host that clients use."),
    key("tls", "key", "path", Refused, "The private key of the certificate."),
    key("tls", "clients_need_certificates", "true or false", Value("false"), "Whether clients have to show a certificate of the authority."),
];

/// Returns the keys of a table.
pub fn of_table(table: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.table == table)
}

const EXAMPLE: &str = r#"cluster = "demo"
id = 1                          # which of the members this server is
data = "data/node-1"            # relative to this file

[[members]]                     # one for each server; the same on every server
id = 1
peer = "10.0.0.1:7201"          # where the other servers reach it
client = "10.0.0.1:7101"        # where clients reach it

[timing]
heartbeat = "20ms"
"#;

/// The maximum width of the text for terminals, in columns.
const WIDTH: usize = 98;

/// Returns the description of the whole configuration for `--help`.
pub fn help() -> String {
    let mut text = "The configuration is a TOML file. An example:\n\n".to_owned();
    for line in EXAMPLE.lines() {
        let _ = writeln!(text, "{}", format!("  {line}").trim_end());
    }
    text += "\nEvery key, with the type or the unit of its value, and its default. A duration is a text \
             such as\n\"50ms\", \"5s\" or \"1m 30s\".\n";
    let longest = |column: fn(&Key) -> &'static str| {
        KEYS.iter().map(|key| column(key).len()).max().unwrap_or(0)
    };
    let names = longest(|key| key.name);
    let units = longest(|key| key.unit);
    let defaults = longest(|key| key.if_absent.text());
    for Table { name, header, sentence } in TABLES {
        let sentence = wrapped(sentence, "  ", "  ");
        let _ = write!(text, "\n{header}\n{sentence}\n\n");
        for Key { name, unit, if_absent, sentence, .. } in of_table(name) {
            let default = if_absent.text();
            let columns = format!("  {name:names$}  {unit:units$}  {default:defaults$}  ");
            let _ = writeln!(text, "{}", wrapped(sentence, &columns, &" ".repeat(columns.len())));
        }
    }
    text
}

fn wrapped(text: &str, first: &str, others: &str) -> String {
    let options = textwrap::Options::new(WIDTH).initial_indent(first).subsequent_indent(others);
    textwrap::fill(text, options)
}

/// Returns the text of the page `CONFIGURATION.md`.
pub fn page() -> String {
    let mut text = format!(
        "# The configuration of `raftd`\n\n\
         A TOML file, which `raftd run --config FILE` reads and `raftd config check FILE` checks. \
         `raftd run --help`\nshows what stands here. An example:\n\n```toml\n{EXAMPLE}```\n\n\
         A duration is a text such as `\"50ms\"`, `\"5s\"` or `\"1m 30s\"`. Unknown keys are refused.\n"
    );
    for Table { name, header, sentence } in TABLES {
        let title = if name.is_empty() { (*header).to_owned() } else { format!("`{header}`") };
        let _ = write!(
            text,
            "\n## {title}\n\n{sentence}\n\n| key | type or unit | default | |\n| --- | --- | --- | --- |\n"
        );
        for Key { name, unit, if_absent, sentence, .. } in of_table(name) {
            let default = match if_absent {
                Value(value) => format!("`{value}`"),
                other => other.text().to_owned(),
            };
            let _ = writeln!(text, "| `{name}` | {unit} | {default} | {sentence} |");
        }
    }
    text
}
