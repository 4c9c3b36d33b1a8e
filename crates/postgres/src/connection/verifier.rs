//! Checks the server's certificate as libpq does.
//!
//! rustls alone is stricter than OpenSSL in two things that working installations rely on: PostgreSQL's own manual
//! makes a self-signed certificate that is its own root (rustls: "CA used as end entity"), and it names the host in
//! the subject only. Here a certificate that is itself in the root file is trusted while it is valid, and the
//! subject's common name counts where there is no subject alternative name (PostgreSQL manual, "SSL Client
//! Certificates" and `verify_peer_name_matches_certificate` in fe-secure-common.c).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Checks the signer, and the name where that is asked.
#[derive(Debug)]
pub(super) struct CheckedCertificate {
    pub(super) webpki: Arc<WebPkiServerVerifier>,
    /// The certificates of the root file, each of which is trusted as a server's own too.
    pub(super) pinned: Vec<CertificateDer<'static>>,
    pub(super) check_name: bool,
}

impl ServerCertVerifier for CheckedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Ok(verified) => Ok(verified),
            // webpki looks at the name last, so the signer is right.
            Err(error) if wrong_name(&error) => self.name(end_entity, server_name, error),
            Err(error) => {
                if !self.pinned.iter().any(|root| root.as_ref() == end_entity.as_ref()) {
                    return Err(error);
                }
                valid_at(end_entity, now)?;
                let parsed = ParsedCertificate::try_from(end_entity)?;
                match rustls::client::verify_server_name(&parsed, server_name) {
                    Ok(()) => Ok(ServerCertVerified::assertion()),
                    Err(error) => self.name(end_entity, server_name, error),
                }
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

impl CheckedCertificate {
    fn name(
        &self,
        certificate: &CertificateDer<'_>,
        host: &ServerName<'_>,
        error: Error,
    ) -> Result<ServerCertVerified, Error> {
        if !self.check_name || common_name_matches(certificate, &host.to_str()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(error)
        }
    }
}

fn wrong_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
    )
}

fn parse(certificate: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(certificate).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn valid_at(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let validity = parse(certificate)?.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        Err(Error::InvalidCertificate(CertificateError::NotValidYet))
    } else if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        Err(Error::InvalidCertificate(CertificateError::Expired))
    } else {
        Ok(())
    }
}

fn common_name_matches(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(parsed) = parse(certificate) else { return false };
    let names_host = |name: &GeneralName| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_));
    match parsed.tbs_certificate.get::<SubjectAltName>() {
        Ok(None) => {}
        Ok(Some((_, names))) if !names.0.iter().any(names_host) => {}
        _ => return false,
    }
    let subject = parsed.tbs_certificate.subject;
    let attributes = subject.0.iter().flat_map(|relative| relative.0.iter());
    attributes
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .filter_map(|attribute| std::str::from_utf8(attribute.value.value()).ok())
        .next_back()
        .is_some_and(|name| matches_host(name, host))
}

/// Compares without case; `*.` stands for one label, and never for a whole address.
fn matches_host(pattern: &str, host: &str) -> bool {
    if let Some(suffix) = pattern.strip_prefix("*.") {
        return host.parse::<std::net::IpAddr>().is_err()
            && host
                .split_once('.')
                .is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(suffix));
    }
    pattern.eq_ignore_ascii_case(host)
}

/// Takes any certificate: the modes that check nothing.
///
/// The handshake's signature is not checked either: made with a key that nobody vouches for it would prove nothing,
/// and old version 1 certificates, which rustls cannot parse, work so.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::matches_host;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(matches_host("*.example.com", "DB.example.com"));
        assert!(matches_host("db.example.com", "DB.Example.com"));
        assert!(!matches_host("*.example.com", "a.b.example.com"));
        assert!(!matches_host("*.example.com", "example.com"));
        assert!(!matches_host("*.0.0.1", "127.0.0.1"));
        assert!(matches_host("127.0.0.1", "127.0.0.1"));
    }
}
