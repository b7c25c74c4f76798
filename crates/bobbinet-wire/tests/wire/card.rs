//! Agent cards, written and read.

use std::sync::LazyLock;

use bobbinet_core::{Capabilities, Description, Effect, Extension, Skill, SkillId, agent::EXTENSION_URI};
use bobbinet_wire::{
    Transport, Version,
    interface::{CardForm, CardInterface},
    v1_0::{
        CardView,
        card::{self, CARD_INLINE_MAX, CardContext, SecurityScheme},
    },
};
use expect_test::{expect, expect_file};

use crate::{fixture::json, golden::assert_no_snake_case};

const URL: &str = "https://mesh.example.com/agents/files/";

static INTERFACES: LazyLock<[CardInterface; 4]> = LazyLock::new(|| {
    [
        CardInterface::new(URL, Transport::JsonRpc, Version::V1_0),
        CardInterface::new(URL, Transport::HttpJson, Version::V1_0),
        CardInterface::new(URL, Transport::JsonRpc, Version::V0_3),
        CardInterface::new(URL, Transport::HttpJson, Version::V0_3),
    ]
});

const CONTEXT: CardContext<'_> = CardContext {
    interfaces: &[],
    form: CardForm::V1_0,
    streaming: true,
    push: false,
    extended: false,
    security: &[SecurityScheme::BearerJwt],
};

fn skill(id: &str) -> Skill {
    Skill {
        id: SkillId::parse(id).unwrap(),
        name: "Read a file".to_owned(),
        description: "Gives a file's \"text\".".to_owned(),
        tags: vec!["files".to_owned()],
        examples: vec!["read-file path=a.txt".to_owned()],
        input: Some(json("{\n  \"type\": \"object\", \"properties\": {\"path\": {\"type\": \"string\"}}}")),
        output: Some(json(r#"{"type":"object","minProperties":1.0}"#)),
        effect: Effect::ReadOnly,
    }
}

fn description() -> Description {
    Description {
        name: "files".to_owned(),
        description: "Files on a disk.".to_owned(),
        version: "2.1.0".to_owned(),
        documentation_url: Some("https://example.com/docs".to_owned()),
        provider: Some(("Example".to_owned(), "https://example.com".to_owned())),
        skills: vec![
            skill("read-file"),
            Skill {
                examples: Vec::new(),
                input: None,
                output: None,
                effect: Effect::AtMostOnce,
                ..skill("write \"it\"")
            },
        ],
        ..Description::default()
    }
}

#[test]
fn what_an_agent_declares_stands_after_our_own_extension() {
    let declared = Extension {
        uri: "urn:example:geo".to_owned(),
        description: "Says where.".to_owned(),
        required: true,
        params: Some(json(r#"{"precision":2}"#)),
    };
    let capabilities = Capabilities { extensions: vec![declared], ..Capabilities::default() };
    let bytes = card::write(&Description { capabilities, ..description() }, CONTEXT);
    let extensions = CardView::parse(&bytes).unwrap().capabilities.extensions.unwrap();
    assert_eq!(extensions.iter().map(|it| it.uri.as_str()).collect::<Vec<_>>(), [EXTENSION_URI, "urn:example:geo"]);
    let text = String::from_utf8(bytes).unwrap();
    let expected = r#"{"uri":"urn:example:geo","description":"Says where.","required":true,"params":{"precision":2}}"#;
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_card_is_written_and_read_back() {
    let context = CardContext { interfaces: &*INTERFACES, ..CONTEXT };
    let bytes = card::write(&description(), context);
    assert_eq!(bytes, card::write(&description(), context));
    assert_no_snake_case(&serde_json::from_slice(&bytes).unwrap());
    expect_file!["../../golden/card.json"].assert_eq(&format!("{}\n", std::str::from_utf8(&bytes).unwrap()));

    let view = CardView::parse(&bytes).unwrap();
    assert_eq!(view.name, "files");
    assert_eq!(view.capabilities.streaming, Some(true));
    assert_eq!(view.spoken().next().unwrap().0.url, URL);
    assert_eq!(view.skills.iter().map(|skill| skill.id.as_str()).collect::<Vec<_>>(), ["read-file", "write \"it\""]);
    assert!(view.honours_idempotency_keys());
    let skills = view.extension_skills();
    let read = &skills["read-file"];
    assert_eq!(read.effects.as_deref(), Some("read-only"));
    assert_eq!(read.output.as_ref().unwrap().as_str(), r#"{"type":"object","minProperties":1.0}"#);
    // Whoever has the card can check the hash against what the card holds.
    assert_eq!(read.schema_hash, card::schema_hash(read.input.as_ref(), read.output.as_ref()));
    assert_eq!(skills["write \"it\""].schema_hash, None);
}

/// Each has what its readers look for; the hybrid has both.
#[test]
fn a_card_has_three_forms() {
    let security = [
        SecurityScheme::BearerJwt,
        SecurityScheme::ApiKey { header: "X-API-Key" },
        SecurityScheme::OpenIdConnect { url: "https://idp.example.com/.well-known/openid-configuration".to_owned() },
        SecurityScheme::MutualTls,
    ];
    let context = CardContext { interfaces: &*INTERFACES, security: &security, ..CONTEXT };
    let written = |form| card::write(&description(), CardContext { form, ..context });
    let names = |form| {
        let card: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&written(form)).unwrap();
        card.keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    let (new, old, both) = (names(CardForm::V1_0), names(CardForm::V0_3), names(CardForm::Hybrid));
    assert_eq!(&new | &old, both);
    assert!(new.contains("supportedInterfaces") && !new.contains("url") && !new.contains("protocolVersion"));
    assert!(old.contains("additionalInterfaces") && !old.contains("supportedInterfaces"));
    for (form, file) in [
        (CardForm::V0_3, expect_file!["../../golden/v0_3_card.json"]),
        (CardForm::Hybrid, expect_file!["../../golden/card_hybrid.json"]),
    ] {
        file.assert_eq(&format!("{}\n", std::str::from_utf8(&written(form)).unwrap()));
    }
    // A client of ours takes the first that it speaks of a hybrid, too.
    let view = CardView::parse(&written(CardForm::Hybrid)).unwrap();
    assert_eq!((view.spoken().next().unwrap().0.url.as_str(), view.supported_interfaces.len()), (URL, 4));
}

#[test]
fn only_a_card_that_says_so_is_of_an_agent_that_honours_keys() {
    let check = |extensions: &str, expected: bool| {
        let card = format!(r#"{{"capabilities":{{"extensions":{extensions}}}}}"#);
        let card = CardView::parse(card.as_bytes()).unwrap();
        assert_eq!(card.honours_idempotency_keys(), expected, "{extensions}");
    };
    check(r#"[{"uri":"urn:bobbinet:skills:v1","params":{"idempotencyKeys":true}}]"#, true);
    check(r#"[{"uri":"urn:bobbinet:skills:v1","params":{"skills":{}}}]"#, false);
    check(r#"[{"uri":"urn:example:other","params":{"idempotencyKeys":true}}]"#, false);
    check("[]", false);
}

#[test]
fn an_open_agent_asks_for_nothing() {
    let bytes = card::write(&description(), CardContext { security: &[], ..CONTEXT });
    assert!(!String::from_utf8(bytes).unwrap().contains("security"));
}

#[test]
fn a_card_says_all_that_a_caller_can_show() {
    let provider = |url: &str| SecurityScheme::OpenIdConnect { url: url.to_owned() };
    let schemes = [
        SecurityScheme::BearerJwt,
        SecurityScheme::ApiKey { header: "X-API-Key" },
        provider("https://a.example/.well-known/openid-configuration"),
        provider("https://b.example/.well-known/openid-configuration"),
        SecurityScheme::MutualTls,
    ];
    let bytes = card::write(&description(), CardContext { security: &schemes, ..CONTEXT });
    let card: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_no_snake_case(&card);
    let found = &card["securitySchemes"];
    assert_eq!(found["bearer"]["httpAuthSecurityScheme"]["scheme"], "Bearer");
    assert_eq!(found["apiKey"]["apiKeySecurityScheme"]["location"], "header");
    assert_eq!(found["apiKey"]["apiKeySecurityScheme"]["name"], "X-API-Key");
    for (name, url) in [("oidc", "https://a.example"), ("oidc2", "https://b.example")] {
        let of_provider = &found[name]["openIdConnectSecurityScheme"]["openIdConnectUrl"];
        assert_eq!(of_provider, &format!("{url}/.well-known/openid-configuration"));
    }
    assert!(found["mutualTls"]["mtlsSecurityScheme"].is_object());
    // One of them is enough.
    let required: Vec<Vec<&String>> = card["securityRequirements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["schemes"].as_object().unwrap().keys().collect())
        .collect();
    assert_eq!(required, [["bearer"], ["apiKey"], ["oidc"], ["oidc2"], ["mutualTls"]]);
}

#[test]
fn a_large_card_has_hashes_instead_of_schemas() {
    let large = |count| Description {
        skills: (0..count).map(|number| skill(&format!("skill-{number}"))).collect(),
        ..description()
    };
    let size = |count| card::write(&large(count), CONTEXT).len();
    let last_inline = (1..1_000).find(|count| size(count + 1) < size(*count)).unwrap();
    assert!(size(last_inline) <= CARD_INLINE_MAX);
    let skills = CardView::parse(&card::write(&large(last_inline + 1), CONTEXT)).unwrap().extension_skills();
    let expected = card::schema_hash(skill("x").input.as_ref(), skill("x").output.as_ref());
    assert_eq!(skills.len(), last_inline + 1);
    assert!(
        skills.values().all(|skill| skill.input.is_none() && skill.output.is_none() && skill.schema_hash == expected)
    );
}

#[test]
fn a_schema_hash_is_that_of_the_text() {
    // printf '{"a":1}' | sha256sum
    let expected = "sha256:015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
    assert_eq!(card::schema_hash(Some(&json(r#"{"a":1}"#)), None).as_deref(), Some(expected));
}

#[test]
fn the_first_interface_of_ours_is_taken() {
    let pick = |interfaces: &str| {
        let card = format!(r#"{{"name":"x","supportedInterfaces":{interfaces}}}"#);
        let card = CardView::parse(card.as_bytes()).unwrap();
        card.spoken().map(|(interface, _)| interface.url.clone()).collect::<Vec<_>>().join(" ")
    };
    let grpc = r#"{"url":"g","protocolBinding":"GRPC","protocolVersion":"1.0"}"#;
    let old = r#"{"url":"o","protocolBinding":"JSONRPC","protocolVersion":"0.3"}"#;
    let ours = r#"{"url":"a","protocolBinding":"JSONRPC","protocolVersion":"1.0","tenant":"t"}"#;
    let patch = r#"{"url":"b","protocolBinding":"JSONRPC","protocolVersion":"1.0.1"}"#;
    let later = r#"{"url":"c","protocolBinding":"JSONRPC","protocolVersion":"1.00"}"#;
    assert_eq!(pick(&format!("[{grpc},{old},{ours},{patch}]")), "g o a b");
    assert_eq!(pick(&format!("[{later},{patch},{ours}]")), "b a");
    assert_eq!(pick(&format!("[{later}]")), "");
}

#[test]
fn a_card_says_in_the_words_of_any_version_where_its_agent_is() {
    let check = |card: &str, expected: &str| {
        let card = CardView::parse(card.as_bytes()).unwrap();
        let spoken = card.spoken().map(|(interface, protocol)| format!("{protocol} at {}", interface.url));
        assert_eq!(spoken.collect::<Vec<_>>().join(", "), expected);
    };
    check(
        r#"{"url":"r","protocolVersion":"0.3.0","preferredTransport":"HTTP+JSON",
            "additionalInterfaces":[{"url":"r","transport":"HTTP+JSON"},{"url":"j","transport":"JSONRPC"},{"url":"g","transport":"GRPC"}]}"#,
        "A2A 0.3 over HTTP+JSON at r, A2A 0.3 over JSONRPC at j, A2A 0.3 over GRPC at g",
    );
    check(r#"{"url":"j","protocolVersion":"0.2.5"}"#, "A2A 0.3 over JSONRPC at j");
    check(r#"{"url":"j"}"#, "A2A 0.3 over JSONRPC at j");
    // A hybrid, as the Python SDK writes it.
    check(
        r#"{"supportedInterfaces":[{"url":"j","protocolBinding":"JSONRPC","protocolVersion":"1.0"},
            {"url":"j","protocolBinding":"JSONRPC","protocolVersion":"0.3"}],"url":"j","preferredTransport":"JSONRPC","protocolVersion":"0.3.0"}"#,
        "A2A 1.0 over JSONRPC at j, A2A 0.3 over JSONRPC at j",
    );
    check(r#"{"url":"j","protocolVersion":"2.0"}"#, "");
    let keyed = r#"{"securitySchemes":{"k":{"type":"apiKey","in":"header","name":"X-Key"}},"supportsAuthenticatedExtendedCard":true}"#;
    let card = CardView::parse(keyed.as_bytes()).unwrap();
    assert_eq!((card.api_key().unwrap().name.as_str(), card.capabilities.extended_agent_card), ("X-Key", Some(true)));
}

#[test]
fn null_in_a_card_is_as_good_as_nothing() {
    let nulls = CardView::parse(
        br#"{"name":null,"description":null,"version":null,"supportedInterfaces":[null,{"url":null,"protocolBinding":null,
            "protocolVersion":null,"tenant":null}],"capabilities":{"streaming":null,"extensions":[{"uri":null,"params":null}]},
            "skills":[{"id":"s","name":null,"tags":null,"examples":[null,""],"inputModes":null}],"securitySchemes":null,
            "defaultInputModes":null,"defaultOutputModes":null,"provider":null,"signatures":null,"later":{"x":1}}"#,
    );
    let nulls = nulls.unwrap();
    assert_eq!((nulls.name.as_str(), nulls.supported_interfaces.len(), nulls.skills[0].id.as_str()), ("", 1, "s"));
    assert_eq!((nulls.capabilities.streaming, &nulls.skills[0].tags), (None, &Some(Vec::new())));
    for empty in [&br#"{"skills":null,"supportedInterfaces":null,"capabilities":null}"#[..], b"{}"] {
        assert_eq!(CardView::parse(empty).unwrap(), CardView::default());
    }
}

#[test]
fn what_cannot_be_read_of_a_card_is_named() {
    let why = |card: &str| {
        let error = CardView::parse(card.as_bytes()).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    expect!["supportedInterfaces[0].url must be a string, not a number; skills[1].tags must be an array, not a string"]
        .assert_eq(&why(r#"{"supportedInterfaces":[{"url":7}],"skills":[{},{"tags":"x"}]}"#));
    expect!["it must be an object, not an array"].assert_eq(&why("[]"));
    expect!["it cannot be read: expected value at line 1 column 1"].assert_eq(&why("<html>"));
    expect![[r#"an object in it has the name "url" twice"#]]
        .assert_eq(&why(r#"{"supportedInterfaces":[{"url":"a","url":"b"}]}"#));
}
