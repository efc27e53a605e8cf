//! Transport encryption: the box's certificate, the TLS settings of every listener, and the stream of a connection.
//!
//! Where key and certificate are kept is the caller's matter. rustls types stay in this file; the provider (aws-lc-rs) is named
//! here and nowhere set for the whole process. TLS 1.2 and 1.3 (RFC 5246, RFC 8446).

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use protocol::smtp::TlsInfo;
use rcgen::{
    Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// 820 days: Apple's programs refuse a server certificate valid for more than 825.
const VALIDITY: Duration = Duration::from_secs(820 * DAY_SECONDS);

/// 30 days before its end a certificate is renewed, so that a box switched off for holidays does not come back with a dead one.
const RENEWAL: Duration = Duration::from_secs(30 * DAY_SECONDS);

/// A certificate is valid from a day before it was made, for clients whose clock is slow.
const SLOW_CLOCK: Duration = Duration::from_secs(DAY_SECONDS);

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// 2 seconds in which a peer may fetch the last reply and close its side; closing with bytes unread would take the reply from it.
const LINGER: Duration = Duration::from_secs(2);

/// 64 reads of what a peer still sends while it is told good-bye.
const LINGER_READS_MAX: usize = 64;

/// What went wrong with key, certificate or settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate could not be made.
    #[error("cannot make a certificate for these names: {names}")]
    Make {
        /// The names.
        names: String,
        /// What the certificate library said.
        source: rcgen::Error,
    },
    /// No name or address was given that may stand in the certificate.
    #[error("a certificate needs a name or address of the local network")]
    NoName,
    /// Key and certificate cannot be used.
    #[error("cannot use the certificate and its key")]
    Use(#[source] rustls::Error),
}

/// A certificate with its private key.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TlsIdentity {
    /// X.509 certificate, DER.
    pub certificate_der: Vec<u8>,
    /// Certificates of those who issued it, each before its own issuer, DER; none when clients know the issuer.
    pub issuers_der: Vec<Vec<u8>>,
    /// Private key, DER: PKCS #8, or PKCS #1 or SEC 1 as others write it.
    pub key_der: Vec<u8>,
    /// When the certificate ends, Unix seconds.
    pub expires_at: u64,
}

impl fmt::Debug for TlsIdentity {
    /// The key is for nobody's log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Makes a self-signed certificate (ECDSA P-256) for names and addresses, valid from now, Unix seconds.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn generate(names: &[String], now: u64) -> Result<Self, TlsError> {
        Self::make(names, now, |key| leaf_params(names, now)?.self_signed(key))
    }

    /// Makes a key (ECDSA P-256) and has it signed.
    pub(crate) fn make(
        names: &[String],
        now: u64,
        sign: impl FnOnce(&KeyPair) -> Result<Certificate, rcgen::Error>,
    ) -> Result<Self, TlsError> {
        let error = |source| TlsError::Make {
            names: names.join(" "),
            source,
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(error)?;
        let certificate = match names {
            [] => return Err(TlsError::NoName),
            _ => sign(&key).map_err(error)?,
        };
        Ok(Self {
            certificate_der: certificate.der().to_vec(),
            issuers_der: Vec::new(),
            key_der: key.serialize_der(),
            expires_at: now + VALIDITY.as_secs(),
        })
    }

    /// The names of a box: its own, the one that mDNS announces, and those of the host itself.
    pub fn names_of(hostname: &str) -> Vec<String> {
        let mut names: Vec<String> = vec![hostname.to_owned()];
        for name in ["coffer.local", "localhost", "127.0.0.1", "::1"] {
            if name != hostname {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// Tells whether it is time to make another one; now in Unix seconds.
    pub fn is_due(&self, now: u64) -> bool {
        now + RENEWAL.as_secs() >= self.expires_at
    }
}

/// What stands in the certificate of a server of these names, valid from now, Unix seconds.
pub(crate) fn leaf_params(names: &[String], now: u64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    set_validity(&mut params, now, now + VALIDITY.as_secs());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = names.first() {
        params
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
    }
    Ok(params)
}

/// Makes a certificate valid from a moment, for clients with a slow clock a little before, until another one; Unix seconds.
pub(crate) fn set_validity(params: &mut CertificateParams, from: u64, until: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from).saturating_sub(SLOW_CLOCK);
    params.not_after = epoch + Duration::from_secs(until);
}

/// The TLS settings of the listeners; the certificate can be changed while they run.
pub struct TlsServer(RwLock<Arc<ServerConfig>>);

impl TlsServer {
    /// Makes the settings with a certificate.
    ///
    /// # Errors
    /// When key and certificate do not fit.
    pub fn new(identity: &TlsIdentity) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(config(identity)?)))
    }

    /// Takes another certificate for all connections from now on.
    ///
    /// # Errors
    /// When key and certificate do not fit; the one before stays.
    pub fn replace(&self, identity: &TlsIdentity) -> Result<(), TlsError> {
        let config = config(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    fn current(&self) -> Arc<ServerConfig> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn config(identity: &TlsIdentity) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = std::iter::once(&identity.certificate_der).chain(&identity.issuers_der);
    let chain = chain.cloned().map(CertificateDer::from).collect();
    let no_key = |error: &str| TlsError::Use(rustls::Error::General(error.to_owned()));
    let key = PrivateKeyDer::try_from(identity.key_der.clone()).map_err(no_key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Use)?;
    Ok(Arc::new(config))
}

/// How long a stream waits for its peer.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// The longest one read waits; then it gives `WouldBlock`, and may be tried again.
    pub read: Duration,
    /// The longest that all bytes of one write may take; then the stream is of no more use.
    pub write: Duration,
    /// The longest a whole handshake may take, however it dribbles in; then the stream is of no more use.
    pub handshake: Duration,
}

/// A blocking connection, plain or under TLS.
///
/// A read gives `WouldBlock` when nothing came in time, and also when what came is not yet a whole TLS record: so the caller
/// can look at its clock however slowly the peer dribbles.
pub struct Stream {
    socket: Socket,
    tls: Option<Box<ServerConnection>>,
    handshake_timeout: Duration,
}

impl Stream {
    /// Takes a connection over.
    pub fn new(socket: Arc<TcpStream>, timeouts: Timeouts) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(timeouts.read))?;
        socket.set_write_timeout(Some(timeouts.write))?;
        Ok(Self {
            socket: Socket {
                socket,
                write_timeout: timeouts.write,
            },
            tls: None,
            handshake_timeout: timeouts.handshake,
        })
    }

    /// Begins TLS as the server and waits until it stands.
    pub fn start_tls(&mut self, server: &TlsServer) -> io::Result<()> {
        let mut tls = Box::new(ServerConnection::new(server.current()).map_err(io::Error::other)?);
        let since = Instant::now();
        while tls.is_handshaking() || tls.wants_write() {
            if tls.wants_write() {
                self.socket.write_all_of(&mut tls)?;
            } else {
                match self.socket.read_into(&mut tls) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Err(error) if !is_wait(&error) => return Err(error),
                    _ => {}
                }
            }
            if since.elapsed() >= self.handshake_timeout {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "the TLS handshake took too long",
                ));
            }
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// The TLS of the connection; `None` without.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        let tls = self.tls.as_ref()?;
        Some(TlsInfo {
            version: format!("{:?}", tls.protocol_version()?).replace('_', "."),
            cipher: format!("{:?}", tls.negotiated_cipher_suite()?.suite()),
        })
    }

    /// Ends the connection so that the peer gets all that was written.
    pub fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = self.socket.write_all_of(tls); // the peer may be gone already
        }
        let socket = &self.socket.socket;
        if socket.shutdown(Shutdown::Write).is_err()
            || socket.set_read_timeout(Some(LINGER)).is_err()
        {
            return;
        }
        let since = Instant::now();
        let mut rest = [0; 4096];
        for _ in 0..LINGER_READS_MAX {
            let ended = !matches!(self.socket.read(&mut rest), Ok(1..));
            if ended || since.elapsed() >= LINGER {
                break;
            }
        }
    }

    /// Ends the connection of a peer that said it sends no more: its socket may be dropped at once, without waiting for the peer's end.
    pub fn close_after_last_word(&mut self) {
        // Bytes that nobody reads would take the last reply from the peer.
        if self.tls.is_some() || self.socket.has_input() {
            self.close();
        }
    }
}

/// Tells whether a read failed only because nothing came yet.
pub fn is_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(buffer);
        };
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return result,
        }
        self.socket.read_into(tls)?;
        if tls.wants_write() {
            self.socket.write_all_of(tls)?;
        }
        tls.reader().read(buffer)
    }
}

impl Write for Stream {
    /// Writes all of the bytes, or fails.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            self.socket.write_all(bytes)?;
            return Ok(bytes.len());
        };
        let count = tls.writer().write(bytes)?;
        self.socket.write_all_of(tls)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that whoever stops the listener can shut down, too.
struct Socket {
    socket: Arc<TcpStream>,
    write_timeout: Duration,
}

impl Socket {
    /// Tells whether bytes came that nobody has read, or the end.
    fn has_input(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.socket.as_raw_fd(), &mut [0], flags) != Err(Errno::EAGAIN)
    }

    /// Reads once, gives what came to TLS, and tells how many bytes that were; 0 when the peer sends no more.
    fn read_into(&mut self, tls: &mut ServerConnection) -> io::Result<usize> {
        let count = tls.read_tls(self)?;
        if let Err(error) = tls.process_new_packets() {
            let _ = self.write_all_of(tls); // the alert that says why
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(count)
    }

    fn write_all_of(&mut self, tls: &mut ServerConnection) -> io::Result<()> {
        let since = Instant::now();
        while tls.wants_write() {
            self.check_pace(since)?;
            tls.write_tls(self)?;
        }
        Ok(())
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let since = Instant::now();
        while !bytes.is_empty() {
            self.check_pace(since)?;
            let count = self.write(bytes)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn check_pace(&self, since: Instant) -> io::Result<()> {
        if since.elapsed() < self.write_timeout {
            return Ok(());
        }
        Err(io::Error::new(
            ErrorKind::TimedOut,
            "the peer does not read",
        ))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.socket).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (&*self.socket).write(bytes) {
            Ok(0) if !bytes.is_empty() => Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A client that trusts one certificate, and a handshake with it over loopback.

    use super::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use std::net::TcpListener;
    use std::thread;

    const TIMEOUTS: Timeouts = Timeouts {
        read: Duration::from_millis(1),
        write: Duration::from_secs(60),
        handshake: Duration::from_secs(60),
    };

    pub(super) fn pair() -> (TcpStream, Stream) {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        let client = TcpStream::connect(address).expect("a connection");
        let server = Arc::new(socket.accept().expect("a connection").0);
        (client, Stream::new(server, TIMEOUTS).expect("a stream"))
    }

    /// A client that trusts this certificate and looks for a server of this name.
    pub(crate) fn client(trusted_der: &[u8], name: &'static str) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(trusted_der.to_vec()))
            .expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name).expect("a name");
        ClientConnection::new(Arc::new(config), name).expect("a client")
    }

    /// Does the handshake on both sides and gives them.
    pub(crate) fn shake_hands(
        server: &TlsServer,
        mut tls: ClientConnection,
    ) -> io::Result<(TcpStream, ClientConnection, Stream)> {
        let (mut socket, mut stream) = pair();
        let began = thread::scope(|scope| {
            let began = scope.spawn(|| stream.start_tls(server));
            while tls.is_handshaking() && tls.complete_io(&mut socket).is_ok() {}
            began.join().expect("no panic")
        });
        began.map(|()| (socket, tls, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{client, pair, shake_hands};
    use super::*;

    /// 2025-06-15, in Unix seconds.
    const NOW: u64 = 1_750_000_000;

    fn identity(name: &str, now: u64) -> TlsIdentity {
        TlsIdentity::generate(&TlsIdentity::names_of(name), now).expect("a certificate")
    }

    #[test]
    fn every_name_of_the_box_is_in_its_certificate() {
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_secs();
        let identity = identity("archive.example", now);
        let server = TlsServer::new(&identity).expect("a fitting key");
        for name in [
            "archive.example",
            "coffer.local",
            "localhost",
            "127.0.0.1",
            "::1",
        ] {
            let shaken = shake_hands(&server, client(&identity.certificate_der, name));
            assert!(shaken.is_ok(), "{name}: {:?}", shaken.err());
        }
        assert!(shake_hands(&server, client(&identity.certificate_der, "other.example")).is_err());
    }

    #[test]
    fn a_new_certificate_needs_no_restart() {
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_secs();
        let [old, new] = ["old.example", "new.example"].map(|name| identity(name, now));
        let server = TlsServer::new(&old).expect("a fitting key");
        assert!(shake_hands(&server, client(&new.certificate_der, "new.example")).is_err());
        server.replace(&new).expect("a fitting key");
        assert!(shake_hands(&server, client(&new.certificate_der, "new.example")).is_ok());
        let mixed = TlsIdentity {
            key_der: old.key_der,
            ..new.clone()
        };
        assert!(
            server.replace(&mixed).is_err(),
            "a key of another certificate"
        );
        assert!(shake_hands(&server, client(&new.certificate_der, "new.example")).is_ok());
    }

    #[test]
    fn a_record_that_dribbles_in_gives_the_caller_its_clock_back() -> io::Result<()> {
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_secs();
        let identity = identity("archive.example", now);
        let server = TlsServer::new(&identity).expect("a fitting key");
        let (mut socket, mut tls, mut stream) = shake_hands(
            &server,
            client(&identity.certificate_der, "archive.example"),
        )?;
        let mut record = Vec::new();
        tls.writer().write_all(b"hello")?;
        tls.write_tls(&mut record)?;
        let mut buffer = [0; 64];
        for byte in &record[..record.len() - 1] {
            socket.write_all(&[*byte])?;
            let waits = stream.read(&mut buffer).expect_err("no whole record yet");
            assert!(is_wait(&waits), "{waits}");
        }
        socket.write_all(&record[record.len() - 1..])?;
        let count = loop {
            match stream.read(&mut buffer) {
                Err(error) if is_wait(&error) => {}
                result => break result?,
            }
        };
        assert_eq!(&buffer[..count], b"hello");
        Ok(())
    }

    #[test]
    fn the_last_word_arrives_whatever_the_peer_still_says() -> io::Result<()> {
        for said_too_much in ["", "more"] {
            let (mut client, mut stream) = pair();
            client.write_all(said_too_much.as_bytes())?;
            if !said_too_much.is_empty() {
                client.shutdown(Shutdown::Write)?;
                while !stream.socket.has_input() {}
            }
            stream.write_all(b"bye")?;
            stream.close_after_last_word();
            drop(stream);
            let mut heard = String::new();
            client.read_to_string(&mut heard)?;
            assert_eq!(heard, "bye");
        }
        Ok(())
    }

    #[test]
    fn certificates_are_renewed_before_they_end() {
        let identity = identity("coffer.local", NOW);
        let end = identity.expires_at;
        assert_eq!(end, NOW + VALIDITY.as_secs());
        assert!(!identity.is_due(NOW));
        assert!(!identity.is_due(end - RENEWAL.as_secs() - 1));
        assert!(identity.is_due(end - RENEWAL.as_secs()));
        assert!(identity.is_due(end + 1));
    }

    #[test]
    fn names_are_given_once_and_bad_ones_refused() {
        let names = TlsIdentity::names_of("coffer.local");
        assert_eq!(names, ["coffer.local", "localhost", "127.0.0.1", "::1"]);
        let error = TlsIdentity::generate(&["b\u{fc}ro".to_owned()], NOW).err();
        let error = error.expect("no certificate").to_string();
        assert_eq!(
            error,
            "cannot make a certificate for these names: b\u{fc}ro"
        );
        assert!(
            TlsIdentity::generate(&["x".to_owned()], 0).is_ok(),
            "a clock at 1970"
        );
    }
}
