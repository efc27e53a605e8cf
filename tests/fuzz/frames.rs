//! Frames and records with checksums that hold, as FORMAT.md describes them: written here again, so that they do not follow a mistake of the store.

/// A stored frame (FORMAT.md, "Frame").
pub fn frame(payload: &[u8], batch: u64) -> Vec<u8> {
    let mut frame = b"CfFr\0\x01\0\0".to_vec();
    frame.extend_from_slice(&batch.to_le_bytes());
    frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let checksum = crc32c::crc32c(&frame);
    frame.extend_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A record (FORMAT.md, "Record").
pub fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind];
    record.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), body);
    record.extend_from_slice(&checksum.to_le_bytes());
    record.extend_from_slice(body);
    record
}
