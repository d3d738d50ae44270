package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"plugmux.dev/tests/interop/docker/wire"
)

// runClient asks an engine one thing, and prints the answer, or the error with
// its code, as JSON.
func runClient(args []string) error {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	socket := flags.String("socket", "", "the engine's socket")
	timeout := flags.Duration("timeout", time.Minute, "how long the answer may take")
	flags.Parse(args)
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	answer, err := ask(ctx, unixClient(*socket), flags.Arg(0), flags.Args()[1:])
	if failure := new(connect.Error); errors.As(err, &failure) {
		answer, err = map[string]string{"code": failure.Code().String(), "message": failure.Message()}, nil
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

func ask(ctx context.Context, client *http.Client, what string, args []string) (any, error) {
	switch what {
	case "version":
		response, err := call[wire.Empty, wire.GetVersionResponse](ctx, client, getVersion, &wire.Empty{})
		return response.GetVersion(), err
	case "list":
		return list(ctx, client)
	case "get":
		return get(ctx, client, args[0])
	case "authorize":
		response, err := call[wire.AuthorizeRequest, wire.DecisionResponse](ctx, client, authorize, &wire.AuthorizeRequest{Patterns: args})
		return response.GetDecision(), err
	case "enable", "disable":
		path := map[string]string{"enable": enablePlugin, "disable": disablePlugin}[what]
		_, err := call[wire.PluginName, wire.Empty](ctx, client, path, &wire.PluginName{Name: args[0]})
		return struct{}{}, err
	}
	return nil, fmt.Errorf("there is no %q to ask", what)
}

// list leaves out plugins whose version is not valid, as Docker's client does.
func list(ctx context.Context, client *http.Client) (any, error) {
	response, err := call[wire.Empty, wire.ListPluginsResponse](ctx, client, listPlugins, &wire.Empty{})
	plugins := []map[string]any{}
	for _, plugin := range response.GetPlugins() {
		if versionForm.MatchString(plugin.Version) {
			plugins = append(plugins, map[string]any{
				"name": plugin.Name, "version": plugin.Version, "status": plugin.RunStatus, "disabled": plugin.Disabled,
				"external": plugin.External, "pattern": plugin.GetSecretsProvider().GetPattern(),
				"access": plugin.GetAccessControlModule() != nil,
			})
		}
	}
	return plugins, err
}

func get(ctx context.Context, client *http.Client, pattern string) (any, error) {
	response, err := call[wire.GetSecretsRequest, wire.GetSecretsResponse](ctx, client, getSecrets, &wire.GetSecretsRequest{Pattern: pattern})
	secrets := []map[string]any{}
	for _, envelope := range response.GetEnvelopes() {
		secrets = append(secrets, map[string]any{
			"id": envelope.Id, "value": string(envelope.Value), "provider": envelope.Provider,
			"asked":   envelope.Metadata["asked"],
			"created": told(envelope.CreatedAt), "resolved": told(envelope.ResolvedAt), "expires": told(envelope.ExpiresAt),
		})
	}
	return secrets, err
}

// told reads a time as Docker's programs do: an absent one is 1970 to them.
func told(stamp *timestamppb.Timestamp) string {
	if at := stamp.AsTime(); !at.IsZero() {
		return at.Format(time.RFC3339)
	}
	return "unset"
}
