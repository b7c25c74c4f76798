// The scripted conversation by the official A2A SDK for Go, whose newest release speaks 0.3.
//
//	go run . AGENT_URL TOKEN JSONRPC|GRPC HOOK_URL
//
// AGENT_URL is that of a wrapped @modelcontextprotocol/server-everything. Nothing here knows Bobbinet.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"reflect"
	"strings"

	"github.com/a2aproject/a2a-go/a2a"
	"github.com/a2aproject/a2a-go/a2aclient"
	"github.com/a2aproject/a2a-go/a2aclient/agentcard"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

type withToken struct {
	a2aclient.PassthroughInterceptor
	token string
}

func (it withToken) Before(ctx context.Context, req *a2aclient.Request) (context.Context, error) {
	req.Meta["authorization"] = []string{"Bearer " + it.token}
	return ctx, nil
}

func tell(step, result string) {
	line, _ := json.Marshal(map[string]string{"step": step, "result": result})
	fmt.Println(string(line))
}

// step tells what came of a step, and ends the conversation with the first that fails.
func step[T any](name string, what func() (T, error)) T {
	result, err := what()
	if err != nil {
		tell(name, err.Error())
		os.Exit(1)
	}
	tell(name, "ok")
	return result
}

func call(skill string, arguments map[string]any) a2a.Part {
	return a2a.DataPart{Data: map[string]any{"skill": skill, "arguments": arguments}}
}

func say(part a2a.Part, task *a2a.Task) *a2a.MessageSendParams {
	if task == nil {
		return &a2a.MessageSendParams{Message: a2a.NewMessage(a2a.MessageRoleUser, part)}
	}
	return &a2a.MessageSendParams{Message: a2a.NewMessageForTask(a2a.MessageRoleUser, task, part)}
}

func texts(task *a2a.Task) string {
	var all []string
	for _, artifact := range task.Artifacts {
		for _, part := range artifact.Parts {
			if text, ok := part.(a2a.TextPart); ok {
				all = append(all, text.Text)
			}
		}
	}
	return strings.Join(all, "\n")
}

func must(task *a2a.Task, state a2a.TaskState, said string) error {
	if task.Status.State != state || !strings.Contains(texts(task), said) {
		return fmt.Errorf("%s %q, and not %s with %q", task.Status.State, texts(task), state, said)
	}
	return nil
}

// follow takes events until there are no more. With the last state, and how many artifacts came.
func follow(events iter.Seq2[a2a.Event, error]) (a2a.TaskState, int, error) {
	var state a2a.TaskState
	artifacts := 0
	for event, err := range events {
		if err != nil {
			return state, artifacts, err
		}
		switch event := event.(type) {
		case *a2a.Task:
			state = event.Status.State
		case *a2a.TaskStatusUpdateEvent:
			state = event.Status.State
		case *a2a.TaskArtifactUpdateEvent:
			artifacts++
		}
	}
	return state, artifacts, nil
}

func completed(events iter.Seq2[a2a.Event, error]) (int, error) {
	state, artifacts, err := follow(events)
	if err == nil && state != a2a.TaskStateCompleted {
		err = fmt.Errorf("the last state is %q", state)
	}
	return artifacts, err
}

func main() {
	url, token, binding, hook := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	ctx := context.Background()

	card := step("card", func() (*a2a.AgentCard, error) {
		card, err := agentcard.NewResolver(nil).Resolve(ctx, url)
		if err == nil && !strings.HasPrefix(card.ProtocolVersion, "0.3") {
			err = fmt.Errorf("protocolVersion is %q", card.ProtocolVersion)
		}
		return card, err
	})
	connect := func(polling bool) *a2aclient.Client {
		config := a2aclient.Config{
			Polling:             polling,
			PreferredTransports: []a2a.TransportProtocol{a2a.TransportProtocol(binding)},
		}
		client, err := a2aclient.NewFromCard(ctx, card, a2aclient.WithConfig(config),
			a2aclient.WithGRPCTransport(grpc.WithTransportCredentials(insecure.NewCredentials())),
			a2aclient.WithInterceptors(withToken{token: token}))
		if err != nil {
			tell("connect", err.Error())
			os.Exit(1)
		}
		return client
	}
	client, polling := connect(false), connect(true)
	send := func(client *a2aclient.Client, params *a2a.MessageSendParams) (*a2a.Task, error) {
		result, err := client.SendMessage(ctx, params)
		if err != nil {
			return nil, err
		}
		task, ok := result.(*a2a.Task)
		if !ok {
			return nil, fmt.Errorf("the answer is a %T", result)
		}
		return task, nil
	}

	task := step("send", func() (*a2a.Task, error) {
		task, err := send(client, say(call("echo", map[string]any{"message": "hello"}), nil))
		if err == nil {
			err = must(task, a2a.TaskStateCompleted, "hello")
		}
		return task, err
	})
	slow := call("trigger-long-running-operation", map[string]any{"duration": 1, "steps": 4})
	step("stream", func() (int, error) {
		artifacts, err := completed(client.SendStreamingMessage(ctx, say(slow, nil)))
		if err == nil && artifacts == 0 {
			err = fmt.Errorf("no artifact came")
		}
		return artifacts, err
	})
	ask := func() (*a2a.Task, error) {
		asked, err := send(client, say(a2a.TextPart{Text: "get-sum a=1"}, nil))
		if err == nil {
			err = must(asked, a2a.TaskStateInputRequired, "")
		}
		return asked, err
	}
	answer := a2a.DataPart{Data: map[string]any{"b": 2}}
	step("question and answer", func() (*a2a.Task, error) {
		asked, err := ask()
		if err != nil {
			return nil, err
		}
		done, err := send(client, say(answer, asked))
		if err == nil {
			err = must(done, a2a.TaskStateCompleted, "3")
		}
		return done, err
	})
	step("get", func() (*a2a.Task, error) {
		again, err := client.GetTask(ctx, &a2a.TaskQueryParams{ID: task.ID})
		if err == nil && !reflect.DeepEqual(again, task) {
			err = fmt.Errorf("it is another: %+v, and not %+v", again, task)
		}
		return again, err
	})
	tell("list", "this SDK has no call for it")
	step("subscribe after a cut", func() (int, error) {
		long := call("trigger-long-running-operation", map[string]any{"duration": 2, "steps": 4})
		var cut *a2a.Task
		for event, err := range client.SendStreamingMessage(ctx, say(long, nil)) {
			if err != nil {
				return 0, err
			}
			if first, ok := event.(*a2a.Task); ok {
				cut = first
			}
			break
		}
		if cut == nil {
			return 0, fmt.Errorf("the first event is no task")
		}
		return completed(client.ResubscribeToTask(ctx, &a2a.TaskIDParams{ID: cut.ID}))
	})
	step("cancel", func() (*a2a.Task, error) {
		long := call("trigger-long-running-operation", map[string]any{"duration": 30, "steps": 30})
		task, err := send(polling, say(long, nil))
		if err != nil {
			return nil, err
		}
		canceled, err := client.CancelTask(ctx, &a2a.TaskIDParams{ID: task.ID})
		if err == nil {
			err = must(canceled, a2a.TaskStateCanceled, "")
		}
		return canceled, err
	})
	step("push configuration", func() (any, error) {
		asked, err := ask()
		if err != nil {
			return nil, err
		}
		config := a2a.TaskPushConfig{TaskID: asked.ID, Config: a2a.PushConfig{URL: hook, Token: "our-token"}}
		made, err := client.SetTaskPushConfig(ctx, &config)
		if err != nil {
			return nil, err
		}
		which := a2a.GetTaskPushConfigParams{TaskID: asked.ID, ConfigID: made.Config.ID}
		got, err := client.GetTaskPushConfig(ctx, &which)
		if err != nil || got.Config.URL != hook {
			return nil, fmt.Errorf("get: %+v, %v", got, err)
		}
		listed, err := client.ListTaskPushConfig(ctx, &a2a.ListTaskPushConfigParams{TaskID: asked.ID})
		if err != nil || len(listed) != 1 {
			return nil, fmt.Errorf("list: %+v, %v", listed, err)
		}
		other := a2a.TaskPushConfig{TaskID: asked.ID, Config: a2a.PushConfig{URL: hook + "/deleted", Token: "our-token"}}
		made, err = client.SetTaskPushConfig(ctx, &other)
		if err != nil {
			return nil, err
		}
		gone := a2a.DeleteTaskPushConfigParams{TaskID: asked.ID, ConfigID: made.Config.ID}
		if err := client.DeleteTaskPushConfig(ctx, &gone); err != nil {
			return nil, err
		}
		return send(client, say(answer, asked))
	})
	if card.SupportsAuthenticatedExtendedCard {
		step("extended card", func() (*a2a.AgentCard, error) { return client.GetAgentCard(ctx) })
	} else {
		tell("extended card", "the agent has none")
	}
}
