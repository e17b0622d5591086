//! Who was active lately: gathered here and written together, so that a thousand servers that report cost one commit
//! and not a thousand. What is shown is always the newest; a hub that is killed loses what came after the last
//! [`INTERVAL`].

use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::database::{Database, DatabaseError, Subject};

/// How often it is written.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What is not written yet.
#[derive(Debug, Default)]
pub struct Activity {
    seen: Mutex<HashMap<Subject, Timestamp>>,
    /// Within that time after someone was seen, another request of theirs is nothing new.
    resolution: SignedDuration,
}

impl Activity {
    pub fn new(resolution: SignedDuration) -> Self {
        Self { seen: Mutex::default(), resolution }
    }

    /// Whether someone who was last seen then is to be noted again.
    pub fn is_due(&self, last: Option<Timestamp>, now: Timestamp) -> bool {
        last.is_none_or(|last| now.duration_since(last) >= self.resolution)
    }

    /// Notes that someone was active. It never moves backwards.
    pub fn note(&self, subject: Subject, at: Timestamp) {
        let mut seen = self.lock();
        let latest = seen.entry(subject).or_insert(at);
        *latest = at.max(*latest);
    }

    /// When someone was last active, of whom the database says `stored`.
    pub fn latest(&self, subject: Subject, stored: Option<Timestamp>) -> Option<Timestamp> {
        self.lock().get(&subject).copied().max(stored)
    }

    /// Writes what is gathered. What can't be written is kept for the next time.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn save(&self, database: &Database) -> Result<(), DatabaseError> {
        let seen: Vec<_> = self.lock().iter().map(|(subject, at)| (*subject, *at)).collect();
        if seen.is_empty() {
            return Ok(());
        }
        database.save_activity(&seen).await?;
        let mut left = self.lock();
        for (subject, at) in seen {
            if left.get(&subject) == Some(&at) {
                left.remove(&subject);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, Timestamp>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_is_shown_at_once_and_written_once() {
        let database = Database::temporary().await.unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let alice = database.create_user("alice", false, at(0)).await.unwrap();
        let (activity, subject) = (Activity::default(), Subject::User(alice.id));
        for second in [5, 9, 7] {
            activity.note(subject, at(second));
        }
        assert_eq!(activity.latest(subject, Some(at(3))), Some(at(9)));
        assert_eq!(activity.latest(subject, Some(at(20))), Some(at(20)));
        activity.save(&database).await.unwrap();
        let stored = database.user(alice.id).await.unwrap().unwrap().last_activity;
        assert_eq!(stored, Some(at(9)));
        assert_eq!(activity.latest(subject, None), None);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_kept() {
        let database = Database::temporary().await.unwrap();
        let activity = Activity::default();
        activity.note(Subject::User(1), Timestamp::from_second(1).unwrap());
        database.close().await;
        assert!(activity.save(&database).await.is_err());
        assert!(activity.latest(Subject::User(1), None).is_some());
    }
}
