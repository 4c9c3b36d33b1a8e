//! How the connection is secured, as asked for.

use std::path::{Path, PathBuf};

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS only if the server refuses without.
    Allow,
    /// TLS if the server has it, unchecked.
    Prefer,
    /// TLS, unchecked unless a root certificate is given.
    Require,
    /// TLS, with a certificate that a trusted authority signed.
    VerifyCa,
    /// The same, and made out to the host that is connected to.
    VerifyFull,
}

impl SslMode {
    /// The name as libpq has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        // node-postgres knows no-verify, which is what require means here.
        let text = if text == "no-verify" { "require" } else { text };
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull]
            .into_iter()
            .find(|mode| mode.name() == text)
    }
}

/// Whose signature on the server's certificate counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The authorities that the operating system trusts.
    System,
    /// The certificates in a PEM file.
    File(PathBuf),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// How a connection is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether there is TLS, and what is checked.
    pub mode: SslMode,
    /// Whose signature counts, for the modes that check.
    pub roots: Roots,
    /// The client's certificate and its key, both PEM.
    pub client: Option<(PathBuf, PathBuf)>,
    /// A PEM file of revoked certificates.
    pub revoked: Option<PathBuf>,
    /// Whether the host name is told to the server in clear.
    pub sni: bool,
    /// Whether TLS starts without asking the server first (PostgreSQL 17).
    pub direct: bool,
    /// The lowest version accepted.
    pub lowest: TlsVersion,
    /// The highest version accepted.
    pub highest: TlsVersion,
}

impl TlsSettings {
    /// Tells whether the certificate's signer is checked; with `require` that is so when a root file was given.
    pub fn checks_signer(&self) -> bool {
        self.mode >= SslMode::VerifyCa || (self.mode == SslMode::Require && matches!(self.roots, Roots::File(_)))
    }
}

/// Where operating systems keep the authorities they trust, as one PEM file.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
    "/opt/homebrew/etc/openssl@3/cert.pem",
];

/// Finds the operating system's authorities as one file, for libpq before 16, which knows no `sslrootcert=system`.
pub(super) fn system_bundle() -> Option<&'static Path> {
    BUNDLES.iter().map(Path::new).find(|path| path.is_file())
}
