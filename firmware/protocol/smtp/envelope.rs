//! The envelope of a message as the peer gave it (RFC 5321 §2.3.1), and nothing concluded from it.

/// Holds the envelope of one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Holds the reverse-path without angle brackets and source route; empty for the null reverse-path.
    pub reverse_path: String,
    /// Holds the parameters of MAIL as given, in their order, known or not.
    pub mail_parameters: Vec<String>,
    /// Holds every accepted recipient in the order of RCPT, repeated ones too.
    pub recipients: Vec<Recipient>,
    /// Holds what the peer called itself in EHLO or HELO.
    pub helo: String,
    /// Tells the TLS of the connection.
    pub tls: Option<TlsInfo>,
    /// Holds the name the peer signed in with.
    pub authenticated_as: Option<String>,
    /// Tells whether MAIL carried SMTPUTF8.
    pub smtputf8: bool,
    /// Tells the BODY parameter of MAIL.
    pub body: Body,
}

/// Is one forward-path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Holds the address without angle brackets and source route, otherwise as given.
    pub address: String,
    /// Holds the parameters of RCPT (NOTIFY, ORCPT …) as given, in their order.
    pub parameters: Vec<String>,
}

/// Is the BODY parameter of MAIL (RFC 6152 §3). It is a claim; content is never changed by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// No BODY, or BODY=7BIT.
    #[default]
    SevenBit,
    /// BODY=8BITMIME.
    EightBitMime,
}

/// Names the TLS of a connection, as the TLS library calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// Holds the protocol version, such as `TLSv1.3`.
    pub version: String,
    /// Holds the cipher suite, such as `TLS13_AES_128_GCM_SHA256`.
    pub cipher: String,
}
