//! A frame: what is written, checked and compressed together (FORMAT.md, "Frame").
//!
//! This file knows bytes only; which records a frame holds is in `record.rs`, where it lies in `volume.rs`.

use crate::encoding::Bytes;
use std::cell::RefCell;

/// Length of a frame's header in bytes.
pub(crate) const HEADER_BYTES: usize = 32;

/// Largest raw payload in bytes: bounds what a reader has to hold at once.
pub(crate) const RAW_BYTES_MAX: usize = 16 << 20;

/// Largest stored payload in bytes: raw plus what zstd may add to incompressible bytes.
pub(crate) const STORED_BYTES_MAX: usize = RAW_BYTES_MAX + (64 << 10);

/// Payload at which a frame is closed, in bytes: zstd gains little from more (PEERS: 0.321 of the mail at 256 KiB, 0.300 at 1 MiB),
/// and reading one message unpacks at most this much.
pub(crate) const FILL_BYTES: usize = 256 << 10;

/// zstd level for acceptance: higher levels cost more than they save before recompression.
pub(crate) const LEVEL: i32 = 3;

pub(crate) const MAGIC: [u8; 4] = *b"CfFr";

const FLAG_LAST: u8 = 1;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) codec: Codec,
    pub(crate) last_of_batch: bool,
    pub(crate) batch: u64,
    pub(crate) stored_bytes: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) payload_checksum: u32,
}

/// How a payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Stored,
    Zstd,
    /// zstd with a dictionary; written by nobody yet.
    ZstdDictionary,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4] = self.codec as u8;
        out[5] = if self.last_of_batch { FLAG_LAST } else { 0 };
        out[8..16].copy_from_slice(&self.batch.to_le_bytes());
        out[16..20].copy_from_slice(&self.stored_bytes.to_le_bytes());
        out[20..24].copy_from_slice(&self.raw_bytes.to_le_bytes());
        out[24..28].copy_from_slice(&self.payload_checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&out[..28]);
        out[28..32].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads a header; `None` when it is not a sound one.
    pub(crate) fn decode(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut bytes = Bytes(header);
        let magic: [u8; 4] = bytes.array()?;
        let (codec, flags, zero) = (bytes.u8()?, bytes.u8()?, bytes.u16()?);
        let (batch, stored_bytes, raw_bytes) = (bytes.u64()?, bytes.u32()?, bytes.u32()?);
        let (payload_checksum, header_checksum) = (bytes.u32()?, bytes.u32()?);
        let codec = match codec {
            0 => Codec::Stored,
            1 => Codec::Zstd,
            2 => Codec::ZstdDictionary,
            _ => return None,
        };
        let sound = magic == MAGIC
            && zero == 0
            && flags & !FLAG_LAST == 0
            && header_checksum == crc32c::crc32c(&header[..28])
            && stored_bytes as usize <= STORED_BYTES_MAX
            && raw_bytes as usize <= RAW_BYTES_MAX
            && (codec != Codec::Stored || stored_bytes == raw_bytes);
        sound.then_some(Self {
            codec,
            last_of_batch: flags & FLAG_LAST != 0,
            batch,
            stored_bytes,
            raw_bytes,
            payload_checksum,
        })
    }

    /// Length of the whole frame in bytes.
    pub(crate) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.stored_bytes)
    }
}

/// Packs payloads into frames; keeps zstd's working memory between calls.
pub(crate) struct FramePacker {
    compressor: zstd::bulk::Compressor<'static>,
}

impl FramePacker {
    pub(crate) fn new() -> Self {
        Self::with_level(LEVEL)
    }

    pub(crate) fn with_level(level: i32) -> Self {
        let compressor =
            zstd::bulk::Compressor::new(level).expect("the level is one that zstd has");
        Self { compressor }
    }

    /// Appends a frame of `raw` to `out`; bytes that do not become shorter are stored as they are.
    pub(crate) fn pack(&mut self, raw: &[u8], batch: u64, last_of_batch: bool, out: &mut Vec<u8>) {
        assert!(raw.len() <= RAW_BYTES_MAX, "writers bound their frames");
        let packed = self
            .compressor
            .compress(raw)
            .ok()
            .filter(|packed| packed.len() < raw.len());
        let (codec, payload) = match &packed {
            Some(packed) => (Codec::Zstd, packed.as_slice()),
            None => (Codec::Stored, raw),
        };
        let header = FrameHeader {
            codec,
            last_of_batch,
            batch,
            stored_bytes: payload.len() as u32,
            raw_bytes: raw.len() as u32,
            payload_checksum: crc32c::crc32c(payload),
        };
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(payload);
    }
}

/// Why a payload could not be unpacked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadPayload {
    /// The checksum or the compressed form does not hold.
    Damaged,
    /// It was packed in a way this version does not know.
    TooNew,
}

thread_local! {
    /// zstd's working memory for unpacking, 160 KB in each thread that reads frames.
    static DECOMPRESSOR: RefCell<zstd::bulk::Decompressor<'static>> =
        RefCell::new(zstd::bulk::Decompressor::new().expect("a decompressor without a dictionary"));
}

/// Unpacks the payload that belongs to a sound header.
pub(crate) fn unpack(header: &FrameHeader, payload: &[u8]) -> Result<Vec<u8>, BadPayload> {
    if payload.len() != header.stored_bytes as usize
        || crc32c::crc32c(payload) != header.payload_checksum
    {
        return Err(BadPayload::Damaged);
    }
    match header.codec {
        Codec::Stored => Ok(payload.to_vec()),
        Codec::ZstdDictionary => Err(BadPayload::TooNew),
        Codec::Zstd => DECOMPRESSOR
            .with_borrow_mut(|zstd| zstd.decompress(payload, header.raw_bytes as usize))
            .ok()
            .filter(|raw| raw.len() == header.raw_bytes as usize)
            .ok_or(BadPayload::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_any_flipped_bit_is_seen() {
        let compressible = vec![7u8; 5000];
        let random: Vec<u8> = (0..5000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for raw in [&compressible, &random] {
            let mut frame = Vec::new();
            FramePacker::new().pack(raw, 9, true, &mut frame);
            let header = FrameHeader::decode(frame[..HEADER_BYTES].try_into().expect("32 bytes"))
                .expect("sound");
            assert_eq!((header.batch, header.last_of_batch), (9, true));
            assert_eq!(
                &unpack(&header, &frame[HEADER_BYTES..]).expect("sound"),
                raw
            );
            for bit in 0..HEADER_BYTES * 8 {
                let mut bad: [u8; HEADER_BYTES] =
                    frame[..HEADER_BYTES].try_into().expect("32 bytes");
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(FrameHeader::decode(&bad), None, "bit {bit}");
            }
            let mut bad = frame[HEADER_BYTES..].to_vec();
            bad[17] ^= 4;
            assert_eq!(unpack(&header, &bad), Err(BadPayload::Damaged));
        }
    }
}
