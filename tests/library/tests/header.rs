//! What raw.rs declares by hand is what the header has: the same functions and structs, with the same parameters and
//! fields in the same order.

/// The names of the parameters of every function that `text` declares after `opening`, by its name.
fn functions(text: &str, opening: &str, name_of: fn(&str) -> &str) -> Vec<(String, Vec<String>)> {
    let mut functions = Vec::new();
    for declaration in text.split(opening).skip(1) {
        let Some((head, rest)) = declaration.split_once('(') else { continue };
        let Some((parameters, _)) = rest.split_once(')') else { continue };
        let name = head.split_whitespace().last().unwrap_or_default().trim_start_matches('*');
        let parameters =
            parameters.split(',').map(str::trim).filter(|text| !text.is_empty() && *text != "void");
        functions.push((name.to_owned(), parameters.map(|text| name_of(text).to_owned()).collect()));
    }
    functions
}

#[test]
fn the_declarations_are_those_of_the_header() {
    let header = include_str!("../../../include/honker.h");
    let (_, header) = header.split_once("extern \"C\" {").expect("the functions of the header");
    let theirs = functions(header, "HONKER_API\n", |parameter| {
        parameter.rsplit([' ', '*']).next().unwrap_or_default()
    });
    let raw = include_str!("../src/raw.rs");
    let (_, raw) = raw.rsplit_once("functions! {").expect("the functions of raw.rs");
    let ours = functions(raw, "    fn ", |parameter| parameter.split(':').next().unwrap_or_default());
    assert!(ours.len() > 70, "only {} functions were found", ours.len());
    for function in &ours {
        assert!(theirs.contains(function), "the header has {:?} otherwise, or not at all", function);
    }
}

/// `EnqueueOptions` is `honker_enqueue_opts_t` there.
fn name_in_c(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            words.push('_');
        }
        words.push(c.to_ascii_lowercase());
    }
    format!("honker{}_t", words.replace("options", "opts"))
}

#[test]
fn the_structs_are_those_of_the_header() {
    let header = include_str!("../../../include/honker.h");
    let raw = include_str!("../src/raw.rs");
    let mut looked_at = 0;
    for declaration in raw.split("pub struct ").skip(1) {
        let Some((name, rest)) = declaration.split_once(" {") else { continue };
        let Some((fields, _)) = rest.split_once("\n}") else { continue };
        let ours: Vec<&str> =
            fields.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next()).collect();
        let Some((theirs, _)) = header.split_once(&format!("\n}} {};", name_in_c(name))) else { continue };
        let (_, theirs) = theirs.rsplit_once("typedef struct {").expect("the beginning of a struct");
        let theirs: Vec<&str> = theirs
            .lines()
            .filter_map(|line| line.trim().strip_suffix(';')?.rsplit([' ', '*']).next())
            .collect();
        assert_eq!(ours, theirs, "{name}");
        looked_at += 1;
    }
    assert!(looked_at > 15, "{looked_at} structs");
}
