//! Who may do and see what, and how rights grow slowly (DESIGN.md sections 1 and 6): the rules, for whoever audits them.
//!
//! **What a role may do.** [`may`] is this table in code, and a test holds the two together. *own*: his own mail, his own
//! entries, and what was granted to him; *granted*: only what was; *outline*: without the words of a search and the
//! numbers of messages; *together*: one asks, a second person agrees; *alone*: by himself. Several roles: the most of them.
//!
//! | action | staff | operator | auditor | privacy officer |
//! |---|---|---|---|---|
//! | view mail | own | no | granted | no |
//! | search mail | own | no | granted | no |
//! | download mail | own | no | granted | no |
//! | export mail | own | no | granted | no |
//! | see the state of the archive | no | alone | no | alone |
//! | change settings | no | alone | no | no |
//! | change sources | no | alone | no | no |
//! | change disks | no | alone | no | no |
//! | recover | no | alone | no | no |
//! | narrow rights | no | alone | no | alone |
//! | widen rights | no | together | no | together |
//! | release foreign mail | no | together | no | together |
//! | read the audit log | own | outline | own | alone |
//! | set a hold | no | alone | no | together |
//! | lift a hold | no | together | no | together |
//! | release a purge | no | together | no | together |
//!
//! The administrator of the setup is the first operator. An auditor has no other role, and nobody is operator and
//! privacy officer at once. Whoever owns the host's files reads them all; no rule here binds him.
//!
//! **How rights grow.** What narrows takes effect at once. What widens ([`Change::is_slow`]) is proposed, and takes effect
//!
//! 1. when a second person approves: two accounts, neither of them locked or disabled, each operator or privacy
//!    officer, one a privacy officer who gains nothing by it, and the approver does not gain by it either;
//! 2. where nobody is privacy officer: after a day ([`NOTICE_S`]) during which everybody concerned had his notice and nobody
//!    of them objected;
//! 3. if it ends or resets a privacy officer: as 1, or after 30 days ([`OFFICE_NOTICE_S`]) as in 2;
//! 4. if it is where notices go, and nobody is privacy officer: as 2, or after 30 days ([`ROUTE_SHOWN_S`]) during which it stood
//!    on every page of whoever signed in and nobody objected. Else an office whose mail server is gone for good could
//!    never tell anybody anything again.
//!
//! **Ways around, and what closes them.**
//!
//! | somebody tries | rule |
//! |---|---|
//! | two accounts of one operator approve each other | one of the two is a privacy officer |
//! | he makes a second account privacy officer first | where there was none, that takes a day of notice to everybody, and for a week ([`OFFICE_SETTLES_S`]) the approval of the new one shortens no notice |
//! | he disables, removes or resets the privacy officer | rule 3; everybody has notice, and the officer's own objection ends it |
//! | he lets a proposal grow old until there is no officer | time counts only while rule 2 or 3 holds, anew each time |
//! | he sets the clock | waiting is counted in seconds that the machine ran, never read off a clock; a lock or the end of a grant is reckoned from the latest time ever seen |
//! | he moves the period of an address | a period is only ever given or taken: giving is slow |
//! | he takes an address away and gives it back, or disables and enables | giving and enabling are slow |
//! | he removes an account and makes it anew | names and numbers are never used again, and an account is made with nothing |
//! | he renames the account that somebody is to approve, or gives it another's name | no renaming while a proposal waits for it, and no two accounts show one name |
//! | he resets a password and reads as that person | slow, and afterwards old mail and grants stay closed until their opening is approved, which needs that the person chose a password of his own; the same for the first password |
//! | he changes where notices go | that is slow, too, and all waiting begins anew |
//! | he lets the mail server fail, so that nobody is told of the other one that he proposes | rule 4: it stands on every page for 30 days, and one objection of anybody ends that; days with a privacy officer do not count |
//! | he takes an address away so that its owner gets no notice | notices go to each address that an account ever had |
//! | he stops notices from going out | waiting begins when the last one has |
//! | he imports all of it from a CSV | each line is proposed like any other change |
//! | a program with somebody's token goes on when he may no longer | a token is bound to one role and sees what that role of his sees now ([`Register::asker_in_role`]); it ends with his account and with each reset |
//!
//! What is left: two people who conspire may do what two people may, and an office without a privacy officer has a day's
//! notice and nothing else, and for a mail server that is gone the 30 days of rule 4, which nobody reads who does not sign in. Who is disabled gets his notices, but cannot object. Whoever sets the archive up chooses where
//! notices go before anybody has an address. A first password goes from hand to hand: that it reached the right person
//! is what opening old mail asserts.
//!
//! Nothing signs in, stores or sends here: `service::people` does.

mod account;
mod action;
mod api_scope;
mod change;
mod delay;
mod password;
mod proposal;
mod record;
mod register;
mod role;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
mod totp;

pub use account::{Account, AccountId, Lock, State};
pub use action::{Action, Reach, may, reach};
pub use api_scope::ApiScope;
pub use change::{Change, Grant, GrantTerms, Step};
pub use delay::SignInDelays;
pub use password::{PasswordWeakness, check_password};
pub use proposal::{NOTICE_S, Notice, OFFICE_NOTICE_S, OFFICE_SETTLES_S, Proposal, ROUTE_SHOWN_S};
pub use record::RecordError;
pub use register::{Outcome, RecordChange, Refusal, Register};
pub use role::Role;
pub use table::{LineFault, LineOutcome, LineStep, TableLine, read_table};
pub use totp::{TOTP_STEP_S, Totp};
