//! `raftctl cert`: creates an authority, and certificates for servers and clients, for tests.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::args::CertArgs;
use crate::failure::{Exit, Failure, refuse_existing, write_file};
use crate::output;

/// The hosts under which every server is reachable in tests.
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
        // The servers identify each other by this name, on any host.
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

/// Creates a key and a certificate that the authority signs. Servers are also clients of each
/// other, so every certificate is valid for clients.
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
