//! From page to page of a list, to its end; and out of one that has none.

use super::failure::invalid;
use crate::error::Result;

/// So many pages in a row may be empty and lead to another.
const EMPTY_IN_A_ROW: u32 = 1000;

/// Where a list goes on. Memory: one page's marks, whatever the length of the list.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// What to ask the next page by; `None` for the first.
    token: Option<String>,
    ended: bool,
    read: u64,
    empty: u32,
    /// Where an earlier page led to, and what it began with. It is renewed after 1, 2, 4, 8 … pages, so a list that goes in a
    /// circle comes by it (Brent, "An improved Monte Carlo factorization algorithm", 1980).
    passed: Option<(String, Option<String>)>,
}

impl Pages {
    /// What the next page is asked by; `None` for the first.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Whether the last page was read.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Goes on behind a page that began with `first` and leads to `token`.
    ///
    /// # Errors
    /// [`Error::Service`](crate::Error::Service) of a page that is cut off and does not say where the list goes on, or says where
    /// it has been: a list that only looks whole would let what it lacks be taken for gone, and one without an end would be read
    /// for ever.
    pub(super) fn follow(
        &mut self,
        (action, of): (&'static str, &str),
        truncated: Option<bool>,
        token: Option<&str>,
        first: Option<&str>,
    ) -> Result<()> {
        if truncated != Some(true) {
            self.ended = true;
            return Ok(());
        }
        let Some(token) = token else {
            return Err(invalid(action, of, "it is cut off and does not say where it goes on"));
        };
        self.read += 1;
        self.empty = if first.is_none() { self.empty + 1 } else { 0 };
        let been = self.passed.as_ref().is_some_and(|(led_to, began)| {
            led_to == token || first.is_some_and(|first| began.as_deref() == Some(first))
        });
        if been {
            return Err(invalid(action, of, "it goes on where it has been"));
        }
        if self.empty > EMPTY_IN_A_ROW {
            return Err(invalid(action, of, &format!("{EMPTY_IN_A_ROW} pages in a row are empty and lead to another")));
        }
        if self.read.is_power_of_two() {
            self.passed = Some((token.to_owned(), first.map(str::to_owned)));
        }
        self.token = Some(token.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads pages until the list ends; how many there were, or what is wrong.
    fn read(page: impl Fn(u64) -> (Option<String>, Option<String>)) -> std::result::Result<u64, String> {
        let mut pages = Pages::default();
        for n in 0..1_000_000 {
            let (token, first) = page(n);
            let truncated = Some(token.is_some());
            let followed = pages.follow(("list", "shop/"), truncated, token.as_deref(), first.as_deref());
            followed.map_err(|error| error.to_string())?;
            if pages.ended() {
                return Ok(n + 1);
            }
            assert_eq!(pages.token(), token.as_deref());
        }
        panic!("it is read for ever");
    }

    #[test]
    fn a_long_list_comes_to_its_end_and_one_in_a_circle_is_refused() {
        let key = |n: u64| Some(format!("k{n}"));
        assert_eq!(read(|n| ((n < 5000).then(|| format!("t{n}")), key(n))), Ok(5001));
        // Some pages are empty.
        assert_eq!(read(|n| ((n < 900).then(|| format!("t{n}")), (n % 300 == 0).then(|| format!("k{n}")))), Ok(901));
        let been =
            |read: std::result::Result<u64, String>| assert!(read.unwrap_err().contains("goes on where it has been"));
        been(read(|_| (Some("t".to_owned()), None)));
        for round in [1, 2, 3, 7, 100] {
            been(read(|n| (Some(format!("t{}", n % round)), key(n))));
            // Of a store that makes up a token for each answer, the pages are the same again and again.
            been(read(|n| (Some(format!("t{n}")), key(n % round))));
            // Also where they come to be so late only.
            been(read(|n| (Some(format!("t{n}")), key(if n < 1000 { n } else { 1000 + n % round }))));
        }
        assert!(read(|n| (Some(format!("t{n}")), None)).unwrap_err().contains("are empty"));
    }
}
