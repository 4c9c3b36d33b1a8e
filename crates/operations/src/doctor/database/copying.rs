//! What copying relies on: a snapshot that others can import, and a text form that stays.

use holdpoint_postgres::{ConnectionSettings, Error, Session, Snapshot};

use super::{ANSWER_WITHIN, Findings, purpose};

/// Exports a snapshot and imports it into a second session, as the backup's children do.
pub(super) async fn snapshot(findings: &mut Findings<'_>, session: &Session) {
    const NAME: &str = "snapshot";
    if let Some(position) = findings.tried(NAME, 2 * ANSWER_WITHIN, share(session.settings())).await {
        let position = position.map(|position| format!(", at WAL position {position}")).unwrap_or_default();
        findings.ok(NAME, format!("exported, and imported by a second session{position}"));
    }
}

async fn share(settings: &ConnectionSettings) -> Result<Option<String>, Error> {
    let snapshot = Snapshot::export(Session::connect(settings, &purpose()).await?).await?;
    let second = Session::connect(settings, &purpose()).await?;
    let second = Snapshot::import(second, snapshot.id()).await?;
    second.ping().await?;
    let position = snapshot.wal_position().map(str::to_owned);
    second.close().await;
    snapshot.release().await?.close().await;
    Ok(position)
}

/// Sets the text form in a session of its own and reads it back.
pub(super) async fn text_form(findings: &mut Findings<'_>, session: &Session) {
    const NAME: &str = "text form";
    let form = async {
        let session = Session::connect(session.settings(), &purpose()).await?;
        let form = session.pin_text_form().await?;
        session.close().await;
        Ok::<_, Error>(form)
    };
    if let Some(form) = findings.tried(NAME, ANSWER_WITHIN, form).await {
        findings.ok(NAME, format!("{} settings read back as they were set", form.settings.len()));
    }
}
