//! Whether a table is written anew, and whether values survive, where types decide.

use super::World;
use crate::types::{Type, is_builtin};
use crate::{Catalog, Finding, Kind, Loss, ObjectName, Rewrite, Role, WayBack};

/// Decides what the text left open.
pub(super) fn decide(finding: &mut Finding, world: World<'_>) {
    let World { catalog, batch } = world;
    let Rewrite::ByType { to, using } = finding.rewrite.clone() else { return };
    let computes = finding.calls.iter().any(|name| catalog.routines(name).all(|routine| routine.volatile));
    if finding.kind != Kind::ChangeColumnType {
        let constrained = domain(catalog, &to).is_some_and(|domain| domain.constrained);
        let known =
            is_builtin(&to) || domain(catalog, &to).is_some() || !finding.calls.is_empty() || exists(catalog, &to);
        finding.rewrite = if computes || constrained || !known { Rewrite::Yes } else { Rewrite::No };
        if finding.rewrite == Rewrite::Yes && finding.kind == Kind::AddColumn {
            finding.kind = Kind::AddColumnRewrite;
        }
        return;
    }
    let from = column_type(finding, catalog);
    // Another zone has hours twice and hours never, in which instants are lost.
    let utc = !batch.zone_unknown && matches!(catalog.time_zone.as_deref(), Some("UTC" | "Etc/UTC" | "GMT"));
    let change = match &from {
        Some(from) if !using => Some(Type::parse(&base(catalog, from)).change(&Type::parse(&base(catalog, &to)), utc)),
        _ => None,
    };
    let checked = domain(catalog, &to).is_some_and(|domain| domain.constrained);
    match change {
        Some(change) if !change.rewrites && !checked => {
            finding.kind = Kind::ChangeColumnTypeInPlace;
            finding.rewrite = Rewrite::No;
            keep(finding);
        }
        Some(change) if !change.lossy => {
            finding.rewrite = Rewrite::Yes;
            keep(finding);
        }
        _ => finding.rewrite = Rewrite::Yes,
    }
}

/// No value is lost.
fn keep(finding: &mut Finding) {
    (finding.loses, finding.way_back) = (Loss::Nothing, WayBack::Inverse);
    for touch in &mut finding.touches {
        touch.role = Role::Reference;
    }
}

fn column_type(finding: &Finding, catalog: &Catalog) -> Option<String> {
    let target = finding.target.as_ref()?;
    let touch = finding.touches.iter().find(|touch| touch.table == target.name)?;
    let name = touch.before.as_ref().unwrap_or(&touch.table);
    let column = target.column.as_ref()?;
    let meant = catalog.meant(name, finding.search_path.as_deref());
    let [relation] = meant.as_slice() else { return None };
    relation.columns.iter().find(|one| one.name == *column).map(|one| one.type_name.clone())
}

fn named(type_name: &str) -> Option<ObjectName> {
    let bare = type_name.split(['(', '[']).next()?.trim();
    let parts: Option<Vec<String>> = bare.split('.').map(crate::name::fold).collect();
    ObjectName::of_parts(parts?)
}

fn domain<'a>(catalog: &'a Catalog, type_name: &str) -> Option<&'a crate::Domain> {
    let name = named(type_name)?;
    let fits = |one: &&crate::Domain| {
        one.name.name == name.name && name.schema.as_ref().is_none_or(|schema| one.name.schema.as_ref() == Some(schema))
    };
    catalog.domains.iter().find(fits)
}

fn exists(catalog: &Catalog, type_name: &str) -> bool {
    let Some(name) = named(type_name) else { return false };
    catalog.dependencies.iter().any(|one| one.on.class == crate::ObjectClass::Type && one.on.name.name == name.name)
}

/// A domain's own type: what is stored.
fn base(catalog: &Catalog, type_name: &str) -> String {
    let mut type_name = type_name.to_owned();
    for _ in 0..8 {
        match domain(catalog, &type_name).filter(|_| !is_builtin(&type_name)) {
            Some(domain) => type_name.clone_from(&domain.base),
            None => break,
        }
    }
    type_name
}
