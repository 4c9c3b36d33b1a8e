//! Which transactions a server had seen, what became of them, and in which database they work.

use std::collections::BTreeSet;

use holdpoint_postgres::Session;

use crate::Error;

/// More transactions than this are not asked about one by one.
const MOST_TRANSACTIONS: u64 = 100_000;

/// Which transaction ids had been given out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Transactions {
    /// The one behind the last that has ended.
    next: u64,
    /// Those before it that are open.
    open: Vec<u64>,
    /// As the server wrote them.
    text: String,
    /// Those that work in another database, and those in this one: numbers without their epoch.
    elsewhere: BTreeSet<u32>,
    here: BTreeSet<u32>,
}

/// Whether every transaction since `before`, as [`seen_transactions`](super::DatabaseState::seen_transactions) wrote it, was aborted.
pub(crate) async fn nothing_kept_since(before: &str, session: &Session) -> Result<bool, Error> {
    let Some(before) = Transactions::parse(before) else { return Ok(false) };
    let now = Transactions::read(session).await?;
    Ok(before.kept(&now, session).await? == Kept::Nothing)
}

/// What the transactions of a span kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of them were aborted.
    Nothing,
    /// At least one was committed, or is too old or one of too many to ask.
    Something,
    /// At least one that began in the span is still open, and is not known to work in another database.
    Open,
}

impl Transactions {
    pub(super) async fn read(session: &Session) -> Result<Self, Error> {
        const WHAT: &str = "reading transaction ids";
        let mut places = Places::default();
        // Before and after: one that ends in between, or only begins to write, is in one of the two.
        places.look(session).await?;
        let sql = "SELECT pg_catalog.pg_current_snapshot()::text";
        let text: String = session.query_one(WHAT, sql, &[]).await?.get(0);
        places.look(session).await?;
        let read = Self::parse(&text).ok_or_else(|| holdpoint_postgres::Error::UnexpectedAnswer {
            what: WHAT.to_owned(),
            found: text.clone(),
        })?;
        Ok(Self { elsewhere: places.elsewhere, here: places.here, ..read })
    }

    /// As the server wrote them.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is known of every open one in which database it works.
    pub(super) fn all_placed(&self) -> bool {
        self.open.iter().all(|id| self.here.contains(&number(*id)) || self.elsewhere.contains(&number(*id)))
    }

    /// Reads `xmin:xmax:xip,xip` (PostgreSQL manual, "Transaction ID and Snapshot Information Functions").
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let _lowest: u64 = parts.next()?.parse().ok()?;
        let next = parts.next()?.parse().ok()?;
        let open =
            parts.next()?.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().ok()).collect::<Option<_>>()?;
        Some(Self { next, open, text: text.to_owned(), ..Self::default() })
    }

    /// Asks what became of every transaction that was open before, or began since.
    pub(super) async fn kept(&self, after: &Self, session: &Session) -> Result<Kept, Error> {
        // What another database keeps open can write nothing here. A snapshot ends behind the last transaction that has ended:
        // a younger one is not in its list, but has a session, or is prepared.
        let listed = after.open.iter().any(|id| *id >= self.next && !after.elsewhere.contains(&number(*id)));
        let younger = after.here.difference(&self.here).any(|id| whole(*id, after.next) >= self.next);
        if listed || younger {
            return Ok(Kept::Open);
        }
        if after.next.saturating_sub(self.next) > MOST_TRANSACTIONS {
            return Ok(Kept::Something);
        }
        let sql = "SELECT pg_catalog.count(*) FROM (SELECT pg_catalog.generate_series($1::int8, $2::int8 - 1) AS id \
                   UNION ALL SELECT pg_catalog.unnest($3::int8[])) AS given \
                   WHERE pg_catalog.pg_xact_status(id::text::xid8) IS DISTINCT FROM 'aborted'";
        let signed = |id: u64| i64::try_from(id).unwrap_or(i64::MAX);
        // Those that were open before and still are kept nothing yet.
        let ended: Vec<i64> = self.open.iter().filter(|id| !after.open.contains(id)).map(|id| signed(*id)).collect();
        let (from, to) = (signed(self.next), signed(after.next));
        let row = session.query_one("asking for the fate of transactions", sql, &[&from, &to, &ended]).await?;
        let not_aborted: i64 = row.get(0);
        Ok(if not_aborted == 0 { Kept::Nothing } else { Kept::Something })
    }
}

/// A transaction's number without its epoch, as sessions show it.
fn number(id: u64) -> u32 {
    (id & u64::from(u32::MAX)) as u32
}

/// The number with its epoch, in the one in which it lies nearest to a number of now.
fn whole(id: u32, near: u64) -> u64 {
    let ahead = id.wrapping_sub(number(near)).cast_signed();
    near.saturating_add_signed(i64::from(ahead))
}

/// Where transactions work that have a number.
#[derive(Debug, Default)]
struct Places {
    elsewhere: BTreeSet<u32>,
    here: BTreeSet<u32>,
}

impl Places {
    /// Notes those of the sessions, which any role may see, and those that are prepared.
    async fn look(&mut self, session: &Session) -> Result<(), Error> {
        let sql = "SELECT backend_xid::text, datname = pg_catalog.current_database() \
                   FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL \
                   UNION ALL SELECT transaction::text, database = pg_catalog.current_database() \
                   FROM pg_catalog.pg_prepared_xacts";
        for row in session.query("looking where transactions work", sql, &[]).await? {
            let (id, is_here): (String, Option<bool>) = (row.get(0), row.get(1));
            let Ok(id) = id.parse() else { continue };
            // One of no database, or of one that is gone, perhaps writes here.
            if is_here == Some(false) {
                self.elsewhere.insert(id);
            } else {
                self.here.insert(id);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_reads_back() {
        let parse = Transactions::parse;
        let read = |next, open: &[u64], text: &str| {
            Some(Transactions { next, open: open.to_vec(), text: text.to_owned(), ..Transactions::default() })
        };
        assert_eq!(parse("10:20:10,14"), read(20, &[10, 14], "10:20:10,14"));
        assert_eq!(parse("742:742:"), read(742, &[], "742:742:"));
        for text in ["", "1", "1:2", "1:2:x", "a:2:"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_is_told_whatever_its_epoch() {
        let read = Transactions { open: vec![(7 << 32) + 5, 9], ..Transactions::default() };
        let placed = |elsewhere: &[u32], here: &[u32]| {
            let (elsewhere, here) = (elsewhere.iter().copied().collect(), here.iter().copied().collect());
            Transactions { elsewhere, here, ..read.clone() }.all_placed()
        };
        assert!(placed(&[5], &[9]) && placed(&[5, 9], &[]));
        assert!(!placed(&[5], &[]) && !placed(&[], &[9]));
        let next = (7 << 32) + 10;
        assert_eq!((whole(5, next), whole(11, next)), ((7 << 32) + 5, (7 << 32) + 11));
        assert_eq!(whole(u32::MAX, next), (7 << 32) - 1);
    }
}
