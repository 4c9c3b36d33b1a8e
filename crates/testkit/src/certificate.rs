//! A private certificate authority and server certificates signed by it.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A throwaway certificate authority with one server certificate, all in PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate: what a client trusts.
    pub root: String,
    /// The server's certificate.
    pub server: String,
    /// The server's private key.
    pub server_key: String,
}

impl Certificates {
    /// Makes an authority and a certificate for a server known by `names` (host names or addresses).
    #[must_use]
    pub fn for_names(names: &[&str]) -> Self {
        let root_key = KeyPair::generate().expect("a key pair");
        let mut root = CertificateParams::new(Vec::new()).expect("parameters without names are valid");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: two authorities of one name are told apart only by a failing signature.
        let serial = crate::cluster::short_name();
        root.distinguished_name.push(DnType::CommonName, format!("holdpoint test authority {serial}"));
        let root_pem = root.self_signed(&root_key).expect("a root certificate").pem();

        let server_key = KeyPair::generate().expect("a key pair");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut server = CertificateParams::new(names).expect("valid host names");
        server.distinguished_name.push(DnType::CommonName, "holdpoint test server");
        let issuer = Issuer::new(root, root_key);
        let server_pem = server.signed_by(&server_key, &issuer).expect("a server certificate").pem();
        Self { root: root_pem, server: server_pem, server_key: server_key.serialize_pem() }
    }
}
