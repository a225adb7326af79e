//! The program from outside: the binary, real files, real processes. A file for each noun.

mod actions;
mod doctor;
mod doors;
mod help;
mod http;
mod looks;
mod run;
mod schema;
mod serve;
mod support;
mod tables;
mod terminal;
mod top;
