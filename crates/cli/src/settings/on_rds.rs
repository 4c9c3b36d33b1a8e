//! What connections to databases on Amazon RDS have in common: the authorities that sign their certificates.

use std::path::PathBuf;

use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::{Host, Roots, check_authorities};

use super::Settings;
use crate::config::DatabaseSection;
use crate::failure::Failure;

/// The variable that names a PEM file of authorities.
const BUNDLE: &str = "HOLDPOINT_RDS_CA_BUNDLE";
/// How names of Amazon's endpoints end.
const ENDPOINTS: [&str; 2] = [".rds.amazonaws.com", ".rds.amazonaws.com.cn"];

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
    pub(super) fn settled(
        &self,
        text: &str,
        from: &str,
        belonging: Belonging<'_>,
    ) -> Result<ConnectionSettings, Failure> {
        let settle = |environment| {
            ConnectionSettings::resolve(text, &environment)
                .map_err(|source| Failure::Connection { from: from.to_owned(), source: Box::new(source) })
        };
        let plain = settle(self.libpq())?;
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
            Host::Tcp(host) => ENDPOINTS.iter().any(|ending| host.to_ascii_lowercase().ends_with(ending)),
            Host::Socket(_) => false,
        });
        let instance = section.is_some_and(|section| section.rds_instance.is_some());
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
