//! Tells the hub that somebody works in the server, so that it is not culled.

use jiff::Timestamp;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use super::{Guard, environment::ActivitySettings};

/// How long one report is tried.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

impl Guard {
    /// Reports when the server was used last, at once and then every few minutes if there is news, and never ends.
    /// `last_activity` counts what people and programs do, bytes of WebSockets included.
    pub async fn report_activity(&self, last_activity: impl Fn() -> Option<Timestamp>) {
        let Some(settings) = &self.0.environment.activity else { return std::future::pending().await };
        let mut reported = None;
        loop {
            let latest = last_activity();
            if let Some(latest) = latest.filter(|_| latest > reported)
                && self.report(settings, latest).await
            {
                reported = Some(latest);
            }
            sleep(with_jitter(settings.interval, rand::random())).await;
        }
    }

    /// Reports one time, patiently.
    async fn report(&self, settings: &ActivitySettings, latest: Timestamp) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_WAIT;
        loop {
            match self.0.hub.note_activity(settings, latest).await {
                Ok(()) => return true,
                Err(error) if error.is_passing() && Instant::now() + pause < until => {
                    tracing::debug!(%error, "failed to report activity; trying again");
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to report activity");
                    return false;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_WAIT);
        }
    }
}

/// A tenth more or less, so that servers that started together don't report together.
fn with_jitter(interval: Duration, random: u8) -> Duration {
    interval.mul_f64(0.9 + 0.2 * f64::from(random) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_every_five_minutes_or_a_tenth_off() {
        let seconds = [0, 255].map(|random| with_jitter(Duration::from_secs(300), random).as_secs_f64().round());
        assert_eq!(seconds, [270.0, 330.0]);
    }
}
