//! What the role may read, and what would be hidden from it.

use holdpoint_core::name::quote_identifier;
use holdpoint_core::quantity::listed;
use holdpoint_postgres::Session;
use holdpoint_postgres::catalog::roles::{self, RoleRights};
use holdpoint_postgres::preflight::{self, MissingRight, UnreadableRelation};

use super::{ANSWER_WITHIN, Findings};
use crate::error::LISTED;

/// More statements than this nobody pastes.
const MOST_GRANTS: usize = 5;

pub(super) async fn examine(findings: &mut Findings<'_>, session: &Session) {
    let role = findings.tried("role", ANSWER_WITHIN, roles::own_rights(session)).await;
    if let Some(role) = &role {
        findings.ok("role", describe(role));
    }
    let name = role.as_ref().map_or_else(|| session.settings().user(), |role| &role.name);
    tables(findings, session, name).await;
    large_objects(findings, session, name).await;
    row_security(findings, session, name).await;
    if let Some(role) = &role {
        sessions(findings, role);
    }
}

/// Whether the role may cancel and end what others do: who is asked to let go of a lock is mostly another role.
fn sessions(findings: &mut Findings<'_>, role: &RoleRights) {
    const NAME: &str = "sessions of others";
    if role.superuser {
        return findings.ok(NAME, "the role may cancel and end every one");
    }
    if role.signal_backends {
        return findings.ok(NAME, "the role may cancel and end them, but for those of superusers");
    }
    let detail = format!(
        "role {} may cancel and end only those of the roles that it is a member of: watch --cancel, what a guarded command left \
         at work under another role, and a restore in the live database's place need more",
        role.name
    );
    findings.warning(NAME, detail, format!("GRANT pg_signal_backend TO {};", quote_identifier(&role.name)));
}

fn describe(role: &RoleRights) -> String {
    let facts = [
        (role.superuser, "superuser"),
        (role.read_all_data && !role.superuser, "pg_read_all_data"),
        (role.bypass_row_security && !role.superuser, "BYPASSRLS"),
        (role.create_databases && !role.superuser, "CREATEDB"),
        (role.signal_backends && !role.superuser, "pg_signal_backend"),
    ];
    let has: Vec<&str> = facts.into_iter().filter(|(has, _)| *has).map(|(_, what)| what).collect();
    let has = if has.is_empty() { "no right beyond its grants".to_owned() } else { has.join(", ") };
    format!("{}: {has}", role.name)
}

async fn tables(findings: &mut Findings<'_>, session: &Session, role: &str) {
    const NAME: &str = "tables and sequences";
    let Some(unreadable) = findings.tried(NAME, ANSWER_WITHIN, preflight::unreadable_relations(session)).await else {
        return;
    };
    if unreadable.is_empty() {
        return findings.ok(NAME, "the role may read every one");
    }
    let names: Vec<String> = unreadable.iter().map(|relation| relation.name.clone()).collect();
    findings.failure(NAME, format!("role {role} cannot read {}", listed(&names, LISTED)), grants(&unreadable, role));
}

fn grants(unreadable: &[UnreadableRelation], role: &str) -> String {
    let role = quote_identifier(role);
    let all = format!("GRANT pg_read_all_data TO {role};");
    let few = unreadable.len() <= MOST_GRANTS && unreadable.iter().all(|one| one.missing == MissingRight::Select);
    if !few {
        return all;
    }
    let grant = |relation: &UnreadableRelation| {
        let kind = if relation.kind == 'S' { "SEQUENCE" } else { "TABLE" };
        format!("GRANT SELECT ON {kind} {} TO {role};", relation.name)
    };
    let statements: Vec<String> = unreadable.iter().map(grant).collect();
    format!("{} or, for everything to come as well: {all}", statements.join(" "))
}

async fn large_objects(findings: &mut Findings<'_>, session: &Session, role: &str) {
    const NAME: &str = "large objects";
    match findings.tried(NAME, ANSWER_WITHIN, preflight::unreadable_large_objects(session)).await {
        None => {}
        Some(None) => findings.ok(NAME, "the role may read every one"),
        Some(Some(unreadable)) => {
            let examples: Vec<String> = unreadable.examples.iter().map(u32::to_string).collect();
            let cure = crate::hint::postgres::large_objects(&unreadable, role);
            let detail = format!(
                "role {role} cannot read {} of them, such as {}; their owners: {}",
                unreadable.count,
                listed(&examples, LISTED),
                unreadable.owners.join(", ")
            );
            findings.failure(NAME, detail, cure);
        }
    }
}

async fn row_security(findings: &mut Findings<'_>, session: &Session, role: &str) {
    const NAME: &str = "row security";
    let Some(filtered) = findings.tried(NAME, ANSWER_WITHIN, preflight::filtered_tables(session)).await else { return };
    if filtered.is_empty() {
        return findings.ok(NAME, "hides nothing from the role");
    }
    let names: Vec<String> = filtered.iter().map(|table| table.name.clone()).collect();
    let mut cure = format!("ALTER ROLE {} BYPASSRLS;", quote_identifier(role));
    if filtered.iter().all(|table| table.forced && table.owner == role) {
        cure.push_str(" or, since the role owns them: ALTER TABLE … NO FORCE ROW LEVEL SECURITY;");
    }
    findings.failure(NAME, format!("hides rows of {} from role {role}", listed(&names, LISTED)), cure);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(name: &str, kind: char, missing: MissingRight) -> UnreadableRelation {
        UnreadableRelation { name: name.to_owned(), kind, missing, owner: "o".to_owned() }
    }

    #[test]
    fn few_tables_are_granted_one_by_one() {
        let few = [relation("a.b", 'r', MissingRight::Select), relation("a.s", 'S', MissingRight::Select)];
        let text = grants(&few, "We\"b");
        assert!(
            text.starts_with(
                "GRANT SELECT ON TABLE a.b TO \"We\"\"b\"; GRANT SELECT ON SEQUENCE a.s TO \"We\"\"b\"; or"
            )
        );
        let hidden = [relation("a.b", 'r', MissingRight::SchemaUsage)];
        assert_eq!(grants(&hidden, "web"), format!("GRANT pg_read_all_data TO {};", quote_identifier("web")));
    }
}
