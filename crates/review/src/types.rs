//! Types of columns: which the server brings, and which change of type rewrites a table or loses values.

/// Whether a type's name, as the statement has it and folded, is one that the server brings.
pub(crate) fn is_builtin(type_name: &str) -> bool {
    let bare = base(type_name);
    let bare = bare.strip_prefix("pg_catalog.").unwrap_or(&bare);
    canonical(bare).is_some()
}

/// A type apart from its modifiers: `(10,2)`, `[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    name: String,
    modifiers: Vec<i64>,
    array: bool,
}

/// What a change of a column's type does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Whether the table is written anew.
    pub(crate) rewrites: bool,
    /// Whether values may not survive.
    pub(crate) lossy: bool,
}

impl Type {
    /// Reads a type as statements and `format_type` write it.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        let array = text.ends_with(']') || text.ends_with(" array");
        let open = text.find('(');
        let modifiers = open.and_then(|open| Some(&text[open + 1..text[open..].find(')')? + open])).unwrap_or_default();
        let modifiers = modifiers.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        let bare = base(&text);
        let bare = bare.strip_prefix("pg_catalog.").unwrap_or(&bare).to_owned();
        Self { name: canonical(&bare).map_or(bare, str::to_owned), modifiers, array }
    }

    /// What changing a column from `self` to `to` does; `utc` says whether the session's time zone is UTC.
    ///
    /// Source: `ATColumnChangeRequiresRewrite` in tablecmds.c and the support functions of length coercions, and what
    /// was measured on a server.
    pub(crate) fn change(&self, to: &Self, utc: bool) -> Change {
        const KEPT: Change = Change { rewrites: false, lossy: false };
        const CONVERTED: Change = Change { rewrites: true, lossy: false };
        const LOSSY: Change = Change { rewrites: true, lossy: true };
        if self.array || to.array {
            return if self == to { KEPT } else { LOSSY };
        }
        let limit = |one: &Self| one.modifiers.first().copied();
        let narrower = |from: Option<i64>, to: Option<i64>| match (from, to) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(from), Some(to)) => to < from,
        };
        match (self.name.as_str(), to.name.as_str()) {
            ("varchar" | "text", "varchar") | ("varbit", "varbit") => {
                if narrower(limit(self), limit(to)) {
                    LOSSY
                } else {
                    KEPT
                }
            }
            ("varchar", "text") | ("text", "text") | ("cidr", "inet") => KEPT,
            ("xml", "text" | "varchar") => KEPT,
            ("bpchar", "text" | "varchar") => LOSSY,
            ("text" | "varchar", "bpchar") => LOSSY,
            ("bpchar", "bpchar") if limit(self) == limit(to) => KEPT,
            ("bpchar", "bpchar") => {
                if narrower(limit(self), limit(to)) {
                    LOSSY
                } else {
                    CONVERTED
                }
            }
            ("numeric", "numeric") => numeric(&self.modifiers, &to.modifiers),
            ("timestamp", "timestamptz") | ("timestamptz", "timestamp") => {
                let coarser = narrower(limit(self), limit(to));
                Change { rewrites: !utc || coarser, lossy: coarser || !utc }
            }
            (one, other) if one == other => {
                match one {
                    "timestamp" | "timestamptz" | "time" | "timetz" | "interval" => {
                        if narrower(limit(self), limit(to)) { LOSSY } else { KEPT }
                    }
                    "bit" if limit(self) != limit(to) => LOSSY,
                    _ if self.modifiers == to.modifiers => KEPT,
                    _ => LOSSY,
                }
            }
            ("int2", "int4" | "int8" | "numeric" | "float4" | "float8") | ("int4", "int8" | "numeric" | "float8") => {
                CONVERTED
            }
            ("int8", "numeric") | ("float4", "float8") | ("date", "timestamp") => CONVERTED,
            ("int2" | "int4" | "int8" | "uuid" | "date" | "bool" | "inet", "text") => CONVERTED,
            _ => LOSSY,
        }
    }
}

fn numeric(from: &[i64], to: &[i64]) -> Change {
    let kept = match (from, to) {
        (_, []) => true,
        ([], _) => false,
        (from, to) => {
            let scale = |list: &[i64]| list.get(1).copied().unwrap_or(0);
            scale(from) == scale(to) && to[0] >= from[0]
        }
    };
    Change { rewrites: !kept, lossy: !kept }
}

/// The name without modifiers, brackets and blanks beyond one.
fn base(type_name: &str) -> String {
    let mut bare = String::new();
    let mut depth = 0_usize;
    for sign in type_name.trim().to_ascii_lowercase().chars() {
        match sign {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => bare.push(sign),
            _ => {}
        }
    }
    bare.split_whitespace().filter(|word| *word != "array").collect::<Vec<_>>().join(" ")
}

/// The server's own name of a type that it brings.
fn canonical(bare: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 62] = [
        ("int", "int4"),
        ("integer", "int4"),
        ("int4", "int4"),
        ("smallint", "int2"),
        ("int2", "int2"),
        ("bigint", "int8"),
        ("int8", "int8"),
        ("serial", "int4"),
        ("bigserial", "int8"),
        ("smallserial", "int2"),
        ("serial4", "int4"),
        ("serial8", "int8"),
        ("serial2", "int2"),
        ("numeric", "numeric"),
        ("decimal", "numeric"),
        ("dec", "numeric"),
        ("real", "float4"),
        ("float4", "float4"),
        ("double precision", "float8"),
        ("float8", "float8"),
        ("float", "float8"),
        ("text", "text"),
        ("varchar", "varchar"),
        ("character varying", "varchar"),
        ("char varying", "varchar"),
        ("char", "bpchar"),
        ("character", "bpchar"),
        ("bpchar", "bpchar"),
        ("bool", "bool"),
        ("boolean", "bool"),
        ("uuid", "uuid"),
        ("json", "json"),
        ("jsonb", "jsonb"),
        ("date", "date"),
        ("timestamp", "timestamp"),
        ("timestamp without time zone", "timestamp"),
        ("timestamptz", "timestamptz"),
        ("timestamp with time zone", "timestamptz"),
        ("time", "time"),
        ("time without time zone", "time"),
        ("timetz", "timetz"),
        ("time with time zone", "timetz"),
        ("interval", "interval"),
        ("bytea", "bytea"),
        ("inet", "inet"),
        ("cidr", "cidr"),
        ("macaddr", "macaddr"),
        ("xml", "xml"),
        ("bit", "bit"),
        ("bit varying", "varbit"),
        ("varbit", "varbit"),
        ("money", "money"),
        ("oid", "oid"),
        ("tsvector", "tsvector"),
        ("tsquery", "tsquery"),
        ("point", "point"),
        ("box", "box"),
        ("polygon", "polygon"),
        ("int4range", "int4range"),
        ("tstzrange", "tstzrange"),
        ("daterange", "daterange"),
        ("name", "name"),
    ];
    NAMES.iter().find(|(name, _)| *name == bare).map(|(_, own)| *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_do_what_was_measured() {
        for (from, to, rewrites, lossy) in [
            ("int", "bigint", true, false),
            ("integer", "int4", false, false),
            ("bigint", "integer", true, true),
            ("varchar(10)", "varchar(20)", false, false),
            ("character varying(20)", "varchar(10)", true, true),
            ("character varying(20)", "text", false, false),
            ("text", "varchar(10)", true, true),
            ("text", "varchar", false, false),
            ("numeric(10,2)", "numeric(12,2)", false, false),
            ("numeric(10,2)", "numeric(12,3)", true, true),
            ("numeric(10,2)", "numeric", false, false),
            ("jsonb", "json", true, true),
            ("timestamp without time zone", "timestamptz", true, true),
            ("text", "integer", true, true),
            ("double precision", "integer", true, true),
            ("timestamp with time zone", "date", true, true),
            ("text[]", "text[]", false, false),
            ("text[]", "int[]", true, true),
            ("mood", "text", true, true),
        ] {
            let change = Type::parse(from).change(&Type::parse(to), false);
            assert_eq!(change, Change { rewrites, lossy }, "{from} to {to}");
        }
        let change = Type::parse("timestamp").change(&Type::parse("timestamptz"), true);
        assert_eq!(change, Change { rewrites: false, lossy: false });
        assert!(is_builtin("character varying(20)") && is_builtin("timestamp (3) with time zone"));
        assert!(!is_builtin("app.mood") && !is_builtin("mood"));
    }
}
