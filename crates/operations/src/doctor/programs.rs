//! PostgreSQL's programs of the server's major.

use std::time::Duration;

use holdpoint_postgres::programs::{ClientProgram, ProgramName};
use holdpoint_postgres::scratch::ScratchOptions;

use super::Subject;
use super::database::SourceFacts;
use super::findings::Findings;

/// Every program that is found is asked for its version; some may be of another major.
const FIND_WITHIN: Duration = Duration::from_secs(60);

const CLIENTS: [ProgramName; 4] =
    [ProgramName::PgDump, ProgramName::PgDumpall, ProgramName::PgRestore, ProgramName::Psql];
const SERVERS: [ProgramName; 2] = [ProgramName::Initdb, ProgramName::Postgres];

pub(super) async fn examine(mut findings: Findings<'_>, subject: &Subject, facts: Option<&SourceFacts>) {
    let findings = &mut findings;
    let local = match &subject.scratch {
        ScratchOptions::Local(local) => Some(local),
        ScratchOptions::Url(_) | ScratchOptions::Command(_) => None,
    };
    let servers = SERVERS.into_iter().filter(|_| local.is_some());
    let Some(facts) = facts else {
        for name in CLIENTS.into_iter().chain(servers) {
            findings.not_tried(name.as_str(), "the server's major is not known");
        }
        return;
    };
    let source = &subject.source;
    for name in CLIENTS {
        let found = source.programs.find_for_server(name, facts.major, source.client_major, &subject.cancel);
        if let Some(program) = findings.tried(name.as_str(), FIND_WITHIN, found).await {
            client(findings, &program, facts.major);
        }
    }
    for name in servers {
        let Some(local) = local else { continue };
        let found = local.search.find(name, facts.major, &subject.cancel);
        if let Some(program) = findings.tried(name.as_str(), FIND_WITHIN, found).await {
            findings.ok(name.as_str(), describe(&program));
        }
    }
}

fn client(findings: &mut Findings<'_>, program: &ClientProgram, server_major: u32) {
    let name = program.name.as_str();
    if program.version.major == server_major {
        return findings.ok(name, describe(program));
    }
    findings.warning(
        name,
        format!(
            "{}, newer than the server by choice: what it writes may not load into PostgreSQL {server_major}",
            describe(program)
        ),
        program.name.cure(server_major),
    );
}

fn describe(program: &ClientProgram) -> String {
    format!("{} at {}", program.version, program.path.display())
}
