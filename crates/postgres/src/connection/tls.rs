//! Builds the TLS client from the settings, and puts its failures into words.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::verifier::{AnyCertificate, CheckedCertificate};
use super::{Roots, SslMode, TlsSettings, TlsVersion};
use crate::Error;

/// Makes the TLS client; files are read anew, so that a renewed certificate is seen.
pub(crate) fn connector(settings: &TlsSettings) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: Vec<_> = [(TlsVersion::V12, &rustls::version::TLS12), (TlsVersion::V13, &rustls::version::TLS13)]
        .into_iter()
        .filter(|(version, _)| (settings.lowest..=settings.highest).contains(version))
        .map(|(_, version)| version)
        .collect();
    let verifier: Arc<dyn ServerCertVerifier> = if settings.checks_signer() {
        let (store, pinned) = roots(&settings.roots)?;
        let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
        if let Some(file) = &settings.revoked {
            let lists =
                CertificateRevocationListDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let lists = lists.map_err(|error| bad(file, format!("{error:?}")))?;
            builder = builder.with_crls(lists).allow_unknown_revocation_status();
        }
        let webpki = builder.build().map_err(|error| Error::BadParameter {
            name: "sslrootcert".to_owned(),
            reason: format!("no certificate to trust: {error}"),
        })?;
        Arc::new(CheckedCertificate { webpki, pinned, check_name: settings.mode == SslMode::VerifyFull })
    } else {
        Arc::new(AnyCertificate(Arc::clone(&provider)))
    };
    let refused = |reason: String| Error::BadParameter { name: "ssl_min_protocol_version".to_owned(), reason };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| refused(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &settings.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let private = private_key(key)?;
            builder.with_client_auth_cert(chain, private).map_err(|error| bad(key, error.to_string()))?
        }
    };
    config.enable_sni = settings.sni;
    if settings.direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn bad(path: &Path, reason: String) -> Error {
    Error::BadFile { path: path.to_owned(), reason }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(file, in_words(&error)))?;
    if found.is_empty() { Err(bad(file, "holds no certificate in PEM form".to_owned())) } else { Ok(found) }
}

/// Tells whether a PEM file holds authorities that connections can be checked with.
///
/// # Errors
/// [`Error::BadFile`]: it cannot be read, or no certificate in it can.
pub fn check_authorities(file: &Path) -> Result<(), Error> {
    roots(&Roots::File(file.to_owned())).map(drop)
}

fn in_words(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "holds nothing of that kind in PEM form".to_owned(),
        _ => "is not in PEM form".to_owned(),
    }
}

fn roots(roots: &Roots) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Error> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            let (good, _) = store.add_parsable_certificates(found.certs);
            if good == 0 {
                let reason = "the system has no trusted certificates; install ca-certificates or give sslrootcert=FILE";
                return Err(Error::BadParameter { name: "sslrootcert".to_owned(), reason: reason.to_owned() });
            }
            Ok((store, Vec::new()))
        }
        Roots::File(file) => {
            let found = certificates(file)?;
            let (good, _) = store.add_parsable_certificates(found.iter().cloned());
            if good == 0 {
                Err(bad(file, "holds no certificate that can be read".to_owned()))
            } else {
                Ok((store, found))
            }
        }
    }
}

/// Refuses a key that others may read, as libpq does.
fn private_key(file: &PathBuf) -> Result<PrivateKeyDer<'static>, Error> {
    let about = fs::metadata(file).map_err(|error| bad(file, error.to_string()))?;
    let open = if about.uid() == 0 { 0o027 } else { 0o077 };
    if about.permissions().mode() & open != 0 {
        return Err(bad(file, "the private key may be read by others: chmod 0600 it".to_owned()));
    }
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| bad(file, format!("{} (an encrypted key is not supported)", in_words(&error))))
}

/// Says what is wrong with a TLS connection and what to do about it.
pub(crate) fn explain(error: &rustls::Error, settings: &TlsSettings) -> (String, String) {
    let weaker = |mode: &str| format!("or say sslmode={mode} to go without this check");
    let whose = match &settings.roots {
        Roots::System => "an authority that this system trusts".to_owned(),
        Roots::File(file) => format!("an authority in {}", file.display()),
    };
    let cure = match &settings.roots {
        Roots::System => {
            "give sslrootcert=FILE with the authority's certificate (Amazon RDS: its CA bundle)".to_owned()
        }
        Roots::File(_) => "give sslrootcert=FILE with the right authority's certificate".to_owned(),
    };
    let unchecked = match &settings.roots {
        Roots::System => weaker("require"),
        Roots::File(_) => "or leave sslrootcert out and say sslmode=require to go without this check".to_owned(),
    };
    match error {
        rustls::Error::InvalidCertificate(problem) => match problem {
            CertificateError::UnknownIssuer => {
                (format!("the server's certificate is not signed by {whose}"), format!("{cure}, {unchecked}"))
            }
            CertificateError::NotValidForName => (
                "the server's certificate is made out to another name".to_owned(),
                format!("connect by the name in the certificate, {}", weaker("verify-ca")),
            ),
            CertificateError::NotValidForNameContext { expected, presented } => (
                format!(
                    "the server's certificate is not made out to {} but to {}",
                    expected.to_str(),
                    if presented.is_empty() { "no host".to_owned() } else { presented.join(", ") }
                ),
                format!("connect by a name in the certificate, {}", weaker("verify-ca")),
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "the server's certificate has expired".to_owned(),
                format!("renew it (or set this machine's clock), {unchecked}"),
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("the server's certificate is not valid yet".to_owned(), "set this machine's clock".to_owned())
            }
            CertificateError::Revoked => {
                ("the server's certificate is revoked".to_owned(), "renew it on the server".to_owned())
            }
            other if other.to_string().contains("UnsupportedCertVersion") => (
                "the server's certificate is of X.509 version 1, which cannot be checked".to_owned(),
                format!("issue it again as version 3 (openssl x509 -req -extfile …), {unchecked}"),
            ),
            other => (format!("the server's certificate is not accepted ({other})"), format!("{cure}, {unchecked}")),
        },
        rustls::Error::AlertReceived(alert) => (
            format!("the server ended the handshake ({alert:?})"),
            "see whether it asks for a client certificate (sslcert, sslkey) or another TLS version".to_owned(),
        ),
        other => (other.to_string(), "see the server's log".to_owned()),
    }
}
