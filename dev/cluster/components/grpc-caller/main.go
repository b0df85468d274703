// A gRPC service that says which version it is, and a client that counts the answers by version: `serve` and `call`.
//
// The service is the standard health check, which Kubernetes' gRPC probes ask too. The version is in the header of its answers.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

const header = "version"

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: grpc-caller serve|call [flags]")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	address := flags.String("address", ":8080", "where to listen, or whom to call")
	switch os.Args[1] {
	case "serve":
		version := flags.String("version", "", "what the header of every answer says")
		drain := flags.Duration("drain", 5*time.Second, "how long to serve after SIGTERM")
		flags.Parse(os.Args[2:])
		serve(*address, *version, *drain)
	case "call":
		authority := flags.String("authority", "", "the host that is asked for")
		count := flags.Int("count", 100, "number of calls, one after the other; fewer when it gets SIGTERM")
		pause := flags.Duration("pause", 0, "between two calls")
		flags.Parse(os.Args[2:])
		call(*address, *authority, *count, *pause)
	default:
		log.Fatalf("%s is neither serve nor call", os.Args[1])
	}
}

func serve(address, version string, drain time.Duration) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := grpc.SetHeader(ctx, metadata.Pairs(header, version)); err != nil {
				return nil, err
			}
			return next(ctx, request)
		},
	))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		<-ended
		time.Sleep(drain)
		server.GracefulStop()
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

// call prints how many calls each version has answered, and for each error how often it came, as one JSON object.
func call(address, authority string, count int, pause time.Duration) {
	connection, err := grpc.NewClient(
		address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(authority),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client, answers := grpc_health_v1.NewHealthClient(connection), map[string]int{}
	for made := 0; made < count && ended.Err() == nil; made++ {
		answers[one(client)]++
		time.Sleep(pause)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}

func one(client grpc_health_v1.HealthClient) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var got metadata.MD
	_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&got))
	if err != nil {
		return err.Error()
	}
	if versions := got.Get(header); len(versions) == 1 {
		return versions[0]
	}
	return "no version"
}
