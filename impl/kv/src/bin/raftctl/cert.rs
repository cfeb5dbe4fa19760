//! `raftctl cert`: an authority, and certificates for servers and clients, for tests.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::args::CertArgs;
use crate::failure::{Exit, Failure, refuse_existing, write_file};
use crate::output;

/// Where a server is always reached in tests.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

pub(crate) fn run(args: &CertArgs) -> Result<Exit, Failure> {
    let names: Vec<String> = (1..=args.nodes).map(|node| format!("node-{node}")).collect();
    let mut all = vec!["ca", "client"];
    all.extend(names.iter().map(String::as_str));
    for name in all {
        for end in ["pem", "key"] {
            refuse_existing(&args.out.join(format!("{name}.{end}")), args.force)?;
        }
    }
    let mut hosts: Vec<String> = LOCAL.map(str::to_owned).to_vec();
    hosts.extend(args.hosts.iter().filter(|host| !LOCAL.contains(&host.as_str())).cloned());
    let authority = authority()?;
    let mut pairs = vec![Pair::new("ca", authority.pem(), authority.key())];
    for name in &names {
        // By that name the servers know each other, wherever they run.
        let mut hosts = hosts.clone();
        hosts.push(name.clone());
        pairs.push(issue(&authority, name, &hosts)?);
    }
    pairs.push(issue(&authority, "client", &[])?);

    std::fs::create_dir_all(&args.out)
        .map_err(|source| Failure::Write { path: args.out.clone(), source })?;
    for Pair { name, certificate, key } in pairs {
        let path = |end: &str| args.out.join(format!("{name}.{end}"));
        write_file(&path("key"), key.as_bytes(), args.force, true)?;
        write_file(&path("pem"), certificate.as_bytes(), args.force, false)?;
    }
    output::print(&summary(&args.out, args.nodes, &hosts))?;
    Ok(Exit::Fine)
}

/// A certificate and its key, in PEM.
struct Pair {
    name: String,
    certificate: String,
    key: String,
}

impl Pair {
    fn new(name: &str, certificate: String, key: &KeyPair) -> Pair {
        Pair { name: name.to_owned(), certificate, key: key.serialize_pem() }
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, Failure> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "raft test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A certificate of the authority and its key. Servers are clients of each other, too.
fn issue(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    hosts: &[String],
) -> Result<Pair, Failure> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if !hosts.is_empty() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok(Pair::new(name, certificate.pem(), &key))
}

fn summary(folder: &Path, nodes: u16, hosts: &[String]) -> String {
    let folder = folder.display();
    let last = if nodes == 1 { String::new() } else { format!(" .. node-{nodes}.pem") };
    format!(
        "\
In {folder}, each with its .key:
    ca.pem        the authority, for --ca
    node-1.pem{last}, for {}
    client.pem    for clients, --client-cert

For tests only: the authority's key lies beside the others, and nothing expires.
",
        hosts.join(", ")
    )
}
