//! `include/honker.h`, read as text, and what a C compiler makes of it.
//!
//! The header is cbindgen's, so its shape is known: a constant is one line, a struct has a field a line, a function stands
//! behind a line `HONKER_API`. Whatever this does not understand is missing on one side of a comparison in `abi.rs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What stands in the header, in its order.
#[derive(Default)]
pub struct Header {
    pub constants: Vec<Constant>,
    /// The names of the types whose content it does not show.
    pub handles: Vec<String>,
    pub structs: Vec<Struct>,
    pub functions: Vec<Function>,
}

pub struct Constant {
    pub name: String,
    pub documentation: String,
}

pub struct Struct {
    pub name: String,
    pub fields: Vec<Declared>,
    /// Its `_INIT` macro, if it has one.
    pub initializer: Option<String>,
}

pub struct Function {
    pub name: String,
    pub returns: String,
    pub parameters: Vec<Declared>,
}

/// A field or a parameter.
pub struct Declared {
    pub name: String,
    pub of_type: String,
}

impl Declared {
    /// Of a declaration such as `const uint8_t *queue`.
    fn parse(text: &str) -> Declared {
        let split = text.rfind([' ', '*']).map_or(0, |place| place + 1);
        Declared { name: text[split..].to_owned(), of_type: text[..split].trim().to_owned() }
    }
}

impl Header {
    pub fn read() -> Header {
        let text = std::fs::read_to_string(file("../include/honker.h")).expect("include/honker.h");
        let mut header = Header::default();
        let mut initializers = Vec::new();
        let mut documentation = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line == "/**" {
                let comment = lines.by_ref().take_while(|line| line.trim() != "*/");
                documentation = comment
                    .map(|line| line.trim_start().trim_start_matches('*').trim())
                    .collect::<Vec<_>>()
                    .join(" ");
            } else if let Some(definition) = line.strip_prefix("#define HONKER_") {
                let name = format!("HONKER_{}", definition.split([' ', '(']).next().unwrap_or_default());
                if name.ends_with("_INIT") {
                    initializers.push(name);
                } else if !matches!(&*name, "HONKER_H" | "HONKER_API") {
                    header
                        .constants
                        .push(Constant { name, documentation: std::mem::take(&mut documentation) });
                }
            } else if line == "typedef struct {" {
                header.structs.push(read_struct(&mut lines, &initializers));
            } else if let Some(handle) = line.strip_prefix("typedef struct ") {
                header.handles.push(handle.split(' ').next().unwrap_or_default().to_owned());
            } else if line == "HONKER_API" {
                header.functions.push(read_function(&mut lines));
            }
        }
        let used = header.structs.iter().filter(|object| object.initializer.is_some()).count();
        assert_eq!(used, initializers.len(), "an initialiser without its struct: {initializers:?}");
        header
    }

    /// What a C compiler makes of it: the values of the constants, the layouts and initial values of the structs.
    pub fn seen_by_c(&self) -> Value {
        let directory = std::env::temp_dir().join(format!("honker-abi-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let (source, program) = (directory.join("abi.c"), directory.join("abi"));
        std::fs::write(&source, self.program()).expect("a source file");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let compiled = Command::new(compiler)
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
            .arg(file("../include"))
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .status()
            .expect("a C compiler");
        assert!(compiled.success(), "the header does not compile");
        let output = Command::new(&program).output().expect("the program runs");
        std::fs::remove_dir_all(&directory).expect("the directory can be removed");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// A program that prints them as JSON.
    fn program(&self) -> String {
        let mut prints = Vec::new();
        prints.push(r#"printf("{\"constants\":{");"#.to_owned());
        for (index, Constant { name, .. }) in self.constants.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            prints.push(format!(r#"printf("{comma}\"{name}\":%" PRId64, (int64_t)({name}));"#));
        }
        prints.push(r#"printf("},\"structs\":{");"#.to_owned());
        for (index, object) in self.structs.iter().enumerate() {
            if index > 0 {
                prints.push(r#"printf(",");"#.to_owned());
            }
            prints.extend(object.prints());
        }
        prints.push(r#"printf("}}\n");"#.to_owned());

        let mut program = "#include \"honker.h\"\n#include <inttypes.h>\n#include <stdio.h>\n".to_owned();
        for Struct { name, .. } in &self.structs {
            // An alignment that C99 can tell.
            writeln!(program, "struct align_{name} {{ char first; {name} second; }};").expect("a String");
        }
        format!("{program}int main(void) {{\n  {}\n  return 0;\n}}\n", prints.join("\n  "))
    }
}

impl Struct {
    /// Statements that print it as a member of an object.
    fn prints(&self) -> Vec<String> {
        let name = &self.name;
        let mut prints = vec![format!(
            r#"printf("\"{name}\":{{\"size\":%zu,\"align\":%zu,\"fields\":[", sizeof({name}), offsetof(struct align_{name}, second));"#
        )];
        for (index, Declared { name: field, of_type }) in self.fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            prints.push(format!(
                r#"printf("{comma}{{\"name\":\"{field}\",\"type\":\"{of_type}\",\"offset\":%zu,\"size\":%zu}}", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));"#
            ));
        }
        prints.push(r#"printf("]");"#.to_owned());
        if let Some(initializer) = &self.initializer {
            prints.push(format!(r#"{{ {name} initial = {initializer}; printf(",\"init\":{{");"#));
            for (index, Declared { name: field, of_type }) in self.fields.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                prints.push(match of_type.as_str() {
                    // Not a number: no text, which is the only one that an initialiser has.
                    "honker_bytes_t" => format!(
                        r#"printf("{comma}\"{field}\":%s", initial.{field}.data == NULL && initial.{field}.len == 0 ? "null" : "?");"#
                    ),
                    pointer if pointer.ends_with('*') => format!(
                        r#"printf("{comma}\"{field}\":%s", initial.{field} == NULL ? "null" : "?");"#
                    ),
                    "double" => format!(r#"printf("{comma}\"{field}\":%.17g", initial.{field});"#),
                    _ => format!(r#"printf("{comma}\"{field}\":%" PRId64, (int64_t)initial.{field});"#),
                });
            }
            prints.push(r#"printf("}"); }"#.to_owned());
        }
        prints.push(r#"printf("}");"#.to_owned());
        prints
    }
}

fn read_struct<'a>(lines: &mut impl Iterator<Item = &'a str>, initializers: &[String]) -> Struct {
    let mut fields = Vec::new();
    for line in lines {
        if let Some(name) = line.strip_prefix("} ").and_then(|rest| rest.strip_suffix(';')) {
            let initializer = format!("{}_INIT", name.trim_end_matches("_t").to_uppercase());
            let initializer = initializers.contains(&initializer).then_some(initializer);
            return Struct { name: name.to_owned(), fields, initializer };
        }
        if let Some(field) = line.strip_prefix("  ").and_then(|rest| rest.strip_suffix(';')) {
            fields.push(Declared::parse(field));
        }
    }
    panic!("a struct without an end");
}

fn read_function<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Function {
    let mut text = String::new();
    for line in lines {
        text += line.trim();
        text.push(' ');
        if line.ends_with(';') {
            break;
        }
    }
    let (declaration, parameters) = text.trim().trim_end_matches(");").split_once('(').expect("parameters");
    let Declared { name, of_type: returns } = Declared::parse(declaration);
    let parameters = match parameters {
        "void" => Vec::new(),
        _ => parameters.split(',').map(|parameter| Declared::parse(parameter.trim())).collect(),
    };
    Function { name, returns, parameters }
}

/// A file of this crate's.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
