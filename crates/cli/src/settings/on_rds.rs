//! What connections to databases on Amazon RDS have in common: the authorities that sign their certificates, and tokens
//! instead of passwords.

use std::path::PathBuf;
use std::sync::Arc;

use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::{Environment, Host, Passwords, Roots, check_authorities};

use holdpoint_operations::rds::{CredentialSource, passwords, region_of};

use super::Settings;
use crate::arguments::ReachArguments;
use crate::config::DatabaseSection;
use crate::failure::Failure;
use crate::invocation::now;

/// The variable that names a PEM file of authorities.
const BUNDLE: &str = "HOLDPOINT_RDS_CA_BUNDLE";
/// The variable that switches IAM authentication on.
const IAM: &str = "HOLDPOINT_IAM_AUTH";

/// Which database a URL is one of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Belonging<'a> {
    /// What the file says of it.
    pub(super) section: Option<&'a DatabaseSection>,
    /// It is the one that is worked on, so variables are meant for it.
    pub(super) chosen: bool,
}

impl Settings {
    /// Settles a connection, with what is configured for databases on RDS where this is one.
    ///
    /// # Errors
    /// A text that cannot be read; a file of authorities that would be used and holds none.
    /// A way without TLS where tokens are the passwords.
    pub(super) fn settled(
        &self,
        text: &str,
        from: &str,
        belonging: Belonging<'_>,
    ) -> Result<ConnectionSettings, Failure> {
        let wrong = |source| Failure::Connection { from: from.to_owned(), source: Box::new(source) };
        let settle = |environment| ConnectionSettings::resolve(text, &environment).map_err(wrong);
        let settled = self.trusting(settle(self.libpq())?, belonging, settle)?;
        if !self.iam(belonging) {
            return Ok(settled);
        }
        settled.with_passwords(self.tokens()).map_err(|weak| {
            Failure::usage(
                format!("the connection from {from} cannot be used: {weak}"),
                "say sslmode=verify-full in the URL, or take iam_auth (HOLDPOINT_IAM_AUTH) away",
            )
        })
    }

    /// Whether tokens are the passwords of a database: by the variable, then by its section.
    fn iam(&self, Belonging { section, chosen }: Belonging<'_>) -> bool {
        match chosen && self.variables.get(IAM).is_some() {
            true => self.variables.is_true(IAM),
            false => section.is_some_and(|section| section.iam_auth),
        }
    }

    /// What makes tokens; one for all connections, so that they share what is good.
    fn tokens(&self) -> Passwords {
        let make = || {
            let reach = self.rds_reach(&ReachArguments::default());
            passwords(reach.options, CredentialSource::Chain, Arc::new(now))
        };
        self.tokens.get_or_init(make).clone()
    }

    /// Settles once more with the authorities of databases on RDS, where it is one and names none.
    fn trusting(
        &self,
        plain: ConnectionSettings,
        belonging: Belonging<'_>,
        settle: impl Fn(Environment) -> Result<ConnectionSettings, Failure>,
    ) -> Result<ConnectionSettings, Failure> {
        let Some((file, key)) = self.authorities(&plain, belonging) else { return Ok(plain) };
        let settled = settle(self.libpq().trusting(file.clone()))?;
        let over_tcp = settled.servers().iter().any(|server| matches!(server.host, Host::Tcp(_)));
        let used = over_tcp && settled.tls().checks_signer() && settled.tls().roots == Roots::File(file.clone());
        match check_authorities(&file) {
            Err(wrong) if used => Err(Failure::usage(
                format!("{key}: {wrong}"),
                "name the PEM file of the region's authorities, such as \
                 https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem (docs/rds.md)",
            )),
            _ => Ok(settled),
        }
    }

    /// Finds the authorities for a connection that names none, and which key names them: the variable, then the database's
    /// section, then what the file says for all that are on RDS.
    fn authorities(&self, plain: &ConnectionSettings, belonging: Belonging<'_>) -> Option<(PathBuf, &'static str)> {
        let Belonging { section, chosen } = belonging;
        let endpoint = plain.servers().iter().any(|server| match &server.host {
            Host::Tcp(host) => region_of(host).is_some(),
            Host::Socket(_) => false,
        });
        let instance = self.iam(belonging) || section.is_some_and(|section| section.rds_instance.is_some());
        let named = chosen && self.variables.get("HOLDPOINT_RDS_INSTANCE").is_some();
        let variable = self.variables.path(BUNDLE).filter(|_| chosen || endpoint);
        let own = section.and_then(|section| section.ca_bundle.clone());
        let common = self.config.rds.database_ca_bundle.clone().filter(|_| endpoint || instance || named);
        variable
            .map(|file| (file, BUNDLE))
            .or_else(|| own.map(|file| (file, "ca_bundle of the database")))
            .or_else(|| common.map(|file| (file, "rds.database_ca_bundle")))
    }
}
