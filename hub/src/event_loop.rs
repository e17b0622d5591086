//! How long a task of the hub waits for its turn, measured all the time: whatever holds the event loop up shows here first.

use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::metrics::Durations;

/// How often it is measured; less than that is not seen.
const RESOLUTION: Duration = Duration::from_millis(50);
/// From here on it is told in the log.
const LONG: Duration = Duration::from_secs(1);

/// Measures for as long as it is polled.
pub async fn watch(stalls: &Durations) {
    let mut last = Instant::now();
    loop {
        sleep(RESOLUTION).await;
        let now = Instant::now();
        let stall = stall(now - last);
        if stall >= LONG {
            tracing::warn!(seconds = stall.as_secs_f64(), "the event loop was held up");
        }
        stalls.record(&[], stall);
        last = now;
    }
}

/// What a round that took this long tells of: something held it up between that and [`RESOLUTION`] more. Up to twice the
/// resolution nothing is known.
fn stall(round: Duration) -> Duration {
    if round < RESOLUTION * 2 { RESOLUTION } else { round - RESOLUTION }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_takes_its_time_tells_of_no_stall() {
        for (round, told) in [(50, 50), (51, 50), (99, 50), (100, 50), (150, 100), (1050, 1000)] {
            assert_eq!(stall(Duration::from_millis(round)), Duration::from_millis(told), "{round}");
        }
    }

    #[tokio::test]
    async fn what_holds_the_loop_up_is_counted() {
        let metrics = crate::metrics::Metrics::default();
        let measured = tokio::time::timeout(Duration::from_secs(1), watch(&metrics.stalls));
        let held_up = async {
            sleep(Duration::from_millis(120)).await;
            std::thread::sleep(Duration::from_millis(400));
        };
        let _ = tokio::join!(measured, held_up);
        let mut text = String::new();
        metrics.render(&mut text);
        let above = |bound: &str| {
            let name = |le: &str| format!("jupyterhub_event_loop_interval_seconds_bucket{{le=\"{le}\"}} ");
            let count = |le: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(&name(le)).map(str::to_owned));
                line.unwrap().parse::<u64>().unwrap()
            };
            count("+Inf") - count(bound)
        };
        assert!(above("0.25") >= 1, "{text}");
    }
}
