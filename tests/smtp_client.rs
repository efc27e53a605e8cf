//! A small SMTP client that says exactly what a test wants, odd line ends and halves of messages included.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// 60 seconds for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The text of all lines, joined by line feeds.
    pub text: String,
}

impl Reply {
    /// Gives number and digest of a message that the server took: "250 2.0.0 stored as 7 sha256 ab12".
    #[track_caller]
    pub fn stored(&self) -> (u64, String) {
        assert_eq!(self.code, 250, "{self:?}");
        let (number, digest) = self
            .text
            .split_once("stored as ")
            .and_then(|(_, rest)| rest.split_once(" sha256 "))
            .expect("number and digest");
        let digest = digest.split(' ').next().expect("split gives one at least");
        (number.parse().expect("a number"), digest.to_owned())
    }
}

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects, reads the greeting and says EHLO.
    ///
    /// # Errors
    /// When the server does not take the connection or closes it.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut client = Self::connect_silently(address)?;
        client.reply()?;
        client.command("EHLO client.example")?;
        Ok(client)
    }

    /// Connects and says nothing.
    ///
    /// # Errors
    /// When the server does not take the connection.
    pub fn connect_silently(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// When none comes.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut texts = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.by_ref().take(4096).read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let code = line
                .get(..3)
                .and_then(|code| code.parse().ok())
                .ok_or(io::ErrorKind::InvalidData)?;
            texts.push(line.get(4..).unwrap_or_default().trim_end().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply {
                    code,
                    text: texts.join("\n"),
                });
            }
        }
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Begins a transaction: MAIL and RCPT in one go (RFC 2920); gives the first reply that is not 250.
    ///
    /// # Errors
    /// When the connection is gone.
    fn begin(&mut self, from: &str, to: &[&str]) -> io::Result<Option<Reply>> {
        let mut commands = format!("MAIL FROM:<{from}>\r\n");
        for address in to {
            commands += &format!("RCPT TO:<{address}>\r\n");
        }
        self.write(commands.as_bytes())?;
        let mut refused = None;
        for _ in 0..=to.len() {
            let reply = self.reply()?;
            if reply.code != 250 {
                refused.get_or_insert(reply);
            }
        }
        Ok(refused)
    }

    /// Sends a message by DATA and gives the reply to it, or the one that refused it earlier.
    ///
    /// What does not end with CR and LF gets them, since DATA can end no other way.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<Reply> {
        if let Some(refused) = self.begin(from, to)? {
            return self.command("RSET").map(|_| refused);
        }
        let go_on = self.command("DATA")?;
        if go_on.code != 354 {
            return Ok(go_on);
        }
        self.write(&dotted(message))?;
        self.reply()
    }

    /// Sends a message by BDAT (RFC 3030) in pieces of so many bytes, exactly as it is.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_in_chunks(
        &mut self,
        from: &str,
        to: &[&str],
        message: &[u8],
        chunk_bytes: usize,
    ) -> io::Result<Reply> {
        if let Some(refused) = self.begin(from, to)? {
            return self.command("RSET").map(|_| refused);
        }
        let mut chunks = message.chunks(chunk_bytes).peekable();
        while let Some(chunk) = chunks.next() {
            let last = if chunks.peek().is_none() { " LAST" } else { "" };
            self.write(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes())?;
            self.write(chunk)?;
            let reply = self.reply()?;
            if reply.code != 250 || !last.is_empty() {
                return Ok(reply);
            }
        }
        self.command("BDAT 0 LAST")
    }
}

/// Doubles the dot at the start of a line and ends the message (RFC 5321 §4.5.2); only CR and LF together end a line.
fn dotted(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut last = [b'\r', b'\n'];
    for byte in message {
        if *byte == b'.' && last == *b"\r\n" {
            out.push(b'.');
        }
        out.push(*byte);
        last = [last[1], *byte];
    }
    if !message.is_empty() && last != *b"\r\n" {
        out.extend(b"\r\n");
    }
    out.extend(b".\r\n");
    out
}
