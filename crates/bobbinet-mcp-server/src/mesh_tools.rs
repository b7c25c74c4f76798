//! How the tools are listed that are no agent's.

use bobbinet_core::Json;
use serde_json::json;

use crate::{names::MESH_TOOLS, object::Object};

/// How they are listed.
pub(crate) fn tools() -> Vec<Json> {
    let [agents, send, task] = MESH_TOOLS;
    let tool = |name: &str,
                title: &str,
                description: &str,
                read_only: bool,
                properties: &serde_json::Value,
                required: &[&str]| {
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        Object::default()
            .with("name", name)
            .with("title", title)
            .with("description", description)
            .with("inputSchema", &schema)
            .with("annotations", &json!({"title": title, "readOnlyHint": read_only, "openWorldHint": false}))
            .to_json()
    };
    let id =
        json!({"type": "string", "description": "The task's id, as a result names it, or the list of your newest."});
    vec![
        tool(
            agents,
            "Agents of the mesh",
            "Lists the agents, what each is for, and the tools that it has.",
            true,
            &json!({}),
            &[],
        ),
        tool(
            send,
            "Message to an agent",
            "Sends a message to an agent as a task, for what is not one of the tools: a conversation, a flow, an agent that reads \
             words. The result names the task.",
            false,
            &json!({
                "agent": {"type": "string", "description": "The agent's name, as mesh_agents lists it."},
                "message": {"type": "string", "description": "What to tell it, in words."},
                "data": {"type": "object", "description": "What to tell it as data, in place of words or beside them."},
                "skill": {"type": "string", "description": "The skill that is meant, if the agent has several."},
                "context": {"type": "string", "description": "The conversation that it belongs to, as an earlier result names it."},
                "wait": {"type": "boolean", "description": "Whether to wait until it ends or asks; true unless said otherwise."},
            }),
            &["agent"],
        ),
        tool(
            task,
            "Task of the mesh",
            "Looks at a task that was begun earlier, also over another connection; waits for it, cancels it, or answers what it asks. \
             Without `task` it lists your newest ones: look there before a call is made again whose answer was lost.",
            false,
            &json!({
                "task": id,
                "agent": {"type": "string", "description": "Its agent, if that is known."},
                "action": {"type": "string", "enum": ["get", "cancel", "answer"], "description": "What to do; get unless said otherwise."},
                // Not `"type": [...]`, which some providers of models do not take.
                "answer": {
                    "description": "The answer: a text, or an object with the fields that are asked for.",
                    "anyOf": [{"type": "string"}, {"type": "object"}],
                },
                "wait": {"type": "boolean", "description": "With get: whether to wait until it ends or asks."},
            }),
            &[],
        ),
    ]
}
