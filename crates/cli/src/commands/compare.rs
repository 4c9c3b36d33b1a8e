//! `holdpoint compare`.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use holdpoint_core::selector::Selector;
use holdpoint_operations::compare::{
    Against, CompareOptions, CompareRowsOptions, CompareTablesOptions, HowRows, compare, compare_rows, compare_tables,
};
use holdpoint_operations::{Context, Source, selection};

use super::printed;
use crate::arguments::CompareArguments;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use holdpoint::exit_code;

const MIB: u64 = 1 << 20;

pub(super) async fn run(invocation: &Invocation, arguments: &CompareArguments) -> Result<u8, Failure> {
    let of_rows = arguments.rows.is_some() || arguments.table.is_some();
    let how = &arguments.how;
    if !of_rows && (how.key.is_some() || !how.renamed.is_empty() || how.show_values) {
        return Err(Failure::usage(
            "--key, --renamed and --show-values are about the rows of one table",
            "name it: --rows public.orders, or --table A --with B",
        ));
    }
    if how.show_values && (invocation.output.json || !io::stdout().is_terminal()) {
        return Err(Failure::usage(
            "--show-values shows rows on a terminal alone",
            "leave it out; keys and the names of changed columns are told anywhere",
        ));
    }
    let equal = if of_rows { rows(invocation, arguments).await? } else { everything(invocation, arguments).await? };
    Ok(if equal { exit_code::DONE } else { exit_code::FINDINGS })
}

async fn everything(invocation: &Invocation, arguments: &CompareArguments) -> Result<bool, Failure> {
    let context = invocation.context(false).await?;
    let options = CompareOptions {
        point: selection::resolve(&context, &arguments.point).await?,
        against: against(invocation, &context, arguments.against.as_deref()).await?,
        jobs: invocation.settings.jobs(arguments.jobs),
        quick: arguments.quick.map(|size| size.saturating_mul(MIB)),
        definitions: arguments.definitions,
        lock_wait: lock_wait(arguments),
    };
    let report = compare(&context, &options).await?;
    printed(invocation.output.report(&report, output::compare))?;
    Ok(report.equal)
}

/// Compares the rows of one table: with those elsewhere, or with those of another table of the same database.
async fn rows(invocation: &Invocation, arguments: &CompareArguments) -> Result<bool, Failure> {
    let asked = &arguments.how;
    let how = HowRows {
        key: asked.key.clone().map(|columns| columns.0),
        columns: None,
        renamed: asked.renamed.clone(),
        limit: asked.limit,
        values: asked.show_values,
        memory_bytes: usize::try_from(u64::from(asked.memory) * MIB).unwrap_or(usize::MAX),
        directory: invocation.settings.usable_scratch_directory()?,
        jobs: invocation.settings.jobs(arguments.jobs),
        lock_wait: lock_wait(arguments),
    };
    let named = arguments.against.as_deref();
    let report = match (&arguments.table, &arguments.with, &arguments.rows) {
        (Some(table), Some(with), _) => {
            let source = match named {
                Some(text) => named_source(invocation, text)?,
                None => invocation.source()?,
            };
            // Both tables are live: no repository has to be there.
            let options = CompareTablesOptions { source, table: table.clone(), with: with.clone(), how };
            compare_tables(&invocation.progress, &invocation.cancel, &options).await?
        }
        (_, _, Some(table)) => {
            let context = invocation.context(false).await?;
            let point = selection::resolve(&context, &arguments.point).await?;
            let against = against(invocation, &context, named).await?;
            let now_named = arguments.now_named.clone();
            let options = CompareRowsOptions { point, against, table: table.clone(), now_named, now_where: None, how };
            compare_rows(&context, &options).await?
        }
        _ => return Err(Failure::Internal("no table was named".to_owned())),
    };
    printed(invocation.output.report(&report, output::compare_rows))?;
    Ok(report.equal)
}

/// Whole seconds, of which there is at least one: 0 would mean to wait without end.
fn lock_wait(arguments: &CompareArguments) -> Duration {
    Duration::from_secs(arguments.lock_wait.as_secs().max(1))
}

/// Finds what to compare with: a restore point, a database that was named, or the configured one.
async fn against(invocation: &Invocation, context: &Context, named: Option<&str>) -> Result<Against, Failure> {
    let Some(text) = named else {
        return Ok(Against::Database { source: Box::new(invocation.source()?), own: true });
    };
    match text.parse::<Selector>() {
        Ok(Selector::Foreign(_)) | Err(_) => {}
        Ok(selector) => return Ok(Against::Point(selection::resolve(context, &selector).await?)),
    }
    let source = named_source(invocation, text).map_err(|failure| match failure {
        Failure::Usage { message, hint } => {
            Failure::Usage { message, hint: format!("{hint}; restore points are listed by: holdpoint list") }
        }
        other => other,
    })?;
    Ok(Against::Database { source: Box::new(source), own: false })
}

fn named_source(invocation: &Invocation, text: &str) -> Result<Source, Failure> {
    Ok(Source {
        settings: invocation.settings.named_database("--against", text)?.settings,
        programs: invocation.settings.programs()?,
        client_major: invocation.settings.client_major()?,
    })
}
