//! Dumps that holdpoint did not make: what form they have, and their bytes.

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use tokio::io::{AsyncBufRead, AsyncRead};

/// The form of a dump, told by its first bytes, never by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignForm {
    /// `pg_dump -Fc`.
    Custom,
    /// `pg_dump -Ft`.
    Tar,
    /// `pg_dump -Fd`: a directory with `toc.dat`.
    Directory,
    /// SQL text.
    Plain,
}

/// How the dump as a whole is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// Not at all.
    None,
    /// gzip, of one or several members.
    Gzip,
    /// zstd.
    Zstd,
}

/// What the first bytes say of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignDump {
    /// How it is compressed as a whole.
    pub wrapping: Wrapping,
    /// Its form, when it is not compressed as a whole.
    pub form: ForeignForm,
}

/// How many of the first bytes [`ForeignDump::recognise`] looks at.
pub const LOOK_BYTES: usize = 512;

impl ForeignDump {
    /// Recognises a dump by its first (up to) [`LOOK_BYTES`] bytes; `None` when it is none that PostgreSQL's programs
    /// read.
    ///
    /// For a compressed one the form is unknown until it is decompressed: call again with what comes out.
    pub fn recognise(first: &[u8]) -> Option<Self> {
        let whole = |form| Some(Self { wrapping: Wrapping::None, form });
        if first.starts_with(&[0x1f, 0x8b]) {
            return Some(Self { wrapping: Wrapping::Gzip, form: ForeignForm::Plain });
        }
        if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Some(Self { wrapping: Wrapping::Zstd, form: ForeignForm::Plain });
        }
        if first.starts_with(b"PGDMP") {
            return whole(ForeignForm::Custom);
        }
        if first.len() >= 262 && &first[257..262] == b"ustar" {
            return whole(ForeignForm::Tar);
        }
        let text = !first.is_empty() && !first.contains(&0);
        if text && begins_as_sql(first) { whole(ForeignForm::Plain) } else { None }
    }
}

/// Words that a statement of a script can begin with (PostgreSQL manual, "SQL Commands"); `PGDMP` is not among them.
const STATEMENTS: &str = " abort alter analyze begin call checkpoint close cluster comment commit copy create deallocate \
                          declare delete discard do drop end execute explain fetch grant import insert listen load lock \
                          merge move notify prepare reassign refresh reindex release reset revoke rollback savepoint \
                          security select set show start table truncate unlisten update vacuum values with ";

/// Tells whether a text begins as a script for psql may: after blanks and comments with a statement or a command of
/// psql's own. A text whose comments are longer than what was looked at may be one.
fn begins_as_sql(text: &[u8]) -> bool {
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    loop {
        rest = rest.trim_ascii_start();
        let end = match rest {
            [b'-', b'-', ..] => rest.iter().position(|byte| *byte == b'\n'),
            [b'/', b'*', ..] => rest.windows(2).position(|two| two == b"*/").map(|at| at + 1),
            [b';', ..] => Some(0),
            _ => break,
        };
        let Some(end) = end else { return true };
        rest = &rest[end + 1..];
    }
    let word = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    match rest.first() {
        // Nothing but comments so far, or psql's \connect, \restrict and the like.
        None | Some(b'\\') => true,
        Some(b'(') => true,
        Some(_) if word == 0 => false,
        // The word may have been cut by the end of what was looked at.
        Some(_) if word == rest.len() => true,
        Some(_) => {
            let word = format!(" {} ", String::from_utf8_lossy(&rest[..word]).to_ascii_lowercase());
            STATEMENTS.contains(&word)
        }
    }
}

/// Decompresses a dump as it streams; a stream that is cut within ends with an error, never as if complete.
pub fn decompressed<'a, R>(source: R, wrapping: Wrapping) -> Box<dyn AsyncRead + Send + Unpin + 'a>
where
    R: AsyncBufRead + Send + Unpin + 'a,
{
    match wrapping {
        Wrapping::None => Box::new(source),
        Wrapping::Gzip => {
            let mut gzip = GzipDecoder::new(source);
            gzip.multiple_members(true);
            Box::new(gzip)
        }
        Wrapping::Zstd => {
            let mut zstd = ZstdDecoder::new(source);
            zstd.multiple_members(true);
            Box::new(zstd)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn forms_are_told_by_content() {
        let form = |bytes: &[u8]| ForeignDump::recognise(bytes).map(|dump| dump.form);
        assert_eq!(form(b"PGDMP\x01\x10"), Some(ForeignForm::Custom));
        assert_eq!(form(b"--\n-- PostgreSQL database dump\n"), Some(ForeignForm::Plain));
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(form(&tar), Some(ForeignForm::Tar));
        assert_eq!(form(b""), None, "an empty file is no dump");
        assert_eq!(form(b"\x7fELF\0\0"), None);
    }

    #[test]
    fn a_text_that_is_no_sql_is_no_dump() {
        let sql = |text: &str| ForeignDump::recognise(text.as_bytes()).is_some();
        for text in [
            "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\nSET a = 1;",
            "\u{feff}set x = 1;",
            "/* a\n comment */ -- another\nINSERT INTO t VALUES (1);",
            "\\connect shop",
            "  ;\n(SELECT 1);",
            "-- only a comment that goes on",
            "/* so does this",
            "crea",
        ] {
            assert!(sql(text), "{text}");
        }
        for text in [
            "Dear all,\nplease find attached",
            "{\"tables\": []}",
            "id,name\n1,a\n",
            "<html><body>404</body></html>",
            "settings go here",
            "1 2 3",
            "-- a comment\nnot a statement",
        ] {
            assert!(!sql(text), "{text}");
        }
    }

    #[tokio::test]
    async fn a_cut_gzip_is_an_error() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(4));
        gzip.write_all(&b"SELECT 1;\n".repeat(1000)).unwrap();
        let whole = gzip.finish().unwrap();
        let doubled = [whole.as_slice(), whole.as_slice()].concat();
        let mut text = Vec::new();
        decompressed(doubled.as_slice(), Wrapping::Gzip).read_to_end(&mut text).await.unwrap();
        assert_eq!(text.len(), 20_000, "both members are read");
        for cut in [whole.len() - 1, whole.len() - 8, whole.len() / 2] {
            let mut text = Vec::new();
            assert!(decompressed(&whole[..cut], Wrapping::Gzip).read_to_end(&mut text).await.is_err(), "cut at {cut}");
        }
    }
}
