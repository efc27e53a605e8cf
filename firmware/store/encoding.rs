//! Numbers and fields as FORMAT.md writes them: little-endian integers, varints, and tag-length-value fields.
//!
//! Decoding never panics and never trusts a length.

/// Appends an unsigned LEB128 number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A reader of encoded values; every method returns `None` when the bytes end or do not hold.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// Reads a varint in its shortest form.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return (byte != 0 || shift == 0).then_some(value);
            }
        }
        None
    }

    /// Reads bytes that a varint length precedes.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }
}

/// Appends bytes behind their varint length.
pub(crate) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Text of bytes that came from outside: what is not UTF-8 is shown with replacement characters.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes fields in ascending order of their tags; empty values are left out.
#[derive(Default)]
pub(crate) struct FieldWriter {
    bytes: Vec<u8>,
    last_tag: u64,
}

impl FieldWriter {
    /// Appends to bytes that already stand before the fields.
    pub(crate) fn behind(bytes: Vec<u8>) -> Self {
        Self { bytes, last_tag: 0 }
    }

    /// Writes a field, also when it is empty.
    pub(crate) fn bytes(&mut self, tag: u64, value: &[u8]) {
        assert!(
            tag >= self.last_tag,
            "fields are written in the order of their tags"
        );
        self.last_tag = tag;
        put_varint(&mut self.bytes, tag);
        put_counted(&mut self.bytes, value);
    }

    pub(crate) fn uint(&mut self, tag: u64, value: u64) {
        let mut number = Vec::with_capacity(10);
        put_varint(&mut number, value);
        self.bytes(tag, &number);
    }

    /// Writes a number unless it is zero.
    pub(crate) fn nonzero(&mut self, tag: u64, value: u64) {
        if value != 0 {
            self.uint(tag, value);
        }
    }

    /// Writes a text unless it is empty.
    pub(crate) fn text(&mut self, tag: u64, value: &str) {
        if !value.is_empty() {
            self.bytes(tag, value.as_bytes());
        }
    }

    /// Writes a text if there is one.
    pub(crate) fn optional_text(&mut self, tag: u64, value: Option<&str>) {
        if let Some(value) = value {
            self.bytes(tag, value.as_bytes());
        }
    }

    pub(crate) fn int(&mut self, tag: u64, value: Option<i64>) {
        if let Some(value) = value {
            self.bytes(tag, &value.to_le_bytes());
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// The fields of a record, in order; iteration ends early (`sound` is false) when the bytes do not hold.
pub(crate) struct Fields<'a> {
    bytes: Bytes<'a>,
    last_tag: u64,
    sound: bool,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes: Bytes(bytes),
            last_tag: 0,
            sound: true,
        }
    }

    /// Returns whether everything read so far held.
    pub(crate) fn sound(&self) -> bool {
        self.sound
    }

    fn field(&mut self) -> Option<(u64, Bytes<'a>)> {
        let tag = self.bytes.varint()?;
        let value = self.bytes.counted()?;
        (tag >= self.last_tag).then(|| {
            self.last_tag = tag;
            (tag, Bytes(value))
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Bytes<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.0.is_empty() || !self.sound {
            return None;
        }
        let field = self.field();
        self.sound = field.is_some();
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn varints_are_shortest_and_bounded() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut bytes = Bytes(&out);
            assert_eq!(bytes.varint(), Some(value));
            assert!(bytes.0.is_empty());
        }
        for bad in [&[0x80, 0x00][..], &[0xff; 11], &[0x80], &[]] {
            assert_eq!(Bytes(bad).varint(), None, "{bad:?}");
        }
    }

    #[test]
    fn fields_come_back_and_unknown_order_is_damage() {
        let mut writer = FieldWriter::default();
        writer.uint(1, 300);
        writer.text(5, "äöü");
        writer.text(6, "");
        writer.int(7, Some(-5));
        let bytes = writer.finish();
        let mut fields = Fields::new(&bytes);
        let read: Vec<_> = fields
            .by_ref()
            .map(|(tag, value)| (tag, value.0.to_vec()))
            .collect();
        assert!(fields.sound());
        assert_eq!(
            read.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(),
            [1, 5, 7]
        );
        assert_eq!(read[1].1, "äöü".as_bytes());

        let mut backwards = Fields::new(&[5, 0, 1, 0]);
        assert_eq!(backwards.by_ref().count(), 1);
        assert!(!backwards.sound());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            Fields::new(&bytes).for_each(drop);
        }
    }
}
