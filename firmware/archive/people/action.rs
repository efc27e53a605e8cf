//! What a role may do: the one table of it. What it may see of mail is for [`crate::access`] to say.

use super::Role;

/// Something that a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Reads a message.
    ViewMail,
    /// Searches.
    SearchMail,
    /// Takes a message along.
    DownloadMail,
    /// Takes many along, with proofs.
    ExportMail,
    /// Sees how the archive is.
    SeeState,
    /// Changes a setting other than where notices go.
    ChangeSettings,
    /// Adds, changes or removes a source of mail.
    ChangeSources,
    /// Adds, swaps or removes a disk.
    ChangeDisks,
    /// Opens the disks with the recovery key.
    Recover,
    /// Takes rights away, or makes an account without any.
    NarrowRights,
    /// Gives rights.
    WidenRights,
    /// Lets somebody see mail that is not his.
    ReleaseMail,
    /// Reads the audit log.
    ReadAuditLog,
    /// Sets a legal hold.
    SetHold,
    /// Lifts one.
    LiftHold,
    /// Releases expired mail for purge.
    ReleasePurge,
}

impl Action {
    /// Every action, in the order of the table.
    pub const ALL: [Self; 16] = [
        Self::ViewMail,
        Self::SearchMail,
        Self::DownloadMail,
        Self::ExportMail,
        Self::SeeState,
        Self::ChangeSettings,
        Self::ChangeSources,
        Self::ChangeDisks,
        Self::Recover,
        Self::NarrowRights,
        Self::WidenRights,
        Self::ReleaseMail,
        Self::ReadAuditLog,
        Self::SetHold,
        Self::LiftHold,
        Self::ReleasePurge,
    ];

    /// The words of the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::ViewMail => "view mail",
            Self::SearchMail => "search mail",
            Self::DownloadMail => "download mail",
            Self::ExportMail => "export mail",
            Self::SeeState => "see the state of the archive",
            Self::ChangeSettings => "change settings",
            Self::ChangeSources => "change sources",
            Self::ChangeDisks => "change disks",
            Self::Recover => "recover",
            Self::NarrowRights => "narrow rights",
            Self::WidenRights => "widen rights",
            Self::ReleaseMail => "release foreign mail",
            Self::ReadAuditLog => "read the audit log",
            Self::SetHold => "set a hold",
            Self::LiftHold => "lift a hold",
            Self::ReleasePurge => "release a purge",
        }
    }
}

/// How far an action reaches, from nothing to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Not at all.
    No,
    /// What was granted.
    Granted,
    /// What is his own, and what was granted.
    Own,
    /// All, without the words of a search and the numbers of messages.
    Outline,
    /// All, once a second person agrees.
    Together,
    /// All, by himself.
    Alone,
}

impl Reach {
    /// The word of the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Granted => "granted",
            Self::Own => "own",
            Self::Outline => "outline",
            Self::Together => "together",
            Self::Alone => "alone",
        }
    }
}

/// Tells how far an action of this role reaches.
pub fn may(role: Role, action: Action) -> Reach {
    use Role::{Auditor, Operator, PrivacyOfficer, Staff};
    match action {
        Action::ViewMail | Action::SearchMail | Action::DownloadMail | Action::ExportMail => {
            match role {
                Staff => Reach::Own,
                Auditor => Reach::Granted,
                Operator | PrivacyOfficer => Reach::No,
            }
        }
        Action::ChangeSettings | Action::ChangeSources | Action::ChangeDisks | Action::Recover => {
            match role {
                Operator => Reach::Alone,
                Staff | Auditor | PrivacyOfficer => Reach::No,
            }
        }
        Action::ReadAuditLog => match role {
            Staff | Auditor => Reach::Own,
            Operator => Reach::Outline,
            PrivacyOfficer => Reach::Alone,
        },
        Action::SeeState | Action::NarrowRights => in_charge(role, Reach::Alone, Reach::Alone),
        Action::SetHold => in_charge(role, Reach::Alone, Reach::Together),
        Action::WidenRights | Action::ReleaseMail | Action::LiftHold | Action::ReleasePurge => {
            in_charge(role, Reach::Together, Reach::Together)
        }
    }
}

/// Tells how far an action of these roles together reaches.
pub fn reach<'r>(roles: impl IntoIterator<Item = &'r Role>, action: Action) -> Reach {
    let all = roles.into_iter().map(|role| may(*role, action));
    all.max().unwrap_or(Reach::No)
}

fn in_charge(role: Role, operator: Reach, officer: Reach) -> Reach {
    match role {
        Role::Operator => operator,
        Role::PrivacyOfficer => officer,
        Role::Staff | Role::Auditor => Reach::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_table_is_the_rule() {
        let text = include_str!("../people.rs");
        let line = |action: Action| {
            let cells = Role::ALL.map(|role| may(role, action).name());
            format!("//! | {} | {} |", action.name(), cells.join(" | "))
        };
        for action in Action::ALL {
            assert!(text.lines().any(|row| row == line(action)), "{action:?}");
        }
    }

    #[test]
    fn nobody_widens_rights_alone_and_no_operator_reads() {
        for role in Role::ALL {
            for action in [
                Action::WidenRights,
                Action::ReleaseMail,
                Action::ReleasePurge,
            ] {
                assert!(may(role, action) <= Reach::Together, "{role:?} {action:?}");
            }
            assert!(may(role, Action::ViewMail) <= Reach::Own, "{role:?}");
        }
        assert_eq!(may(Role::Operator, Action::ViewMail), Reach::No);
        assert_eq!(reach([], Action::ViewMail), Reach::No);
        let both = [Role::Operator, Role::Staff];
        assert_eq!(reach(&both, Action::ViewMail), Reach::Own);
        assert_eq!(reach(&both, Action::ReadAuditLog), Reach::Outline);
    }
}
