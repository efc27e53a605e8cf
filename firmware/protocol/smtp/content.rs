//! Message content after DATA: where it ends, and which dots were added on the way (RFC 5321 §4.5.2).
//!
//! Only CRLF.CRLF ends the content, and only a dot after CRLF is ever removed. LF.LF, CR.CR, LF.CRLF and
//! the like are content, kept as they came: a server in front of us may have passed them on as content, and
//! whoever takes them for an end can be made to accept a second, forged message ("SMTP smuggling").

/// Tells what to do with the first bytes of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes are content.
    Content(usize),
    /// So many bytes (a stuffed dot) belong to the transport and are dropped.
    Drop(usize),
    /// So many bytes end the content.
    End(usize),
    /// More bytes are needed to tell.
    NeedInput,
}

/// Scans content as it arrives. Bytes that cannot be judged yet (at most three) stay in the input.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// True when the byte before the input is the LF of a CRLF.
    at_line_start: bool,
}

impl Scanner {
    /// Begins after the CRLF of the DATA command, which counts as the one before the first line.
    pub(crate) fn new() -> Self {
        Self {
            at_line_start: true,
        }
    }

    /// Judges the start of `input`; the caller consumes what the answer says before the next call.
    pub(crate) fn step(&mut self, input: &[u8]) -> Step {
        if self.at_line_start && input.first() == Some(&b'.') {
            return self.dot(&input[1..]);
        }
        let len = match find_dot_line(input) {
            Some(position) => position + 2,
            None => input.len() - usize::from(input.last() == Some(&b'\r')),
        };
        if len == 0 {
            return Step::NeedInput;
        }
        self.at_line_start = input[..len].ends_with(b"\r\n");
        Step::Content(len)
    }

    fn dot(&mut self, after: &[u8]) -> Step {
        match after {
            [] | [b'\r'] => Step::NeedInput,
            [b'\r', b'\n', ..] => Step::End(3),
            _ => {
                self.at_line_start = false;
                Step::Drop(1)
            }
        }
    }
}

/// 64 bytes: a whole number of vector registers on every processor we run on.
const BLOCK_LEN: usize = 64;

/// Finds the first CRLF with a dot after it.
///
/// Compares a block at a time without branches, which the compiler turns into vector code; only a block with a hit
/// is looked at byte by byte. Measured: more than ten times the speed of `windows(3).position(…)`.
fn find_dot_line(input: &[u8]) -> Option<usize> {
    let mut start = 0;
    while start + BLOCK_LEN + 2 <= input.len() {
        let block = &input[start..start + BLOCK_LEN + 2];
        if block_has_dot_line(block) {
            return find_slowly(block).map(|position| start + position);
        }
        start += BLOCK_LEN;
    }
    find_slowly(&input[start..]).map(|position| start + position)
}

fn block_has_dot_line(block: &[u8]) -> bool {
    let (first, second, third) = (
        &block[..BLOCK_LEN],
        &block[1..=BLOCK_LEN],
        &block[2..BLOCK_LEN + 2],
    );
    let mut hit = false;
    for index in 0..BLOCK_LEN {
        hit |= (first[index] == b'\r') & (second[index] == b'\n') & (third[index] == b'.');
    }
    hit
}

fn find_slowly(input: &[u8]) -> Option<usize> {
    input.windows(3).position(|window| window == b"\r\n.")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Adds the dots and the end as a sending client does (RFC 5321 §4.5.2).
    pub(crate) fn stuff(content: &[u8]) -> Vec<u8> {
        assert!(content.is_empty() || content.ends_with(b"\r\n"));
        let mut stuffed = Vec::new();
        for (index, &byte) in content.iter().enumerate() {
            if byte == b'.' && (index == 0 || content[..index].ends_with(b"\r\n")) {
                stuffed.push(b'.');
            }
            stuffed.push(byte);
        }
        stuffed.extend_from_slice(b".\r\n");
        stuffed
    }

    /// Gives the content, and the rest after the end where there is one.
    fn scan(pieces: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
        let (mut scanner, mut content) = (Scanner::new(), Vec::new());
        let mut input = Vec::new();
        let mut pieces = pieces.iter();
        loop {
            let used = match scanner.step(&input) {
                Step::Content(len) => {
                    content.extend_from_slice(&input[..len]);
                    len
                }
                Step::Drop(len) => len,
                Step::End(len) => {
                    let rest = [&input[len..], &pieces.copied().collect::<Vec<_>>().concat()];
                    return (content, Some(rest.concat()));
                }
                Step::NeedInput => {
                    assert!(input.len() <= 2, "held back: {input:?}");
                    match pieces.next() {
                        Some(piece) => input.extend_from_slice(piece),
                        None => return (content, None),
                    }
                    0
                }
            };
            input.drain(..used);
        }
    }

    /// Does the same byte by byte: the grammar written down as plainly as possible.
    fn scan_plainly(input: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut content = Vec::new();
        let mut index = 0;
        let mut line_start = true;
        while index < input.len() {
            if line_start && input[index] == b'.' {
                if input[index..].starts_with(b".\r\n") {
                    return (content, Some(input[index + 3..].to_vec()));
                }
                index += 1;
                line_start = false;
                continue;
            }
            content.push(input[index]);
            index += 1;
            line_start = input[..index].ends_with(b"\r\n");
        }
        (content, None)
    }

    fn check(input: &[u8], content: &[u8], rest: Option<&[u8]>) {
        let expected = (content.to_vec(), rest.map(<[u8]>::to_vec));
        assert_eq!(scan(&[input]), expected, "whole: {input:?}");
        assert_eq!(
            scan(&input.chunks(1).collect::<Vec<_>>()),
            expected,
            "bytes: {input:?}"
        );
        for at in 0..=input.len() {
            assert_eq!(
                scan(&[&input[..at], &input[at..]]),
                expected,
                "at {at}: {input:?}"
            );
        }
    }

    #[test]
    fn only_crlf_dot_crlf_ends() {
        check(b".\r\n", b"", Some(b""));
        check(b"\r\n.\r\n", b"\r\n", Some(b""));
        check(b"a\r\n.\r\nQUIT\r\n", b"a\r\n", Some(b"QUIT\r\n"));
        check(b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", Some(b""));
        check(b"a\r.\rb\r\n.\r\n", b"a\r.\rb\r\n", Some(b""));
        check(b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", Some(b""));
        check(b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n", Some(b""));
        check(b"a\r\n\0.\r\n\r\n.\r\n", b"a\r\n\0.\r\n\r\n", Some(b""));
        check(b"a\r\r\n.\r\n", b"a\r\r\n", Some(b""));
    }

    #[test]
    fn a_dot_after_crlf_is_dropped_once() {
        check(b"..\r\n.\r\n", b".\r\n", Some(b""));
        check(b"...\r\n...\r\n.\r\n", b"..\r\n..\r\n", Some(b""));
        check(b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", Some(b""));
        check(b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", Some(b""));
        check(b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", Some(b""));
        check(b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n", Some(b""));
        check(b".a.b\r\n.c\r\n.\r\n", b"a.b\r\nc\r\n", Some(b""));
    }

    #[test]
    fn an_end_that_has_not_come_is_awaited() {
        check(b"a\r\n.", b"a\r\n", None);
        check(b"a\r\n.\r", b"a\r\n", None);
        check(b"a\r", b"a", None);
    }

    #[test]
    fn finds_a_dot_line_at_every_offset_of_a_block() {
        for offset in 0..4 * BLOCK_LEN {
            let mut input = vec![b'x'; offset];
            input.extend_from_slice(b"\r\n.");
            assert_eq!(find_dot_line(&input), Some(offset));
            input.extend_from_slice(&[b'x'; 100]);
            assert_eq!(find_dot_line(&input), Some(offset));
            input[offset + 1] = b'\r';
            assert_eq!(find_dot_line(&input), None);
        }
    }

    /// Bytes of which ends and near ends are made, at every position of a block.
    fn bytes_like_ends() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b".".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n..".to_vec()),
            prop::collection::vec(any::<u8>(), 0..90),
        ];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_scan(input in bytes_like_ends(), piece_len in 1usize..80) {
            let pieces = input.chunks(piece_len).collect::<Vec<_>>();
            let (content, rest) = scan(&pieces);
            let (mut plain_content, plain_rest) = scan_plainly(&input);
            if rest.is_none() && plain_content.len() > content.len() {
                prop_assert_eq!(plain_content.pop(), Some(b'\r'), "only an open CR may be held back");
            }
            prop_assert_eq!(content, plain_content);
            prop_assert_eq!(rest, plain_rest);
        }

        #[test]
        fn any_content_survives_stuffing(mut content in bytes_like_ends()) {
            content.extend_from_slice(b"\r\n");
            prop_assert_eq!(scan(&[&stuff(&content)]), (content, Some(Vec::new())));
        }
    }
}
