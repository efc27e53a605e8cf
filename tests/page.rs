//! The page as a browser asks for it, by curl: cookies, forms with their token, and trust in the box alone.

use crate::{Archive, Folder, Ran, Serving, run, skip};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The operator's password.
const PASSWORD: &str = "drei Igel im Regen";

/// 5 minutes for an answer: an emulated disk is formatted meanwhile. What takes longer hangs.
const ANSWER_SECONDS: &str = "300";

/// A served page, and a browser's memory.
#[derive(Clone)]
pub struct Page {
    /// Where it is served.
    pub address: String,
    /// The authority that the browser trusts (PEM); none trusts anybody.
    pub certificate: Option<PathBuf>,
    /// Where its cookies are kept.
    pub cookies: PathBuf,
}

impl Page {
    /// Makes a browser that trusts the box; none, and a word about it, where there is no curl.
    pub fn new(folder: &Folder, archive: &Archive, serving: &Serving) -> Option<Self> {
        if Command::new("curl").arg("--version").output().is_err() {
            skip("curl is not installed");
            return None;
        }
        let certificate = archive.run("certificate", &[]);
        Some(Self {
            address: serving.said("web").to_owned(),
            certificate: Some(folder.write("coffer.crt", certificate)),
            cookies: folder.join("cookies"),
        })
    }

    /// Claims the archive as the operator `chef`, and is signed in then.
    ///
    /// # Panics
    /// When it cannot be claimed.
    #[track_caller]
    pub fn claim(&self, serving: &Serving) {
        self.claim_with(serving.said("claim code"));
    }

    /// Claims the archive with a code, as [`claim`](Self::claim) does.
    ///
    /// # Panics
    /// When it cannot be claimed.
    #[track_caller]
    pub fn claim_with(&self, code: &str) {
        let values = [
            ("code", code),
            ("name", "chef"),
            ("password", PASSWORD),
            ("password-again", PASSWORD),
        ];
        let claimed = self.send("/", "/claim", &values);
        assert!(claimed.contains("Location: /setup\r\n"), "{claimed}");
    }

    /// Signs in as who claimed the archive; tells whether that was possible.
    pub fn sign_in(&self) -> bool {
        self.sign_in_with(PASSWORD)
    }

    /// The same, with another password.
    pub fn sign_in_with(&self, password: &str) -> bool {
        let values = [("name", "chef"), ("password", password)];
        let form = self.curl("/sign-in", &[]);
        if form.code != Some(0) {
            return false;
        }
        let token = token_of(&form.text()).to_owned();
        let signed_in = self.try_post("/sign-in", &[&values[..], &[("token", &token)]].concat());
        signed_in.code == Some(0) && signed_in.text().contains("HTTP/1.1 303 ")
    }

    /// The whole address of a path.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Asks with more arguments of curl; gives status line, fields and body.
    pub fn curl(&self, path: &str, arguments: &[&dyn AsRef<OsStr>]) -> Ran {
        let address = self.address(path);
        let head: [&dyn AsRef<OsStr>; 9] = [
            &"--silent",
            &"--show-error",
            &"--include",
            &"--max-time",
            &ANSWER_SECONDS,
            &"--cookie",
            &self.cookies,
            &"--cookie-jar",
            &self.cookies,
        ];
        let trust: Vec<&dyn AsRef<OsStr>> = match &self.certificate {
            Some(certificate) => vec![&"--cacert", certificate],
            None => vec![&"--insecure"],
        };
        let all: Vec<_> = head
            .into_iter()
            .chain(trust)
            .chain(arguments.iter().copied())
            .chain([&address as &dyn AsRef<OsStr>])
            .collect();
        run("curl", &all)
    }

    /// Asks for a path; gives status line, fields and body.
    pub fn get(&self, path: &str) -> String {
        self.curl(path, &[]).text()
    }

    /// Sends a form that the page at a path holds.
    ///
    /// # Panics
    /// When there is no form.
    pub fn send(&self, at: &str, path: &str, values: &[(&str, &str)]) -> String {
        let form = self.get(at);
        self.post(path, &[values, &[("token", token_of(&form))]].concat())
    }

    /// Sends a form as it is.
    pub fn post(&self, path: &str, values: &[(&str, &str)]) -> String {
        self.try_post(path, values).text()
    }

    /// Uploads a file by the form that a page has for it, as the page's script does: piece after piece. Gives the answers.
    ///
    /// # Panics
    /// When the page has no such form, or an answer is none.
    #[track_caller]
    pub fn upload(&self, html: &str, folder: &Folder, file: &Path) -> String {
        let (before, form) = html.split_once("\" data-upload=\"").expect("a form");
        let (_, path) = before.rsplit_once("action=\"").expect("an action");
        let quoted = |name: &str| {
            let (_, rest) = form.split_once(name).expect("a field");
            rest.split('"').next().unwrap_or_default()
        };
        let bytes = fs::read(file).expect("a file");
        let piece_bytes = form.split('"').next().and_then(|it| it.parse().ok());
        let pieces = bytes.chunks(piece_bytes.expect("a number"));
        let (field, value) = (quoted("name=\""), quoted("value=\""));
        let settings = pieces.enumerate().map(|(number, piece)| {
            let offset = number * piece_bytes.unwrap_or_default();
            let piece = URL_SAFE.encode(piece).replace('=', "%3D");
            let length = bytes.len();
            let body = format!("{field}={value}&length={length}&offset={offset}&piece={piece}");
            self.settings_of_piece(path, &folder.write(&format!("pieces/{number}"), body))
        });
        let settings = settings.collect::<Vec<_>>().join("next\n");
        let settings = folder.write("pieces/settings", settings);
        let config: [&dyn AsRef<OsStr>; 2] = [&"--config", &settings];
        run("curl", &config).text()
    }

    /// What curl has to be told for a piece; it keeps the connection for the next one.
    fn settings_of_piece(&self, path: &str, body: &Path) -> String {
        let (address, cookies) = (self.address(path), self.cookies.display());
        let body = body.display();
        format!(
            "url = \"{address}\"\ndata = \"@{body}\"\ncookie = \"{cookies}\"\n\
             insecure\nsilent\nshow-error\ninclude\nmax-time = {ANSWER_SECONDS}\n"
        )
    }

    /// Sends a form as it is, to who may be away.
    fn try_post(&self, path: &str, values: &[(&str, &str)]) -> Ran {
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let arguments: Vec<&dyn AsRef<OsStr>> = values
            .iter()
            .flat_map(|value| [&"--data-urlencode" as &dyn AsRef<OsStr>, value])
            .collect();
        self.curl(path, &arguments)
    }
}

/// What a form carries so that only who has seen it can send it.
#[track_caller]
fn token_of(form: &str) -> &str {
    let (_, rest) = form.split_once("name=\"token\" value=\"").expect("a form");
    rest.split('"').next().unwrap_or_default()
}
