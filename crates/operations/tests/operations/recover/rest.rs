//! What of a database must be as it was when some of its tables came back.

use std::collections::BTreeSet;

use holdpoint_operations::recover::TableChange;

use super::Scene;

impl Scene {
    /// A dump without the rows of changed tables and the values of sequences that moved with them.
    pub(super) fn rest(&self, dump: &str, changed: &[TableChange]) -> String {
        let live: Vec<&str> = changed.iter().filter_map(|table| table.live.as_deref()).collect();
        let with_partitions = live.iter().map(|table| {
            let sql = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_partition_tree";
            let joins = "p JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace";
            self.sql(&format!("{sql}('{}') {joins}", table.replace('\'', "''")))
        });
        let with_partitions: String = with_partitions.collect::<Vec<_>>().join("\n");
        let rows: Vec<String> =
            live.into_iter().chain(with_partitions.lines()).map(|table| format!("COPY {table} (")).collect();
        let moved = changed.iter().flat_map(|table| &table.sequences);
        let moved: Vec<String> = moved.map(|one| format!("setval('{}'", one.name)).collect();
        let (mut kept, mut within) = (Vec::new(), false);
        for line in dump.lines() {
            if within {
                within = line != "\\.";
            } else if rows.iter().any(|start| line.starts_with(start)) {
                within = true;
            } else if !moved.iter().any(|sequence| line.contains(sequence)) {
                kept.push(line);
            }
        }
        kept.join("\n")
    }
}

/// An object of a dump: its name as the dump's comment has it, schema first, and all that the dump says of it.
struct Entry<'a> {
    name: String,
    kind: &'a str,
    lines: Vec<&'a str>,
}

/// A dump's objects; each comes under a comment such as `-- Name: orders; Type: TABLE; Schema: shop; Owner: postgres`.
fn entries(dump: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for line in dump.lines() {
        let header = line.strip_prefix("-- Name: ").or_else(|| line.strip_prefix("-- Data for Name: "));
        let parts = header.and_then(|rest| rest.split_once("; Type: "));
        if let Some((name, (kind, rest))) = parts.and_then(|(name, rest)| Some((name, rest.split_once("; Schema: ")?)))
        {
            let schema = rest.split(';').next().unwrap_or_default();
            entries.push(Entry { name: format!("{schema}.{name}"), kind, lines: Vec::new() });
        } else if let Some(last) = entries.last_mut()
            && !(line.is_empty() || line.starts_with("--") || line.starts_with("SET default_"))
        {
            last.lines.push(line);
        }
    }
    entries
}

/// Where tables were made again: demands that all that was there is there, and that what came hangs on those tables.
///
/// They come in another order, so the dumps' objects are compared.
pub(super) fn only_came_back(before: &str, after: &str, made_again: &[&str]) {
    let (was, mut new) = (entries(before), entries(after));
    for one in &was {
        let place =
            new.iter().position(|other| other.name == one.name && other.kind == one.kind && other.lines == one.lines);
        let place =
            place.unwrap_or_else(|| panic!("{} {} is another now:\n{}", one.kind, one.name, one.lines.join("\n")));
        new.remove(place);
    }
    let mut known: BTreeSet<String> = made_again.iter().map(|name| (*name).to_owned()).collect();
    let came: Vec<String> = made_again.iter().filter_map(|name| name.split('.').next()).map(str::to_owned).collect();
    let came: Vec<String> = came
        .into_iter()
        .filter(|one| new.iter().any(|entry| entry.kind == "SCHEMA" && entry.name == format!("-.{one}")))
        .collect();
    loop {
        let hangs = |one: &Entry<'_>| {
            // A schema that came back brought what was in it.
            let of_schema = |schema: &String| {
                one.name.starts_with(&format!("{schema}."))
                    || [format!("-.{schema}"), format!("-.SCHEMA {schema}")].contains(&one.name)
            };
            let text = one.lines.join("\n");
            known.contains(&one.name) || known.iter().any(|name| text.contains(name)) || came.iter().any(of_schema)
        };
        let (hanging, others): (Vec<Entry<'_>>, Vec<Entry<'_>>) = new.into_iter().partition(hangs);
        new = others;
        if hanging.is_empty() {
            break;
        }
        known.extend(hanging.into_iter().map(|one| one.name));
    }
    let beyond: Vec<String> = new.iter().map(|one| format!("{} {}", one.kind, one.name)).collect();
    assert!(beyond.is_empty(), "came with {made_again:?} and does not hang on them: {}", beyond.join(", "));
}

#[test]
fn what_does_not_hang_on_a_table_is_noticed() {
    let table = "-- Name: t; Type: TABLE; Schema: public; Owner: o\n\nCREATE TABLE public.t (id int);\n";
    let view = "-- Name: v; Type: VIEW; Schema: public; Owner: o\n\nCREATE VIEW public.v AS SELECT id FROM public.t;\n";
    let over = "-- Name: w; Type: VIEW; Schema: public; Owner: o\n\nCREATE VIEW public.w AS SELECT id FROM public.v;\n";
    let rows = |n: i32| {
        format!(
            "-- Data for Name: u; Type: TABLE DATA; Schema: public; Owner: o\n\nCOPY public.u (id) FROM stdin;\n{n}\n\\.\n"
        )
    };
    let whole = |rows: &str| [over, table, view, rows].concat();
    only_came_back(&rows(1), &whole(&rows(1)), &["public.t"]);
    let caught =
        |before: &str, after: &str| std::panic::catch_unwind(|| only_came_back(before, after, &["public.t"])).is_err();
    assert!(caught(&rows(1), &whole(&rows(2))), "other rows");
    assert!(caught(&rows(1), &whole("")), "no rows");
    assert!(caught("", &whole(&rows(1))), "a table that nobody asked for");
}
