//! What the command writes, as it may be shown: without secrets, and as soon as it is there.
//!
//! Secrets are looked for in whole lines, whatever pieces they come in. Of a line that does not end, such as a prompt,
//! what cannot be a part of a secret is shown after a moment. A private key takes several lines, of which nothing is shown;
//! lines between that cannot belong to one are. A statement of SQL may say `PASSWORD` in one line, and which in the next.

use holdpoint_core::Mask;
use holdpoint_core::mask::LONGEST_KEY;

/// A longer line is shown in pieces.
const LONGEST_LINE: usize = 64 << 10;
/// So much of what was shown is kept of such a line, since it may introduce a secret.
const CONTEXT: usize = 256;
/// No line that ends a private key is longer.
const LONGEST_MARK: usize = 80;

/// One stream on its way to whoever reads it.
pub(crate) struct Masked {
    mask: Mask,
    /// The line that has not ended, as it was written.
    line: Vec<u8>,
    /// How much of it is shown, and how.
    shown: usize,
    as_text: String,
    /// The rest of this line belongs to a secret.
    swallows: bool,
    /// The lines may belong to a private key, of which so many bytes were read.
    key: Option<usize>,
    /// A line of what may be a key was hidden, and nothing shown since.
    hides: bool,
    /// The line before ended with a word after which a password may come.
    introduced: bool,
}

/// Stands before a line that the line before introduces.
const INTRODUCTION: &str = "PASSWORD ";

impl Masked {
    pub(crate) fn new(mask: Mask) -> Self {
        Self {
            mask,
            line: Vec::new(),
            shown: 0,
            as_text: String::new(),
            swallows: false,
            key: None,
            hides: false,
            introduced: false,
        }
    }

    /// Takes a piece; gives the lines that it ends.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len());
        for part in piece.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.extend_from_slice(part);
            if self.key.is_some_and(|read| self.goes_on(read + part.len())) {
                out.extend(self.between(part));
                continue;
            }
            if part.ends_with(b"\n") || part.ends_with(b"\r") {
                out.extend(self.end_line());
            } else if self.line.len() > LONGEST_LINE {
                out.extend(self.shorten());
            }
        }
        out
    }

    /// Whether something waits to be shown.
    pub(crate) fn waits(&self) -> bool {
        self.key.is_none() && self.line.len() > self.shown
    }

    /// Gives what may be shown of a line that does not end.
    pub(crate) fn pause(&mut self) -> Vec<u8> {
        if self.key.is_some() {
            return Vec::new();
        }
        // Half a letter is shown with its other half.
        let half = self.line.utf8_chunks().last().map_or(&[][..], |last| last.invalid());
        let half = std::str::from_utf8(half).is_err_and(|error| error.error_len().is_none()).then_some(half.len());
        let whole = self.line.len() - half.unwrap_or_default();
        let text = String::from_utf8_lossy(&self.line[..whole]);
        let open = self.mask.open_at(&text);
        // Where signs were replaced, places in the text are not places in the line.
        let up_to = if text.len() == whole { open } else { whole - (text.len() - open).min(whole) };
        // `E'x'` is a literal, too.
        let up_to = if self.introduced && text.trim().eq_ignore_ascii_case("e") { 0 } else { up_to };
        self.show(up_to.max(self.shown))
    }

    /// Gives the rest of the line, and begins another.
    pub(crate) fn end_line(&mut self) -> Vec<u8> {
        if self.key.is_some() {
            return self.between(b"\n");
        }
        let mut out = self.show(self.line.len());
        let text = String::from_utf8_lossy(&self.line);
        self.key = Mask::ends_in_key(&text).then_some(0);
        self.hides = self.key.is_some();
        self.introduced = Mask::introduces_password(&text) || self.introduced && text.trim().is_empty();
        if std::mem::take(&mut self.swallows) {
            out.extend(self.line.last().filter(|byte| matches!(byte, b'\n' | b'\r')));
        }
        self.line.clear();
        self.as_text.clear();
        self.shown = 0;
        out
    }

    /// Takes away what was shown of a line that is too long.
    fn shorten(&mut self) -> Vec<u8> {
        let mut out = self.pause();
        if Mask::ends_in_key(&String::from_utf8_lossy(&self.line)) {
            (self.key, self.hides) = (Some(0), true);
            self.line.drain(..self.line.len().saturating_sub(LONGEST_MARK));
            (self.shown, self.swallows) = (0, false);
            self.as_text.clear();
            return out;
        }
        let is_masked = self.as_text.ends_with('*');
        let waits_for_ever = !self.swallows && !is_masked && self.line.len() - self.shown > LONGEST_LINE;
        if waits_for_ever {
            out.extend_from_slice(b"***");
        }
        if self.swallows || is_masked || waits_for_ever {
            self.swallows = true;
            self.line.clear();
            self.as_text.clear();
            self.shown = 0;
            return out;
        }
        let cut = self.shown.saturating_sub(CONTEXT);
        self.line.drain(..cut);
        self.shown -= cut;
        self.as_text = self.masked(&String::from_utf8_lossy(&self.line[..self.shown]));
        out
    }

    /// Masks a part of a line, which the line before may introduce.
    fn masked(&self, text: &str) -> String {
        if !self.introduced {
            return self.mask.script(text);
        }
        let masked = self.mask.script(&format!("{INTRODUCTION}{text}"));
        masked.strip_prefix(INTRODUCTION).map_or(masked.clone(), str::to_owned)
    }

    /// What may be shown of a line between a key's own: all of it where it ends, and cannot belong to the key.
    fn between(&mut self, part: &[u8]) -> Vec<u8> {
        let ends = part.ends_with(b"\n") || part.ends_with(b"\r");
        if !ends {
            return Vec::new();
        }
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let mut out = Vec::new();
        if self.key.is_none() || line.is_empty() {
            return out;
        }
        if Mask::is_of_key(&text) && (self.hides || !text.trim().is_empty()) {
            if !std::mem::replace(&mut self.hides, true) {
                out.extend_from_slice(b"***");
            }
            return out;
        }
        if std::mem::take(&mut self.hides) {
            out.push(b'\n');
        }
        let masked = self.mask.script(&text);
        out.extend_from_slice(if masked == *text { &line } else { masked.as_bytes() });
        out
    }

    /// Whether a private key goes on, of which so many bytes were read; else the line begins with what ends it.
    fn goes_on(&mut self, read: usize) -> bool {
        let text = String::from_utf8_lossy(&self.line);
        if let Some(end) = Mask::end_of_key(&text) {
            self.line = text[end..].into();
            self.key = None;
            return false;
        }
        self.key = (read <= LONGEST_KEY).then_some(read);
        if self.key.is_none() {
            self.line.clear();
        }
        true
    }

    fn show(&mut self, up_to: usize) -> Vec<u8> {
        let before = std::mem::replace(&mut self.shown, up_to);
        if self.swallows {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&self.line[..up_to]);
        let masked = self.masked(&text);
        // Signs of another encoding are passed on as they are.
        let as_it_is = masked == *text && masked.starts_with(&self.as_text);
        let same = masked.bytes().zip(self.as_text.bytes()).take_while(|(one, other)| one == other).count();
        let out = if as_it_is { self.line[before..up_to].to_vec() } else { masked.as_bytes()[same..].to_vec() };
        self.as_text = masked;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked() -> Masked {
        Masked::new(Mask::new(["hunter2secret".to_owned(), "two\nlines-of-it".to_owned()]))
    }

    /// What is shown of pieces, with a pause after each.
    fn paused(pieces: &[&str]) -> String {
        let mut masked = masked();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(masked.take(piece.as_bytes()));
            out.extend(masked.pause());
        }
        out.extend(masked.end_line());
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn is_masked_wherever_a_piece_ends(text: &str, expected: &str) {
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let (one, other) = text.split_at(at);
            let mut quick = masked();
            let out = [quick.take(one.as_bytes()), quick.take(other.as_bytes()), quick.end_line()].concat();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "cut at {at}");
            assert_eq!(paused(&[one, other]), expected, "cut at {at}, with a pause");
        }
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(paused(&letters), expected);
    }

    #[test]
    fn wherever_a_piece_ends_no_secret_shows() {
        let text = "log in as hunter2secret now\r\nurl postgres://ann:hush@h/db API_PASSWORD=hush9 x\nlines-of-it\n";
        let expected = "log in as *** now\r\nurl postgres://ann:***@h/db API_PASSWORD=*** x\n***\n";
        is_masked_wherever_a_piece_ends(text, expected);
    }

    #[test]
    fn wherever_a_piece_ends_secrets_known_by_their_shape_do_not_show() {
        let text = "x-api-key: hush9\n{\"pass\" : \"hu sh\"}\nPASSWORD $$hu sh$$ x\nPASSWORD $t$hush$t$;\nBearer hush-9f1 x\n\
            AccountKey=hush/9==;x\nhttps://hooks.slack.com/services/T0/hush x\na\n-----BEGIN RSA PRIVATE KEY-----\r\nhush\n\
            hush==\n-----END RSA PRIVATE KEY-----\nbearer token, the pass : fails";
        let expected = "x-api-key: ***\n{\"pass\" : ***}\nPASSWORD *** x\nPASSWORD ***;\nBearer *** x\n\
            AccountKey=***;x\nhttps://hooks.slack.com/*** x\na\n-----BEGIN RSA PRIVATE KEY-----***\
            -----END RSA PRIVATE KEY-----\nbearer token, the pass : fails";
        assert_eq!(Mask::default().script(text), expected);
        is_masked_wherever_a_piece_ends(text, expected);
    }

    #[test]
    fn a_key_without_an_end_hides_no_more_than_a_key_may_take() {
        let mut masked = masked();
        let mut out = masked.take(b"-----BEGIN PRIVATE KEY-----\n");
        for _ in 0..LONGEST_KEY {
            out.extend(masked.take(b"hush\n"));
            assert!(masked.line.len() <= LONGEST_KEY);
            if masked.key.is_none() {
                break;
            }
        }
        out.extend(masked.take(b"next\n"));
        assert_eq!(String::from_utf8(out).unwrap(), "-----BEGIN PRIVATE KEY-----***next\n");
    }

    #[test]
    fn lines_that_cannot_belong_to_a_key_are_shown_between() {
        let text = "must begin with -----BEGIN PRIVATE KEY-----\nERROR: not applied, hunter2secret\nhushHUSH\n\
            at 9:00 hushHUSHhushHUSHhush\n\nHINT: try it again\n";
        let expected =
            "must begin with -----BEGIN PRIVATE KEY-----***\nERROR: not applied, ***\n***\nHINT: try it again\n";
        is_masked_wherever_a_piece_ends(text, expected);
    }

    #[test]
    fn a_password_in_the_line_after_its_word_does_not_show() {
        let text = "ALTER ROLE a\n  PASSWORD\n\n  'hu sh' VALID\nALTER ROLE b password\r\nE'hush';\n\
            Password\nnothing 'quoted' here\n'quoted'\n";
        let expected = "ALTER ROLE a\n  PASSWORD\n\n  *** VALID\nALTER ROLE b password\r\n***;\n\
            Password\nnothing 'quoted' here\n'quoted'\n";
        is_masked_wherever_a_piece_ends(text, expected);
    }

    #[test]
    fn what_introduces_a_secret_is_remembered_in_a_line_without_end() {
        let cases = [("Bearer ", &[&b"hush"[..], b"-9f1", b" x\n"]), ("postgres://ann:", &[b"hu", b"sh", b"@h x\n"])];
        for (introduction, pieces) in cases {
            let mut masked = Masked::new(Mask::default());
            let mut out = masked.take(&[b' '; LONGEST_LINE]);
            out.extend(masked.take(introduction.as_bytes()));
            pieces.iter().for_each(|piece| out.extend(masked.take(piece)));
            let out = String::from_utf8(out).unwrap();
            let masked_as = format!("{introduction}***");
            assert!(out.trim().starts_with(&masked_as) && !out.contains("sh"), "{}", out.trim());
            // However long it is.
            let mut out = masked.take(introduction.as_bytes());
            for _ in 0..4 {
                out.extend(masked.take(&[b'9'; LONGEST_LINE]));
                assert!(masked.line.len() <= 2 * LONGEST_LINE);
            }
            out.extend(masked.take(b"\nnext\n"));
            assert_eq!(String::from_utf8(out).unwrap(), format!("{masked_as}\nnext\n"));
        }
    }

    #[test]
    fn a_prompt_is_shown_although_its_line_does_not_end() {
        let mut masked = masked();
        assert_eq!(masked.take(b"done\nGo on? [y/N] "), b"done\n");
        assert!(masked.waits());
        assert_eq!(masked.pause(), b"Go on? [y/N] ");
        assert!(!masked.waits());
        assert_eq!(masked.take(b"ok\n"), b"ok\n");
        // What may be the beginning of a secret stays back until it is known.
        assert_eq!((masked.take(b"at hunter2"), masked.pause()), (b"".to_vec(), b"at ".to_vec()));
        assert_eq!(masked.take(b"x\n"), b"hunter2x\n");
    }

    #[test]
    fn other_encodings_and_halves_of_letters_pass() {
        let mut masked = masked();
        assert_eq!((masked.take(b"a\xff\xc3"), masked.pause()), (b"".to_vec(), b"a\xff".to_vec()));
        assert_eq!((masked.take(b"\xa4b"), masked.pause()), (b"".to_vec(), b"\xc3\xa4b".to_vec()));
        assert_eq!(masked.end_line(), b"");
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_hides_what_is_masked() {
        let mut masked = masked();
        let piece = [b'a'; 4096];
        let mut shown = 0;
        for _ in 0..64 {
            shown += masked.take(&piece).len();
            assert!(masked.line.len() <= LONGEST_LINE + piece.len());
        }
        assert_eq!(shown + masked.end_line().len(), 64 * piece.len());
        let mut out = masked.take(b"PASSWORD=");
        for _ in 0..64 {
            out.extend(masked.take(&piece));
        }
        out.extend(masked.take(b"\nnext\n"));
        assert_eq!(String::from_utf8(out).unwrap(), "PASSWORD=***\nnext\n");
    }
}
