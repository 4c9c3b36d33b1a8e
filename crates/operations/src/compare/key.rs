//! By what rows are told apart.

use super::{CompareError, TypeDifference};

/// What a table's columns and keys are on one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// Columns that COPY gives, in their order.
    pub(super) columns: Vec<String>,
    /// Their types; `None` where a definition does not tell.
    pub(super) types: Vec<Option<String>>,
    /// Keys, the best first.
    pub(super) keys: Vec<Vec<String>>,
    /// Why other unique indexes are no keys.
    pub(super) no_keys: Vec<String>,
}

/// What is compared of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Common {
    /// Columns that both sides have, in the order of the first.
    pub(super) columns: Vec<String>,
    /// Columns of the second side alone.
    pub(super) added: Vec<String>,
    /// Columns of the first side alone.
    pub(super) gone: Vec<String>,
    /// Columns of both whose types differ.
    pub(super) types: Vec<TypeDifference>,
}

impl Common {
    /// Finds the columns that both sides have.
    pub(super) fn of(table: &str, then: &Form, now: &Form) -> Result<Self, CompareError> {
        let (columns, gone): (Vec<String>, Vec<String>) =
            then.columns.iter().cloned().partition(|column| now.columns.contains(column));
        let added = now.columns.iter().filter(|column| !then.columns.contains(column)).cloned().collect();
        if columns.is_empty() {
            return Err(CompareError::NothingInCommon { table: table.to_owned() });
        }
        let type_of = |form: &Form, column: &String| {
            let place = form.columns.iter().position(|own| own == column)?;
            form.types.get(place).cloned().flatten()
        };
        let types = columns.iter().filter_map(|column| {
            let (was, is) = (type_of(then, column)?, type_of(now, column)?);
            (was != is).then(|| TypeDifference { column: column.clone(), then: was, now: is })
        });
        let types = types.collect();
        Ok(Self { columns, added, gone, types })
    }

    /// Leaves only the key, of which it gives the places anew, and these columns.
    pub(super) fn only(mut self, key: &[usize], wanted: &[String]) -> (Self, Vec<usize>) {
        let kept: Vec<usize> = (0..self.columns.len())
            .filter(|place| key.contains(place) || self.columns.get(*place).is_some_and(|name| wanted.contains(name)))
            .collect();
        self.columns = kept.iter().filter_map(|place| self.columns.get(*place).cloned()).collect();
        let key = key.iter().filter_map(|place| kept.iter().position(|one| one == place)).collect();
        (self, key)
    }

    /// Chooses the key, as places among the common columns: the one that was named, else the first key of either side
    /// whose columns both sides have.
    pub(super) fn key(
        &self,
        table: &str,
        named: Option<&[String]>,
        then: &Form,
        now: &Form,
    ) -> Result<Vec<usize>, CompareError> {
        let place = |column: &String| self.columns.iter().position(|own| own == column);
        // As SQL reads it where nothing is called exactly so.
        let typed = |column: &String| place(column).or_else(|| place(&column.to_lowercase()));
        if let Some(named) = named {
            let known = |column: &String| {
                typed(column).ok_or_else(|| CompareError::UnknownColumn {
                    column: column.clone(),
                    table: table.to_owned(),
                    columns: self.columns.clone(),
                })
            };
            let places: Vec<usize> = named.iter().map(known).collect::<Result<_, _>>()?;
            let again = |nth: usize| places[..nth].contains(&places[nth]);
            return Ok((0..places.len()).filter(|nth| !again(*nth)).map(|nth| places[nth]).collect());
        }
        let places = |key: &Vec<String>| key.iter().map(place).collect::<Option<Vec<usize>>>();
        // A key of how it is now is one that an application relies on now.
        let all = || now.keys.iter().chain(&then.keys);
        all().find_map(places).ok_or_else(|| CompareError::NoKey {
            table: table.to_owned(),
            why: match all().next() {
                Some(key) => format!("({}) has a column that only one side has", key.join(", ")),
                None if now.no_keys.is_empty() => "it has no primary key and no unique index without NULL".to_owned(),
                None => now.no_keys.join("; "),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn form(columns: &str, keys: &[&str]) -> Form {
        Form {
            columns: list(columns),
            types: Vec::new(),
            keys: keys.iter().map(|key| list(key)).collect(),
            no_keys: Vec::new(),
        }
    }

    fn key(then: &Form, now: &Form, named: Option<&str>) -> Result<Vec<usize>, CompareError> {
        Common::of("t", then, now)?.key("t", named.map(list).as_deref(), then, now)
    }

    #[test]
    fn columns_of_both_are_compared_in_the_order_of_the_first() {
        let common = Common::of("t", &form("a b c", &[]), &form("d c a", &[])).unwrap();
        assert_eq!((common.columns, common.added, common.gone), (list("a c"), list("d"), list("b")));
        assert!(matches!(Common::of("t", &form("a", &[]), &form("b", &[])), Err(CompareError::NothingInCommon { .. })));
    }

    #[test]
    fn types_are_compared_where_both_are_known() {
        let typed = |columns: &str, types: &[&str]| {
            let known = |text: &&str| (!text.is_empty()).then(|| (*text).to_owned());
            Form { types: types.iter().map(known).collect(), ..form(columns, &[]) }
        };
        let then = typed("a b c d", &["integer", "text", "", "date"]);
        let found = Common::of("t", &then, &typed("d a c b", &["date", "bigint", "text", "text"])).unwrap().types;
        let wanted = TypeDifference { column: "a".to_owned(), then: "integer".to_owned(), now: "bigint".to_owned() };
        assert_eq!(found, [wanted]);
        assert_eq!(Common::of("t", &then, &form("a b", &[])).unwrap().types, []);
    }

    #[test]
    fn the_best_key_that_both_sides_can_give_is_taken() {
        let then = form("a b c", &["a"]);
        assert_eq!(key(&then, &form("c b a", &["c b", "a"]), None).unwrap(), [2, 1]);
        assert_eq!(
            key(&then, &form("a b new", &["new"]), None).unwrap(),
            [0],
            "a key that was dropped since still serves"
        );
        assert_eq!(key(&then, &form("a b c", &[]), Some("b c")).unwrap(), [1, 2]);
        assert_eq!(key(&then, &form("a b c", &[]), Some("B c b C")).unwrap(), [1, 2]);
    }

    #[test]
    fn the_key_and_what_is_asked_for_are_left() {
        let common = Common::of("t", &form("a b c d", &[]), &form("a b c d", &[])).unwrap();
        let (only, key) = common.only(&[3, 1], &list("c x"));
        assert_eq!((only.columns, key), (list("b c d"), vec![2, 0]));
    }

    #[test]
    fn without_a_key_the_reason_is_told() {
        let why = |then: &Form, now: &Form| key(then, now, None).unwrap_err().to_string();
        let plain = form("a b", &[]);
        assert!(why(&plain, &plain).contains("no primary key"));
        assert!(why(&plain, &form("a c", &["c"])).contains("(c) has a column that only one side has"));
        let nulls = Form { no_keys: vec!["t_u allows NULL".to_owned()], ..plain.clone() };
        assert!(why(&plain, &nulls).contains("t_u allows NULL"));
        let unknown = key(&plain, &plain, Some("x")).unwrap_err();
        assert_eq!(unknown.hint().unwrap(), "on both sides there are: a, b");
    }
}
