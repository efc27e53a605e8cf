//! The roles of DESIGN.md section 1, and which of them one person may have together.

use std::collections::BTreeSet;

/// What somebody is to the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Has mail of his own.
    Staff,
    /// Keeps the archive running, and reads no mail by it; the administrator of the setup is the first.
    Operator,
    /// Reads what was released to him.
    Auditor,
    /// Agrees to deletion, foreign access and wider rights.
    PrivacyOfficer,
}

impl Role {
    /// Every role, in the order of the tables.
    pub const ALL: [Self; 4] = [
        Self::Staff,
        Self::Operator,
        Self::Auditor,
        Self::PrivacyOfficer,
    ];

    /// The name in records and lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::PrivacyOfficer => "privacy officer",
        }
    }

    /// Finds a role by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Tells whether one person may have these roles together.
pub(super) fn go_together(roles: &BTreeSet<Role>) -> bool {
    let has = |role| roles.contains(&role);
    !(has(Role::Auditor) && roles.len() > 1 || has(Role::Operator) && has(Role::PrivacyOfficer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_again() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
        }
        assert_eq!(Role::from_name("root"), None);
    }

    #[test]
    fn some_roles_exclude_each_other() {
        use Role::{Auditor, Operator, PrivacyOfficer, Staff};
        for (roles, expected) in [
            (&[][..], true),
            (&[Auditor], true),
            (&[Staff, Operator], true),
            (&[Staff, PrivacyOfficer], true),
            (&[Operator, PrivacyOfficer], false),
            (&[Staff, Operator, PrivacyOfficer], false),
            (&[Auditor, Staff], false),
            (&[Auditor, Operator], false),
            (&[Auditor, PrivacyOfficer], false),
        ] {
            let set = roles.iter().copied().collect();
            assert_eq!(go_together(&set), expected, "{roles:?}");
        }
    }
}
