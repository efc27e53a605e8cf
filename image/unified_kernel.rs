//! Unified kernel images: systemd's stub, a PE program that firmware starts, with more sections behind its own.
//!
//! | section | what |
//! |---|---|
//! | `.osrel` | name and version, by which the boot loader sorts |
//! | `.cmdline` | the kernel's command line |
//! | `.uname` | the kernel's version |
//! | `.linux` | the kernel |
//! | `.initrd` | what it unpacks, compressed |
//!
//! Source: UAPI Group, "Unified Kernel Image"; Microsoft PE format.

use crate::error::ImageError;

/// Bytes of an entry of the section table.
const SECTION_BYTES: usize = 40;
/// Initialised data that may be read.
const READABLE_DATA: u32 = 0x4000_0040;
/// 4 KiB: memory is mapped by pages, whatever the stub says.
const PAGE_BYTES: usize = 4096;

/// Puts sections behind those of a stub.
///
/// # Errors
/// `Stub` when it is none, or its headers have no room.
pub(crate) fn unify(stub: &[u8], sections: &[(&str, &[u8])]) -> Result<Vec<u8>, ImageError> {
    let mut image = stub.to_vec();
    let headers = Headers::find(&image).ok_or(ImageError::Stub("not a PE program"))?;
    if headers.table_end(headers.sections + sections.len()) > headers.room_end(&image) {
        return Err(ImageError::Stub("no room in its headers"));
    }
    let mut address = headers.addresses_end(&image);
    for (index, (name, bytes)) in (headers.sections..).zip(sections) {
        let at = image.len().next_multiple_of(headers.file_alignment);
        address = address.next_multiple_of(headers.memory_alignment.max(PAGE_BYTES));
        let on_disk = bytes.len().next_multiple_of(headers.file_alignment);
        image.resize(at, 0);
        image.extend_from_slice(bytes);
        image.resize(at + on_disk, 0);
        let entry = headers.table_end(index);
        // A stub may fill the room behind its headers with something else: that of arm64 does.
        image[entry..entry + SECTION_BYTES].fill(0);
        image[entry..entry + name.len()].copy_from_slice(name.as_bytes());
        for (offset, value) in [(8, bytes.len()), (12, address), (16, on_disk), (20, at)] {
            put(&mut image, entry + offset, value as u32);
        }
        put(&mut image, entry + 36, READABLE_DATA);
        address += bytes.len();
    }
    headers.finish(&mut image, headers.sections + sections.len(), address);
    Ok(image)
}

/// Where the headers of a PE32+ program lie, and what they say.
struct Headers {
    coff: usize,
    optional: usize,
    table: usize,
    sections: usize,
    memory_alignment: usize,
    file_alignment: usize,
    size: usize,
}

impl Headers {
    fn find(image: &[u8]) -> Option<Self> {
        let pe = number(image, 0x3c)?;
        if image.get(pe..pe + 4)? != b"PE\0\0" {
            return None;
        }
        let coff = pe + 4;
        let optional = coff + 20;
        if short(image, optional)? != 0x20b {
            return None;
        }
        let headers = Self {
            coff,
            optional,
            table: optional + short(image, coff + 16)?,
            sections: short(image, coff + 2)?,
            memory_alignment: number(image, optional + 32)?,
            file_alignment: number(image, optional + 36)?,
            size: number(image, optional + 60)?,
        };
        let aligned =
            headers.memory_alignment.is_power_of_two() && headers.file_alignment.is_power_of_two();
        let whole = headers.table_end(headers.sections) <= headers.size.min(image.len());
        (aligned && whole).then_some(headers)
    }

    /// Offset behind so many entries of the section table.
    fn table_end(&self, sections: usize) -> usize {
        self.table + sections * SECTION_BYTES
    }

    /// Numbers of an entry: length in memory, address, length on disk, offset.
    fn section(&self, image: &[u8], index: usize) -> [usize; 4] {
        let entry = self.table_end(index);
        [8, 12, 16, 20].map(|offset| number(image, entry + offset).unwrap_or_default())
    }

    /// Where the section table must end: before the first bytes of a section.
    fn room_end(&self, image: &[u8]) -> usize {
        (0..self.sections)
            .map(|index| self.section(image, index))
            .filter(|[_, _, on_disk, _]| *on_disk > 0)
            .map(|[_, _, _, at]| at)
            .fold(self.size, usize::min)
    }

    /// The first address behind all sections.
    fn addresses_end(&self, image: &[u8]) -> usize {
        (0..self.sections)
            .map(|index| self.section(image, index))
            .map(|[in_memory, address, on_disk, _]| address + in_memory.max(on_disk))
            .fold(0, usize::max)
    }

    /// Says in the headers what was added. No symbols and no checksum: both are optional.
    fn finish(&self, image: &mut [u8], sections: usize, addresses_end: usize) {
        image[self.coff + 2..self.coff + 4].copy_from_slice(&(sections as u16).to_le_bytes());
        put(image, self.coff + 8, 0);
        put(image, self.coff + 12, 0);
        let size = addresses_end.next_multiple_of(self.memory_alignment);
        put(image, self.optional + 56, size as u32);
        put(image, self.optional + 64, 0);
    }
}

fn short(image: &[u8], at: usize) -> Option<usize> {
    let bytes = image.get(at..at + 2)?;
    Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

fn number(image: &[u8], at: usize) -> Option<usize> {
    let (bytes, _) = image.get(at..at + 4)?.as_chunks::<4>();
    Some(u32::from_le_bytes(bytes[0]) as usize)
}

fn put(image: &mut [u8], at: usize, value: u32) {
    image[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::read::pe::PeFile64;
    use object::{Object, ObjectSection};

    /// A PE program of one section, with room for some more in its headers.
    fn stub(more: usize) -> Vec<u8> {
        let table = 0x40 + 4 + 20 + 240;
        let headers = (table + (1 + more) * SECTION_BYTES).next_multiple_of(512);
        let headers = match more {
            0 => table + SECTION_BYTES,
            _ => headers,
        };
        let mut image = vec![0xd5; headers];
        image[..table + SECTION_BYTES].fill(0);
        image[..2].copy_from_slice(b"MZ");
        put(&mut image, 0x3c, 0x40);
        image[0x40..0x48].copy_from_slice(b"PE\0\0\x64\x86\x01\0");
        put(&mut image, 0x40 + 4 + 16, 240);
        let optional = 0x58;
        image[optional..optional + 2].copy_from_slice(&[0x0b, 0x02]);
        for (offset, value) in [
            (32, 4096),
            (36, 512),
            (56, 8192),
            (60, headers as u32),
            (108, 16),
        ] {
            put(&mut image, optional + offset, value);
        }
        image[table..table + 5].copy_from_slice(b".text");
        for (offset, value) in [(8, 3), (12, 4096), (16, 512), (20, headers as u32)] {
            put(&mut image, table + offset, value);
        }
        image.extend([0xcc; 512]);
        image
    }

    #[test]
    fn sections_are_read_as_they_were_put() {
        let kernel = vec![7; 5000];
        let added: [(&str, &[u8]); 3] = [
            (".osrel", b"ID=coffer\n"),
            (".linux", &kernel),
            (".initrd", b"x"),
        ];
        let image = unify(&stub(5), &added).expect("works");
        let read = PeFile64::parse(&*image).expect("works");
        let mut end = 0;
        for (section, (name, bytes)) in read.sections().skip(1).zip(added) {
            assert_eq!(section.name().expect("works"), name);
            assert_eq!(&section.data().expect("works")[..bytes.len()], bytes);
            assert!(section.address() >= end && section.address().is_multiple_of(4096));
            end = section.address() + section.size();
        }
        assert_eq!(read.sections().count(), 4);
        let size = read
            .nt_headers()
            .optional_header
            .size_of_image
            .get(object::LittleEndian);
        assert!(u64::from(size) >= end);
    }

    #[test]
    fn what_is_no_stub_or_has_no_room_is_refused() {
        assert!(matches!(unify(b"MZ", &[]), Err(ImageError::Stub(_))));
        assert!(matches!(unify(&[0; 4096], &[]), Err(ImageError::Stub(_))));
        let sections: [(&str, &[u8]); 1] = [(".linux", b"x")];
        assert!(matches!(
            unify(&stub(0), &sections),
            Err(ImageError::Stub(_))
        ));
    }

    #[test]
    fn a_cut_stub_is_refused() {
        let whole = stub(5);
        for length in 0..whole.len() - 512 {
            let _ = unify(&whole[..length], &[(".linux", b"x")]);
        }
    }
}
