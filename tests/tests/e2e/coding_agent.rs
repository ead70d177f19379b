//! `examples/coding-agent`, as an agent uses it.

use std::sync::Arc;

use reqwest::StatusCode;
use sandbox_tests::stage::Stage;
use serde_json::{Value, json};

crate::tests![
    what_succeeds_is_kept_and_what_fails_is_not,
    one_can_go_back_to_an_older_step,
    strangers_run_nothing,
];

/// A session of the agent.
struct Session<'a> {
    stage: &'a Stage,
    name: &'static str,
}

impl Session<'_> {
    async fn get(&self, action: &str) -> Value {
        let agent = &self.stage.coding_agent;
        let url = format!("{}/sessions/{}/{action}", agent.address, self.name);
        let request = self.stage.client.get(url).bearer_auth(&agent.token);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, action: &str, body: Value) -> (StatusCode, Value) {
        let agent = &self.stage.coding_agent;
        let url = format!("{}/sessions/{}/{action}", agent.address, self.name);
        let request = self.stage.client.post(url).bearer_auth(&agent.token);
        let response = request.json(&body).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn run(&self, command: &str) -> Value {
        let (status, result) = self.post("run", json!({ "command": command })).await;
        assert_eq!(status, 200, "{result}");
        result
    }
}

async fn what_succeeds_is_kept_and_what_fails_is_not(stage: Arc<Stage>) {
    let session = Session {
        stage: &stage,
        name: "kept",
    };
    let first = session.run("echo good > state; echo done").await;
    assert_eq!(
        first,
        json!({ "step": 1, "kept": true, "exitCode": 0, "stdout": "done\n", "stderr": "" })
    );
    let failed = session.run("echo bad > state; touch litter; exit 3").await;
    assert_eq!(
        (&failed["kept"], &failed["exitCode"]),
        (&json!(false), &json!(3))
    );
    let looked = session.run("cat state; ls").await;
    assert_eq!(looked["stdout"], "good\nstate\n");

    let history = session.get("history").await;
    let commands: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (&step["step"], &step["command"]))
        .collect();
    assert_eq!(
        commands,
        [
            (&json!(1), &json!("echo good > state; echo done")),
            (&json!(2), &json!("cat state; ls")),
        ]
    );
}

async fn one_can_go_back_to_an_older_step(stage: Arc<Stage>) {
    let session = Session {
        stage: &stage,
        name: "back",
    };
    for number in 1..=3 {
        session.run(&format!("echo {number} >> numbers")).await;
    }
    let (status, rolled) = session.post("rollback", json!({ "step": 3 })).await;
    assert_eq!((status, rolled), (StatusCode::OK, json!({ "steps": 2 })));
    assert_eq!(session.run("cat numbers").await["stdout"], "1\n2\n");
    let (_, rolled) = session.post("rollback", json!({ "step": 1 })).await;
    assert_eq!(rolled, json!({ "steps": 0 }));
    assert_eq!(session.get("history").await, json!([]));
    assert_eq!(session.run("ls").await["stdout"], "");
    let (status, _) = session.post("rollback", json!({ "step": 7 })).await;
    assert_eq!(status, 404);
}

async fn strangers_run_nothing(stage: Arc<Stage>) {
    let url = format!("{}/sessions/stranger/run", stage.coding_agent.address);
    for token in ["", "undefined", "x"] {
        let request = stage.client.post(&url).bearer_auth(token);
        let response = request.json(&json!({ "command": "true" })).send().await;
        assert_eq!(response.unwrap().status(), 401, "{token:?}");
    }
}
