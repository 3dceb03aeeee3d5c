//! Trials of renewed certificates of another class: a share of the devices gets one first, and it goes back by itself if they refuse it.
//!
//! A trial is remembered in the config Secret ([`state`]), goes on by what the pods count ([`seen`], [`evidence`], [`advance`]), and
//! stages the renewed certificate beside the one before ([`stage`]). It must not choose what is served without a trial;
//! `certificates` does.

pub mod advance;
pub mod command;
pub mod evidence;
mod id;
pub mod seen;
pub mod settings;
pub mod stage;
pub mod state;
pub mod tried;
