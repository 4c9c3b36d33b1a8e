//! How the connection is secured, from what was said and what was not.

use std::path::PathBuf;

use super::{Values, bad};
use crate::Error;
use crate::connection::{Environment, Roots, Server, SslMode, TlsSettings, TlsVersion};

/// Settles TLS; remote servers are checked unless something else is said.
pub(super) fn settings(
    values: &Values,
    environment: &Environment,
    servers: &[Server],
    warnings: &mut Vec<String>,
) -> Result<TlsSettings, Error> {
    let home = |name: &str| environment.home().map(|home| home.join(".postgresql").join(name)).filter(|p| p.is_file());
    let strict = values.choice("sslaccept", &[("strict", true), ("accept_invalid_certs", false)])?;
    let prismas = strict.is_some() || values.get("sslidentity").is_some();
    if values.get("sslidentity").is_some() {
        warnings.push("sslidentity (PKCS 12) is not read; give sslcert and sslkey in PEM form".to_owned());
    }
    // Prisma calls the root certificate sslcert; libpq's sslcert is the client's and comes with a key.
    let prisma_root = values.get("sslcert").filter(|_| prismas && values.get("sslkey").is_none());
    let root = values.get("sslrootcert").or(prisma_root);
    // A text that asks for no check is not checked by a certificate that it does not know of.
    let unchecked = strict == Some(false) || [values.get("sslmode"), values.get("ssl")].contains(&Some("no-verify"));
    let given = environment.authorities().filter(|_| root.is_none() && !unchecked);

    let said = match values.get("sslmode") {
        Some(text) => Some(SslMode::parse(text).ok_or_else(|| {
            bad("sslmode", format!("{text:?} is none of disable, allow, prefer, require, verify-ca, verify-full"))
        })?),
        None => match values.get("ssl") {
            Some("true" | "1" | "on" | "no-verify") => Some(SslMode::Require),
            Some("false" | "0" | "off") => Some(SslMode::Disable),
            Some(_) => return Err(bad("ssl", "is neither true nor false; say sslmode=…")),
            None => None,
        },
    };
    let mode = match (said, strict) {
        (Some(SslMode::Require) | None, Some(true)) => SslMode::VerifyFull,
        (None, Some(false)) => SslMode::Require,
        (Some(mode), _) => mode,
        (None, None) if root == Some("system") || given.is_some() => SslMode::VerifyFull,
        (None, None) if servers.iter().all(Server::is_local) => SslMode::Prefer,
        (None, None) => SslMode::VerifyFull,
    };
    if root == Some("system") && mode < SslMode::VerifyFull {
        return Err(bad("sslmode", format!("{} is too weak for sslrootcert=system; say verify-full", mode.name())));
    }
    let roots = match root {
        Some("system") => Roots::System,
        Some(file) => Roots::File(PathBuf::from(file)),
        None => given.map(PathBuf::from).or_else(|| home("root.crt")).map_or(Roots::System, Roots::File),
    };
    let certificate = values.get("sslcert").filter(|_| prisma_root.is_none()).map(PathBuf::from);
    let client = match (certificate.or_else(|| home("postgresql.crt")), values.get("sslkey").map(PathBuf::from)) {
        (None, _) => None,
        (Some(certificate), key) => match key.or_else(|| home("postgresql.key")) {
            Some(key) => Some((certificate, key)),
            None => return Err(bad("sslkey", "is needed beside sslcert")),
        },
    };
    let versions = [
        ("TLSv1", TlsVersion::V12),
        ("TLSv1.1", TlsVersion::V12),
        ("TLSv1.2", TlsVersion::V12),
        ("TLSv1.3", TlsVersion::V13),
    ];
    let direct = values.choice("sslnegotiation", &[("postgres", false), ("direct", true)])?.unwrap_or(false);
    if direct && mode < SslMode::Require {
        return Err(bad("sslnegotiation", "direct needs sslmode=require or stronger"));
    }
    Ok(TlsSettings {
        mode,
        roots,
        client,
        revoked: values.get("sslcrl").map(PathBuf::from).or_else(|| home("root.crl")),
        sni: values.get("sslsni") != Some("0"),
        direct,
        lowest: values.choice("ssl_min_protocol_version", &versions)?.unwrap_or(TlsVersion::V12),
        highest: values.choice("ssl_max_protocol_version", &versions[2..])?.unwrap_or(TlsVersion::V13),
    })
}
