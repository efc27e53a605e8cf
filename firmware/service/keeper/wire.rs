//! The bytes on the keeper's socket: frames of a length and a postcard value, and beside a frame at most one file descriptor.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | length of the value in bytes, little-endian |
//! | 4 | 8 | number of the question, which its answers repeat |
//! | 12 | … | [`Request`](super::messages::Request) or [`Response`](super::messages::Response), postcard |
//!
//! Both ends are of one version: the keeper and whoever speaks to it are started from the same binary.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longest value in bytes: a page of a thousand hits, or the numbers of eight million messages.
const VALUE_BYTES_MAX: usize = 64 << 20;

const HEADER_BYTES: usize = 12;

/// Sends a frame, with a descriptor beside it if there is one.
pub(super) fn send(
    stream: &UnixStream,
    number: u64,
    value: &impl Serialize,
    descriptor: Option<BorrowedFd>,
) -> io::Result<()> {
    let header = [0; HEADER_BYTES].to_vec();
    let mut bytes = postcard::to_extend(value, header).map_err(io::Error::other)?;
    let length = bytes.len() - HEADER_BYTES;
    if length > VALUE_BYTES_MAX {
        let text = format!("an answer may have {VALUE_BYTES_MAX} bytes, this one has: {length}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[4..HEADER_BYTES].copy_from_slice(&number.to_le_bytes());
    send_all(stream, &bytes, descriptor)
}

/// Sends all bytes; the descriptor goes with the first of them.
fn send_all(stream: &UnixStream, bytes: &[u8], descriptor: Option<BorrowedFd>) -> io::Result<()> {
    let mut descriptors = descriptor.into_iter().collect::<Vec<_>>();
    let mut sent = 0;
    while sent < bytes.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let data = [IoSlice::new(&bytes[sent..])];
        match rustix::net::sendmsg(stream, &data, &mut control, SendFlags::NOSIGNAL) {
            Ok(count) => {
                sent += count;
                descriptors.clear();
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives frames from a stream.
pub(super) struct Receiver {
    stream: UnixStream,
    value_bytes_max: usize,
    /// When it is given up; never, if there is none.
    until: Option<Instant>,
}

/// A frame that came in.
pub(super) struct Frame<T> {
    pub(super) number: u64,
    pub(super) value: T,
    pub(super) descriptor: Option<OwnedFd>,
}

impl Receiver {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            value_bytes_max: VALUE_BYTES_MAX,
            until: None,
        }
    }

    /// Receives from somebody who is not trusted: shorter values, and until a moment only.
    pub(super) fn bounded(stream: UnixStream, value_bytes_max: usize, until: Instant) -> Self {
        Self {
            stream,
            value_bytes_max,
            until: Some(until),
        }
    }

    /// Has the next reading end when the time is over.
    fn wait_no_longer(&self) -> io::Result<()> {
        let Some(until) = self.until else {
            return Ok(());
        };
        match until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => self.stream.set_read_timeout(Some(left)),
        }
    }

    /// Waits for a frame; none when the other end has closed.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<Frame<T>>> {
        let mut header = [0; HEADER_BYTES];
        let Some((count, descriptor)) = self.first_bytes(&mut header)? else {
            return Ok(None);
        };
        Reading(self).read_exact(&mut header[count..])?;
        let length = u32::from_le_bytes(header[..4].try_into().expect("4 bytes")) as usize;
        let number = u64::from_le_bytes(header[4..].try_into().expect("8 bytes"));
        let length_max = self.value_bytes_max;
        if length > length_max {
            let text = format!("a frame may have {length_max} bytes, this one says: {length}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut bytes = Vec::new();
        // The length is not believed before the bytes are there.
        let read = Reading(self).take(length as u64).read_to_end(&mut bytes)?;
        if read < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let value = postcard::from_bytes(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(Frame {
            number,
            value,
            descriptor,
        }))
    }

    /// Reads the beginning of a header together with the descriptor that may come beside it.
    fn first_bytes(&self, header: &mut [u8]) -> io::Result<Option<(usize, Option<OwnedFd>)>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let count = loop {
            self.wait_no_longer()?;
            let mut data = [IoSliceMut::new(header)];
            match rustix::net::recvmsg(
                &self.stream,
                &mut data,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?.bytes,
            }
        };
        let descriptors = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptor = descriptors.flatten().next();
        Ok((count > 0).then_some((count, descriptor)))
    }
}

/// The stream, of which no reading outlasts the receiver's time.
struct Reading<'r>(&'r Receiver);

impl Read for Reading<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.wait_no_longer()?;
        (&self.0.stream).read(bytes)
    }
}
