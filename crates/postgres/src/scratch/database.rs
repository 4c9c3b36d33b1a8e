//! A database of a scratch server, with the encoding and locale of another.

use holdpoint_core::manifest::ServerFacts;
use holdpoint_core::name::quote_identifier;

use crate::Error;
use crate::programs::Cause;
use crate::session::Session;

/// Encoding and locale of a database, as `pg_database` records them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseLocale {
    /// The encoding, such as `UTF8`.
    pub encoding: String,
    /// `libc`, `icu` or `builtin`.
    pub provider: String,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// The locale of ICU or of the builtin provider.
    pub locale: Option<String>,
}

impl DatabaseLocale {
    /// The locale that every server has, for this encoding: sort order by bytes.
    #[must_use]
    pub fn c(encoding: &str) -> Self {
        Self {
            encoding: encoding.to_owned(),
            provider: "libc".into(),
            collate: "C".into(),
            ctype: "C".into(),
            locale: None,
        }
    }

    /// Writes the statement for a server of this major (PostgreSQL manual, CREATE DATABASE).
    pub fn statement(&self, name: &str, major: u32) -> String {
        let text = |value: &str| format!("'{}'", value.replace('\'', "''"));
        let mut sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            quote_identifier(name),
            text(&self.encoding),
            text(&self.collate),
            text(&self.ctype)
        );
        // Before 15 libc is the only provider and the word is not known.
        if major >= 15 || self.provider != "libc" {
            sql.push_str(&format!(" LOCALE_PROVIDER {}", text(&self.provider)));
        }
        if let Some(locale) = &self.locale {
            let option = if self.provider == "builtin" { "BUILTIN_LOCALE" } else { "ICU_LOCALE" };
            sql.push_str(&format!(" {option} {}", text(locale)));
        }
        sql
    }

    fn describe(&self) -> String {
        let locale = self.locale.as_deref().unwrap_or(&self.collate);
        format!("{locale} ({}, LC_COLLATE {}, LC_CTYPE {})", self.provider, self.collate, self.ctype)
    }
}

impl From<&ServerFacts> for DatabaseLocale {
    fn from(facts: &ServerFacts) -> Self {
        Self {
            encoding: facts.encoding.clone(),
            provider: facts.locale_provider.clone(),
            collate: facts.collate.clone(),
            ctype: facts.ctype.clone(),
            locale: facts.locale.clone(),
        }
    }
}

/// Creates a database from template0.
///
/// # Errors
/// [`Error::LocaleMissing`] where the server cannot give it that locale; nothing is created then.
pub(super) async fn create(session: &Session, name: &str, locale: &DatabaseLocale) -> Result<(), Error> {
    // Causes are read from English words; a given server may not let its role choose them.
    if let Err(error) = session.run("choosing the language of messages", "SET lc_messages = 'C'").await {
        tracing::debug!(%error, "messages stay in the server's language");
    }
    let major = session.server().major;
    let created = session.run("creating a scratch database", &locale.statement(name, major)).await;
    let Err(Error::Query { what, source }) = created else { return created };
    let Some(said) = source.as_db_error().map(|error| error.message().to_owned()) else {
        return Err(Error::Query { what, source });
    };
    // A server too old for the provider does not know its options; 42601 is its syntax error.
    let unknown_provider = source.code().is_some_and(|code| code.code() == "42601") && locale.provider != "libc";
    let refused = ["locale", "collat", "LOCALE_PROVIDER", "BUILTIN_LOCALE", "ICU_LOCALE"];
    let about_locale = matches!(Cause::of(&said), Cause::LocaleMissing { .. })
        || unknown_provider
        || (source.code().is_some_and(|code| ["22023", "42809", "0A000"].contains(&code.code()))
            && refused.iter().any(|word| said.contains(word)));
    if about_locale {
        return Err(Error::LocaleMissing { locale: locale.describe(), said });
    }
    Err(Error::Query { what, source })
}

/// Drops a database, ending whoever is in it.
pub(super) async fn drop_database(session: &Session, name: &str) -> Result<(), Error> {
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_identifier(name));
    session.run("dropping a scratch database", &sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_use_what_the_major_knows() {
        let c = DatabaseLocale::c("UTF8");
        let base = "CREATE DATABASE \"a\"\"b\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";
        assert_eq!(c.statement("a\"b", 14), base);
        assert_eq!(c.statement("a\"b", 16), format!("{base} LOCALE_PROVIDER 'libc'"));
        let icu = DatabaseLocale { provider: "icu".into(), locale: Some("de'".into()), ..c.clone() };
        assert_eq!(icu.statement("a\"b", 16), format!("{base} LOCALE_PROVIDER 'icu' ICU_LOCALE 'de'''"));
        let builtin = DatabaseLocale { provider: "builtin".into(), locale: Some("C.UTF-8".into()), ..c };
        assert_eq!(builtin.statement("a\"b", 17), format!("{base} LOCALE_PROVIDER 'builtin' BUILTIN_LOCALE 'C.UTF-8'"));
    }
}
