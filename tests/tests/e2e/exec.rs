//! Commands in a sandbox: results, limits, input, and streamed output.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use reqwest::{Method, Response};
use sandbox_shared::files::ExecEvent;
use sandbox_tests::{consumer::Sandbox, stage::Stage};
use serde_json::{Value, json};

crate::tests![
    exit_codes_are_results,
    environment_directory_and_input,
    timeout_kills_the_whole_group,
    output_that_is_not_text,
    a_stream_over_rpc,
    a_stream_is_live,
    leaving_a_stream_kills_the_command,
    hanging_up_on_a_stream_kills_the_command,
    malformed_requests,
];

async fn exit_codes_are_results(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("exit-codes");
    for (command, code) in [
        ("true", 0),
        ("exit 3", 3),
        ("no-such-command", 127),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("(exit 7) | cat; exit 255", 255),
    ] {
        let result = sandbox.exec(command, json!({})).await.unwrap();
        assert_eq!(result.exit_code, code, "{command}");
        assert_eq!(result.success, code == 0, "{command}");
    }
    let both = sandbox
        .exec("echo out; echo err >&2; exit 1", json!({}))
        .await;
    let both = both.unwrap();
    assert_eq!(
        (both.stdout.as_str(), both.stderr.as_str()),
        ("out\n", "err\n")
    );
}

async fn environment_directory_and_input(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("environment-directory-input");
    assert_eq!(sandbox.run("pwd").await, "/workspace\n");
    let options = json!({
        "cwd": "/tmp",
        "env": { "GREETING": "ahoj 'světe'\n", "EMPTY": "" },
        "stdin": "line one\nline two",
    });
    let command =
        r#"pwd; printf '%s' "$GREETING"; echo "${EMPTY-unset}"; cat; echo "$PATH" | grep -q /bin"#;
    let result = sandbox.exec(command, options).await.unwrap();
    assert_eq!(result.stdout, "/tmp\nahoj 'světe'\n\nline one\nline two");
    assert!(result.success);
    assert_eq!(
        sandbox.run("wc -c").await,
        "0\n",
        "input is empty by default"
    );
}

/// Whether a process whose command line contains `mark` runs in the sandbox.
async fn runs(sandbox: &Sandbox, mark: &str) -> bool {
    // The brackets keep the pattern from finding grep's own command line.
    let (first, rest) = mark.split_at(1);
    let search =
        format!("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[{first}]{rest}'");
    let count = sandbox.exec(&search, json!({})).await.unwrap().stdout;
    count.trim() != "0"
}

async fn gone(sandbox: &Sandbox, mark: &str) {
    let gone = async {
        while runs(sandbox, mark).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), gone).await;
    in_time.unwrap_or_else(|_| panic!("{mark} still runs"));
}

async fn timeout_kills_the_whole_group(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("timeout-kills");
    let command =
        "trap '' TERM; sleep 98761 & (sleep 98762; true) & echo started; sleep 98763; true";
    let result = sandbox
        .exec(command, json!({ "timeout": 500 }))
        .await
        .unwrap();
    assert_eq!((result.exit_code, result.timed_out), (124, true));
    assert!(!result.success);
    assert_eq!(result.stdout, "started\n");
    assert!((500..10_000).contains(&result.duration), "{result:?}");
    gone(&sandbox, "sleep 9876").await;

    let in_time = sandbox
        .exec("echo done", json!({ "timeout": 60_000 }))
        .await;
    let in_time = in_time.unwrap();
    assert!(in_time.success && !in_time.timed_out);
}

async fn output_that_is_not_text(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("output-not-text");
    // A character that arrives in two writes stays whole; a stray byte is replaced.
    let command = r"printf 'a\303'; sleep 0.2; printf '\251z\377!'";
    assert_eq!(sandbox.run(command).await, "aéz\u{fffd}!");

    let large = sandbox
        .exec("yes | head -c 9000000", json!({}))
        .await
        .unwrap();
    assert!(large.truncated && large.success);
    assert_eq!(large.stdout.len(), 8 << 20);
}

async fn a_stream_over_rpc(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("stream-over-rpc");
    let command = "echo one; echo two >&2; cat; exit 5";
    let events = sandbox
        .exec_stream(command, json!({ "stdin": "three\n" }))
        .await;
    let events = events.unwrap();
    assert!(
        matches!(events[0], ExecEvent::Start { pid } if pid > 1),
        "{events:?}"
    );
    let text = |wanted: fn(&ExecEvent) -> Option<&str>| {
        events.iter().filter_map(wanted).collect::<String>()
    };
    let stdout = text(|event| match event {
        ExecEvent::Stdout { data } => Some(data),
        _ => None,
    });
    let stderr = text(|event| match event {
        ExecEvent::Stderr { data } => Some(data),
        _ => None,
    });
    assert_eq!(
        (stdout.as_str(), stderr.as_str()),
        ("one\nthree\n", "two\n")
    );
    let last = events.last().unwrap();
    assert!(
        matches!(
            last,
            ExecEvent::Exit {
                exit_code: 5,
                timed_out: false,
                ..
            }
        ),
        "{events:?}"
    );
}

async fn open_stream(stage: &Stage, sandbox: &str, command: &str) -> Response {
    let request = stage.http(sandbox).request(Method::POST, "exec");
    let response = request
        .header("accept", "text/event-stream")
        .json(&json!({ "command": command }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response
}

async fn a_stream_is_live(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("stream-is-live");
    sandbox.run("mkfifo /tmp/gate").await;
    let response = open_stream(&stage, sandbox.name(), "echo first; cat /tmp/gate").await;
    let mut stream = response.bytes_stream();
    let mut seen = String::new();
    while !seen.contains("first") {
        seen += std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap();
    }
    // The command waits for this one, which therefore need not wait for it.
    sandbox.run("echo opened > /tmp/gate").await;
    while let Some(chunk) = stream.next().await {
        seen += std::str::from_utf8(&chunk.unwrap()).unwrap();
    }
    let events: Vec<Value> = seen
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    assert_eq!(events[0]["type"], "start", "{seen}");
    assert!(seen.contains("opened"), "{seen}");
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["exitCode"]),
        (&json!("exit"), &json!(0))
    );
}

async fn leaving_a_stream_kills_the_command(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("leaving-a-stream");
    let command = "(sleep 87651; true) & echo first; sleep 87652; true";
    let events = sandbox.exec_stream_until(command, "first").await.unwrap();
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, ExecEvent::Exit { .. }))
    );
    gone(&sandbox, "sleep 8765").await;
}

/// The local runtime notices that a client has hung up when it writes to it.
async fn hanging_up_on_a_stream_kills_the_command(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("hanging-up-on-a-stream");
    let command = "(sleep 65431; true) & while echo tick; do sleep 0.1; done";
    let response = open_stream(&stage, sandbox.name(), command).await;
    let mut stream = response.bytes_stream();
    let mut seen = String::new();
    while !seen.contains("tick") {
        seen += std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap();
    }
    assert!(runs(&sandbox, "sleep 65431").await);
    drop(stream);
    gone(&sandbox, "sleep 65431").await;
}

async fn malformed_requests(stage: Arc<Stage>) {
    let sandbox = stage.consumer.sandbox("exec-malformed");
    for args in [
        json!([]),
        json!([7]),
        json!(["true", "options"]),
        json!(["true", { "timeout": "soon" }]),
        json!(["true", { "timeout": -1 }]),
        json!(["true", { "env": ["A=B"] }]),
        json!(["true", { "cwd": "relative" }]),
        json!(["true\u{0}false"]),
        json!(["true", { "env": { "A=B": "c" } }]),
    ] {
        let result = sandbox.call::<Value>("exec", args.clone()).await;
        let error = result.expect_err(&args.to_string());
        assert_eq!(error.code(), "INVALID_REQUEST", "{args}: {error:?}");
    }
    let no_directory = sandbox.exec("true", json!({ "cwd": "/no/such" })).await;
    let code = no_directory.unwrap_err().code;
    assert_eq!(code.as_deref(), Some("EXEC_FAILED"));
}
