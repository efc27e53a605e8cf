//! A repository by HTTPS, or by plain HTTP while TLS fails for the clock or for its authorities: a box that lay in a cupboard for years has a clock
//! and a list of authorities that nobody believes any more, and just then needs an update.
//!
//! What is believed is what the metadata's keys have signed, whichever way it comes. A server that shows another name, cannot be reached or
//! answers wrongly is asked no second way. Source: DESIGN.md section 7.

use crate::error::FetchError;
use crate::http::{HttpRepository, Trust};
use crate::repository::Repository;
use rustls::CertificateError;
use std::io::Read;

/// A repository, and the way to the same files without TLS.
pub struct PlainFallback<R> {
    https: R,
    http: R,
}

impl PlainFallback<HttpRepository> {
    /// Names a repository by the address of its folder, `https://…`; its metadata and targets lie below.
    ///
    /// # Errors
    /// `Address` for anything but `https://…` and `http://…`.
    pub fn new(address: &str, trust: &Trust) -> Result<Self, FetchError> {
        let plain = match address.strip_prefix("https://") {
            Some(rest) => format!("http://{rest}"),
            None => address.to_owned(),
        };
        let at = |address: &str| {
            let address = address.trim_end_matches('/');
            let targets = format!("{address}/targets");
            HttpRepository::new(&format!("{address}/metadata"), Some(&targets), trust)
        };
        Ok(Self {
            https: at(address)?,
            http: at(&plain)?,
        })
    }
}

impl<R: Repository> PlainFallback<R> {
    fn ask<T>(
        &self,
        how: impl Fn(&R) -> Result<Option<T>, FetchError>,
    ) -> Result<Option<T>, FetchError> {
        match how(&self.https) {
            Err(error) if is_of_clock_or_authority(&error) => how(&self.http),
            other => other,
        }
    }
}

impl<R: Repository> Repository for PlainFallback<R> {
    fn metadata(&self, name: &str) -> Result<Option<Box<dyn Read>>, FetchError> {
        self.ask(|way| way.metadata(name))
    }

    fn target(
        &self,
        path: &str,
        length: u64,
        behind: u64,
    ) -> Result<Option<Box<dyn Read>>, FetchError> {
        self.ask(|way| way.target(path, length, behind))
    }
}

/// Says whether TLS fails because a certificate seems to be of another time, or of an authority that is not known.
pub(crate) fn is_of_clock_or_authority(error: &FetchError) -> bool {
    matches!(
        certificate_error(error),
        Some(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
                | CertificateError::UnknownIssuer
        )
    )
}

fn certificate_error(error: &FetchError) -> Option<&CertificateError> {
    let FetchError::Transport(source) = error else {
        return None;
    };
    let found = match source.downcast_ref::<ureq::Error>()? {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>(),
        _ => None,
    };
    match found? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// A way that gives a file, or fails as TLS does.
    struct Way(Option<fn() -> ureq::Error>);

    impl Repository for Way {
        fn metadata(&self, _: &str) -> Result<Option<Box<dyn Read>>, FetchError> {
            match self.0 {
                Some(fails) => Err(FetchError::Transport(fails().into())),
                None => Ok(Some(Box::new(io::empty()))),
            }
        }

        fn target(&self, _: &str, _: u64, _: u64) -> Result<Option<Box<dyn Read>>, FetchError> {
            self.metadata("")
        }
    }

    /// Expects a failure of TLS to be gone around, or not.
    #[track_caller]
    fn check(fails: fn() -> ureq::Error, is_gone_around: bool) {
        let both = PlainFallback {
            https: Way(Some(fails)),
            http: Way(None),
        };
        assert_eq!(both.metadata("1.root.json").is_ok(), is_gone_around);
        assert_eq!(both.target("box", 1, 0).is_ok(), is_gone_around);
    }

    fn refused(error: CertificateError) -> ureq::Error {
        ureq::Error::Io(io::Error::other(rustls::Error::InvalidCertificate(error)))
    }

    #[test]
    fn only_clock_and_authorities_are_gone_around() {
        check(|| refused(CertificateError::Expired), true);
        check(|| refused(CertificateError::NotValidYet), true);
        check(|| refused(CertificateError::UnknownIssuer), true);
        check(|| refused(CertificateError::NotValidForName), false);
        check(|| refused(CertificateError::Revoked), false);
        check(|| refused(CertificateError::BadSignature), false);
        check(|| ureq::Error::HostNotFound, false);
        check(|| io::Error::from(io::ErrorKind::TimedOut).into(), false);
    }

    #[test]
    fn a_folder_has_metadata_and_targets() {
        for address in ["https://localhost/coffer", "http://localhost/coffer/"] {
            assert!(PlainFallback::new(address, &Trust::Browsers).is_ok());
        }
        assert!(PlainFallback::new("ftp://localhost", &Trust::Browsers).is_err());
    }
}
