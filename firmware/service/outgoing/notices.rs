//! What a notice says: in both languages of the page, since nobody knows which one the reader speaks.

use super::letter::Letter;
use super::route::Route;
use crate::people::NoticeDue;
use archive::people::{Change, Proposal};

/// What a notice is about.
const SUBJECT: &str = "Coffer: wider rights are proposed / weitere Rechte sind beantragt";

/// Writes the message of a notice.
pub(super) fn message(
    route: &Route,
    hostname: &str,
    notice: &NoticeDue,
    proposal: &Proposal,
) -> String {
    Letter {
        from: &route.from,
        to: &notice.address,
        subject: SUBJECT,
        text: &text(notice, proposal),
        hostname,
        now_s: super::now_s(),
    }
    .message()
}

fn text(notice: &NoticeDue, proposal: &Proposal) -> String {
    let change = match &proposal.change {
        Change::Account(_, step) => format!("{}: {step}", notice.account),
        route @ Change::NoticeRoute(_) => route.to_string(),
    };
    let (by, reason) = (&notice.proposed_by, &proposal.reason);
    format!(
        "{by} proposes in the mail archive:\n\n    {change}\n    ({reason})\n\n\
         It takes effect when a second person approves, or after the time of notice. If you are concerned and do not agree, sign in \
         and object.\n\n\
         {by} beantragt im Mailarchiv:\n\n    {change}\n    ({reason})\n\n\
         Das wird wirksam, wenn eine zweite Person zustimmt, oder nach Ablauf der Frist. Wenn es Sie betrifft und Sie nicht \
         einverstanden sind, melden Sie sich an und widersprechen Sie.\n"
    )
}
