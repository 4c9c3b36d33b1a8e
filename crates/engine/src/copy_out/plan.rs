//! What is to be copied, in the archive's order, and how it is dealt out in portions.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use holdpoint_core::digest::ColumnOrder;
use holdpoint_postgres::catalog::relations::DiskSize;

/// What tables copied together by one round trip may take on disk, and how many they may be.
const GROUP_BYTES: u64 = 1 << 20;
const GROUP_TABLES: usize = 64;
/// How many large objects one statement reads.
const GROUP_OBJECTS: usize = 400;

/// A table to copy.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) dump_id: i32,
    /// The name for messages.
    pub(super) name: String,
    /// The name as statements use it: of the table itself, also where its rows are loaded through a root.
    pub(super) source: String,
    pub(super) columns: Option<String>,
    pub(super) filter: Option<String>,
    pub(super) order: Option<ColumnOrder>,
    pub(super) disk: DiskSize,
    /// It can be read by ranges of pages.
    pub(super) by_pages: bool,
    pub(super) measured: Measured,
    /// Bytes on disk that are covered by now.
    pub(super) covered: AtomicU64,
}

/// How much text a table's bytes on disk turned out to be.
#[derive(Debug, Default)]
pub(super) struct Measured {
    disk: AtomicU64,
    text: AtomicU64,
}

impl Measured {
    pub(super) fn add(&self, disk_bytes: u64, text_bytes: u64) {
        self.disk.fetch_add(disk_bytes, Ordering::Relaxed);
        self.text.fetch_add(text_bytes, Ordering::Relaxed);
    }

    /// Bytes of text for a byte on disk; 1 as long as nothing is known.
    pub(super) fn ratio(&self) -> f64 {
        let (disk, text) = (self.disk.load(Ordering::Relaxed), self.text.load(Ordering::Relaxed));
        if disk == 0 { 1.0 } else { (text as f64 / disk as f64).max(0.001) }
    }
}

impl Table {
    /// Bytes on disk of a page with its share of the TOAST table.
    fn page_share(&self) -> f64 {
        self.disk.bytes() as f64 / self.disk.pages.max(1) as f64
    }

    /// Bytes on disk of a range of pages with their share of the TOAST table.
    pub(super) fn bytes_of(&self, from: u64, to: Option<u64>) -> u64 {
        let at = |page: u64| (self.page_share() * page.min(self.disk.pages) as f64) as u64;
        match to {
            Some(to) => at(to).saturating_sub(at(from)),
            None => self.disk.bytes().saturating_sub(at(from)),
        }
    }
}

/// A large object to copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct LargeObject {
    pub(super) oid: u32,
    pub(super) length: u64,
}

/// A block of large objects.
#[derive(Clone, Debug)]
pub(super) struct LargeObjectBlock {
    pub(super) dump_id: i32,
    pub(super) objects: Range<usize>,
}

/// Everything that is to be copied, in the archive's order: tables, then large objects.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) tables: Vec<Table>,
    pub(super) blocks: Vec<LargeObjectBlock>,
    pub(super) objects: Vec<LargeObject>,
}

/// What one session copies at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Portion {
    /// Whole tables.
    Tables(Range<usize>),
    /// Pages of a table; without an end those that come last.
    Pages { table: usize, from: u64, to: Option<u64> },
    /// Large objects of a block; the first and the last of it stand at its borders.
    LargeObjects { block: usize, objects: Range<usize> },
}

impl Plan {
    /// Bytes on disk of everything, large objects by their length.
    pub(super) fn total_bytes(&self) -> u64 {
        let tables: u64 = self.tables.iter().map(|table| table.disk.bytes()).sum();
        tables + self.objects.iter().map(|object| object.length).sum::<u64>()
    }

    /// The table that a portion is of, where it is of one.
    pub(super) fn table_of(&self, portion: &Portion) -> Option<&Table> {
        match portion {
            Portion::Tables(tables) if tables.len() == 1 => self.tables.get(tables.start),
            Portion::Pages { table, .. } => self.tables.get(*table),
            Portion::Tables(_) | Portion::LargeObjects { .. } => None,
        }
    }

    /// What a portion takes on disk, and how much text is expected of it.
    pub(super) fn expected(&self, portion: &Portion) -> (u64, u64) {
        let of = |table: &Table, disk: u64| (disk, (disk as f64 * table.measured.ratio()) as u64);
        match portion {
            Portion::Tables(tables) => {
                let disk = self.tables[tables.clone()].iter().map(|table| table.disk.bytes()).sum();
                (disk, disk)
            }
            Portion::Pages { table, from, to } => {
                let table = &self.tables[*table];
                of(table, table.bytes_of(*from, *to))
            }
            Portion::LargeObjects { objects, .. } => {
                let bytes = self.objects[objects.clone()].iter().map(|object| object.length).sum();
                (bytes, bytes)
            }
        }
    }
}

/// Deals portions out in the archive's order.
#[derive(Debug, Default)]
pub(super) struct Dealer {
    table: usize,
    page: u64,
    block: usize,
    object: usize,
}

impl Dealer {
    /// Gives the next portion, of about `portion_bytes` of text by what is known of its table by now.
    pub(super) fn deal(&mut self, plan: &Plan, portion_bytes: u64) -> Option<Portion> {
        match plan.tables.get(self.table) {
            Some(table) if table.by_pages && table.disk.bytes() > portion_bytes => {
                Some(self.pages(table, portion_bytes))
            }
            Some(_) => Some(self.tables(plan, portion_bytes)),
            None => self.large_objects(plan, portion_bytes),
        }
    }

    fn pages(&mut self, table: &Table, portion_bytes: u64) -> Portion {
        let text_of_page = (table.page_share() * table.measured.ratio()).max(1.0);
        let pages = ((portion_bytes as f64 / text_of_page) as u64).max(1);
        let (number, from, to) = (self.table, self.page, self.page + pages);
        // What would remain is not worth a portion of its own.
        let last = to + pages / 4 >= table.disk.pages;
        if last {
            (self.table, self.page) = (self.table + 1, 0);
        } else {
            self.page = to;
        }
        Portion::Pages { table: number, from, to: (!last).then_some(to) }
    }

    fn tables(&mut self, plan: &Plan, portion_bytes: u64) -> Portion {
        let from = self.table;
        let mut bytes = 0;
        for table in &plan.tables[from..] {
            bytes += table.disk.bytes();
            let alone = self.table == from;
            let large = table.by_pages && table.disk.bytes() > portion_bytes;
            if !alone && (large || bytes > GROUP_BYTES || self.table - from >= GROUP_TABLES) {
                break;
            }
            self.table += 1;
        }
        Portion::Tables(from..self.table)
    }

    fn large_objects(&mut self, plan: &Plan, portion_bytes: u64) -> Option<Portion> {
        let number = self.block;
        let block = plan.blocks.get(number)?;
        let from = self.object.max(block.objects.start);
        let mut to = from;
        let mut bytes = 0;
        while to < block.objects.end && to - from < GROUP_OBJECTS {
            bytes += plan.objects[to].length;
            if to > from && bytes > portion_bytes {
                break;
            }
            to += 1;
        }
        self.object = to;
        if to == block.objects.end {
            self.block += 1;
        }
        Some(Portion::LargeObjects { block: number, objects: from..to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pages: u64, toast_bytes: u64) -> Table {
        Table {
            dump_id: 1,
            name: "t".into(),
            source: "t".into(),
            columns: Some("a".into()),
            filter: None,
            order: None,
            disk: DiskSize { pages, page_bytes: 8192, toast_bytes },
            by_pages: true,
            measured: Measured::default(),
            covered: AtomicU64::default(),
        }
    }

    fn all(plan: &Plan, portion_bytes: u64) -> Vec<Portion> {
        let mut dealer = Dealer::default();
        std::iter::from_fn(|| dealer.deal(plan, portion_bytes)).collect()
    }

    #[test]
    fn pages_are_dealt_without_gap_and_the_last_range_is_open() {
        for pages in [2, 3, 999, 1000, 1001, 1249, 1250, 4711] {
            let plan = Plan { tables: vec![table(pages, 0)], ..Plan::default() };
            let portions = all(&plan, 1000 * 8192);
            let mut next = Some(0);
            for portion in &portions {
                match portion {
                    Portion::Pages { from, to, .. } => {
                        assert_eq!(Some(*from), next, "{pages}");
                        next = *to;
                    }
                    Portion::Tables(tables) => {
                        assert!(pages <= 1000, "{pages}");
                        assert_eq!(tables, &(0..1));
                        next = None;
                    }
                    Portion::LargeObjects { .. } => panic!("there are none"),
                }
            }
            assert_eq!(next, None, "{pages}: the last range is open");
            let bytes: u64 = portions.iter().map(|portion| plan.expected(portion).0).sum();
            assert_eq!(bytes, plan.total_bytes(), "{pages}");
        }
    }

    #[test]
    fn toast_and_what_was_measured_decide_how_many_pages() {
        let plan = Plan { tables: vec![table(1000, 9 * 1000 * 8192)], ..Plan::default() };
        let mut dealer = Dealer::default();
        let first = dealer.deal(&plan, 100 * 8192).unwrap();
        assert_eq!(first, Portion::Pages { table: 0, from: 0, to: Some(10) });
        plan.tables[0].measured.add(1000, 5000);
        let second = dealer.deal(&plan, 100 * 8192).unwrap();
        assert_eq!(second, Portion::Pages { table: 0, from: 10, to: Some(12) });
    }

    #[test]
    fn small_tables_go_together_and_empty_blocks_are_dealt() {
        let tables = (0..130).map(|_| table(0, 0)).chain([table(5000, 0), table(1, 0)]).collect();
        let objects = (0..900).map(|oid| LargeObject { oid, length: 10 }).collect();
        let blocks =
            vec![LargeObjectBlock { dump_id: 7, objects: 0..900 }, LargeObjectBlock { dump_id: 8, objects: 900..900 }];
        let plan = Plan { tables, blocks, objects };
        let portions = all(&plan, 8 << 20);
        let expected = |index: usize| portions[index].clone();
        assert_eq!(expected(0), Portion::Tables(0..64));
        assert_eq!(expected(2), Portion::Tables(128..130));
        assert!(matches!(expected(3), Portion::Pages { table: 130, from: 0, .. }));
        let rest = &portions[portions.len() - 5..];
        assert_eq!(rest[0], Portion::Tables(131..132));
        assert_eq!(rest[1], Portion::LargeObjects { block: 0, objects: 0..400 });
        assert_eq!(rest[3], Portion::LargeObjects { block: 0, objects: 800..900 });
        assert_eq!(rest[4], Portion::LargeObjects { block: 1, objects: 900..900 });
    }
}
