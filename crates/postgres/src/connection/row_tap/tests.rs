use tokio::io::AsyncReadExt;

use super::*;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// Two COPYs with rows of many sizes between other messages; gives the stream, the rows and what passes.
fn stream() -> (Vec<u8>, Vec<Vec<u8>>, Vec<u8>) {
    let (mut sent, mut passing, mut copies) = (Vec::new(), Vec::new(), Vec::new());
    for lengths in [vec![1, 0, 300, 70_000, 200_000, 5], vec![]] {
        let before = [message(b'C', b"LOCK TABLE\0"), message(b'1', b"")].concat();
        sent.extend_from_slice(&before);
        passing.extend(before);
        sent.extend(message(b'H', &[0, 0, 1, 0, 0]));
        let mut rows = Vec::new();
        for (nth, length) in lengths.into_iter().enumerate() {
            let row = vec![b'a' + u8::try_from(nth).unwrap(); length];
            sent.extend(message(b'd', &row));
            rows.extend(row);
            if nth == 2 {
                let notice = message(b'N', b"SNOTICE\0\0");
                sent.extend_from_slice(&notice);
                passing.extend(notice);
            }
        }
        sent.extend(message(b'c', b""));
        copies.push(rows);
        let after = [message(b'C', b"COPY 6\0"), message(b'Z', b"T")].concat();
        sent.extend_from_slice(&after);
        passing.extend(after);
    }
    (sent, copies, passing)
}

#[tokio::test]
async fn rows_leave_and_all_else_passes_however_the_bytes_come() {
    let (sent, copies, passing) = stream();
    for portion in [1, 3, 5, 8192, 100_000, sent.len()] {
        let (mut server, client) = tokio::io::duplex(portion);
        let diversion = Diversion::default();
        let (send, mut rows) = mpsc::channel(1);
        diversion.set(Some(send));
        let mut tap = RowTap::new(client, false, diversion);
        let feed = async {
            for bytes in sent.chunks(portion) {
                tokio::io::AsyncWriteExt::write_all(&mut server, bytes).await.unwrap();
            }
            drop(server);
        };
        let read = async {
            let mut passed = Vec::new();
            tap.read_to_end(&mut passed).await.unwrap();
            passed
        };
        let gather = async {
            let mut found = vec![Vec::new()];
            while found.len() <= copies.len() {
                match rows.recv().await.unwrap() {
                    Tapped::Rows(batch) => {
                        assert!(batch.len() <= BATCH_BYTES);
                        found.last_mut().unwrap().extend(batch);
                    }
                    Tapped::End => found.push(Vec::new()),
                }
            }
            found.pop();
            found
        };
        let ((), passed, found) = tokio::join!(feed, read, gather);
        assert!(passed == passing, "portions of {portion}");
        assert!(found == copies, "portions of {portion}");
    }
}

#[tokio::test]
async fn nobody_who_wants_them_leaves_rows_to_the_driver_and_a_failed_copy_passes_its_error() {
    let (sent, ..) = stream();
    let mut passed = Vec::new();
    RowTap::new(&sent[..], false, Diversion::default()).read_to_end(&mut passed).await.unwrap();
    assert!(passed == sent);

    let error = message(b'E', b"SERROR\0\0");
    let sent = [message(b'H', &[0; 5]), message(b'd', b"a\n"), error.clone(), message(b'Z', b"E")].concat();
    let diversion = Diversion::default();
    let (send, mut rows) = mpsc::channel(1);
    diversion.set(Some(send));
    let mut passed = Vec::new();
    RowTap::new(&sent[..], false, diversion.clone()).read_to_end(&mut passed).await.unwrap();
    assert_eq!(passed, [error, message(b'Z', b"E")].concat());
    diversion.set(None);
    assert!(rows.recv().await.is_none(), "rows of a failed copy are nobody's");
}

#[tokio::test]
async fn the_answer_to_a_request_for_tls_decides_what_follows() {
    for (answer, rows_leave) in [(b'N', true), (b'S', false)] {
        let (sent, ..) = stream();
        let all = [&[answer][..], &sent].concat();
        let diversion = Diversion::default();
        let (send, rows) = mpsc::channel(64);
        diversion.set(Some(send));
        let mut tap = RowTap::new(&all[..], true, diversion);
        assert_eq!(tap.read_u8().await.unwrap(), answer);
        let mut rest = Vec::new();
        tap.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest != sent, rows_leave);
        drop(rows);
    }
}
