// An agent made with the official A2A SDK for Go: it says back what it is told, in capitals and in two pieces.
//
//	go run ./shouter PORT
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/a2aproject/a2a-go/a2a"
	"github.com/a2aproject/a2a-go/a2asrv"
	"github.com/a2aproject/a2a-go/a2asrv/eventqueue"
)

type shouter struct{}

func (shouter) Execute(ctx context.Context, req *a2asrv.RequestContext, queue eventqueue.Queue) error {
	said := ""
	for _, part := range req.Message.Parts {
		if text, ok := part.(a2a.TextPart); ok {
			said += text.Text
		}
	}
	said = strings.ToUpper(said)
	half := len(said) / 2
	first := a2a.NewArtifactEvent(req, a2a.TextPart{Text: said[:half]})
	last := a2a.NewArtifactUpdateEvent(req, first.Artifact.ID, a2a.TextPart{Text: said[half:]})
	last.LastChunk = true
	done := a2a.NewStatusUpdateEvent(req, a2a.TaskStateCompleted, nil)
	done.Final = true
	events := []a2a.Event{first, last, done}
	if req.StoredTask == nil {
		events = append([]a2a.Event{a2a.NewSubmittedTask(req, req.Message)}, events...)
	}
	for _, event := range events {
		if err := queue.Write(ctx, event); err != nil {
			return err
		}
	}
	return nil
}

func (shouter) Cancel(ctx context.Context, req *a2asrv.RequestContext, queue eventqueue.Queue) error {
	canceled := a2a.NewStatusUpdateEvent(req, a2a.TaskStateCanceled, nil)
	canceled.Final = true
	return queue.Write(ctx, canceled)
}

func main() {
	address := "127.0.0.1:" + os.Args[1]
	card := &a2a.AgentCard{
		Name:               "shouter",
		Description:        "Says back what it is told, in capitals.",
		Version:            "1",
		ProtocolVersion:    "0.3.0",
		URL:                "http://" + address + "/",
		PreferredTransport: a2a.TransportProtocolJSONRPC,
		DefaultInputModes:  []string{"text/plain"},
		DefaultOutputModes: []string{"text/plain"},
		Capabilities:       a2a.AgentCapabilities{Streaming: true},
		Skills: []a2a.AgentSkill{
			{ID: "shout", Name: "shout", Description: "Says it in capitals.", Tags: []string{"text"}},
		},
	}
	mux := http.NewServeMux()
	mux.Handle(a2asrv.WellKnownAgentCardPath, a2asrv.NewStaticAgentCardHandler(card))
	mux.Handle("/", a2asrv.NewJSONRPCHandler(a2asrv.NewHandler(shouter{})))
	log.Fatal(http.ListenAndServe(address, mux))
}
