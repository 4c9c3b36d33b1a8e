//! Tables out of another database: its schema read by pg_dump, its rows by COPY, both in one snapshot.

use std::time::Duration;

use holdpoint_core::digest::ColumnOrder;
use holdpoint_core::name::quote_literal;
use holdpoint_engine::{RowOrders, load_query, read_head};
use holdpoint_postgres::programs::{PgDump, ProgramName, judge};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, Snapshot};

use super::RecoverOptions;
use super::catalogue::Catalogue;
use super::find::Known;
use super::other_tables::OtherTables;
use super::side::SideSchema;
use super::source::{Facts, Proof, Recovered, Rows};
use crate::{Context, Error};

const GRACE: Duration = Duration::from_secs(5);

/// Another database, held in one snapshot.
pub(super) struct OtherDatabase {
    pub(super) facts: Facts,
    pub(super) catalogue: Catalogue,
    /// Every table that there is, also those that are not read.
    pub(super) known: Vec<Known>,
    /// What is worth knowing.
    pub(super) notes: Vec<String>,
    snapshot: Snapshot,
}

impl OtherDatabase {
    /// Takes a snapshot of a database and reads in it what is asked for.
    pub(super) async fn open(
        context: &Context,
        options: &RecoverOptions,
        settings: &ConnectionSettings,
        live: &Session,
    ) -> Result<Self, Error> {
        let session = Session::connect(settings, &SessionPurpose::new("holdpoint recover-table")).await?;
        let form = session.pin_text_form().await?;
        let lc_monetary = session.show("lc_monetary").await?;
        let major = session.server().major;
        let narrowed = session.settings().clone();
        let snapshot = Snapshot::export(session).await?;
        let place = format!("database {}", settings.redacted());
        let OtherTables { known, selection, notes } =
            OtherTables::find(snapshot.session(), &options.wanted, live, &place).await?;
        let pg_dump = options.programs.find(ProgramName::PgDump, major, &context.cancel).await?;
        let dump = PgDump::new(&pg_dump, &narrowed, &form.pg_options())
            .schema_only()
            .snapshot(snapshot.id())
            .selection(selection);
        let program = dump.lock_wait_timeout(Duration::from_secs(options.lock_wait_seconds.max(1))).program().await?;
        let mut running = program.start().map_err(holdpoint_postgres::Error::Process)?;
        let stdout = running.take_stdout().ok_or_else(|| Error::Internal("pg_dump has no stdout".to_owned()))?;
        let head = tokio::select! {
            head = read_head(stdout) => head,
            () = context.cancel.cancelled() => Err(holdpoint_engine::Error::Cancelled),
        };
        let head = match head {
            Ok(stream) => {
                let head = stream.head.clone();
                drop(stream);
                running.terminate_group(GRACE).await.ok();
                head
            }
            Err(error) => {
                let ended = running.wait_or_cancel(&context.cancel, GRACE).await;
                judge(&pg_dump, ended.map_err(holdpoint_postgres::Error::Process)?)?;
                return Err(error.into());
            }
        };
        let encoding =
            head.encoding().map_err(holdpoint_engine::Error::from)?.unwrap_or_else(|| "SQL_ASCII".to_owned());
        let facts = Facts {
            from: place.clone(),
            place,
            point: None,
            encoding: encoding.clone(),
            lc_monetary: Some(lc_monetary),
            archive_bytes: 0,
        };
        Ok(Self { facts, catalogue: Catalogue { head, encoding }, known, notes, snapshot })
    }

    pub(super) fn tables(&self, wanted: &[Known]) -> Result<Vec<Recovered>, Error> {
        let mut found = Vec::new();
        for known in wanted {
            let Some((entry, selection)) = self.catalogue.selection(known) else { continue };
            let names = self.catalogue.leaves(&selection).filter_map(holdpoint_archive::quoted_name);
            let names: Option<Vec<String>> = names.map(|name| self.facts.sql(&name)).collect();
            let names = names.ok_or_else(|| Error::Usage(format!("a name in {} has no text", self.facts.place)))?;
            found.push(self.catalogue.recovered(known, entry, &selection, Rows::Tables(names)));
        }
        Ok(found)
    }

    pub(super) async fn load(
        &self,
        context: &Context,
        side: &SideSchema,
        tables: &[Recovered],
    ) -> Result<(u64, Vec<Proof>), Error> {
        let session = self.snapshot.session();
        let (mut proofs, mut bytes) = (Vec::new(), 0);
        for (nth, table) in tables.iter().enumerate() {
            let Rows::Tables(names) = &table.rows else { continue };
            let mut first: Option<Vec<String>> = None;
            let mut proof = Proof::default();
            for name in names {
                let columns = self.columns(name).await?;
                let first = first.get_or_insert_with(|| columns.clone());
                let orders = RowOrders { recorded: None, loaded: ColumnOrder::between(&columns, first)? };
                let list = columns.join(", ");
                let list = if list.is_empty() { list } else { format!(" ({list})") };
                let target = self.facts.target(side.settings(), format!("{}{list}", side.quoted(nth)));
                let sql = format!("COPY {name}{list} TO STDOUT (ENCODING {})", quote_literal(&self.facts.encoding));
                let what = format!("reading {name}");
                let loaded = tokio::select! {
                    biased;
                    () = context.cancel.cancelled() => return Err(Error::Interrupted),
                    loaded = load_query(session, &what, &sql, &orders, &target, context.progress.as_ref()) => loaded?,
                };
                bytes += loaded.fetched_bytes;
                proof.digest.merge(&loaded.passed.loaded);
            }
            proof.columns = first.map(|columns| columns.join(", ")).filter(|columns| !columns.is_empty());
            proofs.push(proof);
        }
        Ok((bytes, proofs))
    }

    /// The columns of a table that are copied, quoted.
    async fn columns(&self, quoted: &str) -> Result<Vec<String>, Error> {
        let sql = "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 \
                   AND NOT attisdropped AND attgenerated = '' ORDER BY attnum";
        let rows = self.snapshot.session().query("reading a table's columns", sql, &[&quoted]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub(super) async fn close(self) {
        if let Ok(session) = self.snapshot.release().await {
            session.close().await;
        }
    }
}
