//! The comparison of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use holdpoint_core::fingerprint::compare_sequences;
use holdpoint_core::progress::Phase;

use super::large_objects::LargeObjects;
use super::live::Live;
use super::objects::{self, Objects};
use super::parts::{LeftOut, Parts};
use super::recorded::Recorded;
use super::{
    Against, CompareOptions, CompareReport, LargeObjectDifferences, definitions, large_objects, live, partitions,
    tables,
};
use crate::expected::Expected;
use crate::{Context, Error, database_properties};

/// What belongs to no table, and is not in a restore point of tables or schemas that were named.
const NOR: &str =
    "nor were large objects, and the owner, grants, comment, settings and extensions of the database itself";

/// Compares a restore point with a database or another restore point: tables, schema objects, sequences, large objects,
/// and the database's own properties.
///
/// Reads only, and of a restore point only manifest, index and, for definitions, the archive's contents. Memory: both
/// sides' contents, and one row a session.
///
/// # Errors
/// [`Error::NoSuchPoint`], [`Error::PointElsewhere`], [`Error::AnotherDatabase`] for a database that was not named and
/// is not the folder's, [`Error::CannotRead`], [`Error::RowSecurity`], and those of the repository and PostgreSQL.
pub async fn compare(context: &Context, options: &CompareOptions) -> Result<CompareReport, Error> {
    let began = Instant::now();
    context.progress.phase(Phase::Preflight, None);
    let then = Recorded::read(context, &options.point).await?;
    let mut report = match &options.against {
        Against::Database { source, own } => {
            context.progress.phase(Phase::Comparing, Some(then.expected.manifest.totals.data_bytes));
            let now = live::read(context, source, *own, &then, options).await?;
            with_live(context, &then, &now, options).await?
        }
        Against::Point(other) => {
            context.progress.phase(Phase::Comparing, None);
            let now = Recorded::read(context, other).await?;
            with_point(context, &then, &now, options).await?
        }
    };
    report.notes.extend(notes(&then));
    report.equal = is_equal(&report);
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

async fn with_live(
    context: &Context,
    then: &Recorded,
    now: &Live,
    options: &CompareOptions,
) -> Result<CompareReport, Error> {
    let expected = &then.expected;
    let parts = Parts::of(&expected.manifest.options, &[]);
    let mut notes = now.notes.clone();
    let mut found = objects::compare(
        Objects { recorded: &expected.objects, normal: &then.normal },
        Objects { recorded: &now.contents.objects, normal: &[] },
    );
    let mut sequences = compare_sequences(&expected.sequences, &now.contents.sequences);
    parts.objects(&mut found);
    parts.sequences(&mut sequences);
    let mut relatives = BTreeMap::new();
    if options.definitions {
        let head = then.head(context).await?;
        if !found.is_empty() {
            notes.extend(definitions::add(&mut found, &head, &now.head));
        }
        relatives = partitions::relatives(&[&head, &now.head])?;
    }
    let manifest = &expected.manifest;
    let properties = database_properties::compare(
        (&manifest.database_properties, &manifest.extensions),
        (&now.properties, &now.extensions),
    );
    Ok(CompareReport {
        then: then.side(),
        now: now.side.clone(),
        equal: false,
        tables: tables::compare(&then.tables(), &now.tables),
        objects_compared: objects::count(&expected.objects),
        objects: found,
        sequences,
        large_objects: now.large_objects.as_ref().map_or_else(LargeObjectDifferences::default, |found| {
            large_objects::compare(
                large_objects_of(expected),
                LargeObjects { contents: found, objects: &now.contents.objects, client_major: now.client_major },
            )
        }),
        properties: if parts.large_objects() { properties } else { Vec::new() },
        whole: parts.large_objects(),
        relatives,
        read: now.read.clone(),
        not_read: now.not_read.clone(),
        notes,
        took_ms: 0,
    })
}

async fn with_point(
    context: &Context,
    then: &Recorded,
    now: &Recorded,
    options: &CompareOptions,
) -> Result<CompareReport, Error> {
    let (was, is) = (&then.expected, &now.expected);
    let mut found = objects::compare(
        Objects { recorded: &was.objects, normal: &then.normal },
        Objects { recorded: &is.objects, normal: &now.normal },
    );
    let parts = Parts::of(&was.manifest.options, &is.manifest.options);
    let mut tables = tables::compare(&then.tables(), &now.tables_beside(then));
    let mut sequences = compare_sequences(&was.sequences, &is.sequences);
    parts.tables(&mut tables, &was.objects, (&is.objects, is.manifest.id.as_str()));
    parts.objects(&mut found);
    parts.sequences(&mut sequences);
    let mut notes = Vec::new();
    let mut relatives = BTreeMap::new();
    if options.definitions {
        let (head, other) = (then.head(context).await?, now.head(context).await?);
        if !found.is_empty() {
            notes.extend(definitions::add(&mut found, &head, &other));
        }
        relatives = partitions::relatives(&[&head, &other])?;
    }
    let left_out = || {
        let part = part_of_the_database(&is.manifest.options);
        let nor = if parts.large_objects() { String::new() } else { format!("; {NOR}") };
        format!("what {} leaves out, which holds {part}{nor}", is.manifest.id)
    };
    if was.manifest.client_major != is.manifest.client_major {
        notes.push(format!(
            "definitions were written by pg_dump {} and {}: some may differ in form alone",
            was.manifest.client_major, is.manifest.client_major
        ));
    }
    Ok(CompareReport {
        then: then.side(),
        now: now.side(),
        equal: false,
        tables,
        objects_compared: objects::count(&was.objects),
        objects: found,
        sequences,
        large_objects: if parts.large_objects() {
            large_objects::compare(large_objects_of(was), large_objects_of(is))
        } else {
            LargeObjectDifferences::default()
        },
        properties: if parts.large_objects() {
            database_properties::compare(
                (&was.manifest.database_properties, &was.manifest.extensions),
                (&is.manifest.database_properties, &is.manifest.extensions),
            )
        } else {
            Vec::new()
        },
        whole: parts.large_objects(),
        relatives,
        read: BTreeSet::new(),
        not_read: parts.now().then(left_out).into_iter().collect(),
        notes,
        took_ms: 0,
    })
}

fn large_objects_of(expected: &Expected) -> LargeObjects<'_> {
    let client_major = expected.manifest.client_major;
    LargeObjects { contents: &expected.large_objects, objects: &expected.objects, client_major }
}

fn is_equal(report: &CompareReport) -> bool {
    report.tables.differences.is_empty()
        && report.objects.is_empty()
        && report.sequences.is_empty()
        && report.large_objects == LargeObjectDifferences::default()
        && report.properties.is_empty()
        && report.not_read.is_empty()
}

fn part_of_the_database(options: &[String]) -> String {
    format!("a part of the database ({})", options.join(" "))
}

fn notes(then: &Recorded) -> Vec<String> {
    let mut notes = Vec::new();
    let manifest = &then.expected.manifest;
    let part = part_of_the_database(&manifest.options);
    match LeftOut::of(&manifest.options) {
        LeftOut { large_objects: true, .. } => {
            notes.push(format!("the restore point holds {part}: nothing else was compared, {NOR}"));
        }
        LeftOut { objects: true, .. } => {
            notes.push(format!("the restore point holds {part}: what it leaves out was not compared"));
        }
        LeftOut { rows: true, .. } => {
            notes.push(format!("the restore point holds {part}: rows that it leaves out were not compared"));
        }
        LeftOut { .. } => {}
    }
    if !then.proven {
        notes.push(
            "no full proof of the restore point is recorded: against a restored copy, definitions that PostgreSQL \
             rewrites once would show as changed"
                .to_owned(),
        );
    }
    notes
        .push("not compared: rows of materialized views and of foreign tables, values of generated columns".to_owned());
    notes
}
