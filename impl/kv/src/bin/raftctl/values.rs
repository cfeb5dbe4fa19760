//! `raftctl get`, `put`, `append`, `delete` and `cas`.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};

use raft_kv::client::{Expected, Swapped};

use crate::args::{CasArgs, DeleteArgs, GetArgs, PutArgs, ValueArgs};
use crate::cluster::Cluster;
use crate::failure::{Exit, Failure, complain};
use crate::output;

pub(crate) async fn get(cluster: &Cluster, args: GetArgs) -> Result<Exit, Failure> {
    let Some(found) = cluster.client()?.get(&bytes(args.key)).await? else {
        complain("There is no such key.");
        return Ok(Exit::No);
    };
    if args.version {
        output::print(&format!("{}\n", found.version))?;
    } else {
        output::print_bytes(&found.value)?;
        if needs_newline(&found.value, std::io::stdout().is_terminal()) {
            output::print("\n")?;
        }
    }
    Ok(Exit::Fine)
}

pub(crate) async fn put(cluster: &Cluster, args: PutArgs) -> Result<Exit, Failure> {
    let value = args.value.read()?;
    let mut client = cluster.writer(&args.session).await?;
    let written = client.put(&bytes(args.key), value).await?;
    output::print(&format!("version {}\n", written.version))?;
    Ok(Exit::Fine)
}

pub(crate) async fn append(cluster: &Cluster, args: PutArgs) -> Result<Exit, Failure> {
    let value = args.value.read()?;
    let mut client = cluster.writer(&args.session).await?;
    let written = client.append(&bytes(args.key), value).await?;
    output::print(&format!("version {}, {} bytes\n", written.version, written.length))?;
    Ok(Exit::Fine)
}

pub(crate) async fn delete(cluster: &Cluster, args: DeleteArgs) -> Result<Exit, Failure> {
    let mut client = cluster.writer(&args.session).await?;
    if client.delete(&bytes(args.key)).await?.existed {
        return Ok(Exit::Fine);
    }
    complain("There is no such key.");
    Ok(Exit::No)
}

pub(crate) async fn cas(cluster: &Cluster, args: CasArgs) -> Result<Exit, Failure> {
    let value = args.value.read()?;
    let expected = args.expected.expect.map_or(Expected::Absent, Expected::Version);
    let mut client = cluster.writer(&args.session).await?;
    match client.compare_and_set(&bytes(args.key), expected, value).await? {
        Swapped::Written(written) => {
            output::print(&format!("version {}\n", written.version))?;
            return Ok(Exit::Fine);
        }
        Swapped::Conflict { present: Some(version) } => {
            complain(format_args!("Conflict: the key has version {version}."));
        }
        Swapped::Conflict { present: None } => complain("Conflict: there is no such key."),
    }
    Ok(Exit::No)
}

/// Returns whether a newline must follow the value. On a terminal, the next prompt then begins on a
/// new line. Programs get the bytes unchanged.
fn needs_newline(value: &[u8], is_terminal: bool) -> bool {
    is_terminal && !value.ends_with(b"\n")
}

impl ValueArgs {
    fn read(self) -> Result<Vec<u8>, Failure> {
        if let Some(path) = self.file {
            return std::fs::read(&path).map_err(|source| Failure::Read { path, source });
        }
        let value = self.value.map(bytes).unwrap_or_default();
        if value != b"-" {
            return Ok(value);
        }
        let mut input = Vec::new();
        std::io::stdin().lock().read_to_end(&mut input).map_err(Failure::Input)?;
        Ok(input)
    }
}

fn bytes(text: OsString) -> Vec<u8> {
    text.into_encoded_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_with_a_newline_on_a_terminal_only() {
        let cases = [(&b"v"[..], true), (b"", true), (b"v\n", true), (b"v", false)];
        let needs = cases.map(|(value, is_terminal)| needs_newline(value, is_terminal));
        assert_eq!(needs, [true, true, false, false]);
    }
}
