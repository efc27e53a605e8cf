//! The page of recovery: no archive is open, and whoever has the code of the console reads what was said, starts another version, or brings an update.
//!
//! There are no accounts, since these lie in the archive: each form carries the code, and the machine checks it each time. What needs no code tells
//! only why the box is there to help out.

use super::no_archive::{NoArchive, reason};
use super::pages::machine_log::newest_lines;
use super::pages::updates;
use super::words::Words;
use super::{Request, Response};
use crate::machine::{
    RecoveryDeed, RecoveryReason, RecoverySeen, Refusal, UPLOAD_PIECE_BYTES, UpdateDeed,
};
use maud::{Markup, html};

impl NoArchive {
    /// Says why the box is there to help out only, and asks for the code.
    pub(super) fn recovery(&self, request: &Request, seen: Option<RecoverySeen>) -> Response {
        self.ask_code(request, seen, None)
    }

    /// Does what one of the forms asks for.
    pub(super) fn recover(
        &self,
        request: &Request,
        deed: &[&str],
        seen: Option<RecoverySeen>,
    ) -> Response {
        let code = request.form_value("code");
        if let Err(refusal) = self.machine.recover(code, RecoveryDeed::Enter) {
            return self.ask_code(request, seen, Some(&refusal));
        }
        let version = || request.form_value("version").parse();
        let done = match deed {
            [] => Ok(()),
            ["restart"] => return self.start(request, RecoveryDeed::Restart, seen),
            ["start"] => match version() {
                Ok(version) => return self.start(request, RecoveryDeed::Start(version), seen),
                Err(_) => return Response::see_other("/"),
            },
            ["stick"] => self.machine.update(UpdateDeed::TakeStick),
            ["stale"] => match version() {
                Ok(version) => self.machine.update(UpdateDeed::TakeStale(version)),
                Err(_) => return Response::see_other("/"),
            },
            ["upload"] => match self.upload(request) {
                Ok(false) => return Response::text(200, ""),
                done => done.map(drop),
            },
            _ => return Response::see_other("/"),
        };
        self.all(request, seen, done.err().as_ref())
    }

    /// Takes a piece of an update; tells whether it was the last one.
    fn upload(&self, request: &Request) -> Result<bool, Refusal> {
        let gap = || Refusal::Failed("a piece of the upload is missing".to_owned());
        let piece = updates::piece(request).ok_or_else(gap)?;
        let is_last = piece.offset.saturating_add(piece.bytes.len() as u64) >= piece.length;
        self.machine.upload(piece).map(|()| is_last)
    }

    fn start(&self, request: &Request, deed: RecoveryDeed, seen: Option<RecoverySeen>) -> Response {
        match self.machine.recover(request.form_value("code"), deed) {
            Ok(()) => {
                let words = self.words(request);
                let content = html! { p role="status" { (words.text("machine-restarts")) } };
                self.page(words, "recovery-title", 200, content)
            }
            Err(refusal) => self.all(request, seen, Some(&refusal)),
        }
    }

    fn ask_code(
        &self,
        request: &Request,
        seen: Option<RecoverySeen>,
        refusal: Option<&Refusal>,
    ) -> Response {
        self.helping_out(request, seen, refusal, |words, _| html! {
            form method="post" action="/recovery" {
                label for="code" { (words.text("claim-code")) }
                p.hint #code-hint { (words.text("recovery-code-hint")) }
                input.code #code name="code" type="text" required autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="code-hint";
                div.deeds { button type="submit" { (words.text("no-archive-go-on")) } }
            }
        })
    }

    /// All that there is, for who has shown the code.
    fn all(
        &self,
        request: &Request,
        seen: Option<RecoverySeen>,
        refusal: Option<&Refusal>,
    ) -> Response {
        let code = request.form_value("code");
        self.helping_out(request, seen, refusal, |words, seen| {
            html! {
                (others(words, code, seen))
                (self.by_hand(words, code))
                (self.said(words))
            }
        })
    }

    /// A page that says why the box is there to help out only, what was refused, and `rest`.
    fn helping_out(
        &self,
        request: &Request,
        seen: Option<RecoverySeen>,
        refusal: Option<&Refusal>,
        rest: impl FnOnce(&Words, &RecoverySeen) -> Markup,
    ) -> Response {
        let Some(seen) = seen else {
            return Response::see_other("/");
        };
        let words = self.words(request);
        let content = html! {
            (why(words, &seen))
            (troubles(words, refusal))
            (rest(words, &seen))
        };
        let status = if refusal.is_some() { 422 } else { 200 };
        self.page(words, "recovery-title", status, content)
    }

    fn by_hand(&self, words: &Words, code: &str) -> Markup {
        let seen = self.machine.updates();
        let confirm = |version: String, text: String| {
            let fields =
                html! { input type="hidden" name="version" value=(version); (button(text)) };
            form("/recovery/stale", code, fields)
        };
        html! {
            h2 { (words.text("updates-by-hand")) }
            p { (words.text("updates-by-hand-hint")) }
            @match &seen {
                Ok(seen) => {
                    (updates::under_way(words, seen))
                    @if let Some(brought) = &seen.brought { (updates::what_was_brought(words, brought, |at| at.unix(), confirm)) }
                }
                Err(refusal) => p.trouble role="alert" { (reason(words, refusal)) }
            }
            @if updates::may_be_a_stick(&*self.machine) { (form("/recovery/stick", code, updates::stick_button(words))) }
            @else { p.quiet { (words.text("updates-stick-none")) } }
            form hidden method="post" action="/recovery/upload" data-upload=(UPLOAD_PIECE_BYTES) {
                input type="hidden" name="code" value=(code);
                (updates::upload_fields(words))
            }
            (form("/recovery", code, button(words.text("recovery-look"))))
        }
    }

    /// What system and services have said.
    fn said(&self, words: &Words) -> Markup {
        html! {
            h2 { (words.text("machine-log")) }
            @match newest_lines(&*self.machine) {
                Ok(lines) => pre.said tabindex="0" { (lines) },
                Err(refusal) => p.trouble { (reason(words, &refusal)) }
            }
        }
    }
}

fn why(words: &Words, seen: &RecoverySeen) -> Markup {
    let running = ("version", seen.running.to_string().into());
    let why = match &seen.why {
        RecoveryReason::NothingElseStarts => words.filled("recovery-nothing-starts", &[running]),
        RecoveryReason::TooOld(floor) => {
            let floor = ("floor", floor.to_string().into());
            words.filled("recovery-too-old", &[running, floor])
        }
    };
    html! { p { (why) } p { (words.text("recovery-mail")) } }
}

fn troubles(words: &Words, refusal: Option<&Refusal>) -> Markup {
    html! { @if let Some(refusal) = refusal { p.trouble role="alert" { (reason(words, refusal)) } } }
}

fn others(words: &Words, code: &str, seen: &RecoverySeen) -> Markup {
    html! {
        h2 { (words.text("recovery-others")) }
        p { (words.text("recovery-others-hint")) }
        @for (version, is_good) in &seen.others {
            @let version = version.to_string();
            @let filled = [("version", version.as_str().into())];
            @let about = if *is_good { "recovery-was-good" } else { "recovery-was-not" };
            p { (words.filled(about, &filled)) }
            (form("/recovery/start", code, html! {
                input type="hidden" name="version" value=(version);
                (button(words.filled("recovery-start", &filled)))
            }))
        }
        (form("/recovery/restart", code, button(words.text("recovery-restart"))))
    }
}

fn form(action: &str, code: &str, content: Markup) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name="code" value=(code);
            (content)
        }
    }
}

fn button(text: String) -> Markup {
    html! { div.deeds { button type="submit" { (text) } } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{
        BroughtSeen, DiskSeen, DiskState, LogKind, Machine, MachineEnd, NetworkState, NetworkTexts,
        NewDisk, UpdatesSeen, UploadPiece,
    };
    use crate::web::{Content, Method};
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::{Arc, Mutex};

    /// A box in recovery, whose code is ABC; it remembers what it was asked to do.
    #[derive(Default)]
    struct HelpsOut {
        done: Mutex<Vec<String>>,
        is_not: bool,
    }

    impl HelpsOut {
        fn note(&self, text: String) -> Result<(), Refusal> {
            self.done.lock().expect("no panic before").push(text);
            Ok(())
        }
    }

    fn nothing<T>() -> Result<T, Refusal> {
        Err(Refusal::Failed("the dog ate it".to_owned()))
    }

    impl Machine for HelpsOut {
        fn disks(&self) -> Result<Vec<DiskSeen>, Refusal> {
            Ok(vec![DiskSeen {
                name: "sdb".to_owned(),
                model: String::new(),
                serial: String::new(),
                bytes: 1 << 30,
                state: DiskState::Foreign(vec!["FAT".to_owned()]),
                confirmation: String::new(),
            }])
        }

        fn format(&self, _: NewDisk) -> Result<String, Refusal> {
            nothing()
        }

        fn end(&self, _: MachineEnd) -> Result<(), Refusal> {
            nothing()
        }

        fn network(&self) -> Result<NetworkState, Refusal> {
            nothing()
        }

        fn set_network(&self, _: NetworkTexts) -> Result<(), Refusal> {
            nothing()
        }

        fn confirm_network(&self) -> Result<(), Refusal> {
            nothing()
        }

        fn log(&self, _: LogKind, offset: u64) -> Result<Vec<u8>, Refusal> {
            let text = b"   1.000 disks: <recovery>\n";
            Ok(text[text.len().min(offset as usize)..].to_vec())
        }

        fn unlock(&self, _: &str) -> Result<usize, Refusal> {
            nothing()
        }

        fn updates(&self) -> Result<UpdatesSeen, Refusal> {
            let brought = BroughtSeen::Stale {
                version: "0.3.0".parse().expect("a version"),
                expired: update::Time::from_unix(1_795_300_000),
            };
            Ok(UpdatesSeen {
                brought: Some(brought),
                ..UpdatesSeen::default()
            })
        }

        fn update(&self, deed: UpdateDeed) -> Result<(), Refusal> {
            self.note(format!("{deed:?}"))
        }

        fn upload(&self, piece: UploadPiece) -> Result<(), Refusal> {
            self.note(format!("{} bytes", piece.bytes.len()))
        }

        fn recovery(&self) -> Result<Option<RecoverySeen>, Refusal> {
            let version = |text: &str| text.parse().expect("a version");
            let seen = RecoverySeen {
                running: version("0.1.0"),
                why: RecoveryReason::NothingElseStarts,
                others: vec![(version("0.2.0"), true), (version("0.3.0"), false)],
            };
            Ok((!self.is_not).then_some(seen))
        }

        fn recover(&self, code: &str, deed: RecoveryDeed) -> Result<(), Refusal> {
            match (code, deed) {
                ("ABC", RecoveryDeed::Enter) => Ok(()),
                ("ABC", deed) => self.note(format!("{deed:?}")),
                _ => Err(Refusal::WrongClaimCode),
            }
        }
    }

    fn ask(machine: &Arc<HelpsOut>, method: Method, path: &str, form: &str) -> (u16, String) {
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let request = Request::new(method, path, peer).with_form(form.as_bytes());
        let response = NoArchive::new(machine.clone()).answer(&request);
        let html = match response.content {
            Content::Memory(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Content::Body(_) | Content::Part { .. } => String::new(),
        };
        (response.status, html)
    }

    #[test]
    fn without_the_code_it_tells_only_why() {
        let machine = Arc::new(HelpsOut::default());
        let (status, html) = ask(&machine, Method::Get, "/", "");
        assert_eq!(status, 200);
        assert!(html.contains("0.1.0") && html.contains("action=\"/recovery\""));
        assert!(!html.contains("0.2.0") && !html.contains("recovery&gt;"));
        for path in [
            "/recovery",
            "/recovery/start",
            "/recovery/restart",
            "/recovery/stick",
            "/recovery/upload",
        ] {
            let form = "code=XYZ&version=0.2.0&offset=0&length=3&piece=YWJj";
            let (status, html) = ask(&machine, Method::Post, path, form);
            assert_eq!(status, 422, "{path}");
            assert!(!html.contains("0.2.0"), "{path}");
        }
        assert!(machine.done.lock().expect("no panic").is_empty());
    }

    #[test]
    fn with_the_code_it_helps() {
        let machine = Arc::new(HelpsOut::default());
        let (status, html) = ask(&machine, Method::Post, "/recovery", "code=ABC");
        assert_eq!(status, 200);
        for said in [
            "0.2.0",
            "0.3.0",
            "&lt;recovery&gt;",
            "value=\"ABC\"",
            "stick",
        ] {
            assert!(html.contains(said), "{said}");
        }
        for (path, form, status) in [
            ("stick", "", 200),
            ("upload", "&offset=0&length=5&piece=YWJj", 200),
            ("upload", "&offset=3&length=5&piece=YWI=", 200),
            ("upload", "&offset=x", 422),
            ("stale", "&version=0.3.0", 200),
            ("start", "&version=0.2.0", 200),
            ("start", "&version=x", 303),
            ("restart", "", 200),
            ("burn", "", 303),
        ] {
            let path = format!("/recovery/{path}");
            let (found, _) = ask(&machine, Method::Post, &path, &format!("code=ABC{form}"));
            assert_eq!(found, status, "{path} {form}");
        }
        let done = machine.done.lock().expect("no panic").clone();
        let expected = [
            "TakeStick",
            "3 bytes",
            "2 bytes",
            "TakeStale(VersionNumber([0, 3, 0]))",
            "Start(VersionNumber([0, 2, 0]))",
            "Restart",
        ];
        assert_eq!(done, expected);
    }

    #[test]
    fn a_box_that_only_waits_for_a_disk_has_no_such_page() {
        let machine = Arc::new(HelpsOut {
            is_not: true,
            ..HelpsOut::default()
        });
        let (status, html) = ask(&machine, Method::Get, "/", "");
        assert!(status == 200 && !html.contains("/recovery"));
        let (status, _) = ask(&machine, Method::Post, "/recovery", "code=ABC");
        assert_eq!(status, 303);
    }
}
