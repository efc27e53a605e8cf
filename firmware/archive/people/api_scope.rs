//! What a program may do that has a token of somebody: never more than one role of that person may do.

use super::{Action, Reach, Role, may};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiScope {
    /// Finds mail, reads it and takes it along.
    Mail,
    /// Asks how the archive is.
    Health,
}

impl ApiScope {
    /// Every scope.
    pub const ALL: [Self; 2] = [Self::Mail, Self::Health];

    /// The name in records and lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Health => "health",
        }
    }

    /// Finds a scope by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// Tells whether all that a token of this scope may do is what the role may do.
    pub fn is_within(self, role: Role) -> bool {
        match self {
            Self::Mail => [
                Action::SearchMail,
                Action::ViewMail,
                Action::DownloadMail,
                Action::ExportMail,
            ]
            .into_iter()
            .all(|action| may(role, action) > Reach::No),
            Self::Health => may(role, Action::SeeState) == Reach::Alone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_reaches_further_than_its_role() {
        use ApiScope::{Health, Mail};
        use Role::{Auditor, Operator, PrivacyOfficer, Staff};
        for (role, scopes) in [
            (Staff, &[Mail][..]),
            (Auditor, &[Mail]),
            (Operator, &[Health]),
            (PrivacyOfficer, &[Health]),
        ] {
            let within: Vec<_> = ApiScope::ALL
                .into_iter()
                .filter(|scope| scope.is_within(role))
                .collect();
            assert_eq!(within, scopes, "{role:?}");
        }
        for scope in ApiScope::ALL {
            assert_eq!(ApiScope::from_name(scope.name()), Some(scope));
        }
        assert_eq!(ApiScope::from_name("all"), None);
    }
}
