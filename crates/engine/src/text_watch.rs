//! Watching SQL text on its way into psql, which takes the end of its input within COPY for the end of the rows.

use bytes::Bytes;

use crate::Error;

/// How much of the beginning is looked at to tell whose text it is.
const FIRST: usize = 4 << 10;
/// How much of the end is looked at for the words with which a dump ends.
const LAST: usize = 1 << 10;
/// How much is kept of both ends of a line that is longer than a portion.
const ENDS: usize = 64;

const ONE: [&[u8]; 2] = [b"-- PostgreSQL database dump", b"-- PostgreSQL database dump complete"];
const CLUSTER: [&[u8]; 2] = [b"-- PostgreSQL database cluster dump", b"-- PostgreSQL database cluster dump complete"];

/// Tells whether SQL text that streams by is whole; memory: a few kilobytes.
///
/// What pg_dump and pg_dumpall write ends with words of its own (pg_backup_archiver.c, pg_dumpall.c); other text must
/// only not end within the rows of a COPY.
#[derive(Default)]
pub(crate) struct TextWatch {
    first: Vec<u8>,
    last: Vec<u8>,
    line: Vec<u8>,
    /// A line began a COPY's rows. A function's body may hold such a line, so alone this proves nothing.
    in_copy: bool,
    /// Outside of rows the last of the lines that begin and end a database's, and a cluster's, dump is the ending one.
    ended: [bool; 2],
}

impl TextWatch {
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        let room = FIRST - self.first.len();
        self.first.extend_from_slice(&bytes[..bytes.len().min(room)]);
        keep_end(&mut self.last, bytes);
        let mut from = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let rest = &bytes[from..newline];
            from = newline + 1;
            if self.line.is_empty() {
                self.line_ended(rest);
            } else {
                self.add_to_line(rest);
                let line = std::mem::take(&mut self.line);
                self.line_ended(&line);
            }
        }
        self.add_to_line(&bytes[from..]);
    }

    /// Fails unless the text ended where one may end.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let line = std::mem::take(&mut self.line);
        self.line_ended(&line);
        let begins = |words: &[u8]| self.first.split(|byte| *byte == b'\n').any(|line| without_return(line) == words);
        let whole = if begins(CLUSTER[0]) {
            self.is_ended(1)
        } else if begins(ONE[0]) {
            self.is_ended(0)
        } else {
            !self.in_copy
        };
        if whole { Ok(()) } else { Err(Error::Truncated("SQL text")) }
    }

    fn is_ended(&self, which: usize) -> bool {
        if self.ended[which] && !self.in_copy {
            return true;
        }
        // Where a function's body was taken for rows: the words stand between lines that no rows of one table imitate
        // but by intent.
        let words = [ONE, CLUSTER][which][1];
        let last: Vec<&[u8]> = self.last.split(|byte| *byte == b'\n').map(without_return).collect();
        last.windows(3).any(|lines| lines[0] == b"--" && lines[1] == words && lines[2] == b"--")
    }

    fn line_ended(&mut self, line: &[u8]) {
        let line = without_return(line);
        if self.in_copy {
            self.in_copy = line != b"\\.";
        } else if line.starts_with(b"COPY ") {
            self.in_copy = line.to_ascii_lowercase().ends_with(b" from stdin;");
        } else if line.starts_with(b"-- PostgreSQL") {
            for (ended, [begin, end]) in self.ended.iter_mut().zip([ONE, CLUSTER]) {
                *ended = line == end || (*ended && line != begin);
            }
        }
    }

    /// Adds to the line that goes on in the next portion; of a long one both ends are kept.
    fn add_to_line(&mut self, bytes: &[u8]) {
        if bytes.len() > 2 * ENDS {
            self.line.extend_from_slice(&bytes[..ENDS]);
            self.line.extend_from_slice(&bytes[bytes.len() - ENDS..]);
        } else {
            self.line.extend_from_slice(bytes);
        }
        if self.line.len() > 4 * ENDS {
            self.line.drain(ENDS..self.line.len() - ENDS);
        }
    }
}

fn keep_end(last: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(LAST)..];
    let surplus = (last.len() + bytes.len()).saturating_sub(LAST);
    last.drain(..surplus);
    last.extend_from_slice(bytes);
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str, portion: usize) -> bool {
        let mut watch = TextWatch::default();
        for part in text.as_bytes().chunks(portion) {
            watch.push(&Bytes::copy_from_slice(part));
        }
        watch.finish().is_ok()
    }

    fn everywhere(text: &str) -> bool {
        let outcomes: Vec<bool> = [1, 7, 300, 5000, 1 << 20].map(|portion| whole(text, portion)).into();
        assert!(outcomes.iter().all(|one| *one == outcomes[0]), "{outcomes:?}");
        outcomes[0]
    }

    fn dump(middle: &str) -> String {
        let end = "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n";
        format!("--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n{middle}{end}")
    }

    fn rows() -> String {
        let long = "x".repeat(3000);
        format!("COPY public.t (a, \"{long}\") FROM stdin;\n1\t{long}\n2\t\\\\.\n\\.\n\n")
    }

    #[test]
    fn a_dump_is_whole_only_with_its_last_words() {
        let text = dump(&rows().repeat(3));
        assert!(everywhere(&text));
        assert!(everywhere(&text.replace('\n', "\r\n")));
        let words = text.find("-- PostgreSQL database dump complete").unwrap();
        for cut in (40..words).step_by(61).chain([words, words + 30]) {
            assert!(!everywhere(&text[..cut]), "cut at {cut}");
        }
        assert!(everywhere(&format!("{text}GRANT ALL ON t TO app;\n{}", "-- more\n".repeat(500))), "added to by hand");
        assert!(!everywhere(&format!("{text}{}", &text[..words])), "the second of two is cut");
        assert!(everywhere(&format!("{text}{text}")));
    }

    #[test]
    fn rows_do_not_pass_for_the_last_words() {
        let text = dump("COPY public.notes (note) FROM stdin;\n-- PostgreSQL database dump complete\nmore\n\\.\n");
        let cut = text.find("more").unwrap();
        assert!(!everywhere(&text[..cut]));
        assert!(everywhere(&text));
    }

    #[test]
    fn a_line_within_a_function_does_not_mislead() {
        let body = "CREATE FUNCTION f() RETURNS text AS $$\nCOPY t (a) FROM stdin;\n$$ LANGUAGE sql;\n";
        assert!(everywhere(&dump(body)));
        assert!(everywhere(&dump(&format!("{body}{}", rows()))));
    }

    #[test]
    fn a_cluster_s_dump_ends_with_the_cluster_s_words() {
        let databases = dump(&rows()).repeat(2);
        let end = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";
        let text = format!("--\n-- PostgreSQL database cluster dump\n--\n\n{databases}");
        assert!(!everywhere(&text), "between two databases");
        assert!(everywhere(&format!("{text}{end}")));
    }

    #[test]
    fn text_of_others_must_only_not_end_within_rows() {
        assert!(everywhere("CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);"));
        assert!(everywhere(&rows()));
        assert!(everywhere("COPY t FROM stdin;\n1\n\\."));
        for text in ["COPY t FROM stdin;\n", "copy t\nCOPY t (a) FROM STDIN;\n1\n2", "COPY t FROM stdin;"] {
            assert!(!everywhere(text), "{text}");
        }
    }

    #[test]
    fn memory_stays_small_in_endless_lines() {
        let mut watch = TextWatch::default();
        for _ in 0..100 {
            watch.push(&Bytes::from(vec![b'x'; 100_000]));
            assert!(watch.line.capacity() + watch.first.capacity() + watch.last.capacity() < 32 << 10);
        }
    }
}
