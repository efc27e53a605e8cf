//! A volume: one append-only file of frames behind a header (FORMAT.md, "Volume").
//!
//! Reads frames anywhere, walks them past damage, appends runs of frames. What the records mean is told elsewhere.

use crate::catalog::Watermark;
use crate::digest::Hasher;
use crate::disk::{BESIDE_SUFFIX, Disk, DiskFile, Open};
use crate::encoding::Bytes;
use crate::error::{DiskContext, Error, Result};
use crate::frame::{self, BadPayload, FrameHeader, HEADER_BYTES as FRAME_HEADER_BYTES};
use crate::merkle::Hash;
use std::path::{Path, PathBuf};

/// The folder of the volumes.
pub(crate) const FOLDER: &str = "volumes";

/// Length of a volume's header in bytes.
pub(crate) const HEADER_BYTES: u64 = 256;

const MAGIC: [u8; 8] = *b"\x89CFVOL\r\n";
const VERSION: u16 = 1;

/// Offset of the form in the header, and the forms.
const FORM_OFFSET: usize = 160;
const FORM_RECOMPRESSED: u8 = 1;

/// Bytes read at once while looking for the next sound frame after damage.
const SEARCH_BYTES: usize = 64 << 10;

/// What the header of a volume says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeHeader {
    pub(crate) archive_id: [u8; 16],
    pub(crate) number: u64,
    pub(crate) created_us: i64,
    pub(crate) previous_digest: [u8; 32],
    pub(crate) first_sequence: u64,
    pub(crate) first_batch: u64,
    /// Whether its records were packed anew into larger frames, after it was sealed.
    pub(crate) recompressed: bool,
}

impl VolumeHeader {
    /// Stands for a header that nobody has read, or that does not hold.
    pub(crate) fn unknown(number: u64) -> Self {
        Self {
            archive_id: [0; 16],
            number,
            created_us: 0,
            previous_digest: [0; 32],
            first_sequence: 0,
            first_batch: 0,
            recompressed: false,
        }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut out = Vec::with_capacity(HEADER_BYTES as usize);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.archive_id);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.created_us.to_le_bytes());
        out.extend_from_slice(&self.previous_digest);
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.first_batch.to_le_bytes());
        out.resize(252, 0);
        out[FORM_OFFSET] = if self.recompressed {
            FORM_RECOMPRESSED
        } else {
            0
        };
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.try_into().expect("the fields are 256 bytes long")
    }

    /// Reads a header; says in plain words why it cannot be used.
    pub(crate) fn decode(header: &[u8; HEADER_BYTES as usize], name: &str) -> Result<Self> {
        let damaged = |how: &str| Error::Damaged {
            name: name.to_owned(),
            offset: 0,
            how: how.to_owned(),
        };
        let checksum = u32::from_le_bytes(header[252..].try_into().expect("4 bytes"));
        if header[..8] != MAGIC || checksum != crc32c::crc32c(&header[..252]) {
            return Err(damaged("the header of the volume does not hold"));
        }
        let recompressed = header[FORM_OFFSET] == FORM_RECOMPRESSED;
        let mut bytes = Bytes(&header[8..]);
        let read = |bytes: &mut Bytes| {
            let (version, length, cipher) = (bytes.u16()?, bytes.u16()?, bytes.u16()?);
            bytes.u16()?;
            let header = Self {
                archive_id: bytes.array()?,
                number: bytes.u64()?,
                created_us: bytes.i64()?,
                previous_digest: bytes.array()?,
                first_sequence: bytes.u64()?,
                first_batch: bytes.u64()?,
                recompressed,
            };
            Some((version, length, cipher, header))
        };
        let (version, length, cipher, header) =
            read(&mut bytes).ok_or_else(|| damaged("the header is short"))?;
        if (version, length, cipher) != (VERSION, HEADER_BYTES as u16, 0) {
            let what = format!("format {version}, header of {length} bytes, cipher {cipher}");
            return Err(Error::TooNew {
                name: name.to_owned(),
                what,
            });
        }
        Ok(header)
    }
}

/// The header of the volume behind a sealed one.
pub(crate) fn next_header(
    sealed: &VolumeHeader,
    digest: [u8; 32],
    position: Watermark,
    created_us: i64,
) -> VolumeHeader {
    VolumeHeader {
        archive_id: sealed.archive_id,
        number: sealed.number + 1,
        created_us,
        previous_digest: digest,
        first_sequence: position.leaves + 1,
        first_batch: position.batch + 1,
        recompressed: false,
    }
}

/// The volume digest (FORMAT.md, "Seal").
pub(crate) fn volume_digest(header: &VolumeHeader, leaf_hashes: &[Hash]) -> [u8; 32] {
    let mut hasher = Hasher::new();
    hasher.push(b"coffer volume 1\n");
    hasher.push(&header.archive_id);
    hasher.push(&header.number.to_le_bytes());
    hasher.push(&header.previous_digest);
    hasher.push(&header.first_sequence.to_le_bytes());
    hasher.push(leaf_hashes.as_flattened());
    hasher.finish().0
}

/// The name of a volume's file.
pub(crate) fn file_name(number: u64) -> String {
    format!("{FOLDER}/{number:08}.vol")
}

/// The name under which what is to replace a volume is written.
pub(crate) fn name_beside(number: u64) -> String {
    format!("{}{BESIDE_SUFFIX}", file_name(number))
}

/// Gives the file beside a volume the volume's name, durably.
pub(crate) fn take_name(disk: &dyn Disk, number: u64) -> Result<()> {
    let (from, to) = (name_beside(number), file_name(number));
    disk.rename(Path::new(&from), Path::new(&to))
        .on("rename", &from)?;
    disk.sync_dir(Path::new(FOLDER)).on("sync", FOLDER)
}

/// Removes what a crash left beside volumes.
pub(crate) fn remove_left_over(disk: &dyn Disk) -> Result<()> {
    let names = disk.list(Path::new(FOLDER)).on("list", FOLDER)?;
    let left = |name: &&PathBuf| name.to_string_lossy().ends_with(BESIDE_SUFFIX);
    for name in names.iter().filter(left) {
        disk.remove(name).on("remove", name.display())?;
    }
    Ok(())
}

/// Makes durable what was written into a volume.
pub(crate) fn sync_number(disk: &dyn Disk, number: u64) -> Result<()> {
    let name = file_name(number);
    let file = disk.open(Path::new(&name), Open::Read).on("open", &name)?;
    file.sync_data().on("sync", &name)
}

/// Numbers of the volumes that are there, ascending.
pub(crate) fn numbers(disk: &dyn Disk) -> Result<Vec<u64>> {
    let names = disk.list(Path::new(FOLDER)).on("list", FOLDER)?;
    let number = |name: &PathBuf| {
        let digits = name.file_name()?.to_str()?.strip_suffix(".vol")?;
        let number = digits.parse().ok()?;
        (name.as_path() == Path::new(&file_name(number))).then_some(number)
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A sound frame, unpacked.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    pub(crate) payload: Vec<u8>,
}

/// What lies at an offset of a volume.
#[derive(Debug)]
pub(crate) enum Found {
    Frame(Frame),
    /// No sound frame; the next one, if any, begins at `next`.
    Damage {
        next: Option<u64>,
    },
    /// Nothing but free space until the end of the file.
    End,
}

/// An open volume file.
pub(crate) struct Volume {
    pub(crate) header: VolumeHeader,
    name: String,
    file: Box<dyn DiskFile>,
}

impl Volume {
    /// Makes a new volume; its header and name are durable afterwards.
    pub(crate) fn create(disk: &dyn Disk, header: VolumeHeader) -> Result<Self> {
        // A file of this name without an acknowledged batch may be left from a crash: it is written anew.
        let volume = Self::write_new(disk, file_name(header.number), header)?;
        volume.sync()?;
        disk.sync_dir(Path::new(FOLDER)).on("sync", FOLDER)?;
        Ok(volume)
    }

    /// Makes the file that is to take the place of a sealed volume, under a name beside it; nothing of it is durable yet.
    pub(crate) fn create_beside(disk: &dyn Disk, header: VolumeHeader) -> Result<Self> {
        Self::write_new(disk, name_beside(header.number), header)
    }

    fn write_new(disk: &dyn Disk, name: String, header: VolumeHeader) -> Result<Self> {
        let file = disk
            .open(Path::new(&name), Open::Create)
            .on("create", &name)?;
        file.set_len(0).on("empty", &name)?;
        file.write_all_at(0, &header.encode()).on("write", &name)?;
        Ok(Self { header, name, file })
    }

    /// Opens a volume, for writing when `write` is set.
    pub(crate) fn open(disk: &dyn Disk, number: u64, write: bool) -> Result<Self> {
        let volume = Self::open_headless(disk, VolumeHeader::unknown(number), write)?;
        let header = volume.read_header()?;
        Ok(Self { header, ..volume })
    }

    /// Reads the header as it stands in the file now.
    ///
    /// # Errors
    /// `Damaged` when it does not hold or is another volume's.
    pub(crate) fn read_header(&self) -> Result<VolumeHeader> {
        let damaged = |how: String| Error::Damaged {
            name: self.name.clone(),
            offset: 0,
            how,
        };
        let mut bytes = [0; HEADER_BYTES as usize];
        if self.length()? < HEADER_BYTES {
            return Err(damaged(
                "the file is shorter than a volume's header".to_owned(),
            ));
        }
        self.read_at(0, &mut bytes)?;
        let header = VolumeHeader::decode(&bytes, &self.name)?;
        if header.number != self.header.number {
            return Err(damaged(format!(
                "its header says that it is volume {}",
                header.number
            )));
        }
        Ok(header)
    }

    /// Opens a volume whose own header does not hold, since its frames can be read without; `header` stands for it.
    pub(crate) fn open_headless(
        disk: &dyn Disk,
        header: VolumeHeader,
        write: bool,
    ) -> Result<Self> {
        let name = file_name(header.number);
        let how = if write { Open::Write } else { Open::Read };
        let file = disk.open(Path::new(&name), how).on("open", &name)?;
        Ok(Self { header, name, file })
    }

    /// Opens a volume without looking at its header.
    pub(crate) fn open_unread(disk: &dyn Disk, number: u64, write: bool) -> Result<Self> {
        Self::open_headless(disk, VolumeHeader::unknown(number), write)
    }

    /// Takes any file for a volume, without looking at its header.
    pub(crate) fn over(number: u64, file: Box<dyn DiskFile>) -> Self {
        Self {
            header: VolumeHeader::unknown(number),
            name: file_name(number),
            file,
        }
    }

    /// Opens a volume for reading frames, whether or not its header holds.
    pub(crate) fn open_for_frames(disk: &dyn Disk, number: u64) -> Result<Self> {
        match Self::open(disk, number, false) {
            Err(Error::Damaged { .. }) => {
                Self::open_headless(disk, VolumeHeader::unknown(number), false)
            }
            opened => opened,
        }
    }

    /// Writes the header again, over one that does not hold.
    pub(crate) fn mend_header(&self) -> Result<()> {
        self.write_at(0, &self.header.encode())?;
        self.sync()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Length of the file in bytes.
    pub(crate) fn length(&self) -> Result<u64> {
        self.file.len().on("read", &self.name)
    }

    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(offset, bytes)
            .on("write", &self.name)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().on("sync", &self.name)
    }

    /// Cuts the file and makes the cut durable.
    pub(crate) fn cut(&self, length: u64) -> Result<()> {
        self.trim(length)?;
        self.sync()
    }

    /// Cuts the file, durable with the next sync.
    pub(crate) fn trim(&self, length: u64) -> Result<()> {
        self.file.set_len(length).on("cut", &self.name)
    }

    /// Reads raw bytes, as for setting a tail aside.
    pub(crate) fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(offset, bytes)
            .on("read", &self.name)
    }

    /// Reads the frame that begins at `offset`.
    pub(crate) fn frame_at(&self, offset: u64) -> Result<Frame> {
        let length = self.length()?;
        match self.sound_frame(offset, length)? {
            Some(frame) => Ok(frame),
            None => Err(self.no_frame(offset)),
        }
    }

    /// Tells where the frame at `offset` ends.
    pub(crate) fn after(&self, offset: u64) -> Result<u64> {
        match self.header_at(offset, self.length()?)? {
            Some(header) => Ok(offset + header.frame_bytes()),
            None => Err(self.no_frame(offset)),
        }
    }

    fn no_frame(&self, offset: u64) -> Error {
        let how = "no sound frame lies there".to_owned();
        Error::Damaged {
            name: self.name.clone(),
            offset,
            how,
        }
    }

    /// Tells what lies at `offset`, looking past damage for the next sound frame.
    pub(crate) fn find_at(&self, offset: u64) -> Result<Found> {
        let length = self.length()?;
        if offset >= length {
            return Ok(Found::End);
        }
        if let Some(frame) = self.sound_frame(offset, length)? {
            return Ok(Found::Frame(frame));
        }
        let (next, all_zero) = self.next_sound(offset, length)?;
        Ok(if next.is_none() && all_zero {
            Found::End
        } else {
            Found::Damage { next }
        })
    }

    fn header_at(&self, offset: u64, length: u64) -> Result<Option<FrameHeader>> {
        if offset + FRAME_HEADER_BYTES as u64 > length {
            return Ok(None);
        }
        let mut bytes = [0; FRAME_HEADER_BYTES];
        self.read_at(offset, &mut bytes)?;
        Ok(FrameHeader::decode(&bytes).filter(|header| offset + header.frame_bytes() <= length))
    }

    fn sound_frame(&self, offset: u64, length: u64) -> Result<Option<Frame>> {
        let Some(header) = self.header_at(offset, length)? else {
            return Ok(None);
        };
        let mut stored = vec![0; header.stored_bytes as usize];
        self.read_at(offset + FRAME_HEADER_BYTES as u64, &mut stored)?;
        match frame::unpack(&header, &stored) {
            Ok(payload) => Ok(Some(Frame { header, payload })),
            Err(BadPayload::Damaged) => Ok(None),
            Err(BadPayload::TooNew) => Err(Error::TooNew {
                name: self.name.clone(),
                what: format!("the frame at byte {offset}"),
            }),
        }
    }

    /// Looks for the next sound frame behind `offset`; also tells whether all bytes passed over are zero.
    fn next_sound(&self, offset: u64, length: u64) -> Result<(Option<u64>, bool)> {
        let mut all_zero = true;
        let mut at = offset;
        let mut bytes = vec![0; SEARCH_BYTES];
        while at < length {
            let count = SEARCH_BYTES.min((length - at) as usize);
            self.read_at(at, &mut bytes[..count])?;
            all_zero = all_zero && bytes[..count].iter().all(|byte| *byte == 0);
            for (i, _) in bytes[..count]
                .windows(4)
                .enumerate()
                .filter(|(_, window)| *window == frame::MAGIC)
            {
                let candidate = at + i as u64;
                if candidate > offset && self.sound_frame(candidate, length)?.is_some() {
                    return Ok((Some(candidate), false));
                }
            }
            // The last three bytes may begin a magic that the next round sees whole.
            at += if count == SEARCH_BYTES {
                count - 3
            } else {
                count
            } as u64;
        }
        Ok((None, all_zero))
    }
}

/// Keeps bytes of a volume that are to be cut off, in a file beside it; one that is there already stays.
pub(crate) fn keep_cut(disk: &dyn Disk, volume: &Volume, from: u64, until: u64) -> Result<()> {
    let (name, file) = new_cut_file(disk, volume.header.number, from)?;
    let mut bytes = vec![0; 1 << 20];
    let mut at = from;
    while at < until {
        let count = bytes.len().min((until - at) as usize);
        volume.read_at(at, &mut bytes[..count])?;
        file.write_all_at(at - from, &bytes[..count])
            .on("write", &name)?;
        at += count as u64;
    }
    file.sync_data().on("sync", &name)?;
    disk.sync_dir(Path::new(FOLDER)).on("sync", FOLDER)
}

fn new_cut_file(disk: &dyn Disk, number: u64, from: u64) -> Result<(String, Box<dyn DiskFile>)> {
    let first = format!("{FOLDER}/{number:08}.cut-{from}");
    let further = (2..u32::MAX).map(|count| format!("{first}-{count}"));
    for name in std::iter::once(first.clone()).chain(further) {
        match disk.open(Path::new(&name), Open::CreateNew) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made.on("create", &name).map(|file| (name, file)),
        }
    }
    Err(Error::NotFound(format!("a free name like {first}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_say_what_is_wrong() {
        let header = VolumeHeader {
            archive_id: [1; 16],
            number: 7,
            created_us: -3,
            previous_digest: [2; 32],
            first_sequence: 99,
            first_batch: 12,
            recompressed: true,
        };
        let bytes = header.encode();
        assert_eq!(VolumeHeader::decode(&bytes, "v").expect("sound"), header);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(VolumeHeader::decode(&bad, "v").is_err(), "bit {bit}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        let checksum = crc32c::crc32c(&newer[..252]).to_le_bytes();
        newer[252..].copy_from_slice(&checksum);
        assert!(matches!(
            VolumeHeader::decode(&newer, "v"),
            Err(Error::TooNew { .. })
        ));
    }
}
