package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"connectrpc.com/connect"
	"plugmux.dev/bench/peers/echo"
	"plugmux.dev/bench/peers/gen/bench/v1/benchv1connect"
)

// connect-go over TLS and HTTP/2, with certificates at both ends. The folder has one subfolder for each end.

func serveConnectTLS(folder, port string) error {
	config, err := tlsConfig(filepath.Join(folder, "plugin"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(echo.NewHandler())
	server := &http.Server{Handler: mux, TLSConfig: config, Protocols: &http.Protocols{}}
	server.Protocols.SetHTTP2(true)
	return server.ServeTLS(listener, "", "")
}

func measureConnectTLS(b *bench, folder, port string) error {
	config, err := tlsConfig(filepath.Join(folder, "runtime"))
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: config, Protocols: &http.Protocols{}}
	transport.Protocols.SetHTTP2(true)
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	client := benchv1connect.NewBenchServiceClient(&http.Client{Transport: transport}, "https://127.0.0.1:"+port, plain)
	return connectRPC(client).measure(b)
}

func tlsConfig(folder string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"))
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		return nil, err
	}
	ca := x509.NewCertPool()
	ca.AppendCertsFromPEM(pem)
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		RootCAs:      ca,
		ClientCAs:    ca,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS13,
	}, nil
}
