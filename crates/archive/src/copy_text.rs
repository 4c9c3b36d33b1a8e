//! The text of a table's rows inside a block, and its end marker.

use crate::Error;

/// What follows the last row in every block of table data. Without it a script made by `pg_restore -f` would be broken.
pub const COPY_END: &[u8] = b"\\.\n\n\n";

/// Takes the end marker off a table's text while it streams by.
///
/// Holds back nothing but a possible marker, so rows pass as they came.
#[derive(Debug, Clone)]
pub struct CopyText {
    /// How much of the marker the text ends with so far.
    held: usize,
    /// Whether what comes next (behind what is held) begins a row.
    row_start: bool,
}

impl CopyText {
    /// Starts at a table's first row.
    pub fn new() -> Self {
        Self { held: 0, row_start: true }
    }

    /// Takes in more text and passes rows to `sink`, in portions that need not be whole rows. Errors with the sink's
    /// own error only.
    pub fn push<E>(&mut self, input: &[u8], mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let Some(last) = input.last() else { return Ok(()) };
        if self.held > 0 {
            if COPY_END[self.held..].starts_with(input) {
                self.held += input.len();
                return Ok(());
            }
            // It was no end marker; its first bytes are rows.
            let held = std::mem::take(&mut self.held);
            if let [.., b'\n'] = COPY_END[..held] {
                self.row_start = true;
            } else {
                self.row_start = false;
            }
            sink(&COPY_END[..held])?;
        }
        let hold = (1..=COPY_END.len().min(input.len())).rev().find(|&length| {
            let (rows, end) = input.split_at(input.len() - length);
            end == &COPY_END[..length] && rows.last().map_or(self.row_start, |byte| *byte == b'\n')
        });
        let rows = &input[..input.len() - hold.unwrap_or(0)];
        self.held = hold.unwrap_or(0);
        self.row_start = self.held > 0 || *last == b'\n';
        if rows.is_empty() { Ok(()) } else { sink(rows) }
    }

    /// Ends the text. Errors with [`Error::CopyEndMissing`] where the marker was not its end.
    pub fn finish(self) -> Result<(), Error> {
        if self.held == COPY_END.len() { Ok(()) } else { Err(Error::CopyEndMissing) }
    }
}

impl Default for CopyText {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strip(portions: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut rows = Vec::new();
        let mut text = CopyText::new();
        for portion in portions {
            text.push(portion, |bytes| {
                rows.extend_from_slice(bytes);
                Ok::<_, Error>(())
            })
            .unwrap();
        }
        (rows, text.finish().is_ok())
    }

    #[test]
    fn strips_the_marker_and_nothing_else() {
        assert_eq!(strip(&[b"\\.\n\n\n"]), (b"".to_vec(), true));
        assert_eq!(strip(&[b"1\ta\n", b"2\tb\n", b"\\.\n\n\n"]), (b"1\ta\n2\tb\n".to_vec(), true));
        // Rows that look like it: an escaped backslash, a field that ends in one, empty rows of a table without columns.
        assert_eq!(strip(&[b"\\\\.\n\n\n\\.\n\n\n"]), (b"\\\\.\n\n\n".to_vec(), true));
        assert_eq!(strip(&[b"\n", b"\n\n\\.\n\n\n"]), (b"\n\n\n".to_vec(), true));
        assert_eq!(strip(&[b"a\\N\n\\N\n\\.\n\n\n"]), (b"a\\N\n\\N\n".to_vec(), true));
    }

    #[test]
    fn misses_the_marker() {
        for text in [&b""[..], b"a\n", b"\\.\n\n", b"\\.\n\n\n\n", b"a\\.\n\n\n", b"\\\\.\n\n\n", b"\\.\n\n\nrow\n"] {
            assert!(!strip(&[text]).1, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn portions_do_not_matter(tokens in prop::collection::vec(prop::sample::select(vec![&b"\\"[..], b".", b"\n", b"\\.\n\n\n", b"a"]), 0..24), cuts in prop::collection::vec(1_usize..6, 0..40)) {
            let text = tokens.concat();
            let mut portions = Vec::new();
            let mut rest = &text[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                portions.push(now);
                rest = later;
            }
            portions.push(rest);
            let (rows, ended) = strip(&portions);
            let (once, ended_once) = strip(&[&text]);
            prop_assert_eq!(ended, ended_once);
            let marked = text.ends_with(COPY_END) && matches!(text[..text.len() - 5].last(), None | Some(b'\n'));
            prop_assert_eq!(ended, marked);
            if marked {
                prop_assert_eq!(&rows[..], &text[..text.len() - 5]);
                prop_assert_eq!(rows, once);
            }
        }
    }
}
