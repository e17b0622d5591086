//! Servers as pods.
